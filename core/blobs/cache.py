"""Blobs of storages that are far, as far as they have been read: a bounded number of bytes on this machine's disk.

What is held of a blob is a file without a name, which goes with the process however that ends: there is nothing to
clean up or to trust after a start, and no two processes share any. A blob never changes (I1), so nothing held is ever
stale.
"""

import hashlib
import os
import resource
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock

from ..errors import Corrupt
from ..staging import make_directories, translated

BLOCK = 1 << 20
THREADS = 4
"""For what is fetched before anybody asks for it."""

Claimed = list[tuple[int, "Future[None]"]]
"""Blocks that whoever claimed them fetches, and nobody else."""


class Held:
    """Some blocks of one blob, in a file that is open as long as somebody refers to it: replies under way can finish.

    `bytes` is what they come to, kept by the cache. What `is_wrong` is given to nobody any more: who asks again for the
    end, as the kernel does, gets it no more than before.
    """

    def __init__(self, folder: Path, digest: str, size: int) -> None:
        with translated(folder):
            make_directories(folder, durable=False)
            with TemporaryFile(dir=folder, buffering=0) as file:
                self.number = os.dup(file.fileno())
            self.size = size
            os.truncate(self.number, size)
        self.bytes = 0
        self.is_wrong = False
        self._folder = folder
        self._digest = digest
        self._lock, self._proving = Lock(), Lock()
        self._present: set[int] = set()
        self._fetching: dict[int, Future[None]] = {}
        self._written: set[int] = set()
        self._hash, self._hashed = hashlib.sha256(), 0

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)

    def claim(self, blocks: Iterable[int]) -> tuple[Claimed, list["Future[None]"]]:
        """Of those that are missing, the ones to fetch now, and the ones that somebody else is fetching.

        Raises Corrupt.
        """
        if self.is_wrong:
            raise Corrupt(self._digest, "its storage gave other bytes")
        with self._lock:
            missing = [n for n in blocks if n not in self._present]
            others = [self._fetching[n] for n in missing if n in self._fetching]
            mine: Claimed = [(n, Future()) for n in missing if n not in self._fetching]
            self._fetching.update(mine)
        return mine, others

    def put(self, n: int, data: bytes) -> None:
        """The block can be read. Raises Corrupt instead, if it is the last one and all do not hash to the digest."""
        with translated(self._folder):
            done = 0
            while done < len(data):
                done += os.pwrite(self.number, memoryview(data)[done:], n * BLOCK + done)
            self._prove(n)
        with self._lock:
            self._present.add(n)
            fetched = self._fetching.pop(n)
        fetched.set_result(None)

    def give_up(self, claimed: Claimed, reason: BaseException) -> None:
        """Those of them that were not put are missing, and may be claimed again."""
        with self._lock:
            left = [future for n, future in claimed if self._fetching.pop(n, None)]
        for future in left:
            future.set_exception(reason)

    def _prove(self, n: int) -> None:
        with self._proving:
            self._written.add(n)
            while self._hashed in self._written:
                self._written.remove(self._hashed)
                self._hash.update(os.pread(self.number, BLOCK, self._hashed * BLOCK))
                self._hashed += 1
            if self._hashed * BLOCK >= self.size and self._hash.hexdigest() != self._digest:
                raise Corrupt(self._digest, "its storage gave other bytes")


class Cache:
    """What one process holds: at most `limit` bytes. The blob that was read least recently goes first."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        self._lock = Lock()
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._bytes = 0
        self.ahead = ThreadPoolExecutor(THREADS, "ahead")

    def find(self, name: str) -> Held | None:
        with self._lock:
            held = self._held.get(name)
            if held:
                self._held.move_to_end(name)
            return held

    def held(self, name: str, digest: str, size: int) -> Held:
        """What is held of the blob, nothing at first. Raises StorageFull, StorageUnavailable."""
        found = self.find(name)
        if found:
            return found
        made = Held(self._folder, digest, size)
        with self._lock:
            held = self._held.setdefault(name, made)
            self._make_room()
        return held

    def reserve(self, name: str, held: Held, length: int) -> None:
        """There is room for so many bytes more, for which others, or the blob itself, may have to go."""
        with self._lock:
            held.bytes += length
            if self._held.get(name) is held:
                self._bytes += length
                self._make_room()

    def drop(self, name: str) -> None:
        """Nothing is held of the blob: who reads on begins anew."""
        with self._lock:
            gone = self._held.pop(name, None)
            self._bytes -= gone.bytes if gone else 0

    def close(self) -> None:
        """Nothing is fetched that nobody has asked for."""
        self.ahead.shutdown(wait=False, cancel_futures=True)

    def _make_room(self) -> None:
        while self._bytes > self._limit or len(self._held) > self._most:
            _, gone = self._held.popitem(last=False)
            self._bytes -= gone.bytes
