"""The contract of core.blobs.store, which every blob store keeps."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.blobs import BlobStore
from core.blobs.cache import Cache
from core.blobs.cached import Cached
from core.errors import AlreadyExists, NotFound
from tests.parts.blobs import (
    KIB,
    MIB,
    SPILL,
    UID,
    database_blobs,
    draft_of,
    is_absent,
    key_of,
    listed,
    local_blobs,
    publish,
    read,
    s3_blobs,
    sample,
)

SIZES = [0, 1, 64 * KIB, MIB - 1, MIB, MIB + 1, 5 * MIB]


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "s3")]


@pytest.fixture(params=["local", "sqlite", "cached", *SLOW])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    if request.param == "local":
        yield local_blobs(tmp_path / "blobs")
        return
    if request.param == "s3":
        yield s3_blobs(request.getfixturevalue("s3_storage"), tmp_path / "staging")
        return
    is_lite = request.param != "postgresql"
    url = f"sqlite:///{tmp_path / 'blobs.db'}" if is_lite else request.getfixturevalue("postgres_url")
    with database_blobs(url, tmp_path / "staging") as (blobs, _), closing(Cache(tmp_path / "cache", 64 * MIB)) as cache:
        yield Cached(blobs, cache) if request.param == "cached" else blobs


@pytest.mark.parametrize("size", SIZES)
def test_a_published_blob_reads_as_it_was_written(store: BlobStore, size: int) -> None:
    data = sample(size)

    key = publish(store, data)

    assert read(store, key) == data
    assert store.size(key) == size
    assert listed(store) == {key: size}


@pytest.mark.parametrize("size", SIZES)
def test_publishing_again_changes_nothing(store: BlobStore, size: int) -> None:
    data = sample(size)
    key = key_of(data)
    with draft_of(store, data) as draft:
        store.publish(key, draft.seal())
        store.publish(key, draft.seal())
    publish(store, data, key)

    assert read(store, key) == data
    assert listed(store) == {key: size}


@pytest.mark.parametrize("size", [0, 1, MIB, 2 * MIB + 1])
@pytest.mark.parametrize("other", [1, SPILL + 1, 3 * MIB])
def test_other_bytes_at_a_key_are_never_overwritten(store: BlobStore, size: int, other: int) -> None:
    data = sample(size)
    key = publish(store, data)

    with pytest.raises(AlreadyExists):
        publish(store, sample(other, b"other"), key)

    assert read(store, key) == data
    assert listed(store) == {key: size}


def test_one_draft_can_be_published_under_two_keys(store: BlobStore) -> None:
    data = sample(MIB + 1)
    first, second = key_of(data), key_of(data)
    with draft_of(store, data) as draft:
        store.publish(first, draft.seal())
        store.publish(second, draft.seal())

    store.delete(first)

    assert is_absent(store, first)
    assert read(store, second) == data


def test_a_blob_that_never_was_is_absent(store: BlobStore) -> None:
    publish(store, b"another")

    assert is_absent(store, key_of(b"never"))


def test_a_deleted_blob_is_absent_and_deleting_again_is_free(store: BlobStore) -> None:
    kept, gone = publish(store, sample(2 * MIB)), publish(store, sample(3 * MIB))

    store.delete(gone)
    store.delete(gone)
    store.delete(key_of(b"never"))

    assert is_absent(store, gone)
    assert listed(store) == {kept: 2 * MIB}


def test_a_deleted_key_can_be_published_again(store: BlobStore) -> None:
    data = sample(2 * MIB)
    key = publish(store, data)
    store.delete(key)

    publish(store, data, key)

    assert read(store, key) == data


def test_a_reader_of_a_deleted_blob_gets_its_bytes_or_a_refusal(store: BlobStore) -> None:
    data = sample(3 * MIB)
    key = publish(store, data)

    with store.open(key) as file:
        start = file.read(10)
        store.delete(key)
        try:
            rest = file.read()
        except NotFound:
            rest = data[10:]

    assert start + rest == data


def test_the_listing_is_complete(store: BlobStore) -> None:
    texts = [f"{n}".encode() for n in range(60)]
    buckets = ["a", "A", "a.b", "a-b", "a_b", "Übung"]

    keys = [publish(store, text, key_of(text, buckets[n % 6])) for n, text in enumerate(texts)]

    assert listed(store) == {key: len(text) for key, text in zip(keys, texts, strict=True)}


def test_an_empty_store_lists_nothing(store: BlobStore) -> None:
    assert listed(store) == {}


def test_a_storage_can_be_claimed_again(store: BlobStore) -> None:
    key = publish(store, b"hello")

    store.claim(UID, new=True)
    store.claim(UID, new=False)

    assert read(store, key) == b"hello"


@pytest.mark.parametrize("size", [1, 3 * MIB])
def test_many_may_publish_the_same_blob_at_once(store: BlobStore, size: int) -> None:
    data = sample(size)
    key, together = key_of(data), Barrier(6)

    def one(_: int) -> bytes:
        with draft_of(store, data) as draft:
            sealed = draft.seal()
            together.wait()
            store.publish(key, sealed)
            return read(store, key)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(6)))

    assert found == [data] * 6
    assert listed(store) == {key: size}


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["read", "readinto", "seek", "skip", "end"]),
        st.one_of(st.integers(-20, 20), st.integers(0, 2 * MIB + 200)),
        st.integers(0, 9),
    ),
    max_size=12,
)


def answer(file: Any, verb: str, number: int, small: int) -> object:
    """What one step gives. Python's own files differ where a position would be negative: none ever is."""
    match verb:
        case "read":
            return file.read(max(-1, number))
        case "readinto":
            buffer = bytearray(small)
            return file.readinto(buffer), bytes(buffer)
        case "seek":
            return file.seek(abs(number))
        case "skip":
            return file.seek(max(-file.tell(), small - number), os.SEEK_CUR)
        case _:
            return file.seek(-small, os.SEEK_END), file.read(2), file.tell()


@pytest.mark.slow
@given(walk=steps)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_and_seeking_are_those_of_a_file_in_memory(store: BlobStore, walk: list[Step]) -> None:
    data = sample(2 * MIB + 100)
    key = key_of(data, uid=UID)
    if store.size(key) is None:
        publish(store, data, key)
    model = io.BytesIO(data)

    with store.open(key) as file:
        assert file.seekable()
        assert file.readable()
        assert not file.writable()
        for step in walk:
            assert answer(file, *step) == answer(model, *step)


def test_a_closed_reader_reads_no_more(store: BlobStore) -> None:
    file = store.open(publish(store, b"hello"))
    file.close()

    with pytest.raises(ValueError, match="closed"):
        file.read()
    with pytest.raises(ValueError, match="closed"):
        file.seek(0)
