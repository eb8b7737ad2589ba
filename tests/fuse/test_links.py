"""link, symlink, readlink, unlink, mknod."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from tests.fuse.calls import create, opened, refused, tick


def test_a_link_is_the_same_file(mount: Path):
    create(mount / "a", b"data")

    os.link(mount / "a", mount / "b")

    assert os.stat(mount / "a").st_ino == os.stat(mount / "b").st_ino
    assert (mount / "b").read_bytes() == b"data"


def test_links_are_counted(mount: Path):
    create(mount / "a")
    os.link(mount / "a", mount / "b")
    os.link(mount / "a", mount / "c")

    counted = os.stat(mount / "b").st_nlink
    os.unlink(mount / "a")

    assert (counted, os.stat(mount / "b").st_nlink) == (3, 2)


def test_a_write_through_one_name_is_read_through_the_other(mount: Path):
    create(mount / "a", b"old")
    os.link(mount / "a", mount / "b")

    (mount / "b").write_bytes(b"new")

    assert (mount / "a").read_bytes() == b"new"
    assert os.stat(mount / "a").st_size == 3


def test_attributes_are_shared_by_all_names(mount: Path):
    create(mount / "a")
    os.link(mount / "a", mount / "b")

    os.chmod(mount / "b", 0o600)
    os.utime(mount / "b", (1, 2))

    assert stat.S_IMODE(os.stat(mount / "a").st_mode) == 0o600
    assert os.stat(mount / "a").st_mtime == 2


def test_a_file_stays_until_its_last_name_is_gone(mount: Path):
    create(mount / "a", b"data")
    os.link(mount / "a", mount / "b")

    os.unlink(mount / "a")

    assert (mount / "b").read_bytes() == b"data"


def test_a_link_to_an_unfinished_file_shares_what_follows(mount: Path):
    with opened(mount / "a", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"one")
        os.link(mount / "a", mount / "b")
        os.write(fd, b" two")

    assert (mount / "b").read_bytes() == b"one two"


def test_a_link_moves_the_time_of_the_change(mount: Path):
    create(mount / "a")
    before = os.stat(mount / "a")
    tick()

    os.link(mount / "a", mount / "b")

    after = os.stat(mount / "a")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == before.st_mtime_ns


def test_a_link_in_another_directory(mount: Path):
    (mount / "d").mkdir()
    create(mount / "a", b"data")

    os.link(mount / "a", mount / "d" / "b")

    assert (mount / "d" / "b").read_bytes() == b"data"


def test_a_link_does_not_replace(mount: Path):
    create(mount / "a")
    create(mount / "b")

    with refused(errno.EEXIST):
        os.link(mount / "a", mount / "b")


def test_a_directory_takes_no_second_name(mount: Path):
    (mount / "d").mkdir()

    with refused(errno.EPERM):
        os.link(mount / "d", mount / "e")


def test_nothing_takes_no_second_name(mount: Path):
    with refused(errno.ENOENT):
        os.link(mount / "nothing", mount / "b")


def test_a_symlink_takes_a_second_name(mount: Path):
    os.symlink("anywhere", mount / "a")

    os.link(mount / "a", mount / "b", follow_symlinks=False)

    assert os.readlink(mount / "b") == "anywhere"
    assert os.lstat(mount / "a").st_nlink == 2


@pytest.mark.parametrize("target", ["f", "d/../f", "/absolute/and/elsewhere", "nowhere", "caf\u00e9 \n%", "x" * 1000])
def test_a_symlink_says_what_it_was_told(mount: Path, target: str):
    os.symlink(target, mount / "link")

    assert os.readlink(mount / "link") == target
    assert os.lstat(mount / "link").st_size == len(os.fsencode(target))


def test_a_symlink_is_one(mount: Path):
    os.symlink("f", mount / "link")

    assert stat.S_ISLNK(os.lstat(mount / "link").st_mode)


def test_a_symlink_is_followed(mount: Path):
    create(mount / "f", b"data")
    os.symlink("f", mount / "link")

    assert (mount / "link").read_bytes() == b"data"


def test_a_symlink_to_a_directory_is_followed(mount: Path):
    (mount / "d").mkdir()
    create(mount / "d" / "f", b"data")
    os.symlink("d", mount / "link")

    assert (mount / "link" / "f").read_bytes() == b"data"


def test_a_write_through_a_symlink_changes_its_target(mount: Path):
    create(mount / "f", b"old")
    os.symlink("f", mount / "link")

    (mount / "link").write_bytes(b"new")

    assert (mount / "f").read_bytes() == b"new"
    assert (mount / "link").is_symlink()


def test_a_symlink_does_not_replace(mount: Path):
    create(mount / "f")

    with refused(errno.EEXIST):
        os.symlink("anything", mount / "f")


def test_a_symlink_to_nothing_is_refused(mount: Path):
    with refused(errno.ENOENT):
        os.symlink("", mount / "link")


def test_only_symlinks_are_read_as_such(mount: Path):
    create(mount / "f")

    with refused(errno.EINVAL):
        os.readlink(mount / "f")


def test_unlink_takes_the_symlink_and_leaves_its_target(mount: Path):
    create(mount / "f", b"data")
    os.symlink("f", mount / "link")

    os.unlink(mount / "link")

    assert os.listdir(mount) == ["f"]


def test_the_times_of_a_symlink_are_its_own(mount: Path):
    create(mount / "f")
    os.symlink("f", mount / "link")
    before = os.stat(mount / "f").st_mtime_ns

    os.utime(mount / "link", (1, 2), follow_symlinks=False)

    assert os.lstat(mount / "link").st_mtime == 2
    assert os.stat(mount / "f").st_mtime_ns == before


def test_the_owner_of_a_symlink_is_its_own(mount: Path):
    create(mount / "f")
    os.symlink("f", mount / "link")

    os.lchown(mount / "link", 4242, 4300)

    assert (os.lstat(mount / "link").st_uid, os.lstat(mount / "link").st_gid) == (4242, 4300)
    assert os.stat(mount / "f").st_uid == os.geteuid()


def test_a_fifo_carries_bytes(mount: Path):
    os.mkfifo(mount / "fifo")

    with opened(mount / "fifo", os.O_RDONLY | os.O_NONBLOCK) as reader, opened(mount / "fifo", os.O_WRONLY) as writer:
        os.write(writer, b"through")

        assert os.read(reader, 10) == b"through"
    assert stat.S_ISFIFO(os.stat(mount / "fifo").st_mode)


def test_a_socket_has_a_name(mount: Path):
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        os.chdir(mount)
        try:
            server.bind("socket")
            server.listen()
            client.connect("socket")
        finally:
            os.chdir(here)

    assert stat.S_ISSOCK(os.stat(mount / "socket").st_mode)


@pytest.mark.parametrize(("kind", "is_kind"), [(stat.S_IFCHR, stat.S_ISCHR), (stat.S_IFBLK, stat.S_ISBLK)])
def test_a_device_has_its_numbers(mount: Path, kind: int, is_kind: object):
    os.mknod(mount / "device", kind | 0o600, os.makedev(8, 130))

    status = os.stat(mount / "device")
    assert is_kind(status.st_mode)  # pyright: ignore[reportCallIssue]
    assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == (8, 130)


def test_mknod_makes_regular_files_too(mount: Path):
    os.mknod(mount / "f", stat.S_IFREG | 0o640)

    assert os.stat(mount / "f").st_mode == stat.S_IFREG | 0o640


def test_mknod_does_not_replace(mount: Path):
    create(mount / "f")

    with refused(errno.EEXIST):
        os.mkfifo(mount / "f")


def test_a_special_file_is_renamed_and_unlinked(mount: Path):
    os.mkfifo(mount / "a")

    os.rename(mount / "a", mount / "b")
    kind = stat.S_ISFIFO(os.stat(mount / "b").st_mode)
    os.unlink(mount / "b")

    assert kind
    assert os.listdir(mount) == []
