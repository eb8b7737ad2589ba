"""A storage's root is known again by its marker, and a disk that is missing is not taken for missing blobs."""

from functools import partial
from pathlib import Path

import pytest

from core.blobs.local import LocalBlobs
from core.errors import StorageUnavailable, Unusable
from tests.parts.blobs import MIB, OTHER_UID, UID, draft_of, local_blobs, publish, read, sample
from tests.parts.interruptions import calls, died
from tests.parts.small_disk import small_disk


@pytest.fixture
def local(tmp_path: Path) -> LocalBlobs:
    return local_blobs(tmp_path / "blobs")


def test_a_new_root_is_made_and_marked_and_known_again(tmp_path: Path) -> None:
    root = tmp_path / "disks" / "one" / "blobs"

    key = publish(local_blobs(root), b"hello")

    assert (root / ".davstore-storage").read_text() == f"{UID}\n"
    assert read(local_blobs(root, new=False), key) == b"hello"
    assert read(local_blobs(root, new=True), key) == b"hello"


def test_a_new_root_and_its_marker_are_on_disk(tmp_path: Path) -> None:
    root = tmp_path / "one" / "blobs"

    made = [(call.name, call.path) for call in calls(lambda: local_blobs(root))]

    for level in (root.parent, root):
        assert ("fsync", level.parent) in made[made.index(("mkdir", level)) :]
    marked = made.index(("link", root / ".davstore-storage"))
    assert [path.parent for name, path in made[:marked] if name == "fsync"].count(root / ".staging") == 1
    assert ("fsync", root) in made[marked:]


@pytest.mark.parametrize("new", [True, False])
def test_the_root_of_another_storage_is_unusable(tmp_path: Path, new: bool) -> None:
    local_blobs(tmp_path / "blobs")

    with pytest.raises(Unusable, match=f"belongs to another storage \\({UID}\\); "):
        LocalBlobs("second", tmp_path / "blobs", durable=True).claim(OTHER_UID, new=new)

    local_blobs(tmp_path / "blobs", new=False)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_root_without_a_marker_is_unusable_and_stays_as_it_is(tmp_path: Path, is_there: bool) -> None:
    root = tmp_path / "blobs"
    if is_there:
        root.mkdir()

    with pytest.raises(Unusable, match="mount the disk of storage local, or correct its path"):
        local_blobs(root, new=False)

    assert root.exists() == is_there
    assert not is_there or list(root.iterdir()) == []


def test_a_directory_in_use_is_no_new_root(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "thesis.odt").write_text("precious")

    with pytest.raises(Unusable, match="not empty; a new storage needs a directory of its own"):
        local_blobs(tmp_path / "blobs")


def test_a_fresh_disk_is_a_new_root(tmp_path: Path) -> None:
    (tmp_path / "blobs" / "lost+found").mkdir(parents=True)

    local_blobs(tmp_path / "blobs")


@pytest.mark.slow
def test_a_root_that_cannot_be_written_is_unusable_and_says_so(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", MIB, "ro") as disk,
        pytest.raises(Unusable, match=r"Read-only file system.*correct the storage's path"),
    ):
        local_blobs(disk)


def test_a_file_in_place_of_the_root_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file")

    for new in (True, False):
        with pytest.raises(Unusable, match="correct the storage's path"):
            local_blobs(tmp_path / "blobs", new=new)


def test_a_process_that_dies_while_it_marks_a_root_leaves_it_new_or_marked(tmp_path: Path) -> None:
    at = 1
    while died(at, partial(local_blobs, tmp_path / f"{at}")):
        local_blobs(tmp_path / f"{at}")
        at += 1

    assert at > 5


def test_a_missing_disk_is_not_taken_for_missing_blobs(local: LocalBlobs) -> None:
    """An unmounted disk leaves an empty directory."""
    data = sample(10)
    key = publish(local, data)
    with draft_of(local, data) as draft:
        sealed = draft.seal()
        local.root.rename(local.root.with_name("unmounted"))
        local.root.mkdir()
        verbs = (local.open, local.size, local.delete, lambda _: list(local.blobs()))

        for verb in (*verbs, lambda key: local.publish(key, sealed)):
            with pytest.raises(StorageUnavailable):
                verb(key)

    assert list(local.root.iterdir()) == []
    local.root.rmdir()
    local.root.with_name("unmounted").rename(local.root)
    assert read(local, key) == data


def test_a_disk_that_goes_while_it_is_listed_fails_the_listing(local: LocalBlobs) -> None:
    for n in range(5):
        publish(local, sample(n))

    listing = local.blobs()
    next(listing)
    (local.root / ".davstore-storage").unlink()

    with pytest.raises(StorageUnavailable, match="is its disk mounted"):
        list(listing)
