"""A seekable file over ranged reads."""

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import Corrupt

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Fetch = Callable[[int, int], bytes]
"""The bytes from `start` up to `stop`, all of them. Refuses like BlobStore.open."""


class SeekableReader(io.RawIOBase):
    """A position in `size` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._position: int = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.seek(0, os.SEEK_CUR)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        position = origins[whence] + offset
        if position < 0:
            raise ValueError(f"negative position {position}")
        self._position = position
        return position


class RangedReader(SeekableReader):
    """Reads `size` bytes through `fetch`, and holds one window of them in memory.

    Windows end at multiples of `window`: reading on fetches every byte once, a jump at most the rest of one window.
    `beginning` is the first window, where it is known.
    """

    def __init__(self, fetch: Fetch, size: int, window: int = 1 << 20, beginning: bytes = b"") -> None:
        super().__init__(size)
        self._fetch = fetch
        self._window = window
        self._start = 0
        self._held = beginning

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fills at most up to the end of a window: 0 only at the end, or for an empty buffer."""
        position = self.tell()
        target = memoryview(buffer).cast("B")
        if position >= self._size or not target:
            return 0
        if not self._start <= position < self._start + len(self._held):
            self._hold(position)
        offset = position - self._start
        found = memoryview(self._held)[offset : offset + len(target)]
        target[: len(found)] = found
        self._position += len(found)
        return len(found)

    def _hold(self, start: int) -> None:
        stop = min(self._size, (start // self._window + 1) * self._window)
        held = self._fetch(start, stop)
        if len(held) != stop - start:
            raise Corrupt("a blob", f"gave {len(held)} bytes instead of {stop - start} from byte {start} on")
        self._start, self._held = start, held
