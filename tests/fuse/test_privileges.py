"""A program that runs as its owner or group does so no longer once others may have changed it, as on Linux's own file
systems: the bits go when it gets another owner, and when somebody without the privilege to keep them writes it."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.actor import Actor
from tests.fuse.calls import create, opened
from tests.fuse.conftest import NOBODY
from tests.parts.mount import Mount

PROGRAM = b"#!/bin/sh\n"
KEPT = {0o4777: 0o777, 0o2777: 0o777, 0o6777: 0o777, 0o4767: 0o767, 0o1777: 0o1777, 0o666: 0o666}
"""Permissions, and what is left of them after somebody else wrote."""
Way = Callable[[Actor], object]


def program(path: Path, mode: int) -> Path:
    create(path, PROGRAM)
    os.chmod(path, mode)
    return path


def mode(path: Path) -> int:
    return os.stat(path).st_mode & 0o7777


def written(by: Actor) -> None:
    fd = by("open", "f", os.O_WRONLY)
    by("pwrite", fd, b"x", 0)
    by("close", fd)


def appended(by: Actor) -> None:
    fd = by("open", "f", os.O_WRONLY | os.O_APPEND)
    by("pwrite", fd, b"x", 0)
    by("close", fd)


def emptied(by: Actor) -> None:
    by("close", by("open", "f", os.O_WRONLY | os.O_TRUNC))


def made_anew(by: Actor) -> None:
    by("close", by("open", "f", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))


def cut(by: Actor) -> None:
    by("truncate", "f", 3)


def cut_open(by: Actor) -> None:
    fd = by("open", "f", os.O_RDWR)
    by("ftruncate", fd, 3)
    by("close", fd)


def allocated(by: Actor) -> None:
    fd = by("open", "f", os.O_RDWR)
    by("posix_fallocate", fd, 0, 8192)
    by("close", fd)


def copied_into(by: Actor) -> None:
    source, target = by("open", "source", os.O_RDONLY), by("open", "f", os.O_WRONLY)
    by("copy_file_range", source, target, len(PROGRAM))
    by("close", source)
    by("close", target)


WAYS: list[Way] = [written, appended, emptied, made_anew, cut, cut_open, allocated, copied_into]


@pytest.mark.parametrize(("before", "after"), KEPT.items(), ids=[f"{bits:04o}" for bits in KEPT])
@pytest.mark.parametrize("way", WAYS)
def test_somebody_elses_change_takes_the_bits_away(mount: Path, nobody: Actor, way: Way, before: int, after: int):
    create(mount / "source", PROGRAM)
    program(mount / "f", before)

    way(nobody)

    assert mode(mount / "f") == after


@pytest.mark.parametrize("way", WAYS)
def test_root_changes_a_program_and_its_bits_stay(mount: Path, other: Actor, way: Way):
    create(mount / "source", PROGRAM)
    program(mount / "f", 0o6777)

    way(other)

    assert mode(mount / "f") == 0o6777


def test_the_owner_loses_the_bits_as_well(mount: Path, nobody: Actor):
    os.chown(program(mount / "f", 0o755), NOBODY, NOBODY)
    os.chmod(mount / "f", 0o6755)

    written(nobody)

    assert mode(mount / "f") == 0o755


def test_a_write_that_changes_nothing_takes_nothing(mount: Path, nobody: Actor):
    program(mount / "f", 0o6777)

    fd = nobody("open", "f", os.O_RDWR)
    nobody("pwrite", fd, b"", 0)
    nobody("read", fd, 3)
    nobody("close", fd)

    assert mode(mount / "f") == 0o6777


@pytest.mark.parametrize(("before", "after"), [(0o6755, 0o755), (0o4711, 0o711), (0o2745, 0o2745), (0o1755, 0o1755)])
def test_a_new_owner_or_group_takes_them_even_when_root_gives_it(mount: Path, before: int, after: int):
    program(mount / "f", before)

    os.chown(mount / "f", 4242, -1)

    assert mode(mount / "f") == after


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK])
def test_a_new_owner_takes_them_of_all_but_directories(mount: Path, kind: int):
    os.mknod(mount / "special", kind | 0o600, os.makedev(1, 3))
    os.chmod(mount / "special", 0o6755)

    os.chown(mount / "special", -1, 4300)

    assert os.stat(mount / "special").st_mode == kind | 0o755


def test_a_directory_keeps_its_group_bit(mount: Path):
    os.mkdir(mount / "d")
    os.chmod(mount / "d", 0o2775)

    os.chown(mount / "d", 4242, 4300)

    assert mode(mount / "d") == 0o2775


def test_bits_that_are_given_while_others_have_it_open_go_with_their_next_write(mount: Path, nobody: Actor):
    program(mount / "f", 0o777)
    fd = nobody("open", "f", os.O_WRONLY)
    nobody("pwrite", fd, b"x", 0)
    os.chmod(mount / "f", 0o4777)

    nobody("pwrite", fd, b"y", 0)

    assert mode(mount / "f") == 0o777
    nobody("close", fd)


def test_what_the_kernel_remembers_of_a_program_is_right_at_once(start: Callable[..., Mount]):
    mount = start("--bucket", "files", "--allow-other", "--attr-timeout", "60")
    path = program(mount.point / "f", 0o4777)
    assert mode(path) == 0o4777

    with Actor(mount.point, NOBODY, NOBODY) as nobody:
        written(nobody)

    assert mode(path) == 0o777


def test_of_the_privileges_of_a_file_the_mount_is_not_asked_before_each_write(start: Callable[..., Mount]):
    mount = start("--bucket", "files", "--attr-timeout", "60")
    writes = 300

    def requests() -> int:
        """And what the mount reads besides."""
        return int(Path(f"/proc/{mount.pid}/io").read_text().split("syscr:")[1].split()[0])

    with opened(mount.point / "f", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, bytes(4096))
        before = requests()
        for _ in range(writes):
            os.write(fd, bytes(4096))
        asked = requests() - before

    assert writes <= asked < writes * 1.5
