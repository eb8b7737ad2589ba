"""A seekable file over ranges that arrive as streams: the blobs of a server.

The first window is held in memory; beyond it the bytes pass through as they come, so the read-ahead is the socket's
buffer. A range that breaks off is asked for again from where it broke, a bounded number of times and for a bounded
time. What is read from the first byte to the last is hashed, and the end is given only when the digest is the blob's
(I1).
"""

import hashlib
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from ..errors import Corrupt, StorageUnavailable
from .reader import SeekableReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FIRST = 256 << 10
LARGEST = 64 << 20
RESUMPTIONS = 3
PATIENCE = 15.0
"""Seconds without a byte after which nothing is asked for again."""


class Stream(Protocol):
    """The bytes of one range. `read` gives b"" only at its end; it may raise StorageUnavailable."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


Fetch = Callable[[int, int], Stream]
"""The bytes from `start` up to `stop`. Refuses like BlobStore.open."""


class StreamedReader(SeekableReader):
    """Reads `size` bytes through `fetch`. `digest` is what all of them hash to, where that is known."""

    def __init__(self, fetch: Fetch, size: int, beginning: bytes, digest: str | None) -> None:
        super().__init__(size)
        self._fetch = fetch
        self._beginning = beginning
        self._digest = digest
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._stream: Stream | None = None
        self._reached = self._stop = 0
        self._window = FIRST
        self._resumed = 0

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Some bytes: 0 only at the end, or for an empty buffer. Raises NotFound, Corrupt, StorageUnavailable."""
        position = self.tell()
        target = memoryview(buffer).cast("B")
        if position >= self._size or not target:
            return 0
        if position < len(self._beginning):
            found = self._beginning[position : position + len(target)]
        else:
            found = self._streamed(position, len(target))
        self._check(found)
        target[: len(found)] = found
        self._position += len(found)
        return len(found)

    def close(self) -> None:
        self._drop()
        super().close()

    def _streamed(self, position: int, size: int) -> bytes:
        started = monotonic()
        while True:
            try:
                if self._stream is None or self._reached != position:
                    self._ask(position, size)
                assert self._stream
                found = self._stream.read(min(size, self._stop - position))
                if not found:
                    raise StorageUnavailable("a blob", f"ended at byte {position} of {self._size}")
            except StorageUnavailable:
                self._drop()
                self._resumed += 1
                if self._resumed > RESUMPTIONS or monotonic() - started > PATIENCE:
                    raise
                continue
            self._reached += len(found)
            if self._reached == self._stop:
                self._drop()
                self._resumed = 0
            return found

    def _ask(self, position: int, wanted: int) -> None:
        """A range that is longer the longer the reading goes straight on; at first, what is wanted."""
        goes_on = position in {self._stop, len(self._beginning)}
        self._drop()
        self._window = min(LARGEST, self._window * 4 if goes_on else max(FIRST, wanted))
        self._stop = min(self._size, position + self._window)
        self._reached = position
        self._stream = self._fetch(position, self._stop)

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _check(self, found: bytes) -> None:
        """Raises Corrupt instead of giving the end of other bytes."""
        if self._digest is None or self._hashed != self._position:
            return
        self._hash.update(found)
        self._hashed += len(found)
        if self._hashed == self._size and self._hash.hexdigest() != self._digest:
            raise Corrupt(self._digest, "its storage gave other bytes")
