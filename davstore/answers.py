"""Answers that hold until something in the database changes: the same request gets the same answer again.

An answer is kept only where its handler says that it follows from the request and the database alone, and is given only
while the database's version is the one that it had before the answer was made. So nothing is shown that was changed,
taken back or forbidden since. Without a version nothing is kept. What the mere passing of time changes is at most
MAX_AGE late.
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .framing import HEAD
from .request import Environ, Response

REPEATED = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND"))
LASTING = "Basic "
"""Credentials that no time ends, unlike tokens."""
MAX_AGE = 1.0
"""Seconds."""
CAPACITY = 1024
MOST_BYTES = 16 << 10
"""Of a kept answer's body, and of a request's."""

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    at: float
    response: Response


class Answers:
    """What one process was asked and answered. `version` is the database's; threads share it."""

    def __init__(self, version: Callable[[], int | None]) -> None:
        self._version = version
        self._kept: dict[Key, _Kept] = {}

    def answer(self, environ: Environ, make: Callable[[Environ], Response]) -> Response:
        """The response that was made before, or a new one."""
        key = _key(environ)
        version = None if key is None else self._version()
        if key is None or version is None:
            return make(environ)
        kept = self._kept.get(key)
        if kept and kept.version == version and time.monotonic() - kept.at < MAX_AGE:
            return kept.response
        response = make(environ)
        if response.repeatable and sum(map(len, response.body)) <= MOST_BYTES:
            self._keep(key, _Kept(version, time.monotonic(), response))
        return response

    def _keep(self, key: Key, kept: _Kept) -> None:
        if len(self._kept) >= CAPACITY:
            self._kept.clear()
        self._kept[key] = kept


def _key(environ: Environ) -> Key | None:
    """All of a request that has a bearing on its answer; None where it is none of those that come again."""
    head = environ.get(HEAD)
    if head is None or environ["REQUEST_METHOD"] not in REPEATED or "HTTP_TRANSFER_ENCODING" in environ:
        return None
    if not environ.get("HTTP_AUTHORIZATION", LASTING).startswith(LASTING):
        return None
    length = environ.get("CONTENT_LENGTH", "0")
    if length == "0":
        return head, environ["REMOTE_ADDR"]
    if "HTTP_EXPECT" in environ or int(length) > MOST_BYTES:
        return None
    body = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return head, environ["REMOTE_ADDR"], body
