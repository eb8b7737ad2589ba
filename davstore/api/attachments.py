"""Attachments: made from a stream, listed page by page, read, changed, and put into the trash."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field, StringConstraints
from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core import paths
from core.attachment_lists import Filter, Key, Order
from core.attachments import Attachment
from core.errors import NotFound, Unauthenticated
from core.model import Path
from core.staging import Draft

from .. import digests
from ..dates import iso_date
from ..live import media_type
from ..partial import refuse_partial
from ..request import Response
from . import forms
from .call import Call, Filename, Id, MediaType, Model, Text, Time, answer, changed

UNNAMED = "unnamed"
BUCKET = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


class Fields(Model):
    """What a form may say of its file."""

    filename: Filename | None = None
    media_type: MediaType | None = None
    id: Id | None = None


class Making(Fields):
    """What the URL may say of a new attachment."""

    document: Id | None = None
    bucket: Annotated[str, StringConstraints(pattern=BUCKET)] = "files"


class Listing(Model):
    page_size: Annotated[int, Field(ge=1, le=1000)] = 50
    page_token: Text = ""
    order_by: Order = "-created"
    filename: Text = ""
    media_type: Text = ""
    document: Id | None = None
    created_from: Time | None = None
    created_until: Time | None = None


class Change(Model):
    filename: Filename | None = None
    media_type: MediaType | None = None


class Batch(Model):
    ids: Annotated[list[Id], Field(min_length=1, max_length=100)]


def create(call: Call) -> Response:
    """The body is the content, or a form that has it; it goes to a draft as it comes."""
    refuse_partial(call.request)
    making = call.query(Making)
    attachments = call.store.attachments(call.caller)
    home = attachments.home(making.bucket, making.document)
    attachments.check_create(home, *_announced(call, making), making.id)
    if forms.is_form(call.request):
        form, draft = forms.read(call.request, lambda: _staged(call, home))
        name, declared, given = form.filename, form.media_type, form.fields
    else:
        name, declared, given, draft = "", call.request.header("Content-Type"), {}, _received(call, home)
    with draft:
        fields = _merged(call, making, given)
        filename = fields.filename or _named(name)
        made = attachments.create(home, draft, filename, fields.media_type or declared, fields.id)
    return answer(201, described(call, made), [("Location", f"/api/v1/attachments/{quote(made.id)}")])


def _announced(call: Call, making: Making) -> tuple[str, str, int | None]:
    """The name, the type and the size that the request announces; of a form what is certain of its file."""
    name, size = making.filename or UNNAMED, call.request.declared_length
    if forms.is_form(call.request):
        return name, "", None if size is None else max(0, size - forms.AROUND)
    return name, making.media_type or call.request.header("Content-Type"), size


def _staged(call: Call, home: Path, also: Sequence[str] = ()) -> Draft:
    return call.request.namespace.stage((*home, UNNAMED), also=also)


def _received(call: Call, home: Path) -> Draft:
    """The body, which has the digests that the request announces. Raises DigestMismatch."""
    announced = digests.claims(call.request)
    draft = _staged(call, home, digests.further(announced))
    try:
        for block in call.request.blocks():
            draft.write(block)
        digests.verify(announced, draft.seal().digests)
    except BaseException:
        draft.discard()
        raise
    return draft


def _merged(call: Call, making: Making, given: Mapping[str, str]) -> Fields:
    """A form's own fields win over the URL's."""
    own = {name: value for name, value in making if name in Fields.model_fields and value is not None}
    return call.form(Fields, own | dict(given))


def _named(name: str) -> str:
    """The last part of what a browser calls the file, or a name for what has none."""
    last = name.replace("\\", "/").rpartition("/")[2]
    clean = "".join(letter for letter in last if letter.isprintable()).strip()
    return UNNAMED if clean in {"", ".", ".."} else clean


def every(call: Call) -> Response:
    asked = call.query(Listing)
    if not call.caller.name and asked.document is None:
        raise Unauthenticated("", "sign in to see your attachments")
    document = None if asked.document is None else call.store.attachments(call.caller).document(asked.document)
    wanted = Filter(document, asked.filename, asked.media_type, asked.created_from, asked.created_until)
    after = _key(asked) if asked.page_token else None
    page = call.store.list_attachments(call.caller, wanted, asked.order_by, after, asked.page_size)
    token = None if page.end is None else _token(asked.order_by, page.end)
    return call.shown({**told(call, page.attachments), "next_page_token": token})


def _token(order: Order, key: Key) -> str:
    return urlsafe_b64encode(json.dumps([order, *key]).encode()).decode().rstrip("=")


def _key(asked: Listing) -> Key:
    """Raises NotFound for what was never given as a token of this order."""
    try:
        padded = asked.page_token + "=" * (-len(asked.page_token) % 4)
        order, value, node = json.loads(urlsafe_b64decode(padded))
        is_right = (_is_name(value) if "filename" in order else _is_number(value)) and _is_number(node)
    except (ValueError, TypeError):
        raise NotFound("", "no page begins there") from None
    if not is_right or order != asked.order_by:
        raise NotFound("", "no page of this order begins there")
    return value, node


def _is_name(value: Any) -> bool:
    """Raises ValueError for what is no text."""
    return isinstance(value, str) and b"\0" not in value.encode()


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 63


def get(call: Call, id: str) -> Response:  # noqa: A002 - the address calls it so
    return call.shown(described(call, call.store.attachments(call.caller).get(id)))


def change(call: Call, id: str) -> Response:  # noqa: A002 - as above
    wanted = call.json(Change)
    if wanted.filename is None and wanted.media_type is None:
        raise DAVError(HTTP_BAD_REQUEST, "give a filename or a media_type")
    attachments = call.store.attachments(call.caller)
    made = attachments.change(id, filename=wanted.filename, media_type=wanted.media_type, check=_check(call))
    return changed(described(call, made))


def delete(call: Call, id: str) -> Response:  # noqa: A002 - as above
    call.store.attachments(call.caller).delete([id], _check(call))
    return Response(204)


def delete_batch(call: Call) -> Response:
    call.store.attachments(call.caller).delete(call.json(Batch).ids)
    return Response(204)


def _check(call: Call) -> Callable[[Attachment], None]:
    return lambda attachment: call.check(described(call, attachment))


def told(call: Call, attachments: Sequence[Attachment]) -> dict[str, Any]:
    """As the API tells of several."""
    return {"attachments": [described(call, each) for each in attachments]}


def described(call: Call, attachment: Attachment) -> dict[str, Any]:
    """As the API tells of it."""
    node = attachment.node
    assert node.content
    access = node.access
    return {
        "id": attachment.id,
        "uid": node.uid,
        "object_uid": node.object_uid,
        "filename": node.name,
        "media_type": media_type(node),
        "size": node.size,
        "sha256": node.content.digest,
        "created": iso_date(node.created),
        "modified": iso_date(node.modified),
        "document": attachment.document,
        "visibility": access.visibility if access else "private",
        "is_local": access.is_local if access else True,
        "path": paths.text(node.path),
        "url": f"/file/attachments/{quote(attachment.id)}/{quote(node.name, safe='')}",
    }
