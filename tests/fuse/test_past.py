"""The trash and the versions are directories of the mount, out of which things are copied and moved."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.actor import Actor
from tests.fuse.calls import create, refused
from tests.fuse.conftest import NOBODY
from tests.parts.mount import Mount
from tests.parts.server import DavServer


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


def test_a_directory_of_the_past_is_read_again_from_its_start(top: Path):
    names = {f"f{n:03}" for n in range(150)}
    for name in names:
        create(top / name)
        os.unlink(top / name)

    directory = os.open(top / ".trash", os.O_RDONLY)
    first, second = os.listdir(directory), os.listdir(directory)

    os.close(directory)
    assert first == second
    assert len(first) == len(names)


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


@pytest.fixture
def common(start: Callable[..., Mount]) -> Path:
    """A mount that lets others in."""
    top = start("--bucket", "files", "--attr-timeout", "0", "--allow-other").point
    top.chmod(0o755)
    return top


def owned(path: Path, mode: int, uid: int = 0) -> None:
    create(path, b"secret")
    os.chown(path, uid, uid)
    os.chmod(path, mode)


def test_what_lay_in_a_closed_directory_is_closed_in_the_trash(common: Path):
    (common / "closed").mkdir(0o700)
    (common / "closed" / "inner").mkdir()
    owned(common / "closed" / "inner" / "f", 0o644)
    os.unlink(common / "closed" / "inner" / "f")
    (name,) = os.listdir(common / ".trash")

    with Actor(common, NOBODY, NOBODY) as nobody, refused(errno.EACCES):
        nobody("content", f".trash/{name}")


def test_what_others_could_read_they_read_in_the_trash(common: Path):
    (common / "open").mkdir(0o755)
    owned(common / "open" / "f", 0o644)
    owned(common / "open" / "private", 0o600)
    os.unlink(common / "open" / "f")
    (f,) = os.listdir(common / ".trash")
    os.unlink(common / "open" / "private")
    (private,) = {*os.listdir(common / ".trash")} - {f}

    with Actor(common, NOBODY, NOBODY) as nobody:
        assert nobody("content", f".trash/{f}") == b"secret"
        with refused(errno.EACCES):
            nobody("content", f".trash/{private}")


def test_a_closed_directory_is_closed_among_what_was_removed(common: Path, serve: Callable[..., DavServer]):
    (common / "closed").mkdir(0o700)
    owned(common / "closed" / "f", 0o644)
    assert serve().request("DELETE", "/files/closed").status == 204
    (name,) = os.listdir(common / ".trash")

    with Actor(common, NOBODY, NOBODY) as nobody:
        for act in (("listdir", f".trash/{name}"), ("content", f".trash/{name}/f")):
            with refused(errno.EACCES):
                nobody(*act)


def test_everybody_reads_his_own_in_the_trash_and_among_the_versions(common: Path):
    owned(common / "f", 0o600, NOBODY)
    (common / "f").write_bytes(b"newer")
    (version,) = os.listdir(common / ".versions" / "f")

    with Actor(common, NOBODY, NOBODY) as nobody:
        assert nobody("content", f".versions/f/{version}") == b"secret"
        os.unlink(common / "f")
        (name,) = os.listdir(common / ".trash")
        assert nobody("content", f".trash/{name}") == b"newer"


def test_versions_are_closed_to_whom_the_file_is(common: Path):
    (common / "closed").mkdir(0o700)
    owned(common / "closed" / "f", 0o644)
    owned(common / "private", 0o600)
    for file in (common / "closed" / "f", common / "private"):
        file.write_bytes(b"newer")
    (inner,), (private,) = (os.listdir(common / ".versions" / name) for name in ("closed/f", "private"))

    with Actor(common, NOBODY, NOBODY) as nobody:
        for act in (
            ("listdir", ".versions/closed"),
            ("content", f".versions/closed/f/{inner}"),
            ("listdir", ".versions/private"),
            ("content", f".versions/private/{private}"),
        ):
            with refused(errno.EACCES):
                nobody(*act)


def test_special_files_and_links_are_what_they_were_in_the_past(top: Path):
    os.mkfifo(top / "fifo")
    os.mknod(top / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.symlink("nowhere", top / "link")
    (top / "d").mkdir()
    os.mkfifo(top / "d" / "inner")
    assert stat.S_ISFIFO(os.stat(top / ".versions" / "d" / "inner").st_mode)
    for name in ("fifo", "device", "link"):
        os.unlink(top / name)

    seen = [os.lstat(top / ".trash" / name) for name in os.listdir(top / ".trash")]

    assert {stat.S_IFMT(status.st_mode) for status in seen} == {stat.S_IFIFO, stat.S_IFCHR, stat.S_IFLNK}
    (device,) = [status for status in seen if stat.S_ISCHR(status.st_mode)]
    assert device.st_rdev == os.makedev(1, 3)
