"""What other users may: modes, owners, groups and sticky directories bind them, and not root."""

import errno
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.actor import Actor
from tests.fuse.calls import create, refused
from tests.fuse.conftest import NOBODY, STRANGER, TEAM

READ, WRITE = os.O_RDONLY, os.O_WRONLY


@pytest.fixture
def open_to_all(mount: Path) -> Path:
    mount.chmod(0o777)
    return mount


def owned(path: Path, uid: int, gid: int, mode: int) -> Path:
    create(path, b"data")
    os.chown(path, uid, gid)
    os.chmod(path, mode)
    return path


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_others_read_what_is_open_to_them(mount: Path, nobody: Actor, mode: int):
    owned(mount / "f", 0, 0, mode)

    assert nobody("content", "f") == b"data"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o662])
def test_others_do_not_read_what_is_closed_to_them(mount: Path, nobody: Actor, mode: int):
    owned(mount / "f", 0, 0, mode)

    with refused(errno.EACCES):
        nobody("open", "f", READ)


def test_others_do_not_write_what_they_may_only_read(mount: Path, nobody: Actor):
    owned(mount / "f", 0, 0, 0o644)

    for flags in (WRITE, os.O_RDWR, READ | os.O_TRUNC):
        with refused(errno.EACCES):
            nobody("open", "f", flags)
    with refused(errno.EACCES):
        nobody("truncate", "f", 0)
    assert (mount / "f").read_bytes() == b"data"


def test_others_write_what_is_open_to_them(mount: Path, nobody: Actor):
    owned(mount / "f", 0, 0, 0o646)

    nobody("write", "f", b"changed")

    assert (mount / "f").read_bytes() == b"changed"
    assert os.stat(mount / "f").st_uid == 0


def test_the_class_of_the_owner_binds_the_owner(mount: Path, nobody: Actor):
    owned(mount / "f", NOBODY, NOBODY, 0o077)

    with refused(errno.EACCES):
        nobody("open", "f", READ)


def test_the_class_of_the_group_binds_its_members(mount: Path, act_as: Callable[..., Actor]):
    owned(mount / "f", 0, TEAM, 0o604)

    with refused(errno.EACCES):
        act_as(STRANGER, STRANGER, TEAM)("open", "f", READ)


def test_a_member_of_the_group_has_its_rights(mount: Path, act_as: Callable[..., Actor]):
    owned(mount / "f", 0, TEAM, 0o660)

    act_as(STRANGER, STRANGER, TEAM)("write", "f", b"of the team")

    assert (mount / "f").read_bytes() == b"of the team"


def test_root_reads_and_writes_everything(mount: Path):
    owned(mount / "f", NOBODY, NOBODY, 0o000)

    (mount / "f").write_bytes(b"by root")

    assert (mount / "f").read_bytes() == b"by root"


def test_what_somebody_makes_is_theirs(open_to_all: Path, nobody: Actor):
    nobody("create", "f")
    nobody("mkdir", "d")
    nobody("symlink", "f", "link")

    owners = {(os.lstat(open_to_all / name).st_uid, os.lstat(open_to_all / name).st_gid) for name in ("f", "d", "link")}
    assert owners == {(NOBODY, NOBODY)}


@pytest.mark.parametrize(
    "words",
    [
        ("open", "new", WRITE | os.O_CREAT),
        ("mkdir", "new"),
        ("symlink", "x", "new"),
        ("link", "f", "new"),
        ("mkfifo", "new"),
        ("unlink", "f"),
        ("rmdir", "d"),
        ("rename", "f", "g"),
    ],
    ids=lambda words: str(words[0]),
)
def test_others_change_nothing_in_a_closed_directory(mount: Path, nobody: Actor, words: tuple[object, ...]):
    owned(mount / "f", NOBODY, NOBODY, 0o666)
    os.mkdir(mount / "d")

    with refused(errno.EACCES):
        nobody(str(words[0]), *words[1:])
    assert sorted(os.listdir(mount)) == ["d", "f"]


def test_nobody_passes_through_a_directory_without_the_right(mount: Path, nobody: Actor):
    os.mkdir(mount / "d")
    owned(mount / "d" / "f", 0, 0, 0o644)
    os.chmod(mount / "d", 0o744)

    with refused(errno.EACCES):
        nobody("stat", "d/f")
    assert nobody("listdir", "d") == ["f"]


def test_a_directory_is_passed_and_not_listed(mount: Path, nobody: Actor):
    os.mkdir(mount / "d")
    owned(mount / "d" / "f", 0, 0, 0o644)
    os.chmod(mount / "d", 0o711)

    assert nobody("content", "d/f") == b"data"
    with refused(errno.EACCES):
        nobody("listdir", "d")


def test_only_the_owner_changes_the_mode(mount: Path, nobody: Actor):
    owned(mount / "theirs", NOBODY, NOBODY, 0o644)
    owned(mount / "mine", 0, 0, 0o666)

    nobody("chmod", "theirs", 0o600)

    assert stat.S_IMODE(os.stat(mount / "theirs").st_mode) == 0o600
    with refused(errno.EPERM):
        nobody("chmod", "mine", 0o777)


def test_only_root_gives_files_away(mount: Path, nobody: Actor):
    owned(mount / "f", NOBODY, NOBODY, 0o644)

    with refused(errno.EPERM):
        nobody("chown", "f", STRANGER, -1)


def test_the_owner_chooses_among_their_groups(mount: Path, act_as: Callable[..., Actor]):
    stranger = act_as(STRANGER, STRANGER, TEAM)
    owned(mount / "f", STRANGER, STRANGER, 0o644)

    stranger("chown", "f", -1, TEAM)

    assert os.stat(mount / "f").st_gid == TEAM
    with refused(errno.EPERM):
        stranger("chown", "f", -1, NOBODY)


def test_a_stranger_to_the_group_does_not_set_its_bit(mount: Path, nobody: Actor):
    owned(mount / "f", NOBODY, TEAM, 0o755)

    nobody("chmod", "f", 0o2755)

    assert not os.stat(mount / "f").st_mode & stat.S_ISGID


def test_a_write_by_others_takes_the_bits_that_give_rights(mount: Path, nobody: Actor):
    owned(mount / "f", 0, 0, 0o6777)

    nobody("write", "f", b"changed")

    assert stat.S_IMODE(os.stat(mount / "f").st_mode) == 0o777


def test_who_may_write_may_set_the_times_to_now_and_to_nothing_else(mount: Path, nobody: Actor):
    owned(mount / "f", 0, 0, 0o666)

    nobody("utime", "f")

    with refused(errno.EPERM):
        nobody("utime", "f", (1, 2))


def test_who_may_not_write_does_not_set_the_times(mount: Path, nobody: Actor):
    owned(mount / "f", 0, 0, 0o644)

    with refused(errno.EACCES):
        nobody("utime", "f")


def test_the_owner_sets_any_time(mount: Path, nobody: Actor):
    owned(mount / "f", NOBODY, NOBODY, 0o444)

    nobody("utime", "f", (1, 2))

    assert os.stat(mount / "f").st_mtime == 2


@pytest.mark.parametrize("words", [("unlink", "f"), ("rename", "f", "g"), ("rename", "own", "f")], ids=" ".join)
def test_a_sticky_directory_keeps_what_is_not_yours(mount: Path, nobody: Actor, words: tuple[str, ...]):
    mount.chmod(0o1777)
    owned(mount / "f", STRANGER, STRANGER, 0o666)
    nobody("create", "own")

    with refused(errno.EPERM, errno.EACCES):
        nobody(*words)
    assert sorted(os.listdir(mount)) == ["f", "own"]


def test_a_sticky_directory_lets_owners_take_theirs(mount: Path, nobody: Actor):
    mount.chmod(0o1777)
    nobody("create", "f")

    nobody("rename", "f", "g")
    nobody("unlink", "g")

    assert os.listdir(mount) == []


def test_the_owner_of_a_sticky_directory_takes_everything(mount: Path, nobody: Actor):
    os.mkdir(mount / "d")
    owned(mount / "d" / "f", STRANGER, STRANGER, 0o600)
    os.chown(mount / "d", NOBODY, NOBODY)
    os.chmod(mount / "d", 0o1755)

    nobody("unlink", "d/f")

    assert os.listdir(mount / "d") == []


def test_access_answers_for_the_asking_user(mount: Path, nobody: Actor):
    owned(mount / "f", 0, 0, 0o604)

    answers = [nobody("access", "f", wanted) for wanted in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)]

    assert answers == [True, True, False, False]


def test_a_file_that_is_not_executable_does_not_run(mount: Path):
    create(mount / "program", b"#!/bin/sh\n", mode=0o644)

    with refused(errno.EACCES):
        subprocess.run([mount / "program"])


def test_a_directory_of_another_owner_does_not_move_without_the_right_to_write_it(mount: Path, nobody: Actor):
    """Its `..` would change (rename(2): EACCES)."""
    mount.chmod(0o777)
    for name in ("from", "to"):
        os.mkdir(mount / name)
        os.chmod(mount / name, 0o777)
    os.mkdir(mount / "from" / "d")

    with refused(errno.EACCES):
        nobody("rename", "from/d", "to/d")


def test_an_attribute_takes_the_right_to_write(mount: Path, nobody: Actor):
    owned(mount / "f", 0, 0, 0o644)

    with refused(errno.EACCES):
        nobody("setxattr", "f", "user.a", b"1")


def test_an_attribute_is_read_with_the_right_to_read(mount: Path, nobody: Actor):
    owned(mount / "f", 0, 0, 0o600)
    os.setxattr(mount / "f", "user.a", b"1")

    with refused(errno.EACCES):
        nobody("getxattr", "f", "user.a")
