"""The trash and the versions are directories of the mount, out of which things are copied and moved."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.calls import create, refused
from tests.parts.mount import Mount


@pytest.fixture
def top(start: Callable[..., Mount]) -> Path:
    return start("--bucket", "files", "--attr-timeout", "0").point


def test_the_past_is_not_listed(top: Path):
    create(top / "f", b"data")
    os.unlink(top / "f")

    assert os.listdir(top) == []


def test_what_was_removed_is_read_in_the_trash(top: Path):
    (top / "d").mkdir()
    create(top / "d" / "f", b"data")
    os.unlink(top / "d" / "f")

    (name,) = os.listdir(top / ".trash")

    assert (top / ".trash" / name).read_bytes() == b"data"


def test_what_was_removed_is_moved_back(top: Path):
    create(top / "f", b"data")
    os.unlink(top / "f")
    (name,) = os.listdir(top / ".trash")

    os.rename(top / ".trash" / name, top / "back")

    assert (top / "back").read_bytes() == b"data"
    assert os.listdir(top / ".trash") == []


def test_a_tree_that_was_removed_by_another_is_whole_in_the_trash(top: Path, serve: Callable[..., object]):
    (top / "d" / "inner").mkdir(parents=True)
    create(top / "d" / "inner" / "f", b"data")
    server = serve()
    assert server.request("DELETE", "/files/d").status == 204  # pyright: ignore[reportAttributeAccessIssue]

    (name,) = os.listdir(top / ".trash")

    assert (top / ".trash" / name / "inner" / "f").read_bytes() == b"data"


def test_older_contents_are_read_among_the_versions(top: Path):
    create(top / "f", b"first")
    (top / "f").write_bytes(b"second")

    (name,) = os.listdir(top / ".versions" / "f")

    assert (top / ".versions" / "f" / name).read_bytes() == b"first"


@pytest.mark.parametrize("place", [".trash", ".versions"])
def test_nothing_is_put_into_the_past(top: Path, place: str):
    create(top / "f", b"data")

    for act in (
        lambda: create(top / place / "new"),
        lambda: os.mkdir(top / place / "new"),
        lambda: os.rename(top / "f", top / place / "new"),
    ):
        with refused(errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV, errno.EBUSY):
            act()
    assert (top / "f").read_bytes() == b"data"


def test_the_past_is_not_written(top: Path):
    create(top / "f", b"data")
    os.unlink(top / "f")
    (name,) = os.listdir(top / ".trash")

    with refused(errno.EACCES, errno.EPERM, errno.EROFS):
        (top / ".trash" / name).write_bytes(b"changed")
