"""Digests of a content whose blocks pass: large blocks are hashed on another CPU than the one that brings them.

One thread of the process hashes for all contents. At most AHEAD blocks wait for it: who finds it that far behind
hashes for himself.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import NoReturn, Protocol

Block = bytes | bytearray | memoryview

WORTH = 64 << 10
"""Bytes of a block whose hashing takes longer than to hand it over."""
BEGINNING = 1 << 20
"""Bytes that who brings them hashes himself: a small content would come to its end and wait for a thread to wake up."""
AHEAD = 4


class Hashing:
    """SHA-256 and the digests asked for, by hashlib's names and adler32, of the blocks so far."""

    def __init__(self, also: Sequence[str] = ()) -> None:
        self._hashes = {name: _hash(name) for name in ("sha256", *also)}
        self._size = 0
        self._is_behind = False

    def update(self, block: Block) -> None:
        """The block counts. What could be changed afterwards has been hashed."""
        self._size += len(block)
        is_worth_it = isinstance(block, bytes) and len(block) >= WORTH and self._size > BEGINNING
        if is_worth_it and _helper.takes(lambda: self._take(block)):
            self._is_behind = True
        else:
            self._catch_up()
            self._take(block)

    def hexdigests(self) -> dict[str, str]:
        self._catch_up()
        return {name: each.hexdigest() for name, each in self._hashes.items()}

    def _take(self, block: Block) -> None:
        for each in self._hashes.values():
            each.update(block)

    def _catch_up(self) -> None:
        if self._is_behind:
            _helper.catch_up()
            self._is_behind = False


class Helper:
    """A thread that does small works in the order in which it took them, on any of `cpus`."""

    def __init__(self) -> None:
        self.use(os.sched_getaffinity(0))

    def use(self, cpus: Set[int]) -> None:
        """A new beginning, on these CPUs: nothing must be under way."""
        self._cpus = cpus
        self._works: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._room = Semaphore(AHEAD if len(cpus) > 1 else 0)
        self._start = Lock()
        self._thread: Thread | None = None

    def takes(self, work: Callable[[], object]) -> bool:
        """False where there is no other CPU, or too much to do."""
        if not self._room.acquire(blocking=False):
            return False
        if self._thread is None:
            self._begin()
        self._works.put(work)
        return True

    def catch_up(self) -> None:
        """All that it took is done."""
        done = Lock()
        done.acquire()
        self._room.acquire()
        self._works.put(done.release)
        done.acquire()

    def _begin(self) -> None:
        with self._start:
            if self._thread is None:
                given = (self._works, self._room, self._cpus)
                self._thread = Thread(target=_run, args=given, name="davstore-hashing", daemon=True)
                self._thread.start()


def _run(works: SimpleQueue[Callable[[], object]], room: Semaphore, cpus: Set[int]) -> NoReturn:
    """Whoever began the thread may have been pinned to one CPU."""
    with suppress(OSError):
        os.sched_setaffinity(0, cpus)
    while True:
        works.get()()
        room.release()


def hash_on(cpus: Set[int]) -> None:
    """Hashing may use these CPUs from now on; with one alone each thread hashes for itself."""
    _helper.use(cpus)


class _Hash(Protocol):
    def update(self, data: Block, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Adler32:
    def __init__(self) -> None:
        self._value = zlib.adler32(b"")

    def update(self, data: Block, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _hash(name: str) -> _Hash:
    return _Adler32() if name == "adler32" else hashlib.new(name, usedforsecurity=False)


_helper = Helper()
os.register_at_fork(after_in_child=lambda: hash_on(os.sched_getaffinity(0)))
