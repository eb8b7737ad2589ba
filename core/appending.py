"""What is appended to a large draft goes to the disk past the system's cache, while who brings it goes on.

Nothing that was taken is lost: what could not be written stays in memory, is tried again whenever somebody appends or
settles, and fails there as long as the disk refuses it.
"""

import errno
import mmap
import os
from queue import SimpleQueue
from threading import Semaphore, Thread

from .direct import PAGE, set_direct

LENGTH, PIECES = 1 << 20, 4
"""Bytes of a piece, and how many of them wait at most."""
WORTH = 64 << 10
"""Bytes from which on an append is worth it."""
AT_ONCE = 8
"""Appenders in one process, which have a thread and the memory of their pieces each."""
_room = Semaphore(AT_ONCE)

Piece = tuple[int, int, int]
"""Which one, where it goes in the file, and how long it is."""


class Appender:
    """Writes pieces of one file, which must stay open until this is closed. Not for several threads at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory = mmap.mmap(-1, LENGTH * PIECES)
        self._view = memoryview(self._memory)
        self._free: SimpleQueue[int | None] = SimpleQueue()
        """Pieces that hold nothing; None where one could not be written."""
        for n in range(PIECES):
            self._free.put(n)
        self._failed: list[Piece] = []
        self._works: SimpleQueue[Piece | SimpleQueue[None] | None] = SimpleQueue()
        self._thread: Thread | None = Thread(target=self._run, name="davstore-appending", daemon=True)
        self._thread.start()

    @staticmethod
    def takes(offset: int, length: int) -> bool:
        """Whether a block can come this way: others would have to pass through the cache."""
        return WORTH <= length <= LENGTH and offset % PAGE == length % PAGE == 0

    def append(self, block: memoryview, offset: int) -> None:
        """The block is taken. Raises OSError for one before it, and then it is not."""
        while (n := self._free.get()) is None:
            self._retry()
        self._view[n * LENGTH : n * LENGTH + len(block)] = block
        self._works.put((n, offset, len(block)))

    def settle(self) -> None:
        """All that was taken is in the file. Raises OSError."""
        done: SimpleQueue[None] = SimpleQueue()
        self._works.put(done)
        done.get()
        self._retry()

    def close(self) -> None:
        """What is not in the file yet is forgotten, and the file's reads and writes pass through the cache again."""
        thread, self._thread = self._thread, None
        if thread:
            self._works.put(None)
            thread.join()
            set_direct(self._descriptor, False)
            self._view.release()
            self._memory.close()
            _room.release()

    def _retry(self) -> None:
        while self._failed:
            self._put(self._failed[0])
            self._free.put(self._failed.pop(0)[0])

    def _run(self) -> None:
        while (work := self._works.get()) is not None:
            if isinstance(work, SimpleQueue):
                work.put(None)
                continue
            try:
                self._put(work)
            except OSError:
                self._failed.append(work)
                self._free.put(None)
            else:
                self._free.put(work[0])

    def _put(self, piece: Piece) -> None:
        n, offset, length = piece
        done = 0
        while done < length:
            rest = self._view[n * LENGTH + done : n * LENGTH + length]
            try:
                done += os.pwrite(self._descriptor, rest, offset + done)
            except OSError as error:
                if error.errno != errno.EINVAL or not set_direct(self._descriptor, False):
                    raise


def appender(descriptor: int) -> Appender | None:
    """None where the file system has no such writes, or others have all the threads there are for it."""
    if not _room.acquire(blocking=False):
        return None
    if not set_direct(descriptor, True):
        _room.release()
        return None
    return Appender(descriptor)
