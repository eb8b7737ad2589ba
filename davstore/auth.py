"""Who asks: Basic authentication (RFC 7617), and what callers without credentials may do."""

import binascii
import hmac
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

from core.errors import Unauthenticated
from core.model import Caller

from .request import Environ

Verify = Callable[[str, str], Caller | None]
Anonymous = Literal["none", "read", "write"]

READING = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND"))
MAX_AGE = 60.0
"""Seconds for which a verified password is believed without asking again."""
CAPACITY = 1024
CHECKS_AT_ONCE = 4
"""A password check takes much memory on purpose; more at once would only let strangers take it all."""


class Gate:
    """Lets callers in. `verify` is the accounts' own, slow check."""

    def __init__(self, verify: Verify, anonymous: Anonymous, clock: Callable[[], float] = time.monotonic) -> None:
        self._credentials = Credentials(verify, clock)
        self._anonymous = anonymous

    def caller(self, environ: Environ) -> Caller:
        """The caller of a request. Credentials that are given must be right. Raises Unauthenticated."""
        given = environ.get("HTTP_AUTHORIZATION")
        if given is None:
            return self._nobody(environ["REQUEST_METHOD"])
        name, password = basic(given)
        caller = self._credentials.caller(name, password)
        if caller is None:
            raise Unauthenticated(reason="the name or the password is wrong")
        return caller

    def _nobody(self, method: str) -> Caller:
        if self._anonymous == "write":
            return Caller(may_write=True)
        if self._anonymous == "read" and method in READING:
            return Caller(may_write=False)
        raise Unauthenticated(reason="a name and a password are needed")


class Credentials:
    """Verified names and passwords, kept for a minute under a keyed hash that this process alone can compute."""

    def __init__(self, verify: Verify, clock: Callable[[], float] = time.monotonic) -> None:
        self._verify = verify
        self._clock = clock
        self._secret = os.urandom(32)
        self._guard = threading.Lock()
        self._verified: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._asked: dict[bytes, Future[Caller | None]] = {}
        self._checks = threading.BoundedSemaphore(CHECKS_AT_ONCE)

    def caller(self, name: str, password: str) -> Caller | None:
        """Whose credentials these are. Requests that ask at the same time share one check."""
        key = hmac.digest(self._secret, f"{name}\0{password}".encode(errors="surrogatepass"), "sha256")
        with self._guard:
            caller, until = self._verified.get(key, (None, 0.0))
            if self._clock() < until:
                return caller
            answer = self._asked.get(key)
            is_first = answer is None
            answer = answer or self._asked.setdefault(key, Future())
        if is_first:
            self._check(key, answer, name, password)
        return answer.result()

    def _check(self, key: bytes, answer: Future[Caller | None], name: str, password: str) -> None:
        try:
            with self._checks:
                caller = self._verify(name, password)
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(caller)
            self._remember(key, caller)
        finally:
            with self._guard:
                del self._asked[key]

    def _remember(self, key: bytes, caller: Caller | None) -> None:
        with self._guard:
            self._verified.pop(key, None)
            if caller is not None:
                self._verified[key] = caller, self._clock() + MAX_AGE
            while len(self._verified) > CAPACITY:
                self._verified.popitem(last=False)


def basic(header: str) -> tuple[str, str]:
    """Name and password; a Windows domain before the name is dropped. Raises Unauthenticated."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated(reason="only Basic authentication is offered")
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
