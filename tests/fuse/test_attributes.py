"""stat, chmod, chown, utimens, statfs."""

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from tests.fuse.calls import create, opened, refused, tick


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.mark.parametrize("wanted", [0o000, 0o400, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1644])
def test_a_file_has_the_mode_it_was_given(mount: Path, wanted: int):
    create(mount / "f")

    os.chmod(mount / "f", wanted)

    assert mode(mount / "f") == wanted


@pytest.mark.parametrize("wanted", [0o000, 0o755, 0o1777, 0o2775])
def test_a_directory_has_the_mode_it_was_given(mount: Path, wanted: int):
    os.mkdir(mount / "d")

    os.chmod(mount / "d", wanted)

    assert mode(mount / "d") == wanted


def test_a_handle_changes_the_mode(mount: Path):
    with opened(mount / "f", os.O_RDWR | os.O_CREAT) as fd:
        os.fchmod(fd, 0o600)

        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    assert mode(mount / "f") == 0o600


def test_the_mode_of_an_unfinished_file_stays_when_it_is_closed(mount: Path):
    with opened(mount / "f", os.O_RDWR | os.O_CREAT) as fd:
        os.write(fd, b"data")
        os.chmod(mount / "f", 0o640)

    assert mode(mount / "f") == 0o640


def test_a_change_of_mode_moves_only_the_time_of_the_change(mount: Path):
    create(mount / "f", b"data")
    before = os.stat(mount / "f")
    tick()

    os.chmod(mount / "f", 0o600)

    after = os.stat(mount / "f")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == before.st_mtime_ns


def test_the_mode_goes_through_a_symlink(mount: Path):
    create(mount / "f")
    os.symlink("f", mount / "link")

    os.chmod(mount / "link", 0o600)

    assert mode(mount / "f") == 0o600
    assert mode(mount / "link") == 0o777


def test_what_is_not_there_has_no_mode(mount: Path):
    with refused(errno.ENOENT):
        os.chmod(mount / "nothing", 0o600)


def test_a_file_has_the_owner_it_was_given(mount: Path):
    create(mount / "f")

    os.chown(mount / "f", 4242, 4300)

    assert (os.stat(mount / "f").st_uid, os.stat(mount / "f").st_gid) == (4242, 4300)


@pytest.mark.parametrize(("asked", "given"), [((-1, 4300), (0, 4300)), ((4242, -1), (4242, 0)), ((-1, -1), (0, 0))])
def test_minus_one_leaves_an_owner_as_it_is(mount: Path, asked: tuple[int, int], given: tuple[int, int]):
    create(mount / "f")

    os.chown(mount / "f", *asked)

    assert (os.stat(mount / "f").st_uid, os.stat(mount / "f").st_gid) == given


def test_numbers_of_users_are_large(mount: Path):
    create(mount / "f")

    os.chown(mount / "f", 4_000_000_000, 4_000_000_001)

    assert (os.stat(mount / "f").st_uid, os.stat(mount / "f").st_gid) == (4_000_000_000, 4_000_000_001)


def test_a_new_owner_of_a_program_loses_the_bits_that_give_rights(mount: Path):
    create(mount / "f")
    os.chmod(mount / "f", 0o6755)

    os.chown(mount / "f", 4242, 4300)

    assert mode(mount / "f") == 0o755


def test_a_handle_changes_the_owner(mount: Path):
    with opened(mount / "f", os.O_RDWR | os.O_CREAT) as fd:
        os.fchown(fd, 4242, 4300)

        assert (os.fstat(fd).st_uid, os.fstat(fd).st_gid) == (4242, 4300)


def test_a_change_of_owner_moves_only_the_time_of_the_change(mount: Path):
    create(mount / "f", b"data")
    before = os.stat(mount / "f")
    tick()

    os.chown(mount / "f", 4242, -1)

    after = os.stat(mount / "f")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    "when",
    [1, 999_999_999, 1_700_000_000_123_456_789, -1, -86_400_000_000_001, 4_102_444_800_000_000_003, 0],
    ids=["1ns", "almost-1s", "2023", "before-1970", "day-before-1970", "2100", "epoch"],
)
def test_times_are_kept_to_the_nanosecond(mount: Path, when: int):
    create(mount / "f")

    os.utime(mount / "f", ns=(when, when))

    assert os.stat(mount / "f").st_mtime_ns == when


def test_the_times_of_a_directory_are_kept(mount: Path):
    os.mkdir(mount / "d")

    os.utime(mount / "d", ns=(5, 7))

    assert os.stat(mount / "d").st_mtime_ns == 7


def test_a_time_that_was_given_stays_when_the_file_is_closed(mount: Path):
    with opened(mount / "f", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"data")
        os.utime(fd, ns=(5, 7))

    assert os.stat(mount / "f").st_mtime_ns == 7


def test_both_times_of_what_is_being_written_are_told_at_once_and_stay(mount: Path):
    create(mount / "f", b"before")
    before = os.stat(mount / "f").st_ctime_ns
    tick()

    with opened(mount / "f", os.O_WRONLY) as fd:
        os.write(fd, b"data")
        os.utime(mount / "f", ns=(5, 7))
        while_open = os.fstat(fd)

    after = os.stat(mount / "f")
    assert (while_open.st_atime_ns, while_open.st_mtime_ns) == (after.st_atime_ns, after.st_mtime_ns) == (5, 7)
    assert before < while_open.st_ctime_ns <= after.st_ctime_ns
    assert (mount / "f").read_bytes() == b"datare"


def test_a_time_of_the_content_alone_leaves_that_of_reading(mount: Path):
    create(mount / "f", b"before")
    os.utime(mount / "f", ns=(5, 7))

    with opened(mount / "f", os.O_WRONLY) as fd:
        os.write(fd, b"data")
        os.utime(fd, ns=(5, 11))
        os.fsync(fd)
        os.utime(fd, ns=(13, 17))

    assert (os.stat(mount / "f").st_atime_ns, os.stat(mount / "f").st_mtime_ns) == (13, 17)


def test_a_write_after_a_time_was_given_moves_it(mount: Path):
    with opened(mount / "f", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"data")
        os.utime(fd, ns=(5, 7))
        os.write(fd, b"more")

    assert os.stat(mount / "f").st_mtime_ns > 7


def test_no_time_means_now(mount: Path):
    create(mount / "f")
    os.utime(mount / "f", ns=(5, 7))

    os.utime(mount / "f")

    assert abs(os.stat(mount / "f").st_mtime - time.time()) < 60


def test_giving_times_moves_the_time_of_the_change(mount: Path):
    create(mount / "f")
    before = os.stat(mount / "f").st_ctime_ns
    tick()

    os.utime(mount / "f", ns=(5, 7))

    assert os.stat(mount / "f").st_ctime_ns > before


def test_reading_does_not_move_the_time_of_the_content(mount: Path):
    create(mount / "f", b"data")
    before = os.stat(mount / "f").st_mtime_ns
    tick()

    (mount / "f").read_bytes()

    assert os.stat(mount / "f").st_mtime_ns == before


def test_opening_for_writing_alone_does_not_move_the_time_of_the_content(mount: Path):
    create(mount / "f", b"data")
    before = os.stat(mount / "f").st_mtime_ns
    tick()

    os.close(os.open(mount / "f", os.O_RDWR))

    assert os.stat(mount / "f").st_mtime_ns == before


def test_a_new_file_was_modified_now(mount: Path):
    create(mount / "f", b"data")

    assert abs(os.stat(mount / "f").st_mtime - time.time()) < 60


def test_an_inode_does_not_change(mount: Path):
    create(mount / "f", b"data")
    before = os.stat(mount / "f").st_ino

    (mount / "f").write_bytes(b"other")
    os.chmod(mount / "f", 0o600)

    assert os.stat(mount / "f").st_ino == before


def test_files_have_different_inodes(mount: Path):
    for n in range(20):
        create(mount / str(n), b"same")

    assert len({os.stat(mount / str(n)).st_ino for n in range(20)}) == 20


def test_all_of_a_mount_is_one_device(mount: Path):
    os.mkdir(mount / "d")
    create(mount / "d" / "f")

    assert len({os.stat(path).st_dev for path in (mount, mount / "d", mount / "d" / "f")}) == 1


def test_blocks_are_as_many_as_the_bytes_need(mount: Path):
    create(mount / "f", b"x" * 1_000_000)
    with opened(mount / "f", os.O_RDWR) as fd:
        os.fsync(fd)

    assert 1_000_000 <= os.stat(mount / "f").st_blocks * 512 <= 1_100_000


def test_the_file_system_says_what_room_there_is(mount: Path):
    told = os.statvfs(mount)

    assert told.f_namemax == 255
    assert told.f_frsize > 0
    assert 0 < told.f_bavail <= told.f_bfree <= told.f_blocks
