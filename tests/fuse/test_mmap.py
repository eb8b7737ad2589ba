"""Files as memory."""

import mmap
import os
from pathlib import Path

import pytest

from tests.fuse.actor import Actor
from tests.fuse.calls import create, opened

PAGE = mmap.PAGESIZE


def test_memory_shows_the_bytes(mount: Path):
    data = os.urandom(3 * PAGE + 100)
    create(mount / "f", data)

    with opened(mount / "f", os.O_RDONLY) as fd, mmap.mmap(fd, 0, prot=mmap.PROT_READ) as memory:
        assert memory[:] == data


def test_shared_memory_is_written_to_the_file(mount: Path):
    create(mount / "f", bytes(2 * PAGE))

    with opened(mount / "f") as fd, mmap.mmap(fd, 0) as memory:
        memory[PAGE - 2 : PAGE + 2] = b"here"
        memory.flush()

    assert (mount / "f").read_bytes() == bytes(PAGE - 2) + b"here" + bytes(PAGE - 2)


def test_shared_memory_is_written_when_it_is_let_go(mount: Path):
    create(mount / "f", bytes(PAGE))

    with opened(mount / "f") as fd:
        memory = mmap.mmap(fd, 0)
    memory[:4] = b"late"
    memory.close()

    assert (mount / "f").read_bytes()[:4] == b"late"


def test_shared_memory_is_read_by_others_at_once(mount: Path, other: Actor):
    create(mount / "f", bytes(PAGE))

    with opened(mount / "f") as fd, mmap.mmap(fd, 0) as memory:
        memory[:4] = b"seen"

        assert other("content", "f")[:4] == b"seen"


def test_memory_shows_what_is_written_to_the_file(mount: Path):
    create(mount / "f", bytes(PAGE))

    with opened(mount / "f") as fd, mmap.mmap(fd, 0) as memory:
        os.pwrite(fd, b"written", 10)

        assert memory[10:17] == b"written"


def test_private_memory_leaves_the_file_as_it_is(mount: Path):
    create(mount / "f", bytes(PAGE))

    with opened(mount / "f") as fd, mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE) as memory:
        memory[:4] = b"mine"

    assert (mount / "f").read_bytes() == bytes(PAGE)


def test_memory_of_an_unlinked_file_stays(mount: Path):
    create(mount / "f", b"x" * 3 * PAGE)

    with opened(mount / "f") as fd:
        memory = mmap.mmap(fd, 0)
    os.unlink(mount / "f")
    memory[:4] = b"gone"

    assert memory[:6] == b"gonexx"
    assert memory[2 * PAGE :] == b"x" * PAGE
    memory.close()


def test_the_end_of_a_lengthened_file_is_memory_too(mount: Path):
    create(mount / "f", b"x")

    with opened(mount / "f") as fd:
        os.ftruncate(fd, 2 * PAGE)
        with mmap.mmap(fd, 0) as memory:
            assert memory[:] == b"x" + bytes(2 * PAGE - 1)
            memory[-1] = 1

    assert (mount / "f").read_bytes()[-1] == 1


def test_writing_through_memory_moves_the_time_of_the_content(mount: Path):
    create(mount / "f", bytes(PAGE))
    os.utime(mount / "f", (1, 1))

    with opened(mount / "f") as fd, mmap.mmap(fd, 0) as memory:
        memory[:4] = b"data"
        memory.flush()

    assert os.stat(mount / "f").st_mtime > 1


@pytest.mark.parametrize("size", [1, PAGE, 40 * PAGE + 7])
def test_two_memories_of_one_file_are_one(mount: Path, size: int):
    create(mount / "f", bytes(size))

    with (
        opened(mount / "f") as first,
        opened(mount / "f") as second,
        mmap.mmap(first, 0) as one,
        mmap.mmap(second, 0) as two,
    ):
        one[size - 1] = 7

        assert two[size - 1] == 7
