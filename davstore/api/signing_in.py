"""Tokens for a short while, and app passwords until they are taken back."""

from typing import Annotated, Any

from pydantic import StringConstraints

from core.app_passwords import PREFIX
from core.errors import Forbidden, Unauthenticated
from core.model import AppPassword

from ..auth import basic, is_bearer
from ..dates import iso_date
from ..request import Response
from .call import PLAIN, Call, Model, answer


class Labelled(Model):
    label: Annotated[str, StringConstraints(pattern=PLAIN, min_length=1, max_length=128)]


def token(call: Call) -> Response:
    """Only who gives the password gets one: neither a token nor an app password lives on in another."""
    _check_password(call)
    lifetime = int(call.settings.server.token_lifetime.total_seconds())
    issued = call.store.tokens.issue(call.caller)
    return answer(200, {"access_token": issued, "token_type": "Bearer", "expires_in": lifetime})


def app_passwords(call: Call) -> Response:
    _check_password(call)
    return answer(200, {"app_passwords": [_described(each) for each in call.store.app_passwords.of(call.caller.name)]})


def create_app_password(call: Call) -> Response:
    wanted = call.json(Labelled)
    _check_password(call)
    made, secret = call.store.app_passwords.create(call.caller.name, wanted.label)
    return answer(201, _described(made) | {"password": secret})


def revoke_app_password(call: Call, uid: str) -> Response:
    _check_password(call)
    call.store.app_passwords.revoke(call.caller.name, uid)
    return Response(204)


def _check_password(call: Call) -> None:
    given = call.request.header("Authorization")
    if not given:
        raise Unauthenticated("", "sign in with your name and your password")
    if is_bearer(given) or basic(given)[1].startswith(PREFIX):
        raise Forbidden("", "sign in with your password, not with a token or an app password")


def _described(password: AppPassword) -> dict[str, Any]:
    used = None if password.used is None else iso_date(password.used)
    return {"uid": password.uid, "label": password.label, "created": iso_date(password.created), "used": used}
