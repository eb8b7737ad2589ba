"""System calls that Python has no name for, and short ways to make and see files."""

import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AT_FDCWD = -100
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
TICK = 0.02
"""Longer than the coarsest clock that a file system takes its times from."""

libc = ctypes.CDLL(None, use_errno=True)


def renameat2(source: str | Path, target: str | Path, flags: int) -> None:
    _checked(libc.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags))


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    _checked(libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def lock(path: str, kind: int, start: int, length: int) -> int:
    """Takes a POSIX record lock or raises at once; the descriptor stays open."""
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.lockf(fd, kind | fcntl.LOCK_NB, length, start)
    except OSError:
        os.close(fd)
        raise
    return fd


def flock(path: str, kind: int) -> int:
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def content(path: str) -> bytes:
    return Path(path).read_bytes()


def write(path: str, data: bytes) -> int:
    return Path(path).write_bytes(data)


def create(path: str | Path, data: bytes | bytearray = b"", mode: int = 0o644) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        assert os.write(fd, data) == len(data)
    finally:
        os.close(fd)


@contextmanager
def opened(path: str | Path, flags: int = os.O_RDWR, mode: int = 0o644) -> Iterator[int]:
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def refused(*numbers: int) -> Iterator[None]:
    """The call fails with one of these error numbers."""
    told = "nothing"
    try:
        yield
    except OSError as error:
        told = errno.errorcode[error.errno or 0]
    assert told in {errno.errorcode[number] for number in numbers}


def tick() -> None:
    time.sleep(TICK)


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
