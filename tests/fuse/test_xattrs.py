"""Extended attributes."""

import errno
import os
from pathlib import Path

import pytest

from tests.fuse.calls import create, opened, refused, tick


@pytest.mark.parametrize("value", [b"", b"text", b"\0\1\2\xff", "\u00e9<&>]]>".encode(), b" spaces ", b"x" * 3000])
def test_an_attribute_keeps_its_bytes(mount: Path, value: bytes):
    create(mount / "f")

    os.setxattr(mount / "f", "user.comment", value)

    assert os.getxattr(mount / "f", "user.comment") == value


def test_attributes_are_listed(mount: Path):
    create(mount / "f")

    os.setxattr(mount / "f", "user.b", b"1")
    os.setxattr(mount / "f", "user.a.b-c", b"2")

    assert sorted(os.listxattr(mount / "f")) == ["user.a.b-c", "user.b"]


@pytest.mark.parametrize("name", ["user.xdg.origin.url", "user.DOSATTRIB", "user.1 \u00e9<:", "user.x:y", "user.{}"])
def test_names_of_attributes_are_bytes(mount: Path, name: str):
    create(mount / "f")

    os.setxattr(mount / "f", name, b"v")

    assert os.listxattr(mount / "f") == [name]
    assert os.getxattr(mount / "f", name) == b"v"


def test_an_attribute_is_removed(mount: Path):
    create(mount / "f")
    os.setxattr(mount / "f", "user.a", b"1")

    os.removexattr(mount / "f", "user.a")

    assert os.listxattr(mount / "f") == []


def test_an_attribute_is_replaced(mount: Path):
    create(mount / "f")
    os.setxattr(mount / "f", "user.a", b"1")

    os.setxattr(mount / "f", "user.a", b"2", os.XATTR_REPLACE)

    assert os.getxattr(mount / "f", "user.a") == b"2"


def test_an_attribute_that_is_not_there_is_told(mount: Path):
    create(mount / "f")

    with refused(errno.ENODATA):
        os.getxattr(mount / "f", "user.a")
    with refused(errno.ENODATA):
        os.removexattr(mount / "f", "user.a")
    with refused(errno.ENODATA):
        os.setxattr(mount / "f", "user.a", b"1", os.XATTR_REPLACE)


def test_an_attribute_that_is_there_is_not_made(mount: Path):
    create(mount / "f")
    os.setxattr(mount / "f", "user.a", b"1")

    with refused(errno.EEXIST):
        os.setxattr(mount / "f", "user.a", b"2", os.XATTR_CREATE)


def test_an_unknown_kind_of_attribute_is_refused(mount: Path):
    create(mount / "f")

    with refused(errno.EOPNOTSUPP):
        os.setxattr(mount / "f", "davstoretest.a", b"1")


def test_a_directory_has_attributes(mount: Path):
    os.mkdir(mount / "d")

    os.setxattr(mount / "d", "user.a", b"1")

    assert os.getxattr(mount / "d", "user.a") == b"1"


def test_a_symlink_takes_no_attributes_of_users(mount: Path):
    os.symlink("x", mount / "link")

    with refused(errno.EPERM):
        os.setxattr(mount / "link", "user.a", b"1", follow_symlinks=False)


def test_attributes_go_along_with_a_rename(mount: Path):
    create(mount / "a")
    os.setxattr(mount / "a", "user.a", b"1")

    os.rename(mount / "a", mount / "b")

    assert os.getxattr(mount / "b", "user.a") == b"1"


def test_an_unfinished_file_takes_attributes(mount: Path):
    with opened(mount / "f", os.O_WRONLY | os.O_CREAT) as fd:
        os.setxattr(fd, "user.a", b"1")
        os.write(fd, b"data")

    assert os.getxattr(mount / "f", "user.a") == b"1"


def test_attributes_survive_a_rewrite(mount: Path):
    create(mount / "f", b"old")
    os.setxattr(mount / "f", "user.a", b"1")

    (mount / "f").write_bytes(b"new")

    assert os.getxattr(mount / "f", "user.a") == b"1"


def test_an_attribute_moves_the_time_of_the_change(mount: Path):
    create(mount / "f")
    before = os.stat(mount / "f").st_ctime_ns
    tick()

    os.setxattr(mount / "f", "user.a", b"1")

    assert os.stat(mount / "f").st_ctime_ns > before
