"""Advisory locks: between processes of one machine. (Those of WebDAV are others.)"""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from tests.fuse.actor import Actor
from tests.fuse.calls import create, flock, lock, opened, refused


@pytest.fixture
def file(mount: Path) -> str:
    create(mount / "f", bytes(100))
    return str(mount / "f")


def test_a_lock_keeps_another_process_out(file: str, other: Actor):
    fd = lock(file, fcntl.LOCK_EX, 0, 0)

    with refused(errno.EAGAIN, errno.EACCES):
        other("lock", "f", fcntl.LOCK_EX, 0, 0)
    os.close(fd)


def test_a_lock_ends_with_its_handle(file: str, other: Actor):
    os.close(lock(file, fcntl.LOCK_EX, 0, 0))

    fd = other("lock", "f", fcntl.LOCK_EX, 0, 0)
    other("close", fd)


def test_closing_any_handle_of_the_file_ends_the_lock_of_the_process(file: str, other: Actor):
    fd = lock(file, fcntl.LOCK_EX, 0, 0)
    os.close(os.open(file, os.O_RDONLY))

    other("close", other("lock", "f", fcntl.LOCK_EX, 0, 0))
    os.close(fd)


def test_parts_are_locked_apart_from_each_other(file: str, other: Actor):
    fd = lock(file, fcntl.LOCK_EX, 0, 10)

    theirs = other("lock", "f", fcntl.LOCK_EX, 10, 10)
    with refused(errno.EAGAIN, errno.EACCES):
        other("lock", "f", fcntl.LOCK_EX, 9, 1)

    other("close", theirs)
    os.close(fd)


def test_locks_for_reading_go_together(file: str, other: Actor):
    fd = lock(file, fcntl.LOCK_SH, 0, 0)

    theirs = other("lock", "f", fcntl.LOCK_SH, 0, 0)
    with refused(errno.EAGAIN, errno.EACCES):
        other("lock", "f", fcntl.LOCK_EX, 0, 0)

    other("close", theirs)
    os.close(fd)


def test_a_lock_may_lie_beyond_the_end(file: str, other: Actor):
    fd = lock(file, fcntl.LOCK_EX, 1 << 40, 1)

    with refused(errno.EAGAIN, errno.EACCES):
        other("lock", "f", fcntl.LOCK_EX, 1 << 40, 1)
    os.close(fd)


def test_a_whole_file_is_locked(file: str, other: Actor):
    fd = flock(file, fcntl.LOCK_EX)

    with refused(errno.EAGAIN):
        other("flock", "f", fcntl.LOCK_EX)
    os.close(fd)


def test_two_handles_of_one_process_lock_the_whole_file_apart(file: str):
    fd = flock(file, fcntl.LOCK_EX)

    with refused(errno.EAGAIN):
        flock(file, fcntl.LOCK_SH)
    os.close(fd)


def test_a_lock_of_the_whole_file_is_given_back(file: str, other: Actor):
    fd = flock(file, fcntl.LOCK_EX)

    fcntl.flock(fd, fcntl.LOCK_UN)

    other("close", other("flock", "f", fcntl.LOCK_EX))
    os.close(fd)


def test_locks_do_not_bind_who_does_not_ask(file: str, other: Actor):
    fd = lock(file, fcntl.LOCK_EX, 0, 0)

    other("write", "f", b"written all the same")

    assert Path(file).read_bytes() == b"written all the same"
    os.close(fd)


def test_a_lock_on_an_unfinished_file_holds(mount: Path, other: Actor):
    with opened(mount / "f", os.O_RDWR | os.O_CREAT) as fd:
        os.write(fd, b"data")
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

        with refused(errno.EAGAIN, errno.EACCES):
            other("lock", "f", fcntl.LOCK_EX, 0, 0)


def test_a_lock_file_is_made_by_one_only(mount: Path, other: Actor):
    create(mount / "index.lock")

    with refused(errno.EEXIST):
        other("create", "index.lock")
