"""Holes: made by writing beyond the end, by truncation and by fallocate(2), and found by lseek(2)."""

import errno
import os
from pathlib import Path

import pytest

from tests.fuse.calls import create, fallocate, opened, refused

MIB = 1 << 20
NEW = os.O_RDWR | os.O_CREAT


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


def test_less_than_nothing_is_not_reserved(mount: Path):
    with opened(mount / "f", NEW) as fd, refused(errno.EINVAL):
        fallocate(fd, 0, 0, 0)
