"""Blobs as rows: whole or not there, whatever fails between their pieces."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from core.blobs.database import DatabaseBlobs, insert_inline
from core.blobs.reader import RangedReader
from core.database import Database, Transaction
from core.errors import Corrupt, NotFound, StorageUnavailable
from core.model import INLINE
from tests.parts.blobs import MIB, database_blobs, draft_of, is_absent, key_of, listed, publish, read, sample


@pytest.fixture
def made(empty_database_url: str, tmp_path: Path) -> Iterator[tuple[DatabaseBlobs, Database]]:
    with database_blobs(empty_database_url, tmp_path / "staging") as both:
        yield both


@pytest.fixture
def rows(made: tuple[DatabaseBlobs, Database]) -> DatabaseBlobs:
    return made[0]


@pytest.fixture
def database(made: tuple[DatabaseBlobs, Database]) -> Database:
    return made[1]


@pytest.fixture
def inline(database: Database, tmp_path: Path) -> DatabaseBlobs:
    return DatabaseBlobs(INLINE, database, tmp_path / "staging")


@contextmanager
def failing_write(at: int, *, committed: bool) -> Iterator[list[int]]:
    """The n-th transaction fails, before its commit or after it; gives the numbers of those begun."""
    write, begun = Database.write, list[int]()

    @contextmanager
    def one(database: Database) -> Iterator[Transaction]:
        begun.append(len(begun) + 1)
        with write(database) as tx:
            yield tx
            if len(begun) == at and not committed:
                raise StorageUnavailable("the database", "went away")
        if len(begun) == at:
            raise StorageUnavailable("the database", "did not answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "write", one)
        yield begun


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize(("size", "pieces"), [(0, 1), (1, 1), (MIB, 1), (MIB + 1, 2), (4 * MIB, 4)])
def test_a_publish_that_fails_at_any_piece_leaves_nothing_or_the_whole_blob(
    rows: DatabaseBlobs, size: int, pieces: int, committed: bool
) -> None:
    data = sample(size)
    for at in range(1, pieces + 1):
        key = key_of(data)
        with draft_of(rows, data) as draft:
            with failing_write(at, committed=committed), pytest.raises(StorageUnavailable):
                rows.publish(key, draft.seal())

            assert is_absent(rows, key) or read(rows, key) == data
            assert is_absent(rows, key) == (at < pieces or not committed)
            rows.publish(key, draft.seal())
        assert read(rows, key) == data


def test_what_an_interrupted_publish_left_is_never_part_of_another(rows: DatabaseBlobs) -> None:
    data = sample(2 * MIB)
    key = key_of(data)
    with (
        draft_of(rows, sample(5 * MIB, b"other")) as draft,
        failing_write(4, committed=True),
        pytest.raises(StorageUnavailable),
    ):
        rows.publish(key, draft.seal())

    publish(rows, data, key)

    assert read(rows, key) == data
    assert rows.size(key) == len(data)


def test_what_an_interrupted_publish_left_goes_with_its_key(rows: DatabaseBlobs, database: Database) -> None:
    data = sample(4 * MIB)
    key = key_of(data)
    with draft_of(rows, data) as draft, failing_write(3, committed=True), pytest.raises(StorageUnavailable):
        rows.publish(key, draft.seal())
    assert pieces_in(database) == 3

    rows.delete(key)

    assert pieces_in(database) == 0


def pieces_in(database: Database) -> int:
    with database.read() as tx:
        return tx.connection.exec_driver_sql("SELECT count(*) FROM blob_data").scalar_one()


def test_a_blob_that_is_deleted_while_it_is_published_is_never_half(
    rows: DatabaseBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = sample(4 * MIB)
    key = key_of(data)
    with draft_of(rows, data) as draft:
        sealed = draft.seal()
        interrupt(monkeypatch, at=3, do=lambda: rows.delete(key))

        with pytest.raises(StorageUnavailable, match="deleted while it was published"):
            rows.publish(key, sealed)

        assert is_absent(rows, key)
        rows.publish(key, sealed)
    assert read(rows, key) == data


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int, do: Callable[[], object]) -> None:
    """Does something else between two transactions."""
    write, begun = Database.write, list[int]()

    def one(database: Database, *, durable: bool = True) -> object:
        begun.append(1)
        if len(begun) == at:
            do()
        return write(database, durable=durable)

    monkeypatch.setattr(Database, "write", one)


def test_storages_in_one_database_do_not_see_each_other(rows: DatabaseBlobs, database: Database) -> None:
    others = [DatabaseBlobs(name, database, rows.staging) for name in ("mai", "main.2", "main-2", "Main", INLINE)]
    key = publish(rows, b"hello")

    for other in others:
        assert is_absent(other, key)
        other.delete(key)
        assert listed(other) == {}

    assert listed(rows) == {key: 5}


@pytest.mark.parametrize("size", [0, 1, MIB, 2 * MIB + 1])
def test_an_inline_content_comes_with_the_transaction_that_names_it(
    inline: DatabaseBlobs, database: Database, size: int
) -> None:
    data = sample(size)
    key = key_of(data)

    with database.write() as tx:
        insert_inline(tx, key, data)

    assert read(inline, key) == data
    assert listed(inline) == {key: size}


def test_an_inline_content_goes_with_the_transaction_that_fails(inline: DatabaseBlobs, database: Database) -> None:
    key = key_of(b"hello")

    def fail() -> None:
        with database.write() as tx:
            insert_inline(tx, key, b"hello")
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert is_absent(inline, key)


def test_a_listing_of_many_pages_is_complete(inline: DatabaseBlobs, database: Database) -> None:
    keys = {key_of(b"", bucket=f"b{n}") for n in range(2500)}
    with database.write() as tx:
        for key in keys:
            insert_inline(tx, key, b"")

    assert set(listed(inline)) == keys


def test_a_blob_is_as_old_as_the_uid_in_its_key_says(inline: DatabaseBlobs, database: Database) -> None:
    key = key_of(b"", uid="017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
    with database.write() as tx:
        insert_inline(tx, key, b"")
        insert_inline(tx, "ancient", b"")

    # RFC 9562, appendix A.6: that UUIDv7 was made on Tuesday, February 22, 2022 2:22:22.00 PM GMT-05:00
    assert {blob.key: blob.modified for blob in inline.blobs()} == {key: 1645557742_000_000_000, "ancient": 0}


def test_an_open_reader_holds_no_transaction(rows: DatabaseBlobs, database: Database) -> None:
    key, open_ones = publish(rows, sample(3 * MIB)), set[int]()

    def begun(connection: Connection) -> None:
        open_ones.add(id(connection))

    def ended(connection: Connection) -> None:
        open_ones.discard(id(connection))

    for when, note in (("begin", begun), ("commit", ended), ("rollback", ended)):
        event.listen(database.engine, when, note)
    with rows.open(key) as file:
        file.read(10)

        assert not open_ones


def test_reading_on_fetches_every_byte_once_and_a_window_at_a_time() -> None:
    data, fetched = sample(1000), list[tuple[int, int]]()

    def fetch(start: int, stop: int) -> bytes:
        fetched.append((start, stop))
        return data[start:stop]

    reader = RangedReader(fetch, len(data), window=300)

    assert b"".join(iter(lambda: reader.read(70), b"")) == data
    assert fetched == [(0, 300), (300, 600), (600, 900), (900, 1000)]

    reader.seek(650)
    reader.read(10)
    assert fetched[4:] == [(650, 900)]


def test_a_closed_reader_answers_nothing() -> None:
    reader = RangedReader(lambda start, stop: bytes(stop - start), 10)
    reader.read(1)
    reader.close()

    for verb in (reader.tell, lambda: reader.seek(0), lambda: reader.read(1), lambda: reader.readinto(bytearray(1))):
        with pytest.raises(ValueError, match="closed"):
            verb()


def test_a_read_that_comes_short_is_corrupt() -> None:
    reader = RangedReader(lambda start, stop: b"abc", 10)

    with pytest.raises(Corrupt, match="gave 3 bytes instead of 10 from byte 0 on"):
        reader.read(1)


def test_a_reader_of_a_deleted_blob_is_told_so(rows: DatabaseBlobs) -> None:
    key = publish(rows, sample(3 * MIB))

    with rows.open(key) as file:
        file.seek(MIB)
        rows.delete(key)

        with pytest.raises(NotFound, match="deleted while it was read"):
            file.read(1)
