"""open(2): what it makes, what it refuses, and what its flags do."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.fuse.calls import content, create, opened, refused, tick


def test_a_new_file_is_empty_and_regular(mount: Path):
    create(mount / "f")

    status = os.stat(mount / "f")
    assert stat.S_ISREG(status.st_mode)
    assert (status.st_size, status.st_nlink) == (0, 1)


def test_a_new_file_belongs_to_its_maker(mount: Path):
    create(mount / "f")

    status = os.stat(mount / "f")
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.parametrize(("mode", "mask", "given"), [(0o666, 0o022, 0o644), (0o777, 0o077, 0o700), (0o640, 0, 0o640)])
def test_the_mode_of_a_new_file_is_what_was_asked_without_the_umask(mount: Path, mode: int, mask: int, given: int):
    os.umask(mask)

    create(mount / "f", mode=mode)

    assert stat.S_IMODE(os.stat(mount / "f").st_mode) == given


def test_the_maker_of_a_file_may_write_it_through_its_handle_whatever_its_mode(mount: Path):
    create(mount / "f", b"data", mode=0o400)

    assert content(str(mount / "f")) == b"data"


def test_o_creat_opens_a_file_that_is_there(mount: Path):
    create(mount / "f", b"there")

    with opened(mount / "f", os.O_RDWR | os.O_CREAT) as fd:
        assert os.read(fd, 10) == b"there"


def test_o_excl_refuses_a_file_that_is_there(mount: Path):
    create(mount / "f")

    with refused(errno.EEXIST):
        os.open(mount / "f", os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def test_o_excl_refuses_a_dangling_symlink(mount: Path):
    os.symlink("nowhere", mount / "link")

    with refused(errno.EEXIST):
        os.open(mount / "link", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    assert not (mount / "nowhere").exists()


def test_o_creat_through_a_dangling_symlink_makes_its_target(mount: Path):
    os.symlink("target", mount / "link")

    os.close(os.open(mount / "link", os.O_WRONLY | os.O_CREAT))

    assert (mount / "target").is_file()


def test_o_trunc_empties_the_file(mount: Path):
    create(mount / "f", b"something")

    os.close(os.open(mount / "f", os.O_WRONLY | os.O_TRUNC))

    assert os.stat(mount / "f").st_size == 0


def test_o_trunc_moves_the_time_of_the_content(mount: Path):
    create(mount / "f", b"something")
    before = os.stat(mount / "f").st_mtime_ns
    tick()

    os.close(os.open(mount / "f", os.O_WRONLY | os.O_TRUNC))

    assert os.stat(mount / "f").st_mtime_ns > before


def test_o_trunc_is_seen_by_a_handle_that_is_open(mount: Path):
    create(mount / "f", b"something")

    with opened(mount / "f") as reader:
        os.close(os.open(mount / "f", os.O_WRONLY | os.O_TRUNC))

        assert os.pread(reader, 10, 0) == b""
        assert os.fstat(reader).st_size == 0


def test_a_missing_file_cannot_be_opened(mount: Path):
    with refused(errno.ENOENT):
        os.open(mount / "nothing", os.O_RDONLY)


def test_a_missing_parent_is_told(mount: Path):
    with refused(errno.ENOENT):
        os.open(mount / "nothing" / "f", os.O_WRONLY | os.O_CREAT)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT])
def test_nothing_is_below_a_file(mount: Path, flags: int):
    create(mount / "f")

    with refused(errno.ENOTDIR):
        os.open(mount / "f" / "g", flags)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_CREAT])
def test_a_directory_is_not_opened_for_writing(mount: Path, flags: int):
    (mount / "d").mkdir()

    with refused(errno.EISDIR):
        os.open(mount / "d", flags)


def test_o_directory_refuses_a_file(mount: Path):
    create(mount / "f")

    with refused(errno.ENOTDIR):
        os.open(mount / "f", os.O_RDONLY | os.O_DIRECTORY)


def test_o_nofollow_refuses_a_symlink(mount: Path):
    create(mount / "f")
    os.symlink("f", mount / "link")

    with refused(errno.ELOOP):
        os.open(mount / "link", os.O_RDONLY | os.O_NOFOLLOW)


def test_a_circle_of_symlinks_is_told(mount: Path):
    os.symlink("b", mount / "a")
    os.symlink("a", mount / "b")

    with refused(errno.ELOOP):
        os.open(mount / "a", os.O_RDONLY)


def test_a_handle_for_reading_takes_no_writes(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f", os.O_RDONLY) as fd, refused(errno.EBADF):
        os.write(fd, b"x")


def test_a_handle_for_writing_gives_no_reads(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f", os.O_WRONLY) as fd, refused(errno.EBADF):
        os.read(fd, 1)


def test_a_directory_gives_no_bytes(mount: Path):
    with opened(mount, os.O_RDONLY) as fd, refused(errno.EISDIR):
        os.read(fd, 1)


def test_a_file_can_be_opened_for_direct_transfer(mount: Path):
    (mount / "f").write_bytes(b"x" * 8192)

    with opened(mount / "f", os.O_RDONLY | os.O_DIRECT) as fd:
        assert os.fstat(fd).st_size == 8192


def test_a_directory_can_be_synchronised(mount: Path):
    create(mount / "f")

    with opened(mount, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)


def test_files_can_be_opened_relative_to_a_directory(mount: Path):
    with opened(mount, os.O_RDONLY | os.O_DIRECTORY) as top:
        os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=top))

    assert (mount / "f").is_file()


def test_many_handles_of_one_file_are_open_at_once(mount: Path):
    (mount / "f").write_bytes(b"shared")

    handles = [os.open(mount / "f", os.O_RDWR) for _ in range(200)]

    assert {os.pread(fd, 10, 0) for fd in handles} == {b"shared"}
    for fd in handles:
        os.close(fd)
