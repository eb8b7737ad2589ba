"""A blob store that is read through a cache.

Readers give the descriptor of the cache's file and what may be read of it, so that the kernel can pass the bytes on.
"""

import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from threading import Lock
from typing import BinaryIO

from ..errors import Corrupt, StorageFull
from ..staging import Sealed
from .cache import BLOCK, Cache, Claimed, Held
from .reader import RangedReader
from .store import Blob, BlobStore, Capability

AHEAD = 8
"""The most blocks that are fetched before anybody asks for them."""
AT_ONCE = 2
"""So far apart are reads that the kernel sends at once, and that come in any order."""


class Cached:
    """Has the protocol of the store that it wraps. A blob that is held can be read while its storage is away."""

    def __init__(self, store: BlobStore, cache: Cache) -> None:
        self.name, self.type, self.staging = store.name, store.type, store.staging
        self._store = store
        self._cache = cache

    def publish(self, key: str, content: Sealed) -> None:
        self._store.publish(key, content)

    def open(self, key: str) -> "CachedReader":
        """The storage is asked only for what is not held. Raises Corrupt as well, instead of a whole blob's last block,
        where the bytes are not those of the digest in the key; who opens it then begins anew."""
        held = self._cache.find(f"{self.name}/{key}")
        if held and held.is_wrong:
            self._cache.drop(f"{self.name}/{key}")
        elif held:
            return CachedReader(_Reading(self._store, key, self._cache, held.size, []))
        source = self._store.open(key)
        return CachedReader(_Reading(self._store, key, self._cache, source.seek(0, os.SEEK_END), [source]))

    def size(self, key: str) -> int | None:
        return self._store.size(key)

    def delete(self, key: str) -> None:
        self._store.delete(key)
        self._cache.drop(f"{self.name}/{key}")

    def blobs(self) -> Iterator[Blob]:
        return self._store.blobs()

    def check(self) -> Iterator[Capability]:
        return self._store.check()

    def claim(self, uid: str, *, new: bool) -> None:
        self._store.claim(uid, new=new)


class CachedReader(io.BufferedReader):
    """A seekable reader, of which several threads may take spans at once."""

    def __init__(self, reading: "_Reading") -> None:
        super().__init__(RangedReader(reading.data, reading.size, BLOCK))
        self._reading = reading

    def span(self, start: int, size: int) -> tuple[Held, int, int] | bytes:
        """The descriptor where the bytes are, from `start` on and so many, fewer only at the end of the blob.

        The bytes themselves where there is no room for them, or none. Refuses like BlobStore.open.
        """
        return self._reading.span(start, size)


class _Reading:
    """One reader's way through a blob. `sources` are its readers of the wrapped store that nobody uses just now."""

    def __init__(self, store: BlobStore, key: str, cache: Cache, size: int, sources: list[BinaryIO]) -> None:
        self.size = size
        self._store = store
        self._key = key
        self._name, self._digest = f"{store.name}/{key}", key.rpartition("/")[2].partition(".")[0]
        self._cache = cache
        self._lock = Lock()
        self._sources = sources
        self._last, self._window = 0, 0
        self._ahead: Future[None] | None = None

    def span(self, start: int, size: int) -> tuple[Held, int, int] | bytes:
        stop = min(self.size, start + size)
        if start >= stop:
            return b""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        try:
            held = self._cache.held(self._name, self._digest, self.size)
            mine, others = held.claim(range(first, last + 1))
            self._fetch(held, mine)
            for future in others:
                future.result()
        except StorageFull:
            return self._past_the_cache(start, stop)
        self._go_ahead(held, first, last)
        return held, start, stop - start

    def data(self, start: int, stop: int) -> bytes:
        found = self.span(start, stop - start)
        return found if isinstance(found, bytes) else os.pread(found[0].number, found[2], found[1])

    def _fetch(self, held: Held, claimed: Claimed) -> None:
        """They are held. The first that fails ends it for all, and for those who wait for them."""
        if not claimed:
            return
        try:
            source = self._source(claimed[0][0] * BLOCK)
            for n, _ in claimed:
                data = _read(source, n * BLOCK, min(self.size, (n + 1) * BLOCK))
                self._cache.reserve(self._name, held, len(data))
                held.put(n, data)
        except BaseException as error:
            held.is_wrong = held.is_wrong or isinstance(error, Corrupt)
            held.give_up(claimed, error)
            raise
        self._sources.append(source)

    def _source(self, start: int) -> BinaryIO:
        """One that has come there already, if there is one: its stream goes on."""
        with self._lock:
            fitting = next((source for source in self._sources if source.tell() == start), None)
            if fitting:
                self._sources.remove(fitting)
            elif self._sources:
                fitting = self._sources.pop()
        return fitting or self._store.open(self._key)

    def _past_the_cache(self, start: int, stop: int) -> bytes:
        source = self._source(start)
        data = _read(source, start, stop)
        self._sources.append(source)
        return data

    def _go_ahead(self, held: Held, first: int, last: int) -> None:
        """The longer the reading goes straight on, the more is fetched before it is asked for, as one stream."""
        with self._lock:
            if not self._last - AHEAD <= first <= self._last + AT_ONCE:
                self._last, self._window = last, 0
            elif last > self._last:
                self._last, self._window = last, min(AHEAD, self._window * 2 or 1)
            if self._ahead is None or self._ahead.done():
                self._ahead = self._begin_ahead(held, range(self._last + 1, self._last + 1 + self._window))

    def _begin_ahead(self, held: Held, blocks: Iterable[int]) -> Future[None] | None:
        claimed, _ = held.claim(n for n in blocks if n * BLOCK < self.size)
        return self._cache.ahead.submit(self._fetch, held, claimed) if claimed else None


def _read(source: BinaryIO, start: int, stop: int) -> bytes:
    source.seek(start)
    data = source.read(stop - start)
    if len(data) != stop - start:
        raise Corrupt("a blob", f"gave {len(data)} bytes instead of {stop - start} from byte {start} on")
    return data
