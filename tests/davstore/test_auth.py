"""Basic authentication (RFC 7617), what clients send under its name, and the memory of verified credentials."""

import base64
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StorageUnavailable, Unauthenticated
from core.model import Caller
from core.store import Store
from davstore.app import application
from davstore.auth import CAPACITY, Credentials, Gate, basic
from tests.davstore.client import Dav
from tests.davstore.conftest import USERS


def encoded(text: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(text.encode(encoding)).decode()


class Accounts:
    """Accounts that count how often they are asked."""

    def __init__(self, **passwords: str) -> None:
        self.passwords = passwords
        self.checks: list[str] = []
        self.hold = threading.Event()
        self.hold.set()

    def verify(self, name: str, password: str) -> Caller | None:
        is_right = self.passwords.get(name) == password
        self.checks.append(name)
        assert self.hold.wait(10)
        return Caller(name) if is_right else None

    def stamp(self, name: str) -> str | None:
        password = self.passwords.get(name)
        return password and hashlib.sha256(password.encode()).hexdigest()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(alice="secret")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credentials(accounts: Accounts, clock: Clock) -> Credentials:
    return Credentials(accounts, clock)


@pytest.mark.parametrize(
    ("header", "name", "password"),
    [
        # RFC 7617, section 2, and the example of section 2.1.
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),
        ("Basic dGVzdDoxMjPCow==", "test", "123\u00a3"),
        ("basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),
        (encoded("alice:with:colons:"), "alice", "with:colons:"),
        (encoded("alice:"), "alice", ""),
        # A12: UTF-8, and Latin-1 where it cannot be UTF-8.
        (encoded("j\u00fcrgen:\u00fcber"), "j\u00fcrgen", "\u00fcber"),
        (encoded("j\u00fcrgen:\u00fcber", "latin-1"), "j\u00fcrgen", "\u00fcber"),
        # A11: Windows puts its domain before the name.
        (encoded("CORP\\alice:back\\slash"), "alice", "back\\slash"),
    ],
)
def test_a11_a12_a_header_gives_a_name_and_a_password(header: str, name: str, password: str):
    assert basic(header) == (name, password)


MALFORMED = [
    "",
    "Basic",
    "Basic ",
    "Basic !!!!",
    "Basic QWxhZGRpbg==",
    "Basic QWxhZGRpbjpvcGVu=IHNlc2FtZQ==",
    encoded(":secret"),
    encoded("CORP\\:secret"),
    encoded("al\0ice:secret"),
    "Basic \u00fc",
    "Bearer",
    "Bearer ",
    "Bearer abc",
    "Digest username=alice",
    "Negotiate TlRMTVNTUAAB",
]


@pytest.mark.parametrize("header", MALFORMED)
@pytest.mark.parametrize("anonymous", ["none", "read", "write"])
def test_credentials_that_are_none_are_401_and_never_nobodys(alone: Dav, opened: Store, header: str, anonymous: str):
    server = opened.settings.server.model_copy(update={"anonymous": anonymous})
    dav = Dav(application(opened, opened.settings.model_copy(update={"server": server})))

    answer = dav("OPTIONS", "/files/", authorization=header)

    assert answer.status == 401
    assert answer.header("WWW-Authenticate") == 'Basic realm="davstore", charset="UTF-8"'


@given(st.text(st.characters(max_codepoint=255), max_size=40), st.sampled_from(["", "Basic ", "Bearer "]))
def test_whatever_the_header_says_it_is_credentials_or_unauthenticated(text: str, scheme: str):
    gate = Gate(Accounts(), "write")

    with pytest.raises(Unauthenticated):
        gate.caller({"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": scheme + text})


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PROPFIND", "PUT", "DELETE", "LOCK", "MOVE", "BREW"])
def test_a09_without_credentials_every_method_is_challenged(alone: Dav, method: str):
    assert alone(method, "/files/x", b"body").status == 401


READS = {"GET", "HEAD", "OPTIONS", "PROPFIND"}
WRITES = {"PUT", "DELETE", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"}


@pytest.mark.parametrize(("anonymous", "allowed"), [("none", set[str]()), ("read", READS), ("write", READS | WRITES)])
def test_what_nobody_in_particular_may_do_is_a_setting(anonymous: str, allowed: set[str]):
    gate = Gate(Accounts(), anonymous)  # pyright: ignore[reportArgumentType]

    for method in READS | WRITES:
        if method in allowed:
            assert gate.caller({"REQUEST_METHOD": method}) == Caller("", may_write=anonymous == "write")
        else:
            with pytest.raises(Unauthenticated):
                gate.caller({"REQUEST_METHOD": method})


def test_wrong_credentials_are_401_where_none_would_do(alone: Dav, opened: Store):
    server = opened.settings.server.model_copy(update={"anonymous": "read"})
    dav = Dav(application(opened, opened.settings.model_copy(update={"server": server})))

    assert dav("PROPFIND", "/files/", depth="0").status == 207
    assert dav("PUT", "/files/a", b"x").status == 401
    assert dav.signed_in("admin", "wrong")("GET", "/files/").status == 401
    assert dav.signed_in("admin", USERS["admin"])("PUT", "/files/a", b"x").status == 201


def test_a_user_of_the_store_gets_in_and_a_stranger_does_not(alone: Dav):
    assert alone.signed_in("admin", USERS["admin"])("OPTIONS", "/").status == 200
    assert alone.signed_in("CORP\\admin", USERS["admin"])("OPTIONS", "/").status == 200
    assert alone.signed_in("admin", USERS["bob"])("OPTIONS", "/").status == 401
    assert alone.signed_in("nobody", USERS["admin"])("OPTIONS", "/").status == 401


def test_a_verified_password_is_not_checked_again(credentials: Credentials, accounts: Accounts, clock: Clock):
    for _ in range(10):
        clock.now += 100
        assert credentials.caller("alice", "secret") == Caller("alice")

    assert accounts.checks == ["alice"]


def test_a_wrong_password_is_checked_each_time(credentials: Credentials, accounts: Accounts):
    for _ in range(3):
        assert credentials.caller("alice", "wrong") is None

    assert len(accounts.checks) == 3


def test_a_right_password_does_not_let_a_wrong_one_pass(credentials: Credentials):
    assert credentials.caller("alice", "secret")
    assert credentials.caller("alice", "secre") is None
    assert credentials.caller("alic", "esecret") is None


@pytest.mark.parametrize(
    "change", [lambda passwords: passwords.clear(), lambda passwords: passwords.update(alice="new")]
)
def test_a_revoked_password_stops_working_at_once(
    credentials: Credentials, accounts: Accounts, change: Callable[[dict[str, str]], None]
):
    assert credentials.caller("alice", "secret")
    change(accounts.passwords)

    assert credentials.caller("alice", "secret") is None
    assert credentials.caller("alice", "secret") is None


def test_a_change_while_the_password_was_checked_is_noticed(credentials: Credentials, accounts: Accounts):
    accounts.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(credentials.caller, "alice", "secret")
        while not accounts.checks:
            time.sleep(0.001)
        accounts.passwords["alice"] = "new"
        accounts.hold.set()
        assert asked.result()

    assert credentials.caller("alice", "secret") is None


def test_eight_first_requests_make_one_check(credentials: Credentials, accounts: Accounts):
    accounts.hold.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(credentials.caller, "alice", "secret") for _ in range(8)]
        threading.Timer(0.2, accounts.hold.set).start()
        callers = {one.result() for one in asked}

    assert callers == {Caller("alice")}
    assert accounts.checks == ["alice"]


def test_a_check_that_fails_fails_for_all_who_wait_and_is_made_again(clock: Clock):
    class Unavailable(Accounts):
        def verify(self, name: str, password: str) -> Caller | None:
            if not self.checks:
                super().verify(name, password)
                raise StorageUnavailable("db")
            return super().verify(name, password)

    credentials = Credentials(Unavailable(alice="secret"), clock)

    with pytest.raises(StorageUnavailable):
        credentials.caller("alice", "secret")
    assert credentials.caller("alice", "secret") == Caller("alice")


def test_the_memory_of_credentials_is_bounded(clock: Clock):
    accounts = Accounts(**{f"user{number}": "secret" for number in range(CAPACITY + 1)})
    credentials = Credentials(accounts, clock)
    for name in accounts.passwords:
        credentials.caller(name, "secret")

    credentials.caller("user0", "secret")
    credentials.caller(f"user{CAPACITY}", "secret")

    assert len(accounts.checks) == CAPACITY + 2


def test_no_password_is_kept_or_logged(alone: Dav, clock: Clock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    credentials = Credentials(Accounts(alice="hunter2"), clock)

    assert credentials.caller("alice", "hunter2")
    assert alone.signed_in("admin", "hunter2")("GET", "/files/").status == 401

    assert "hunter2" not in repr(vars(credentials))
    assert "hunter2" not in caplog.text
    assert encoded("admin:hunter2")[6:] not in caplog.text
