"""A store that is read through a cache, before one that tells what it was asked for and fails when it is told to."""

import hashlib
import io
import os
import random
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Event

import pytest

from core.blobs.cache import BLOCK, Cache
from core.blobs.cached import AHEAD, Cached, CachedReader
from core.blobs.local import LocalBlobs
from core.errors import Corrupt, StorageFull, StorageUnavailable
from tests.parts.blobs import local_blobs, publish, sample

LIMIT = 16 * BLOCK
PATIENCE = 30


class Telling(LocalBlobs):
    """`asked` are the blocks that were read; `fault` comes instead of bytes, `spoilt` changes them."""

    def __init__(self, root: Path) -> None:
        super().__init__("far", root, durable=False)
        self.opened = 0
        self.asked: list[int] = []
        self.fault: Exception | None = None
        self.spoilt = False
        self.passes = Event()
        self.passes.set()

    def open(self, key: str) -> io.BufferedReader:
        if self.fault:
            raise self.fault
        self.opened += 1
        with super().open(key) as file:
            return _TellingReader(self, file.read())


class _TellingReader(io.BufferedReader):
    def __init__(self, store: Telling, data: bytes) -> None:
        super().__init__(io.BytesIO(data))  # pyright: ignore[reportArgumentType] - a raw file is not needed
        self._store = store

    def read(self, size: int | None = -1, /) -> bytes:
        assert self._store.passes.wait(PATIENCE)
        if self._store.fault:
            raise self._store.fault
        self._store.asked.append(self.tell() // BLOCK)
        data = super().read(size)
        return bytes([data[0] ^ 1]) + data[1:] if self._store.spoilt else data


@pytest.fixture
def far(tmp_path: Path) -> Telling:
    local_blobs(tmp_path / "far")
    return Telling(tmp_path / "far")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path) -> Iterator[Cache]:
    with closing(Cache(folder, LIMIT)) as cache:
        yield cache


@pytest.fixture
def cached(far: Telling, cache: Cache) -> Cached:
    return Cached(far, cache)


def put(far: Telling, data: bytes) -> str:
    return publish(local_blobs(far.root, new=False), data)


def span(reader: CachedReader, start: int, size: int) -> bytes:
    found = reader.span(start, size)
    return found if isinstance(found, bytes) else os.pread(found[0].number, found[2], found[1])


def on_disk(folder: Path) -> int:
    """What the files without a name take there that this process has open, each once."""
    there: dict[int, int] = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith(f"{folder}/"):
                status = os.stat(f"/proc/self/fd/{number}")
                there[status.st_ino] = status.st_blocks * 512
        except FileNotFoundError:
            continue
    return sum(there.values())


def test_bytes_are_those_of_the_blob_wherever_they_are_read(far: Telling, cached: Cached):
    data = sample(5 * BLOCK + 17)
    reader = cached.open(put(far, data))
    chance = random.Random(6)

    for _ in range(200):
        start, size = chance.randrange(len(data) + 10), chance.randrange(2 * BLOCK)
        assert span(reader, start, size) == data[start : start + size]
    reader.seek(BLOCK - 3)
    assert reader.read(7) == data[BLOCK - 3 : BLOCK + 4]


def test_each_block_is_asked_for_once_however_many_read_it(far: Telling, cached: Cached):
    data = sample(6 * BLOCK)
    key = put(far, data)
    together = Barrier(8)

    def read(n: int) -> bytes:
        with cached.open(key) as reader:
            together.wait(PATIENCE)
            return b"".join(span(reader, start, 100_000) for start in range(n, len(data), 100_000))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(8)))

    assert found == [data[n:] for n in range(8)]
    assert sorted(far.asked) == list(range(6))


def test_what_is_held_is_read_without_the_storage(far: Telling, cached: Cached):
    data = sample(3 * BLOCK)
    key = put(far, data)
    with cached.open(key) as reader:
        assert span(reader, 2 * BLOCK, 10) == data[2 * BLOCK : 2 * BLOCK + 10]
    far.fault = StorageUnavailable("far", "is away")

    with cached.open(key) as again:
        assert span(again, 2 * BLOCK + 10, BLOCK) == data[2 * BLOCK + 10 :]
        with pytest.raises(StorageUnavailable):
            again.span(0, 10)
        with pytest.raises(StorageUnavailable):
            again.span(2 * BLOCK - 1, 2)
        far.fault = None
        assert span(again, 0, len(data)) == data


def test_reading_on_fetches_what_comes_next_in_one_stream(far: Telling, cached: Cached):
    data = sample(12 * BLOCK)
    reader = cached.open(put(far, data))

    for start in range(0, len(data), BLOCK // 8):
        assert span(reader, start, BLOCK // 8) == data[start : start + BLOCK // 8]

    assert far.asked == list(range(12))
    assert far.opened <= 3


def test_blocks_come_before_anybody_asks_for_them(far: Telling, cached: Cached):
    reader = cached.open(put(far, sample(40 * BLOCK)))
    limit = time.monotonic() + PATIENCE

    for n in range(12):
        span(reader, n * BLOCK, 10)
        while n and n + 1 not in far.asked:
            assert time.monotonic() < limit
            span(reader, n * BLOCK, 10)
        assert max(far.asked) <= n + AHEAD


@pytest.mark.slow
def test_jumping_fetches_nothing_that_is_not_asked_for(far: Telling, cached: Cached):
    reader = cached.open(put(far, sample(200 * BLOCK)))
    places = [150, 20, 90, 60, 180]

    for n in places:
        span(reader, n * BLOCK + 5, 10)

    assert far.asked == places


def test_no_more_than_the_bound_is_held_and_the_least_recently_read_goes_first(
    far: Telling, cached: Cached, folder: Path
):
    blobs = [sample(5 * BLOCK, bytes([n])) for n in range(4)]
    keys = [put(far, data) for data in blobs]

    for n in (0, 1, 2, 0, 3):
        with cached.open(keys[n]) as reader:
            assert span(reader, 0, 5 * BLOCK) == blobs[n]
            del reader
        assert on_disk(folder) <= LIMIT

    far.fault = StorageUnavailable("far", "is away")
    for n in (0, 2, 3):
        assert cached.open(keys[n]).read() == blobs[n]
    with pytest.raises(StorageUnavailable):
        cached.open(keys[1])


def test_no_more_than_half_of_the_descriptors_are_taken(far: Telling, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 20))
    blobs = [sample(4096, bytes([n])) for n in range(30)]
    keys = [put(far, data) for data in blobs]

    with closing(Cache(folder, LIMIT)) as cache:
        assert [Cached(far, cache).open(key).read() for key in keys] == blobs
        assert on_disk(folder) == 10 * 4096


def test_a_blob_larger_than_the_cache_is_read_whole(far: Telling, cached: Cached, folder: Path):
    data = sample(40 * BLOCK + 5)
    reader = cached.open(put(far, data))

    for start in range(0, len(data), BLOCK):
        assert span(reader, start, BLOCK) == data[start : start + BLOCK]
        assert on_disk(folder) <= 2 * LIMIT


def test_a_span_can_be_read_after_its_blob_had_to_go(far: Telling, cached: Cached):
    data, other = sample(BLOCK), sample(LIMIT)
    held = cached.open(put(far, data)).span(0, BLOCK)
    assert not isinstance(held, bytes)

    cached.open(put(far, other)).read()

    assert os.pread(held[0].number, BLOCK, 0) == data


def test_the_end_of_other_bytes_is_never_given(far: Telling, cached: Cached):
    data = sample(4 * BLOCK)
    key = put(far, data)
    far.spoilt = True
    reader = cached.open(key)
    for n in (2, 0, 3):
        span(reader, n * BLOCK, BLOCK)

    for n in (1, 1, 0):
        with pytest.raises(Corrupt):
            reader.span(n * BLOCK, BLOCK)

    far.spoilt = False
    assert span(cached.open(key), 0, len(data)) == data


def test_a_blob_that_is_shorter_than_it_was_is_refused(far: Telling, cached: Cached):
    data = sample(3 * BLOCK)
    key = put(far, data)
    reader = cached.open(key)
    os.truncate(far.root / key, BLOCK + 5)
    reader.span(0, 3)
    again = cached.open(key)

    with pytest.raises(Corrupt):
        again.span(BLOCK, BLOCK)
    with pytest.raises(Corrupt):
        again.span(2 * BLOCK, 1)


def test_who_waits_for_a_block_hears_why_it_does_not_come_and_may_ask_again(far: Telling, cached: Cached):
    data = sample(BLOCK)
    key = put(far, data)
    readers = [cached.open(key) for _ in range(4)]
    far.passes.clear()

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(reader.span, 0, BLOCK) for reader in readers]
        far.fault = StorageUnavailable("far", "is away")
        far.passes.set()
        assert all(isinstance(future.exception(PATIENCE), StorageUnavailable) for future in waiting)

    far.fault = None
    assert [span(reader, 0, BLOCK) for reader in readers] == [data] * 4


def test_without_room_for_the_cache_bytes_come_from_the_storage(
    far: Telling, cached: Cached, monkeypatch: pytest.MonkeyPatch
):
    data = sample(3 * BLOCK)
    reader = cached.open(put(far, data))

    def full(*_: object) -> None:
        raise StorageFull("cache", "there is no room left")

    monkeypatch.setattr("core.blobs.cache.Held.put", full)

    assert reader.span(10, 2 * BLOCK) == data[10 : 2 * BLOCK + 10]
    assert hashlib.sha256(reader.read()).digest() == hashlib.sha256(data).digest()


def test_nothing_with_a_name_lies_in_the_cache(far: Telling, cached: Cached, folder: Path):
    cached.open(put(far, sample(3 * BLOCK))).read()

    assert list(folder.iterdir()) == []
    assert on_disk(folder) == 3 * BLOCK


def test_what_is_deleted_through_it_is_held_no_more(far: Telling, cached: Cached, folder: Path):
    key = put(far, sample(BLOCK))
    cached.open(key).read()

    cached.delete(key)

    assert on_disk(folder) == 0
