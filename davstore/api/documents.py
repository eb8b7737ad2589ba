"""Documents: collections with an owner and a visibility, and the attachments that they have."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core import paths
from core.attachments import Attachment
from core.errors import Unauthenticated
from core.model import Node, Rules, Visibility

from ..request import Response
from .attachments import BUCKET, told
from .call import Call, Filename, Id, Model, answer, changed

MOST = 1000
"""Attachments that are set at once."""


class Making(Model):
    name: Filename
    bucket: Annotated[str, StringConstraints(pattern=BUCKET)] = "files"
    visibility: Visibility = "private"


class Change(Model):
    visibility: Visibility | Literal["inherit"] | None = None
    is_local: bool | None = None


class Attached(Model):
    ids: Annotated[list[Id], Field(max_length=MOST)]


def create(call: Call) -> Response:
    wanted = call.json(Making)
    if not call.caller.name:
        raise Unauthenticated("", "a document has an owner: sign in")
    path = (wanted.bucket, wanted.name)
    document = call.request.namespace.make_collection(path, rules=Rules(visibility=wanted.visibility))
    return answer(201, _described(document), [("Location", f"/api/v1/documents/{document.uid}")])


def get(call: Call, uid: str) -> Response:
    return call.shown(_described(call.store.attachments(call.caller).document(uid)))


def change(call: Call, uid: str) -> Response:
    wanted = call.json(Change)
    if wanted.visibility is None and wanted.is_local is None:
        raise DAVError(HTTP_BAD_REQUEST, "give a visibility or is_local")
    rules = Rules(visibility=wanted.visibility, is_local=wanted.is_local)
    made = call.store.attachments(call.caller).set_rules(uid, rules, lambda node: call.check(_described(node)))
    return changed(_described(made))


def attachments(call: Call, uid: str) -> Response:
    return call.shown(told(call, call.store.attachments(call.caller).of_document(uid)))


def set_attachments(call: Call, uid: str) -> Response:
    wanted = call.json(Attached).ids

    def check(held: list[Attachment]) -> None:
        call.check(told(call, held))

    return answer(200, told(call, call.store.attachments(call.caller).set_of_document(uid, wanted, check)))


def _described(node: Node) -> dict[str, Any]:
    access = node.access
    assert access
    return {
        "uid": node.uid,
        "name": node.name,
        "path": paths.text(node.path),
        "owner": access.owner if access.in_document else None,
        "visibility": access.visibility,
        "is_local": access.is_local,
    }
