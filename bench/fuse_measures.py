"""What is measured on a mounted file system. Each measure checks that what it did is really there."""

import os
import random
import shutil
import subprocess
import sysconfig
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.fuse_systems import MIB, System

BLOCK = MIB
SMALL = 4096
OTHER = 1000
"""Turns from here on are of contents that no row has had before."""


@dataclass(frozen=True)
class Sizes:
    large: int
    """MiB of the one large file."""
    reads: int
    files: int
    renames: int
    unpacked: int
    copies: int
    copied: int
    """MiB of each copy."""


FULL = Sizes(large=1024, reads=20_000, files=2000, renames=500, unpacked=1800, copies=5, copied=200)
QUICK = Sizes(large=96, reads=2000, files=200, renames=100, unpacked=150, copies=3, copied=16)


@dataclass(frozen=True)
class Row:
    name: str
    unit: str
    more_is_better: bool
    run: Callable[[System, Sizes, int], float]


def write_large(system: System, sizes: Sizes, turn: int) -> float:
    (system.point / "large").unlink(missing_ok=True)
    blocks = [os.urandom(BLOCK) for _ in range(16)]
    start = time.perf_counter()
    fd = os.open(system.point / "large", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    for n in range(sizes.large):
        _written(fd, n.to_bytes(8, "big") + blocks[n % 16][8:])
    os.fsync(fd)
    os.close(fd)
    taken = time.perf_counter() - start
    assert os.stat(system.point / "large").st_size == sizes.large * MIB
    return sizes.large * MIB / taken / 1e6


def write_back(system: System, sizes: Sizes, turn: int) -> float:
    return system.settle()


def read_cold(system: System, sizes: Sizes, turn: int) -> float:
    """The better of two: a virtual machine that has given memory back to its host waits to get it again."""
    rates: list[float] = []
    for _ in range(2):
        system.remount_cold()
        rates.append(read_warm(system, sizes, turn))
    return max(rates)


def read_warm(system: System, sizes: Sizes, turn: int) -> float:
    start = time.perf_counter()
    fd = os.open(system.point / "large", os.O_RDONLY)
    for n in range(sizes.large):
        block = os.pread(fd, BLOCK, n * BLOCK)
        assert len(block) == BLOCK
        assert block[:8] == n.to_bytes(8, "big")
    os.close(fd)
    return sizes.large * MIB / (time.perf_counter() - start) / 1e6


def read_random(system: System, sizes: Sizes, turn: int) -> float:
    system.remount_cold()
    chance = random.Random(turn)
    places = [chance.randrange(sizes.large * MIB // SMALL) * SMALL for _ in range(sizes.reads)]
    start = time.perf_counter()
    fd = os.open(system.point / "large", os.O_RDONLY)
    for place in places:
        assert len(os.pread(fd, SMALL, place)) == SMALL
    os.close(fd)
    return sizes.reads / (time.perf_counter() - start)


def create(system: System, sizes: Sizes, turn: int) -> float:
    folder = system.point / f"small{turn}"
    contents = [_content(turn, n) for n in range(sizes.files)]
    folder.mkdir()
    start = time.perf_counter()
    for n, content in enumerate(contents):
        fd = os.open(folder / _name(n), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        _written(fd, content)
        os.close(fd)
    return sizes.files / (time.perf_counter() - start)


def list_cold(system: System, sizes: Sizes, turn: int) -> float:
    system.remount_cold()
    start = time.perf_counter()
    found = os.listdir(system.point / f"small{turn}")
    taken = time.perf_counter() - start
    assert len(found) == sizes.files
    return taken * 1000


def stat_cold(system: System, sizes: Sizes, turn: int) -> float:
    system.remount_cold()
    folder = system.point / f"small{turn}"
    start = time.perf_counter()
    for n in range(sizes.files):
        assert os.stat(folder / _name(n)).st_size == SMALL
    return sizes.files / (time.perf_counter() - start)


def read_each(system: System, sizes: Sizes, turn: int) -> float:
    system.remount_cold()
    folder = system.point / f"small{turn}"
    start = time.perf_counter()
    contents = [(folder / _name(n)).read_bytes() for n in range(sizes.files)]
    taken = time.perf_counter() - start
    assert all(content == _content(turn, n) for n, content in enumerate(contents))
    return sizes.files / taken


def rename(system: System, sizes: Sizes, turn: int) -> float:
    folder = system.point / f"small{turn}"
    start = time.perf_counter()
    for n in range(sizes.renames):
        os.rename(folder / _name(n), folder / f"renamed{n}")
    taken = time.perf_counter() - start
    assert len(list(folder.glob("renamed*"))) == sizes.renames
    return sizes.renames / taken


def remove(system: System, sizes: Sizes, turn: int) -> float:
    start = time.perf_counter()
    shutil.rmtree(system.point / f"small{turn}")
    return time.perf_counter() - start


def unpack(system: System, sizes: Sizes, turn: int) -> float:
    archive = _archive(system.store.parents[1], sizes.unpacked)
    folder = system.point / f"unpacked{turn}"
    folder.mkdir()
    start = time.perf_counter()
    subprocess.run(["tar", "-x", "--no-same-owner", "-f", archive, "-C", folder], check=True)
    taken = time.perf_counter() - start
    assert sum(1 for path in folder.rglob("*") if path.is_file()) == sizes.unpacked
    return taken


def copy(system: System, sizes: Sizes, turn: int) -> float:
    source = system.store.parents[1] / f"source{turn}"
    if not source.exists():
        source.write_bytes(os.urandom(sizes.copied * MIB))
    system.settle()
    start = time.perf_counter()
    for n in range(sizes.copies):
        shutil.copyfile(source, system.point / f"copy{turn}-{n}")
        fd = os.open(system.point / f"copy{turn}-{n}", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    return time.perf_counter() - start


def copied_disk(system: System, sizes: Sizes, turn: int) -> float:
    """By how many MiB the store grows with other copies, made in the same way."""
    system.settle()
    os.sync()
    before = system.disk()
    copy(system, sizes, OTHER + turn)
    system.settle()
    os.sync()
    return system.disk() - before


def memory(system: System, sizes: Sizes, turn: int) -> float:
    return system.memory()


ROWS = (
    Row("write a large file + fsync", "MB/s", True, write_large),
    Row("  write-back still to do", "s", False, write_back),
    Row("read it, cold", "MB/s", True, read_cold),
    Row("read it, warm", "MB/s", True, read_warm),
    Row("random reads of 4 KiB, cold", "/s", True, read_random),
    Row("create files of 4 KiB", "/s", True, create),
    Row("list them, cold", "ms", False, list_cold),
    Row("stat each, cold", "/s", True, stat_cold),
    Row("read each, cold", "/s", True, read_each),
    Row("rename some", "/s", True, rename),
    Row("rm -r", "s", False, remove),
    Row("untar a source tree", "s", False, unpack),
    Row("copies of one file, each fsynced", "s", False, copy),
    Row("  disk for as many others", "MiB", False, copied_disk),
    Row("memory, warm", "MiB", False, memory),
)


def _written(fd: int, data: bytes) -> None:
    assert os.write(fd, data) == len(data)


def _name(n: int) -> str:
    return f"{n:05}.txt"


def _content(turn: int, n: int) -> bytes:
    return random.Random(f"{turn}/{n}").randbytes(SMALL)


def _archive(folder: Path, count: int) -> Path:
    """Source files of Python's own library, once more from the first where it has not so many."""
    archive = folder / f"sources-{count}.tar"
    if not archive.exists():
        top = Path(sysconfig.get_path("stdlib"))
        found = sorted(path for path in top.rglob("*.py") if "site-packages" not in path.parts)
        with tarfile.open(archive, "w") as tar:
            for n in range(count):
                path = found[n % len(found)]
                tar.add(path, Path(f"library{n // len(found)}") / path.relative_to(top))
    return archive
