"""Whatever is done to the mount and to a bare directory has the same outcome: results, errors, and what is left."""

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.fuse.calls import EXCHANGE, NOREPLACE, renameat2
from tests.parts.scale import soak

SAME_REASON = {errno.EEXIST: errno.ENOTEMPTY}
"""POSIX leaves open which of them a rename onto, or the removal of, a directory with members gives."""
TIMES = (0, 1_000_000_001, -5, 1_700_000_000_123_456_789)

names = st.sampled_from(("a", "b", "c"))
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
contents = st.sampled_from((b"", b"a", b"somewhat longer", b"x" * 70_000))
modes = st.sampled_from((0o600, 0o644, 0o755))


class Side:
    """One of both directories, and the handles that are open in it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.handles: list[int] = []

    def create(self, path: str, data: bytes, flags: int) -> None:
        fd = os.open(self.top / path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
        os.write(fd, data)
        os.close(fd)

    def open(self, path: str, flags: int) -> None:
        self.handles.append(os.open(self.top / path, os.O_RDWR | flags, 0o644))

    def write(self, which: int, data: bytes, start: int) -> int:
        return os.pwrite(self.handles[which % len(self.handles)], data, start)

    def read(self, which: int) -> bytes:
        return os.pread(self.handles[which % len(self.handles)], 100_000, 0)

    def shorten(self, which: int, size: int) -> None:
        os.ftruncate(self.handles[which % len(self.handles)], size)

    def state(self, which: int) -> tuple[int, ...]:
        status = os.fstat(self.handles[which % len(self.handles)])
        return status.st_mode, status.st_size, status.st_nlink

    def close(self, which: int) -> None:
        os.close(self.handles.pop(which % len(self.handles)))

    def close_all(self) -> None:
        while self.handles:
            self.close(0)

    def call(self, function: Callable[..., Any], *words: Any) -> Any:
        """A path is a string that begins with a slash; all else is passed on."""
        return function(*(self.top / word[1:] if isinstance(word, str) and word[:1] == "/" else word for word in words))

    def tree(self) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        inodes: dict[int, str] = {}
        for folder, folders, files in os.walk(self.top):
            for name in sorted(folders + files):
                path = Path(folder, name)
                status = path.lstat()
                key = str(path.relative_to(self.top))
                first = inodes.setdefault(status.st_ino, key)
                found[key] = (stat.filemode(status.st_mode), status.st_nlink, first, *_content(path, status))
        return found


class Both(RuleBasedStateMachine):
    mount: Path
    bare: Path

    def __init__(self) -> None:
        super().__init__()
        for top in (self.mount, self.bare):
            for path in top.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.sides = Side(self.mount), Side(self.bare)

    @rule(path=paths, data=contents, flags=st.sampled_from((0, os.O_EXCL, os.O_TRUNC, os.O_APPEND)))
    def create(self, path: str, data: bytes, flags: int) -> None:
        self.both(lambda side: side.create(path, data, flags))

    @rule(path=paths, flags=st.sampled_from((0, os.O_CREAT, os.O_TRUNC)))
    def open(self, path: str, flags: int) -> None:
        self.both(lambda side: side.open(path, flags))

    @rule(which=st.integers(0, 9), data=contents, start=st.sampled_from((0, 3, 5000)))
    def write(self, which: int, data: bytes, start: int) -> None:
        self.with_handle(lambda side: side.write(which, data, start))

    @rule(which=st.integers(0, 9))
    def read(self, which: int) -> None:
        self.with_handle(lambda side: side.read(which))

    @rule(which=st.integers(0, 9), size=st.sampled_from((0, 2, 10_000)))
    def shorten(self, which: int, size: int) -> None:
        self.with_handle(lambda side: side.shorten(which, size))

    @rule(which=st.integers(0, 9))
    def state(self, which: int) -> None:
        self.with_handle(lambda side: side.state(which))

    @rule(which=st.integers(0, 9))
    def close(self, which: int) -> None:
        self.with_handle(lambda side: side.close(which))

    @rule(path=paths)
    def make_directory(self, path: str) -> None:
        self.do(os.mkdir, f"/{path}", 0o755)

    @rule(path=paths)
    def remove_directory(self, path: str) -> None:
        self.do(os.rmdir, f"/{path}")

    @rule(path=paths)
    def unlink(self, path: str) -> None:
        self.do(os.unlink, f"/{path}")

    @rule(source=paths, to=paths, flags=st.sampled_from((0, 0, NOREPLACE, EXCHANGE)))
    def rename(self, source: str, to: str, flags: int) -> None:
        self.do(renameat2, f"/{source}", f"/{to}", flags)

    @rule(source=paths, to=paths)
    def link(self, source: str, to: str) -> None:
        self.do(os.link, f"/{source}", f"/{to}")

    @rule(text=paths, path=paths)
    def symlink(self, text: str, path: str) -> None:
        self.do(os.symlink, text, f"/{path}")

    @rule(path=paths, size=st.sampled_from((0, 5, 80_000)))
    def truncate(self, path: str, size: int) -> None:
        self.do(os.truncate, f"/{path}", size)

    @rule(path=paths, mode=modes)
    def change_mode(self, path: str, mode: int) -> None:
        self.do(os.chmod, f"/{path}", mode)

    @rule(path=paths, when=st.sampled_from(TIMES))
    def set_times(self, path: str, when: int) -> None:
        self.both(lambda side: os.utime(side.top / path, ns=(when, when)))
        self.both(lambda side: os.stat(side.top / path).st_mtime_ns)

    @rule(path=paths)
    def list_names(self, path: str) -> None:
        self.both(lambda side: sorted(os.listdir(side.top / path)))

    @rule(path=paths)
    def read_whole(self, path: str) -> None:
        self.both(lambda side: (side.top / path).read_bytes())

    def teardown(self) -> None:
        self.both(Side.tree)
        for side in self.sides:
            side.close_all()
        self.both(Side.tree)

    def do(self, function: Callable[..., Any], *words: Any) -> None:
        self.both(lambda side: side.call(function, *words))

    def with_handle(self, act: Callable[[Side], Any]) -> None:
        if self.sides[0].handles:
            self.both(act)

    def both(self, act: Callable[[Side], Any]) -> None:
        mounted, bare = (_outcome(act, side) for side in self.sides)
        assert mounted == bare


@pytest.mark.timeout(soak(120, 14_400))
def test_the_mount_is_like_a_directory(mount: Path, tmp_path: Path):
    bare = tmp_path / "bare"
    bare.mkdir()
    machine = type("Machine", (Both,), {"mount": mount, "bare": bare})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=soak(25, 2000),
            stateful_step_count=soak(40, 60),
            deadline=None,
            suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much),
        ),
    )


def _outcome(act: Callable[[Side], Any], side: Side) -> tuple[Any, str]:
    try:
        return act(side), ""
    except OSError as error:
        number = error.errno or 0
        return None, errno.errorcode[SAME_REASON.get(number, number)]


def _content(path: Path, status: os.stat_result) -> tuple[object, ...]:
    if stat.S_ISLNK(status.st_mode):
        return (os.readlink(path),)
    return (status.st_size, path.read_bytes()) if stat.S_ISREG(status.st_mode) else ()
