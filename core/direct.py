"""Writing past the system's page cache: for what is so large that it would push out of it what is read."""

import errno
import fcntl
import mmap
import os
from threading import Semaphore

PIECE = 1 << 20
"""Bytes of one write."""
PAGE = 4096
"""What offset, length and memory of a direct write are multiples of."""
AT_ONCE = 8
"""Writers in one process, which have a buffer each."""

_buffers = Semaphore(AT_ONCE)


class DirectWriter:
    """Appends to a file from `offset`, which is a whole number of pages, until it is finished. Raises OSError."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._memory = mmap.mmap(-1, PIECE)
        self._filled = 0
        self._is_open = True

    def write(self, block: memoryview) -> None:
        while block:
            size = min(len(block), PIECE - self._filled)
            self._memory[self._filled : self._filled + size] = block[:size]
            self._filled += size
            block = block[size:]
            if self._filled == PIECE:
                self._put()

    def finish(self) -> None:
        """All is in the file: the last piece comes through the cache, since it may end anywhere."""
        if self._filled:
            set_direct(self._descriptor, False)
            self._put()
        self.close()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            _buffers.release()

    def _put(self) -> None:
        with memoryview(self._memory) as memory:
            done = 0
            while done < self._filled:
                done += self._put_some(memory[done : self._filled])
        self._filled = 0

    def _put_some(self, piece: memoryview) -> int:
        try:
            done = os.pwrite(self._descriptor, piece, self._offset)
        except OSError as error:
            if error.errno != errno.EINVAL or not set_direct(self._descriptor, False):
                raise
            done = os.pwrite(self._descriptor, piece, self._offset)
        self._offset += done
        return done


def direct_writer(descriptor: int, offset: int) -> DirectWriter | None:
    """None where the file system has no such writes, or others have all the memory there is for it."""
    if not _buffers.acquire(blocking=False):
        return None
    if not set_direct(descriptor, True):
        _buffers.release()
        return None
    return DirectWriter(descriptor, offset)


def set_direct(descriptor: int, wanted: bool) -> bool:
    """Whether the file now is written as wanted and was not before."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    changed = flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT
    if changed == flags:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, changed)
    except OSError:
        return False
    return True
