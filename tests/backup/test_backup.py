"""What a backup brings back, what it costs, and what it says where something is lost."""

import gzip
import hashlib
import json
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest
from sqlalchemy import inspect, select

from core import backup, snapshots
from core import store as stores
from core.archives import Archive, DirectoryArchive, blob_name
from core.database import Database
from core.errors import Corrupt, NotFound, StorageFull, Unusable
from core.migrations import upgrade
from core.model import Digest, PropertyChange, PropertyName
from core.schema import objects
from core.settings import Settings
from core.store import Store
from tests.backup.conftest import ANYHOW, Restore
from tests.parts.snapshots import snapshot
from tests.parts.stores import ANN, content, opened, put

LARGE, OTHER, SMALL = b"a large content" * 100, b"another one" * 100, b"small"
DEAD = PropertyName("urn:x", "colour")


def digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def fill(store: Store) -> None:
    """Something of everything: collections, versions, trash, properties, shared, inline and empty contents."""
    ann = store.namespace(ANN)
    ann.make_collection(("files", "café ☕"))
    put(ann, ("files", "café ☕", "a.txt"), SMALL)
    put(ann, ("files", "café ☕", "a.txt"), LARGE)
    put(ann, ("files", "b"), LARGE)
    put(ann, ("files", "empty"))
    put(ann, ("media", "b"), LARGE)
    put(ann, ("files", "gone"), OTHER)
    ann.delete(("files", "gone"))
    ann.set_properties(("files", "b"), [PropertyChange(DEAD, '<c xmlns="urn:x">blue</c>')])
    store.accounts.add("ann", "correct horse", admin=False)


def taken(store: Store, archive: Archive) -> backup.Saved:
    return store.back_up(archive, ANYHOW)


def without_locks(store: Store) -> dict[str, object]:
    return snapshot(store) | {"locks": None}


def test_a_restored_store_is_what_the_store_was(
    store: Store, archive: DirectoryArchive, restored: Restore, other_url: str
):
    fill(store)
    saved = taken(store, archive)

    again, result = restored(archive, url=other_url)

    assert without_locks(again) == without_locks(store)
    assert again.verify(deep=True).problems == ()
    assert again.accounts.verify("ann", "correct horse")
    assert (result.snapshot, result.lost) == (saved.snapshot, [])


def test_a_restored_store_goes_on(store: Store, archive: DirectoryArchive, restored: Restore, other_url: str):
    fill(store)
    taken(store, archive)

    again, _ = restored(archive, url=other_url)
    put(again.namespace(ANN), ("files", "new"), b"new content" * 9)
    [entry] = again.recovery(ANN).trashed()
    again.recovery(ANN).restore(entry.uid)
    again.collect_garbage(grace=0, retention=0)

    assert content(again.namespace(ANN), ("files", "gone")) == OTHER
    assert again.verify(deep=True).problems == ()


def test_the_manifest_is_one_that_sha256sum_checks(store: Store, archive: DirectoryArchive, tmp_path: Path):
    fill(store)
    name = taken(store, archive).snapshot.name
    check = ["sha256sum", "--strict", "-c", f"snapshots/{name}/SHA256SUMS"]

    checked = subprocess.run(check, cwd=tmp_path / "archive", capture_output=True, text=True, check=True)

    files = {line.partition(":")[0] for line in checked.stdout.splitlines()}
    assert {blob_name(digest(data)) for data in (LARGE, OTHER, SMALL, b"")} < files
    assert files == {name for name, _ in archive.files("")} - {
        f"snapshots/{name}/backup.json",
        f"snapshots/{name}/SHA256SUMS",
    }


def test_a_second_backup_copies_only_what_is_new(store: Store, archive: DirectoryArchive):
    fill(store)
    first = taken(store, archive)
    put(store.namespace(ANN), ("files", "new"), b"new" * 50)
    second = taken(store, archive)

    assert (first.copied, first.copied_bytes) == (4, len(LARGE + OTHER + SMALL))
    assert (second.copied, second.copied_bytes) == (1, 150)
    assert snapshots.names(archive) == [first.snapshot.name, second.snapshot.name]


def test_each_snapshot_can_be_restored_by_its_name(store: Store, archive: DirectoryArchive, restored: Restore):
    put(store.namespace(ANN), ("files", "a"), LARGE)
    first = taken(store, archive).snapshot
    put(store.namespace(ANN), ("files", "a"), OTHER)
    taken(store, archive)

    again, _ = restored(archive, first.name)

    assert content(again.namespace(ANN), ("files", "a")) == LARGE


class Striking(DirectoryArchive):
    """Does something before the first blob is copied, when the rows have been."""

    def __init__(self, root: Path, strike: object) -> None:
        super().__init__(root)
        self.strike = strike

    def add(self, name: str, source: BinaryIO) -> None:
        if name.startswith("blobs/") and callable(self.strike):
            strike, self.strike = self.strike, None
            strike()
        super().add(name, source)


def test_what_is_deleted_and_collected_meanwhile_is_in_the_backup(store: Store, restored: Restore, tmp_path: Path):
    """With zero grace and zero retention, which free bytes as soon as that may be."""
    ann = store.namespace(ANN)
    put(ann, ("files", "a"), LARGE)
    put(ann, ("files", "b"), OTHER)

    def free() -> None:
        for path in (("files", "a"), ("files", "b")):
            ann.delete(path)
        for entry in store.recovery(ANN).trashed():
            store.recovery(ANN).forget(entry.uid)
        store.collect_garbage(grace=0, retention=0)

    archive = Striking(tmp_path / "archive", free)
    assert taken(store, archive).snapshot.missing == []
    again, _ = restored(archive)

    assert content(again.namespace(ANN), ("files", "a")) == LARGE
    assert store.collect_garbage(grace=0, retention=0).deleted == 2


def test_what_is_written_meanwhile_is_not_in_the_backup(store: Store, restored: Restore, tmp_path: Path):
    put(store.namespace(ANN), ("files", "a"), LARGE)
    archive = Striking(tmp_path / "archive", lambda: put(store.namespace(ANN), ("files", "a"), OTHER))
    taken(store, archive)

    again, _ = restored(archive)

    assert content(again.namespace(ANN), ("files", "a")) == LARGE
    assert again.verify(deep=True).problems == ()


def test_a_content_that_the_store_lost_is_named_and_all_others_are_saved(
    store: Store, archive: DirectoryArchive, restored: Restore, tmp_path: Path
):
    ann = store.namespace(ANN)
    put(ann, ("files", "a"), LARGE)
    put(ann, ("files", "b"), OTHER)
    [blob] = (tmp_path / "data" / "blobs").rglob(f"{digest(LARGE)}.*")
    blob.write_bytes(b"other bytes")

    saved = taken(store, archive)
    again, result = restored(archive)
    names = again.namespace(ANN)

    assert saved.snapshot.missing == result.lost == [digest(LARGE)]
    assert content(names, ("files", "b")) == OTHER
    with pytest.raises(Corrupt):
        content(names, ("files", "a"))
    put(names, ("files", "c"), LARGE)
    assert content(names, ("files", "a")) == LARGE


def test_a_damaged_archive_is_refused_unless_a_part_is_enough(
    store: Store, archive: DirectoryArchive, restored: Restore, tmp_path: Path
):
    fill(store)
    taken(store, archive)
    (tmp_path / "archive" / blob_name(digest(LARGE))).write_bytes(b"rotten")
    (tmp_path / "archive" / blob_name(digest(SMALL))).unlink()

    with pytest.raises(Corrupt, match="in the archive; --partial restores all others"):
        restored(archive)
    _, result = restored(archive, partial=True)

    assert result.lost == sorted([digest(LARGE), digest(SMALL)])


@pytest.mark.slow
def test_however_many_contents_are_lost_the_others_come_back(
    store: Store, archive: DirectoryArchive, restored: Restore, tmp_path: Path
):
    fill(store)
    name = taken(store, archive).snapshot.name
    never = [f"{n:064x}" for n in range(70_000)]
    file = tmp_path / "archive" / "snapshots" / name / "backup.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"missing": never}))

    again, result = restored(archive)

    assert result.lost == never
    assert without_locks(again) == without_locks(store)


class Failing(DirectoryArchive):
    """Refuses the n-th file that it is given."""

    def __init__(self, root: Path, n: int) -> None:
        super().__init__(root)
        self.left = n

    def add(self, name: str, source: BinaryIO) -> None:
        self.left -= 1
        if self.left < 0:
            raise StorageFull(name, "made to fail")
        super().add(name, source)


@pytest.mark.slow
def test_a_backup_that_fails_at_any_step_is_no_snapshot_and_the_next_one_succeeds(
    database_url: str, store: Store, restored: Restore, tmp_path: Path
):
    fill(store)
    steps = 0
    while True:
        archive = Failing(tmp_path / "archive", steps)
        try:
            taken(store, archive)
            break
        except StorageFull:
            assert not (tmp_path / "archive").exists() or snapshots.names(archive) == []
            steps += 1

    assert steps > len(backup.kept_tables())
    assert without_locks(restored(archive)[0]) == without_locks(store)


class Unreadable(DirectoryArchive):
    """Cannot open the n-th file that is asked for."""

    def __init__(self, root: Path, n: int) -> None:
        super().__init__(root)
        self.left = n

    def open(self, name: str) -> BinaryIO:
        self.left -= 1
        if self.left < 0:
            raise StorageFull(name, "made to fail")
        return super().open(name)


@pytest.mark.slow
def test_a_restore_that_fails_at_any_step_can_be_begun_again(store: Store, restored: Restore, tmp_path: Path):
    fill(store)
    taken(store, DirectoryArchive(tmp_path / "archive"))
    steps = 0
    while True:
        try:
            again, _ = restored(Unreadable(tmp_path / "archive", steps))
            break
        except StorageFull:
            steps += 1

    assert steps > len(backup.kept_tables())
    assert without_locks(again) == without_locks(store)


def test_nothing_is_restored_over_a_store(store: Store, archive: DirectoryArchive, restored: Restore):
    fill(store)
    taken(store, archive)
    again, _ = restored(archive)
    before = snapshot(again)

    with pytest.raises(Unusable, match="holds a davstore already; restore into an empty"):
        restored(archive)
    assert snapshot(again) == before


class Serving(DirectoryArchive):
    """Somebody starts a server on the empty database while the bytes are brought."""

    def __init__(self, root: Path, start: Callable[[], Store]) -> None:
        super().__init__(root)
        self.start = start

    def open(self, name: str) -> BinaryIO:
        if name.startswith("blobs/"):
            self.start().close()
        return super().open(name)


def test_a_server_that_starts_in_the_middle_of_a_restore_ends_it_with_a_word(
    store: Store, restored: Restore, tmp_path: Path
):
    put(store.namespace(ANN), ("files", "a"), LARGE)
    taken(store, DirectoryArchive(tmp_path / "archive"))
    data = tmp_path / "restored"
    archive = Serving(tmp_path / "archive", lambda: opened(f"sqlite:///{data / 'davstore.db'}", data))

    with pytest.raises(Unusable, match="holds a davstore already"):
        restored(archive)


def test_two_backups_do_not_run_at_once(store: Store, tmp_path: Path):
    put(store.namespace(ANN), ("files", "a"), LARGE)

    def second() -> None:
        with pytest.raises(Unusable, match="runs already"):
            taken(store, DirectoryArchive(tmp_path / "second"))

    archive = Striking(tmp_path / "archive", second)
    taken(store, archive)

    assert archive.strike is None
    assert taken(store, DirectoryArchive(tmp_path / "second")).copied == 1


def test_a_snapshot_that_is_not_there_is_named_with_those_that_are(store: Store, archive: DirectoryArchive):
    name = taken(store, archive).snapshot.name

    with pytest.raises(NotFound, match=f"has no snapshot monday; it has {name}"):
        snapshots.read(archive, "monday")


def test_a_snapshot_of_a_newer_format_is_refused(store: Store, archive: DirectoryArchive, restored: Restore):
    name = taken(store, archive).snapshot.name
    rewrite(archive, name, format=2)

    with pytest.raises(Unusable, match="newer davstore"):
        restored(archive)


def test_a_snapshot_of_a_newer_schema_is_refused(store: Store, archive: DirectoryArchive, restored: Restore):
    name = taken(store, archive).snapshot.name
    rewrite(archive, name, revision="9999")

    with pytest.raises(Unusable, match="9999, which a newer davstore made"):
        restored(archive)


def rewrite(archive: DirectoryArchive, name: str, **values: object) -> None:
    file = f"snapshots/{name}/backup.json"
    with archive.open(file) as stored:
        archive.add(file, BytesIO(json.dumps(json.loads(stored.read()) | values).encode()))


def test_a_snapshot_of_an_older_schema_is_brought_to_the_newest(
    store: Store, archive: DirectoryArchive, restored: Restore, tmp_path: Path
):
    """The snapshot is made as the program of revision 0002 would have made it: without what came later."""
    fill(store)
    name = taken(store, archive).snapshot.name
    older = Database(f"sqlite:///{tmp_path / 'older.db'}", "os")
    upgrade(older, "0002")
    with older.read() as tx:
        seen = inspect(tx.connection)
        columns = {table: {column["name"] for column in seen.get_columns(table)} for table in seen.get_table_names()}
    older.close()
    tables = snapshots.read(archive, name).tables
    for table in tables.keys() & columns.keys():
        kept = [{key: row[key] for key in row if key in columns[table]} for row in snapshots.rows(archive, name, table)]
        names = sorted(columns[table] & set(next(iter(kept), {})))
        file = snapshots.table_file(name, table)
        snapshots.save_rows(archive, file, names, ([row[key] for key in names] for row in kept))
    rewrite(archive, name, revision="0002", tables={table: n for table, n in tables.items() if table in columns})

    again, _ = restored(archive)

    assert again.verify(deep=True).problems == ()
    assert content(again.namespace(ANN), ("files", "b")) == LARGE


def test_rows_and_contents_in_an_archive_are_for_its_owner_only(
    store: Store, archive: DirectoryArchive, tmp_path: Path
):
    fill(store)
    taken(store, archive)

    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "archive").rglob("*")}

    assert modes == {0}


def test_the_archive_holds_every_row_of_the_snapshot(store: Store, archive: DirectoryArchive, tmp_path: Path):
    fill(store)
    name = taken(store, archive).snapshot.name

    lines = gzip.decompress((tmp_path / "archive" / snapshots.table_file(name, "objects")).read_bytes()).splitlines()

    with store.database.read() as tx:
        there = set(tx.execute(select(objects.c.uid)).scalars())
    at = json.loads(lines[0]).index("uid")
    assert {json.loads(line)[at] for line in lines[1:]} == there


def test_a_storage_that_is_not_configured_is_named(archive: DirectoryArchive, restored: Restore, tmp_path: Path):
    settings = Settings.model_validate(
        {
            "data": tmp_path / "data",
            "storages": {"shelf": {"type": "db"}},
            "buckets": {"files": {"storage": "shelf", "inline_below": 16}},
        }
    )
    store = stores.open(settings)
    put(store.namespace(ANN), ("files", "a"), LARGE)
    taken(store, archive)
    store.close()

    with pytest.raises(Unusable, match=r"shelf: .*configure \[storages.shelf\]"):
        restored(archive)
