"""A mount that many tests share, each in a directory of its own; what they leave is checked at its end.

`DAVSTORE_FUSE_ORACLE=DIR` puts a bare directory in its place: what the tests of single behaviours expect must hold on
the kernel's own file systems too.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.fuse.actor import Actor
from tests.parts import mount as mounts
from tests.parts import processes
from tests.parts.mount import Mount
from tests.parts.stores import installed
from tests.survival.drive import fsck

ORACLE = os.environ.get("DAVSTORE_FUSE_ORACLE")
TIMEOUT, LEFT = 120, 20
"""Seconds: what a test has, unless it says so, and what it may need to end once its mounts are gone."""
NOBODY, STRANGER, TEAM = 65534, 4242, 4300
"""Users and a group that own nothing else."""


@pytest.fixture(autouse=True)
def nothing_stays_mounted_or_hangs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Who waits too long for a mount gets an error; a mount that a test leaves behind fails it."""
    own = request.node.get_closest_marker("timeout")
    watch = threading.Timer((own.args[0] if own else TIMEOUT) - LEFT, mounts.end_all)
    watch.daemon = True
    watch.start()
    yield
    watch.cancel()
    left = mounts.points(tmp_path)
    mounts.clear(tmp_path)
    assert not left


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The top of a bucket, mounted for everybody, with nothing remembered by the kernel."""
    if ORACLE:
        yield Path(ORACLE)
        return
    folder = tmp_path_factory.mktemp("shared")
    installed(folder / "data")
    with Mount(folder / "mnt", folder / "data", "--bucket", "files", "--attr-timeout", "0", "--allow-other") as mount:
        yield mount.point
    fsck(mount.data, None, "--deep")


@pytest.fixture
def mount(shared: Path, request: pytest.FixtureRequest) -> Path:
    """An empty directory on a mounted file system."""
    names = sum(1 for _ in shared.iterdir())
    home = shared / f"{request.node.name[:60].encode('ascii', 'replace').decode().replace('/', '_')}-{names}"
    home.mkdir()
    return home


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Mount]]:
    """Mounts a data directory, `tmp_path / "data"` unless told otherwise, at a place of its own until the test ends."""
    with ExitStack() as started:
        count = iter(range(100))

        def begin(*options: str, data: Path = tmp_path / "data", **given: object) -> Mount:
            if not data.exists():
                installed(data)
            mount = Mount(tmp_path / f"mnt{next(count)}", data, *options, **given)  # pyright: ignore[reportArgumentType] - Mount's own
            return started.enter_context(mount)

        yield begin


@pytest.fixture(scope="session")
def actors(shared: Path) -> Iterator[Callable[..., Actor]]:
    """One process for each user, for the whole run."""
    with ExitStack() as started:

        @cache
        def actor(uid: int, gid: int, *groups: int) -> Actor:
            actor = started.enter_context(Actor(shared, uid, gid, groups))
            processes.lasting.add(actor.pid)
            return actor

        yield actor


@pytest.fixture
def act_as(actors: Callable[..., Actor], mount: Path) -> Callable[..., Actor]:
    """Processes that work in the test's directory as other users."""

    def begin(uid: int, gid: int, *groups: int) -> Actor:
        actor = actors(uid, gid, *groups)
        actor.home = mount.name
        return actor

    return begin


@pytest.fixture
def nobody(act_as: Callable[..., Actor]) -> Actor:
    return act_as(NOBODY, NOBODY)


@pytest.fixture
def other(act_as: Callable[..., Actor]) -> Actor:
    """Another process of the same user."""
    return act_as(0, 0)
