"""Files so large that what is appended to them is written behind `write`'s back."""

import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fuse.calls import opened
from tests.parts.mount import Mount

MIB = 1 << 20
NEW = os.O_RDWR | os.O_CREAT
Start = Callable[..., Mount]


def appended(fd: int, data: bytes, block: int) -> None:
    for at in range(0, len(data), block):
        part = data[at : at + block]
        assert os.write(fd, part) == len(part)


@pytest.mark.parametrize("block", [64 << 10, MIB, 3 * MIB])
def test_a_large_file_is_read_after_mounting_again(start: Start, block: int):
    first, data = start("--bucket", "files"), os.urandom(20 * MIB + 12_345)
    with opened(first.point / "f", NEW) as fd:
        appended(fd, data, block)
    first.unmount()

    assert (start("--bucket", "files").point / "f").read_bytes() == data


def test_a_large_file_that_was_fsynced_is_there_after_a_kill(start: Start):
    first, data = start("--bucket", "files"), os.urandom(20 * MIB)
    fd = os.open(first.point / "f", NEW)
    appended(fd, data, MIB)
    os.fsync(fd)
    first.kill9()
    with suppress(OSError):
        os.close(fd)
    first.forget()

    assert (start("--bucket", "files").point / "f").read_bytes() == data


def test_a_large_file_is_changed_inside_while_it_is_appended_to(start: Start):
    first, image = start("--bucket", "files"), bytearray(os.urandom(24 * MIB))
    with opened(first.point / "f", NEW) as fd:
        appended(fd, bytes(image[: 20 * MIB]), MIB)
        os.pwrite(fd, b"x" * 5000, 19 * MIB + 7)
        assert os.lseek(fd, 0, os.SEEK_DATA) == 0
        os.lseek(fd, 0, os.SEEK_END)
        appended(fd, bytes(image[20 * MIB :]), MIB)
        with mmap.mmap(fd, 0) as memory:
            memory[18 * MIB : 18 * MIB + 3] = b"abc"
        os.truncate(fd, 23 * MIB + 1)
    image[19 * MIB + 7 : 19 * MIB + 5007] = b"x" * 5000
    image[18 * MIB : 18 * MIB + 3] = b"abc"
    del image[23 * MIB + 1 :]
    first.unmount()

    assert (start("--bucket", "files").point / "f").read_bytes() == image


def test_the_room_of_a_large_file_is_that_of_its_bytes(mount: Path):
    with opened(mount / "f", NEW) as fd:
        appended(fd, os.urandom(20 * MIB), MIB)
        os.fsync(fd)

        assert os.fstat(fd).st_blocks * 512 >= 20 * MIB
