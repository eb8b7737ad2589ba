"""Tokens for a short while, and app passwords until they are taken back."""

import time
from collections.abc import Mapping
from dataclasses import replace

import jwt
import pytest

from core.settings import Server
from core.store import Store
from davstore.app import application
from tests.api.conftest import API, attach, call, code, told
from tests.assets.conftest import PASSWORDS
from tests.davstore.client import Dav


@pytest.fixture
def nobody(to_users: Mapping[str, Dav]) -> Dav:
    return to_users["nobody"]


@pytest.fixture
def alice(nobody: Dav) -> Dav:
    return nobody.signed_in("alice", PASSWORDS["alice"])


@pytest.fixture
def bob(nobody: Dav) -> Dav:
    return nobody.signed_in("bob", PASSWORDS["bob"])


def token(dav: Dav) -> str:
    given = told(call(dav, "POST", "/auth/token"))
    assert given["token_type"] == "Bearer"
    return f"Bearer {given['access_token']}"


def app_password(dav: Dav, label: str = "phone") -> tuple[str, str]:
    """Its uid and its secret."""
    made = told(call(dav, "POST", "/auth/app-passwords", {"label": label}), 201)
    return made["uid"], made["password"]


def test_a_token_signs_in_to_the_api_and_to_the_drive(alice: Dav, nobody: Dav) -> None:
    attach(alice)

    bearer = token(alice)

    assert len(told(nobody("GET", f"{API}/attachments", authorization=bearer))["attachments"]) == 1
    assert nobody("GET", "/files/attachments/alice/a.txt", authorization=bearer).status == 200
    assert nobody("PROPFIND", "/files/", authorization=bearer, depth="0").status == 207


@pytest.mark.slow
def test_a_token_ends_after_its_lifetime(opened: Store) -> None:
    server = Server(token_lifetime="5s")  # pyright: ignore[reportArgumentType] - validated
    settings = opened.settings.model_copy(update={"server": server})
    dav = Dav(application(replace(opened, settings=settings), settings))
    bearer = token(dav.signed_in("alice", PASSWORDS["alice"]))
    assert dav("GET", f"{API}/attachments", authorization=bearer).status == 200

    ends = jwt.decode(bearer[7:], options={"verify_signature": False})["exp"]
    while time.time() < ends:
        time.sleep(0.1)

    assert code(dav("GET", f"{API}/attachments", authorization=bearer)) == (401, "UNAUTHENTICATED")


def test_a_token_ends_with_the_password_and_with_the_user(alice: Dav, bob: Dav, nobody: Dav, opened: Store) -> None:
    alices, bobs = token(alice), token(bob)

    opened.accounts.set_password("alice", "another")
    opened.accounts.remove("bob")

    assert nobody("GET", f"{API}/attachments", authorization=alices).status == 401
    assert nobody("GET", f"{API}/attachments", authorization=bobs).status == 401


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_nobody_else_signs_a_token(alice: Dav, nobody: Dav, algorithm: str) -> None:
    claims = jwt.decode(token(alice)[7:], options={"verify_signature": False})
    forged = jwt.encode(claims, None if algorithm == "none" else "x" * 64, algorithm)

    assert nobody("GET", f"{API}/attachments", authorization=f"Bearer {forged}").status == 401


def test_an_app_password_signs_in_until_it_is_taken_back_at_once(alice: Dav, nobody: Dav) -> None:
    uid, secret = app_password(alice)
    phone = nobody.signed_in("alice", secret)
    assert phone("PROPFIND", "/files/", depth="0").status == 207
    told_of, _ = told(call(alice, "GET", "/auth/app-passwords"))["app_passwords"]
    assert (told_of["uid"], told_of["label"]) == (uid, "phone")
    assert told_of["used"] is not None
    assert secret not in str(told_of)

    assert call(alice, "DELETE", f"/auth/app-passwords/{uid}").status == 204

    assert phone("PROPFIND", "/files/", depth="0").status == 401
    assert len(told(call(alice, "GET", "/auth/app-passwords"))["app_passwords"]) == 1


def test_an_app_password_is_its_users_only(alice: Dav, bob: Dav, nobody: Dav) -> None:
    uid, secret = app_password(alice)

    assert nobody.signed_in("bob", secret)("GET", "/files/").status == 401
    assert code(call(bob, "DELETE", f"/auth/app-passwords/{uid}")) == (404, "RESOURCE_NOT_FOUND")
    assert nobody.signed_in("alice", secret)("GET", "/files/").status == 200


def test_neither_a_token_nor_an_app_password_makes_another(alice: Dav, nobody: Dav) -> None:
    bearer, phone = token(alice), nobody.signed_in("alice", app_password(alice)[1])

    for dav, headers in ((nobody, {"authorization": bearer}), (phone, {})):
        assert call(dav, "POST", "/auth/token", **headers).status == 403
        assert call(dav, "POST", "/auth/app-passwords", {"label": "x"}, **headers).status == 403
        assert call(dav, "GET", "/auth/app-passwords", **headers).status == 403


def test_a_token_is_not_what_a_browser_adds_by_itself(alice: Dav, nobody: Dav) -> None:
    answer = nobody(
        "POST", f"{API}/attachments?filename=a", b"x", authorization=token(alice), origin="https://app.example"
    )

    assert answer.status == 201


def test_two_gateways_take_each_others_tokens(alice: Dav, opened: Store) -> None:
    other = Dav(application(opened, opened.settings))

    assert other("GET", f"{API}/attachments", authorization=token(alice)).status == 200
