"""unlink(2) and rmdir(2), with handles open and without; nothing of them is visible afterwards."""

import errno
import os
from pathlib import Path

import pytest

from tests.fuse.calls import create, opened, refused, tick


def test_an_unlinked_file_is_gone(mount: Path):
    create(mount / "f", b"data")

    os.unlink(mount / "f")

    assert os.listdir(mount) == []
    with refused(errno.ENOENT):
        os.stat(mount / "f")


def test_what_is_not_there_cannot_be_unlinked(mount: Path):
    with refused(errno.ENOENT):
        os.unlink(mount / "nothing")


def test_a_directory_is_not_unlinked(mount: Path):
    (mount / "d").mkdir()

    with refused(errno.EISDIR, errno.EPERM):
        os.unlink(mount / "d")


def test_an_unlinked_file_is_read_by_its_handle(mount: Path):
    create(mount / "f", b"data" * 100_000)

    with opened(mount / "f", os.O_RDONLY) as fd:
        os.unlink(mount / "f")

        assert os.pread(fd, 4, 399_996) == b"data"


def test_an_unlinked_file_is_written_by_its_handle(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        os.unlink(mount / "f")
        os.pwrite(fd, b"DA", 0)

        assert os.pread(fd, 10, 0) == b"DAta"


def test_an_unlinked_file_that_was_being_written_is_written_on(mount: Path):
    with opened(mount / "f", os.O_RDWR | os.O_CREAT) as fd:
        os.write(fd, b"one")
        os.unlink(mount / "f")
        os.write(fd, b" two")

        assert os.pread(fd, 10, 0) == b"one two"
    assert os.listdir(mount) == []


def test_an_unlinked_file_has_no_links(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        os.unlink(mount / "f")

        assert (os.fstat(fd).st_nlink, os.fstat(fd).st_size) == (0, 4)


def test_an_unlinked_file_is_truncated_by_its_handle(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        os.unlink(mount / "f")
        os.ftruncate(fd, 2)

        assert os.fstat(fd).st_size == 2
        assert os.pread(fd, 10, 0) == b"da"


def test_an_unlinked_file_changes_its_mode_by_its_handle(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        os.unlink(mount / "f")
        os.fchmod(fd, 0o600)

        assert os.fstat(fd).st_mode & 0o777 == 0o600


def test_an_unlinked_file_is_synchronised(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        os.unlink(mount / "f")
        os.write(fd, b"x")
        os.fsync(fd)

    assert os.listdir(mount) == []


def test_a_new_file_of_the_name_is_another(mount: Path):
    create(mount / "f", b"old")

    with opened(mount / "f") as fd:
        os.unlink(mount / "f")
        create(mount / "f", b"new")
        os.pwrite(fd, b"OLD", 0)

        assert os.fstat(fd).st_ino != os.stat(mount / "f").st_ino
    assert (mount / "f").read_bytes() == b"new"


def test_nothing_is_seen_of_an_unlinked_file_that_is_open(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f"):
        os.unlink(mount / "f")

        assert os.listdir(mount) == []
        assert not [name for name in os.listdir(mount.parent) if name.startswith(".fuse_hidden")]


def test_a_directory_is_removed_whose_unlinked_file_is_open(mount: Path):
    (mount / "d").mkdir()
    create(mount / "d" / "f", b"data")

    with opened(mount / "d" / "f") as fd:
        os.unlink(mount / "d" / "f")
        os.rmdir(mount / "d")
        os.write(fd, b"still")

        assert os.pread(fd, 10, 0) == b"still"
    assert os.listdir(mount) == []


def test_an_empty_directory_is_removed(mount: Path):
    (mount / "d").mkdir()

    os.rmdir(mount / "d")

    assert os.listdir(mount) == []


def test_a_directory_with_members_is_not_removed(mount: Path):
    (mount / "d" / "inner").mkdir(parents=True)

    with refused(errno.ENOTEMPTY, errno.EEXIST):
        os.rmdir(mount / "d")


def test_a_file_is_not_removed_as_a_directory(mount: Path):
    create(mount / "f")

    with refused(errno.ENOTDIR):
        os.rmdir(mount / "f")


def test_a_missing_directory_is_not_removed(mount: Path):
    with refused(errno.ENOENT):
        os.rmdir(mount / "nothing")


def test_a_symlink_is_not_removed_as_a_directory(mount: Path):
    (mount / "d").mkdir()
    os.symlink("d", mount / "link")

    with refused(errno.ENOTDIR):
        os.rmdir(mount / "link")


def test_dot_is_not_removed(mount: Path):
    (mount / "d").mkdir()

    with refused(errno.EINVAL):
        os.rmdir(f"{mount}/d/.")


def test_nothing_is_made_in_a_directory_that_is_removed(mount: Path):
    (mount / "d").mkdir()

    with opened(mount / "d", os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.rmdir(mount / "d")

        with refused(errno.ENOENT):
            os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
        assert os.listdir(fd) == []


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_removal_moves_the_times_of_the_directory(mount: Path, kind: str):
    create(mount / "f") if kind == "file" else (mount / "f").mkdir()
    before = os.stat(mount)
    tick()

    os.unlink(mount / "f") if kind == "file" else os.rmdir(mount / "f")

    after = os.stat(mount)
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ctime_ns > before.st_ctime_ns


def test_unlinking_one_of_two_names_moves_the_time_of_the_change(mount: Path):
    create(mount / "a")
    os.link(mount / "a", mount / "b")
    before = os.stat(mount / "b").st_ctime_ns
    tick()

    os.unlink(mount / "a")

    assert os.stat(mount / "b").st_ctime_ns > before
