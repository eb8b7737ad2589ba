"""Blobs as files: each step of a publish may fail or be the process's last, and disks come and go."""

import errno
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from core.blobs.local import LocalBlobs
from core.errors import AlreadyExists, InvalidPath, StorageFull, StorageUnavailable
from core.staging import Sealed, Staging
from tests.parts.blobs import (
    MIB,
    SPILL,
    draft_of,
    is_absent,
    key_of,
    listed,
    local_blobs,
    publish,
    read,
    sample,
)
from tests.parts.interruptions import Call, calls, died, failing
from tests.parts.small_disk import small_disk

in_memory_and_in_a_file = pytest.mark.parametrize("size", [1000, SPILL + 1], ids=["in memory", "in a file"])


@pytest.fixture
def local(tmp_path: Path) -> LocalBlobs:
    return local_blobs(tmp_path / "blobs")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A staging directory on another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        assert Path(directory).stat().st_dev != tmp_path.stat().st_dev
        yield Path(directory)


def litter(store: LocalBlobs) -> list[Path]:
    return list(store.staging.iterdir())


def test_a_blob_is_a_file_at_its_key_for_this_user_only(local: LocalBlobs) -> None:
    data = sample(SPILL + 1)

    key = publish(local, data)

    file = local.root / key
    assert file.read_bytes() == data
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_nlink == 1
    assert {level.stat().st_mode & 0o777 for level in file.parents[:4]} == {0o700}
    assert litter(local) == []


def test_a_reader_has_a_descriptor(local: LocalBlobs) -> None:
    with local.open(publish(local, b"hello")) as file:
        assert os.pread(file.fileno(), 5, 0) == b"hello"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a",
        "/etc/passwd",
        "../outside",
        "files/../../outside",
        f"/{key_of(b'')}",
        f"../{key_of(b'')}",
        f"./{key_of(b'')}",
        f".staging/{key_of(b'')}",
        key_of(b"", bucket=".staging"),
        key_of(b"", bucket=".."),
        key_of(b"", bucket="a/.."),
        key_of(b"", bucket="a\0"),
        key_of(b"", uid="../../outside"),
        key_of(b"") + "\n",
        ".davstore-storage",
    ],
)
def test_a_key_that_could_lead_elsewhere_is_refused(local: LocalBlobs, key: str) -> None:
    with draft_of(local, b"hello") as draft, pytest.raises(InvalidPath):
        local.publish(key, draft.seal())
    for verb in (local.open, local.size, local.delete):
        with pytest.raises(InvalidPath):
            verb(key)


@in_memory_and_in_a_file
@pytest.mark.parametrize(("code", "expected"), [(errno.EIO, StorageUnavailable), (errno.ENOSPC, StorageFull)])
def test_a_publish_that_fails_at_any_step_leaves_nothing_or_the_whole_blob(
    tmp_path: Path, size: int, code: int, expected: type[Exception]
) -> None:
    data, steps = sample(size), all_calls(tmp_path / "counted", size)
    for step in steps:
        store, key = local_blobs(tmp_path / f"{step.number}"), key_of(data)
        with draft_of(store, data) as draft:
            sealed, before = draft.seal(), len(litter(store))
            with failing(step.number, code):
                refusal = refused_by(store, key, sealed)

            assert refusal is expected or (refusal is None and step.name == "unlink")
            assert is_absent(store, key) or read(store, key) == data
            assert len(litter(store)) == before + (step.name == "unlink")
            store.publish(key, sealed)
        assert read(store, key) == data

    assert {"open", "fsync", "mkdir", "link"} <= {step.name for step in steps}


def refused_by(store: LocalBlobs, key: str, sealed: Sealed) -> type[Exception] | None:
    try:
        store.publish(key, sealed)
    except StorageUnavailable as error:
        return type(error)
    return None


def all_calls(root: Path, size: int) -> list[Call]:
    """What publishing changes in a storage that has no blob yet."""
    store, data = local_blobs(root), sample(size)
    with draft_of(store, data) as draft:
        sealed = draft.seal()
        return calls(lambda: store.publish(key_of(data), sealed))


@in_memory_and_in_a_file
def test_a_process_that_dies_at_any_step_leaves_nothing_or_the_whole_blob(tmp_path: Path, size: int) -> None:
    data, at, outcomes = sample(size), 0, set[bool]()
    while True:
        at += 1
        root, key = tmp_path / f"{at}", key_of(data)
        local_blobs(root)
        has_died = died(at, partial(publish_again, root, data, key))

        store = local_blobs(root, new=False)
        Staging(store.staging, durable=True)
        outcomes.add(is_absent(store, key))
        assert is_absent(store, key) or read(store, key) == data
        assert litter(store) == []
        publish(store, data, key)
        assert read(store, key) == data
        if not has_died:
            break

    assert at > 10
    assert outcomes == {True, False}


def publish_again(root: Path, data: bytes, key: str) -> None:
    publish(local_blobs(root, new=False), data, key)


@in_memory_and_in_a_file
def test_bytes_are_on_disk_before_their_name_and_the_name_before_the_answer(tmp_path: Path, size: int) -> None:
    made = [(call.name, call.path) for call in all_calls(tmp_path / "blobs", size)]

    [(place, final)] = [(n, path) for n, (name, path) in enumerate(made) if name == "link"]
    synced_drafts = [path for name, path in made[:place] if name == "fsync" and path.parent.name == ".staging"]
    assert len(synced_drafts) == 1
    assert ("write", synced_drafts[0]) not in made[made.index(("fsync", synced_drafts[0])) :]
    assert ("fsync", final.parent) in made[place:]
    for level in final.parents[:3]:
        assert ("fsync", level.parent) in made[made.index(("mkdir", level)) :]


def test_directories_that_another_process_made_are_synced_too(tmp_path: Path) -> None:
    data = sample(10)
    publish(local_blobs(tmp_path / "blobs"), data)
    store = local_blobs(tmp_path / "blobs", new=False)
    key = key_of(data)

    synced = {call.path for call in calls(lambda: publish(store, data, key)) if call.name == "fsync"}

    assert set((store.root / key).parents[:4]) <= synced


def test_without_durability_nothing_is_synced(tmp_path: Path) -> None:
    store = local_blobs(tmp_path / "blobs", durable=False)

    made = calls(lambda: publish(store, sample(SPILL + 1)))

    assert "fsync" not in {call.name for call in made}


@pytest.mark.parametrize("size", [SPILL + 1, 3 * MIB])
def test_a_draft_from_another_disk_is_copied(local: LocalBlobs, elsewhere: Path, size: int) -> None:
    data = sample(size)
    key = key_of(data)
    with draft_of(local, data, elsewhere) as draft:
        sealed = draft.seal()
        made = calls(lambda: local.publish(key, sealed))
        local.publish(key, sealed)

    assert read(local, key) == data
    assert litter(local) == []
    synced = made.index(next(call for call in made if call.name == "fsync" and call.path.parent == local.staging))
    assert synced < made.index(next(call for call in reversed(made) if call.name == "link"))


@in_memory_and_in_a_file
def test_a_file_system_without_links_serves_too(local: LocalBlobs, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def link(source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    data, other = sample(size), sample(size, b"other")

    key = publish(local, data)
    publish(local, data, key)
    with pytest.raises(AlreadyExists):
        publish(local, other, key)

    assert read(local, key) == data
    assert litter(local) == []


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere_first", [False, True], ids=["in memory", "from another disk"])
def test_a_full_disk_refuses_the_blob_and_keeps_its_room(tmp_path: Path, elsewhere_first: bool) -> None:
    with small_disk(tmp_path / "disk", MIB) as disk:
        store = local_blobs(disk)
        kept = publish(store, sample(SPILL))
        filler = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - SPILL // 2
        (disk / "filler").write_bytes(b"x" * filler)
        room = os.statvfs(disk).f_bavail
        data = sample(SPILL + 1 if elsewhere_first else SPILL, b"other")

        with draft_of(store, data, tmp_path / "staging") as draft, pytest.raises(StorageFull, match="free some"):
            store.publish(key_of(data), draft.seal())

        assert listed(store) == {kept: SPILL}
        assert litter(store) == []
        assert room - os.statvfs(disk).f_bavail <= 3


@pytest.mark.slow
def test_a_disk_without_room_for_directories_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", MIB, "nr_inodes=6") as disk:
        store = local_blobs(disk)
        data = sample(10)

        with draft_of(store, data) as draft, pytest.raises(StorageFull):
            store.publish(key_of(data), draft.seal())

        assert listed(store) == {}


def test_the_listing_leaves_out_what_is_no_blob(local: LocalBlobs) -> None:
    key = publish(local, b"hello")
    place = (local.root / key).parent
    for stray in (local.root / "notes.txt", place / "notes.txt", place / f".{Path(key).name}.Xa81", place / "abc.uid"):
        stray.write_text("mine")
    (place.parent / "empty").mkdir()
    (local.root / "lost+found").mkdir()

    with draft_of(local, sample(SPILL + 1)):
        assert listed(local) == {key: 5}


def test_the_listing_follows_a_bucket_that_was_moved_to_another_disk(local: LocalBlobs, tmp_path: Path) -> None:
    key = publish(local, b"hello")
    (local.root / "files").rename(tmp_path / "files")
    (local.root / "files").symlink_to(tmp_path / "files")

    assert listed(local) == {key: 5}


def test_a_directory_that_cannot_be_read_fails_the_listing(local: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [publish(local, sample(n)) for n in range(5)]
    close(monkeypatch, (local.root / keys[2]).parent)

    with pytest.raises(StorageUnavailable, match="Permission denied"):
        list(local.blobs())


def test_the_listing_needs_no_look_at_what_is_not_ours(local: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    key = publish(local, b"hello")
    (local.root / "lost+found").mkdir()
    close(monkeypatch, local.root / "lost+found", local.staging)

    assert listed(local) == {key: 5}


def close(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> None:
    """Nobody may read them, not even an administrator."""
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path) in directories:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
