"""Who asks: Basic authentication (RFC 7617), and what callers without credentials may do."""

import binascii
import hmac
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

from wsgidav.dav_error import HTTP_SERVICE_UNAVAILABLE, DAVError

from core.app_passwords import PREFIX, AppPasswords
from core.errors import Unauthenticated
from core.model import Caller
from core.tokens import Tokens

from .request import Environ

Clock = Callable[[], float]
Anonymous = Literal["none", "read", "write"]

READING = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND"))
MAX_AGE = 3600.0
"""Seconds after which a password is checked in full again."""
CAPACITY = 1024
CHECKS_AT_ONCE = 4
"""A password check takes much memory on purpose; more at once would only let strangers take it all."""
CHECKS_IN_HAND = 16
"""Those that run and wait. Beyond, strangers who guess would keep the threads from those whom we know."""


class Accounts(Protocol):
    def verify(self, name: str, password: str) -> Caller | None:
        """The caller, if the password is right; slow on purpose."""
        ...

    def stamp(self, name: str) -> str | None:
        """Changes with the user's password and rights; None when there is no such user."""
        ...


class Gate:
    """Lets callers in."""

    def __init__(
        self,
        accounts: Accounts,
        anonymous: Anonymous,
        clock: Clock = time.monotonic,
        *,
        app_passwords: AppPasswords | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._credentials = Credentials(accounts, clock)
        self._anonymous = anonymous
        self._app_passwords = app_passwords
        self._tokens = tokens

    def caller(self, environ: Environ) -> Caller:
        """The caller of a request. Credentials that are given must be right. Raises Unauthenticated."""
        given = environ.get("HTTP_AUTHORIZATION")
        if given is None:
            return self._nobody(environ["REQUEST_METHOD"])
        caller = self._of_token(given) if is_bearer(given) else self._of_password(*basic(given))
        if caller is None:
            raise Unauthenticated(reason="the name or the password is wrong, or the token is none any more")
        return caller

    def _of_token(self, header: str) -> Caller | None:
        return self._tokens.verify(header.strip().partition(" ")[2].strip()) if self._tokens else None

    def _of_password(self, name: str, password: str) -> Caller | None:
        if self._app_passwords and password.startswith(PREFIX):
            return self._app_passwords.verify(name, password)
        return self._credentials.caller(name, password)

    def _nobody(self, method: str) -> Caller:
        if self._anonymous == "write":
            return Caller(may_write=True)
        if self._anonymous == "read" and method in READING:
            return Caller(may_write=False)
        raise Unauthenticated(reason="a name and a password are needed")


@dataclass(frozen=True, slots=True)
class _Verdict:
    caller: Caller
    stamp: str | None
    since: float


class Credentials:
    """Verified names and passwords, under a keyed hash that this process alone can compute.

    A verdict is forgotten as soon as the user's stamp differs, which is looked at each time.
    """

    def __init__(self, accounts: Accounts, clock: Clock = time.monotonic) -> None:
        self._accounts = accounts
        self._clock = clock
        self._secret = os.urandom(32)
        self._guard = threading.Lock()
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._asked: dict[bytes, Future[Caller | None]] = {}
        self._checks = threading.BoundedSemaphore(CHECKS_AT_ONCE)

    def caller(self, name: str, password: str) -> Caller | None:
        """Whose credentials these are. Requests that ask at the same time share one check.

        Raises DAVError 503 where too many wait for theirs.
        """
        key = hmac.digest(self._secret, f"{name}\0{password}".encode(), "sha256")
        verdict = self._verdicts.get(key)
        if verdict and self._still_holds(verdict, name):
            return verdict.caller
        with self._guard:
            answer = self._asked.get(key)
            is_first = answer is None
            if is_first and len(self._asked) >= CHECKS_IN_HAND:
                raise DAVError(HTTP_SERVICE_UNAVAILABLE, "too many passwords are being checked")
            answer = answer or self._asked.setdefault(key, Future())
        if is_first:
            self._check(key, answer, name, password)
        return answer.result()

    def _still_holds(self, verdict: _Verdict, name: str) -> bool:
        return self._clock() - verdict.since < MAX_AGE and self._accounts.stamp(name) == verdict.stamp

    def _check(self, key: bytes, answer: Future[Caller | None], name: str, password: str) -> None:
        try:
            with self._checks:
                started, stamp = self._clock(), self._accounts.stamp(name)
                caller = self._accounts.verify(name, password)
        except BaseException as error:
            self._settle(key, None)
            answer.set_exception(error)
        else:
            self._settle(key, caller and _Verdict(caller, stamp, started))
            answer.set_result(caller)

    def _settle(self, key: bytes, verdict: _Verdict | None) -> None:
        with self._guard:
            del self._asked[key]
            self._verdicts.pop(key, None)
            if verdict:
                self._verdicts[key] = verdict
            if len(self._verdicts) > CAPACITY:
                self._verdicts.popitem(last=False)


def is_bearer(header: str) -> bool:
    return header.strip().partition(" ")[0].lower() == "bearer"


def basic(header: str) -> tuple[str, str]:
    """Name and password; a Windows domain before the name is dropped. Raises Unauthenticated."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated(reason="only Basic authentication and tokens of the API are taken")
    try:
        raw = binascii.a2b_base64(encoded.strip(), strict_mode=True)
    except (binascii.Error, ValueError):
        raise Unauthenticated(reason="the credentials are not base64") from None
    name, colon, password = _text(raw).partition(":")
    name = name.rpartition("\\")[2]
    if not colon or not name or "\0" in name + password:
        raise Unauthenticated(reason="the credentials are not NAME:PASSWORD")
    return name, password


def _text(raw: bytes) -> str:
    """UTF-8 as we ask for, or Latin-1 as some clients send regardless."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
