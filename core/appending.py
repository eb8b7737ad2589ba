"""What is appended to a large draft goes to the disk past the system's cache, while who brings it goes on.

Nothing that was taken is lost: what could not be written stays in memory, is tried again whenever somebody appends or
settles, and fails there as long as the disk refuses it.
"""

import errno
import mmap
import os
from queue import SimpleQueue
from threading import Semaphore, Thread

from .direct import set_direct

LENGTH, PIECES = 1 << 20, 4
"""Bytes of a piece, which is the longest block as well, and how many of them there are."""
AT_ONCE = 8
"""Appenders in one process, which have a thread and the memory of their pieces each."""
_room = Semaphore(AT_ONCE)

Piece = tuple[int, int, int]
"""Which one, where it goes in the file, and how long it is."""


class Appender:
    """Appends to a file from `offset`, which is a whole number of pages. The file must stay open until this is closed.
    Not for several threads at once."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._current: int | None = None
        """The piece that is being filled, and how far."""
        self._filled = 0
        self._view = memoryview(mmap.mmap(-1, LENGTH * PIECES))
        self._free: SimpleQueue[int | None] = SimpleQueue()
        """Pieces that hold nothing; None where one could not be written."""
        for n in range(PIECES):
            self._free.put(n)
        self._failed: list[Piece] = []
        self._works: SimpleQueue[Piece | SimpleQueue[None] | None] = SimpleQueue()
        self._thread: Thread | None = Thread(target=self._run, name="davstore-appending", daemon=True)
        self._thread.start()

    def append(self, block: memoryview) -> None:
        """The block is taken. Raises OSError for one before it, and then nothing of it is."""
        room = LENGTH - self._filled if self._current is not None else 0
        further = self._empty_piece() if len(block) > room else None
        self._fill(block[:room])
        if further is not None:
            self._hand_over()
            self._current = further
            self._fill(block[room:])
        if self._filled == LENGTH:
            self._hand_over()

    def _empty_piece(self) -> int:
        while (n := self._free.get()) is None:
            try:
                self._retry()
            except OSError:
                self._free.put(None)  # who comes next is refused, and does not wait for a piece that is never free
                raise
        return n

    def _fill(self, block: memoryview) -> None:
        if self._current is not None:
            at = self._current * LENGTH + self._filled
            self._view[at : at + len(block)] = block
            self._filled += len(block)

    def _hand_over(self) -> None:
        if self._current is not None:
            self._works.put((self._current, self._offset, self._filled))
            self._offset += self._filled
        self._current, self._filled = None, 0

    def settle(self) -> None:
        """All that was taken is in the file. Raises OSError."""
        self._hand_over()
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
                # The last piece may end anywhere: then it comes through the cache.
                if error.errno != errno.EINVAL or not set_direct(self._descriptor, False):
                    raise


def appender(descriptor: int, offset: int) -> Appender | None:
    """None where the file system has no such writes, or there is no thread for it."""
    if not _room.acquire(blocking=False):
        return None
    if set_direct(descriptor, True):
        try:
            return Appender(descriptor, offset)
        except RuntimeError:
            set_direct(descriptor, False)
    _room.release()
    return None
