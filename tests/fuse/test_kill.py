"""What was closed or synchronised survives `kill -9` of the mount (I7); nothing else of it stays behind."""

import json
import os
import random
import time
from pathlib import Path

import pytest

from tests.fuse.writer import Writer
from tests.parts.mount import Mount
from tests.parts.scale import soak
from tests.parts.stores import installed
from tests.survival.drive import davstore, drafts, fsck

pytestmark = pytest.mark.timeout(soak(300, 3600))

KILLS = soak(3, 20)
WRITERS = 3
GONE = "Transport endpoint|Software caused|Input/output|Bad file|Socket not connected"


def test_kill_9_while_writing_loses_nothing_that_was_closed_or_synchronised(tmp_path: Path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    data, point = tmp_path / "data", tmp_path / "mnt"
    installed(data)
    writers = [Writer(point / f"w{n}", chance.getrandbits(32)) for n in range(WRITERS)]
    for _ in range(KILLS):
        with Mount(point, data, "--bucket", "files") as mount:
            _settled(writers)
            writers = _killed_while_writing(mount, writers, chance)
            mount.forget()

    with Mount(point, data, "--bucket", "files"):
        _settled(writers)
    assert not drafts(data)
    _collect(data)
    fsck(data, None, "--deep")


def _killed_while_writing(mount: Mount, writers: list[Writer], chance: random.Random) -> list[Writer]:
    for writer in writers:
        writer.top.mkdir(exist_ok=True)
        writer.thread.start()
    wanted = chance.randrange(5, 30)
    limit = time.monotonic() + 60
    while sum(writer.done for writer in writers) < wanted and time.monotonic() < limit:
        time.sleep(chance.uniform(0.001, 0.02))
    too_early = [writer.gone for writer in writers if not writer.thread.is_alive()]
    mount.kill9()
    for writer in writers:
        writer.thread.join()
    assert not too_early
    return [Writer(w.top, chance.getrandbits(32), w.certain, w.possible) for w in writers]


def _settled(writers: list[Writer]) -> None:
    for writer in writers:
        if writer.top.exists():
            writer.settle()


def _collect(data: Path) -> None:
    ran = davstore("gc", "run", "--grace", "0s", "--retention", "0s", "--json", "--data", data)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["failed"] == 0


def test_what_was_synchronised_and_never_closed_is_there_at_the_next_mount(tmp_path: Path):
    data, point = tmp_path / "data", tmp_path / "mnt"
    installed(data)
    content = {name: os.urandom(size) for name, size in (("small", 100), ("large", 2_000_000))}
    with Mount(point, data, "--bucket", "files") as mount:
        handles = {name: os.open(point / name, os.O_WRONLY | os.O_CREAT) for name in content}
        for name, fd in handles.items():
            os.write(fd, content[name])
            os.fsync(fd)
            os.pwrite(fd, b"not synchronised", 50)
        mount.kill9()
        for fd in handles.values():
            with pytest.raises(OSError, match=GONE):
                _ended(fd)
        mount.forget()

    with Mount(point, data, "--bucket", "files"):
        seen = {name: (point / name).read_bytes() for name in content}
    for name, data_seen in seen.items():
        assert data_seen in (content[name], content[name][:50] + b"not synchronised" + content[name][66:])
    assert not drafts(data)


def test_what_was_removed_after_it_was_synchronised_stays_removed(tmp_path: Path):
    data, point = tmp_path / "data", tmp_path / "mnt"
    installed(data)
    with Mount(point, data, "--bucket", "files") as mount:
        fd = os.open(point / "f", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"x" * 1_000_000)
        os.fsync(fd)
        os.unlink(point / "f")
        mount.kill9()
        with pytest.raises(OSError, match=GONE):
            _ended(fd)
        mount.forget()

    with Mount(point, data, "--bucket", "files"):
        assert os.listdir(point) == []
    assert not drafts(data)
    fsck(data, None, "--deep")


def _ended(fd: int) -> None:
    """Nothing can be done with what was open on a mount that is gone: closing says so, or else what comes after."""
    os.close(fd)
    os.fsync(fd)
