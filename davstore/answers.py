"""Answers that hold until something in the database changes: the same request gets the same answer again.

An answer is kept only where its handler says that it follows from the request and the database alone, and is given only
while the database's version is the one that it had before the answer was made. So nothing is shown that was changed,
taken back or forbidden since. Without a version nothing is kept. What the mere passing of time changes is at most
MAX_AGE late.
"""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import BoundedSemaphore, Lock

from .framing import HEAD
from .request import Environ, Response

REPEATED = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND"))
LASTING = "Basic "
"""Credentials that no time ends, unlike tokens."""
MAX_AGE = 1.0
"""Seconds."""
CAPACITY = 8 << 20
"""Bytes of all kept answers and the requests that they answer."""
OVERHEAD = 1 << 10
"""Bytes that each takes besides."""
MOST_BYTES = 1 << 20
"""Of a kept answer's body."""
MOST_ASKED = 16 << 10
"""Of a request's."""
GATHERED_AT_ONCE = 4
"""Streamed answers that are gathered at one time: what a slow client has not read yet is held until then."""

Key = tuple[bytes | str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    at: float
    response: Response
    size: int


class Answers:
    """What one process was asked and answered. `version` is the database's; threads share it."""

    def __init__(self, version: Callable[[], int | None]) -> None:
        self._version = version
        self._kept: dict[Key, _Kept] = {}
        self._size = 0
        self._newest: int | None = None
        self._guard = Lock()
        self._gathering = BoundedSemaphore(GATHERED_AT_ONCE)

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
        at = time.monotonic()
        if not response.repeatable:
            return response
        if isinstance(response.body, tuple):
            self._keep(key, version, at, response)
            return response
        return replace(response, body=self._gathered(key, version, at, response))

    def _gathered(self, key: Key, version: int, at: float, response: Response) -> Iterator[bytes]:
        """The body as it is made. It is kept once it is whole, unless it is too long."""
        if not self._gathering.acquire(blocking=False):
            yield from response.body
            return
        try:
            blocks: list[bytes] = []
            length = 0
            for block in response.body:
                length += len(block)
                if length <= MOST_BYTES:
                    blocks.append(block)
                else:
                    blocks.clear()
                yield block
            if length <= MOST_BYTES:
                self._keep(key, version, at, replace(response, body=tuple(blocks)))
        finally:
            self._gathering.release()

    def _keep(self, key: Key, version: int, at: float, response: Response) -> None:
        """What was made before the last change is of no use any more; else the oldest make room."""
        length = sum(map(len, response.body))
        if length > MOST_BYTES:
            return
        kept = _Kept(version, at, response, OVERHEAD + sum(map(len, key)) + length)
        with self._guard:
            if version != self._newest:
                self._kept.clear()
                self._newest, self._size = version, 0
            self._drop(key)
            self._kept[key] = kept
            self._size += kept.size
            while self._size > CAPACITY:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        self._size -= dropped.size if dropped else 0


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
    if "HTTP_EXPECT" in environ or int(length) > MOST_ASKED:
        return None
    body = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return head, environ["REMOTE_ADDR"], body
