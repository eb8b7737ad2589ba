"""Holes: made by writing beyond the end, by truncation and by fallocate(2), and found by lseek(2)."""

import errno
import os
from pathlib import Path

import pytest

from tests.fuse.calls import KEEP_SIZE, PUNCH_HOLE, create, fallocate, opened, refused

MIB = 1 << 20
NEW = os.O_RDWR | os.O_CREAT


def test_a_file_of_zeros_is_as_large_as_told_and_takes_no_room(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.ftruncate(fd, 64 * MIB)

        assert os.fstat(fd).st_size == 64 * MIB
        assert os.fstat(fd).st_blocks * 512 < MIB


def test_a_write_beyond_the_end_leaves_zeros_before_it(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.pwrite(fd, b"end", 10_000)

    assert (mount / "f").read_bytes() == bytes(10_000) + b"end"


def test_a_hole_is_found_and_the_data_after_it(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.pwrite(fd, b"x" * 4096, 0)
        os.pwrite(fd, b"y" * 4096, 4 * MIB)

        assert 0 < os.lseek(fd, 0, os.SEEK_HOLE) <= 4 * MIB or os.lseek(fd, 0, os.SEEK_HOLE) == 4 * MIB + 4096
        assert 4096 <= os.lseek(fd, 4096, os.SEEK_DATA) <= 4 * MIB


def test_the_last_hole_is_the_end(mount: Path):
    create(mount / "f", b"x" * 10)

    with opened(mount / "f") as fd:
        assert os.lseek(fd, 0, os.SEEK_HOLE) == 10


def test_data_begins_where_there_is_some(mount: Path):
    create(mount / "f", b"x" * 10)

    with opened(mount / "f") as fd:
        assert os.lseek(fd, 3, os.SEEK_DATA) == 3


@pytest.mark.parametrize("whence", [os.SEEK_HOLE, os.SEEK_DATA])
def test_nothing_is_found_beyond_the_end(mount: Path, whence: int):
    create(mount / "f", b"x" * 10)

    with opened(mount / "f") as fd, refused(errno.ENXIO):
        os.lseek(fd, 20, whence)


def test_room_is_reserved_and_the_file_is_longer(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"data")
        fallocate(fd, 0, 0, 100_000)

    assert (mount / "f").read_bytes() == b"data" + bytes(99_996)


def test_room_is_reserved_and_the_size_is_kept(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"data")
        fallocate(fd, KEEP_SIZE, 0, 100_000)

    assert (mount / "f").read_bytes() == b"data"


@pytest.mark.parametrize("mode", [0, KEEP_SIZE])
def test_what_is_reserved_is_taken_from_the_disk(mount: Path, mode: int):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"data")
        fallocate(fd, mode, 0, 8 * MIB)

        assert os.fstat(fd).st_blocks * 512 >= 8 * MIB
        assert os.fstat(fd).st_size == (4 if mode == KEEP_SIZE else 8 * MIB)


def test_room_that_was_reserved_and_not_used_is_given_back(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"x" * MIB)
        fallocate(fd, KEEP_SIZE, 0, 8 * MIB)

    assert (mount / "f").read_bytes() == b"x" * MIB
    assert os.stat(mount / "f").st_blocks * 512 < 2 * MIB


def test_more_is_reserved_than_the_disk_has(mount: Path):
    """And nothing is taken of what it has."""
    with opened(mount / "f", NEW) as fd:
        with refused(errno.ENOSPC):
            fallocate(fd, 0, 0, 1 << 43)
        assert os.stat(mount / "f").st_blocks == 0


@pytest.mark.parametrize("size", [1 << 60, (1 << 44) + 1])
def test_no_file_is_larger_than_files_can_be(mount: Path, size: int):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"data")
        for act in (
            lambda: os.ftruncate(fd, size),
            lambda: os.pwrite(fd, b"x", size),
            lambda: os.pwrite(fd, b"x", 1 << 62),
        ):
            with refused(errno.EFBIG):
                act()
        with refused(errno.EFBIG):
            os.truncate(mount / "f", size)

    assert (mount / "f").read_bytes() == b"data"


def test_a_file_of_data_and_holes_is_the_same_bytes_to_all(mount: Path):
    with opened(mount / "f", NEW) as fd:
        for at in (0, 5 * MIB + 17, 5 * MIB + 40, 9 * MIB):
            os.pwrite(fd, os.urandom(5000), at)
        os.ftruncate(fd, 12 * MIB + 3)
        expected = os.pread(fd, 13 * MIB, 0)

    content = (mount / "f").read_bytes()
    assert content == expected
    (mount / "g").write_bytes(content)
    assert (mount / "g").read_bytes() == expected


def test_a_hole_is_punched(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"x" * 100_000)
        fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 8192, 16_384)

    assert (mount / "f").read_bytes() == b"x" * 8192 + bytes(16_384) + b"x" * (100_000 - 8192 - 16_384)


def test_less_than_nothing_is_not_reserved(mount: Path):
    with opened(mount / "f", NEW) as fd, refused(errno.EINVAL):
        fallocate(fd, 0, 0, 0)
