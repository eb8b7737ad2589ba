"""The mount of buckets whose contents are not in files here: on a real S3 server, and in the database."""

import errno
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from core.storage_settings import S3Storage
from tests.fuse.calls import opened, refused
from tests.parts.blobs import MIB, sample
from tests.parts.faults import FaultyS3
from tests.parts.mount import Mount
from tests.parts.seaweedfs import SeaweedFS
from tests.survival.drive import davstore

CACHE = 16 * MIB
PATIENCE = 60
BUCKETS = ("far", "rows")

Start = Callable[[], Mount]


@pytest.fixture
def proxy(seaweedfs: SeaweedFS) -> Iterator[FaultyS3]:
    with FaultyS3(seaweedfs.endpoint) as proxy:
        yield proxy


@pytest.fixture
def configuration(proxy: FaultyS3, s3_storage: S3Storage, tmp_path: Path) -> Path:
    config = tmp_path / "davstore.toml"
    config.write_text(
        f"""
[mount]
cache = "{CACHE}"
[storages.s3main]
type = "s3"
bucket = "{s3_storage.bucket}"
endpoint = "{proxy.endpoint}"
region = "{s3_storage.region}"
retries = 0
[storages.rows]
type = "db"
[buckets.far]
storage = "s3main"
[buckets.rows]
storage = "rows"
"""
    )
    return config


@pytest.fixture
def mounted(configuration: Path, start: Callable[..., Mount]) -> Start:
    return lambda: start("--config", str(configuration), "--attr-timeout", "0")


def forgotten(fd: int) -> None:
    """The kernel has none of the file's pages any more."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def cached_bytes(mount: Mount) -> int:
    """What the mount's files without a name take in its cache."""
    folder, there = str(mount.data / "cache"), dict[int, int]()
    for link in Path(f"/proc/{mount.pid}/fd").iterdir():
        try:
            if os.readlink(link).startswith(folder):
                status = os.stat(link)
                there[status.st_ino] = status.st_blocks * 512
        except FileNotFoundError:
            continue
    return sum(there.values())


@pytest.mark.parametrize("bucket", BUCKETS)
def test_what_was_written_is_read_after_mounting_again(mounted: Start, bucket: str):
    mount, data = mounted(), {f"{size}": sample(size) for size in (0, 10, 100_000, MIB, 5 * MIB + 17)}
    for name, content in data.items():
        (mount.point / bucket / name).write_bytes(content)
    assert {name: (mount.point / bucket / name).read_bytes() for name in data} == data
    mount.unmount()

    again = mounted()

    assert {name: (again.point / bucket / name).read_bytes() for name in data} == data
    assert list((again.data / "cache").iterdir()) == []


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_change_inside_a_file_keeps_the_rest(mounted: Start, bucket: str):
    first, data = mounted(), bytearray(sample(3 * MIB + 5))
    (first.point / bucket / "f").write_bytes(data)
    first.unmount()
    mount = mounted()

    with opened(mount.point / bucket / "f", os.O_RDWR) as fd:
        os.pwrite(fd, b"changed", 2 * MIB - 3)

    data[2 * MIB - 3 : 2 * MIB + 4] = b"changed"
    assert (mount.point / bucket / "f").read_bytes() == data
    mount.unmount()
    assert (mounted().point / bucket / "f").read_bytes() == data


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_copy_in_the_kernel_has_every_byte(mounted: Start, bucket: str):
    first, data = mounted(), sample(5 * MIB + 5)
    (first.point / bucket / "f").write_bytes(data)
    first.unmount()
    mount = mounted()

    with (
        opened(mount.point / bucket / "f", os.O_RDONLY) as source,
        opened(mount.point / bucket / "copy", os.O_RDWR | os.O_CREAT) as target,
    ):
        left = len(data)
        while left:
            left -= os.copy_file_range(source, target, left)

    assert (mount.point / bucket / "copy").read_bytes() == data


@pytest.mark.parametrize("bucket", BUCKETS)
def test_many_who_read_at_random_get_the_right_bytes_of_files_that_are_larger_than_the_cache(
    mounted: Start, bucket: str
):
    first, data = mounted(), sample(2 * CACHE + 5)
    (first.point / bucket / "f").write_bytes(data)
    first.unmount()
    mount = mounted()

    def read(seed: int) -> None:
        chance = random.Random(seed)
        with opened(mount.point / bucket / "f", os.O_RDONLY) as fd:
            for _ in range(40):
                start, size = chance.randrange(len(data)), chance.randrange(300_000)
                assert os.pread(fd, size, start) == data[start : start + size]
                forgotten(fd)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))

    eventually(lambda: cached_bytes(mount) <= CACHE)


def test_random_reads_ask_s3_once_for_each_block(mounted: Start, proxy: FaultyS3):
    first, data = mounted(), sample(12 * MIB)
    (first.point / "far" / "f").write_bytes(data)
    first.unmount()
    mount = mounted()
    chance, before = random.Random(6), proxy.gets

    with opened(mount.point / "far" / "f", os.O_RDONLY) as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for _ in range(500):
            start = chance.randrange(len(data))
            assert os.pread(fd, 4096, start) == data[start : start + 4096]
        asked = proxy.gets - before
        forgotten(fd)
        assert os.pread(fd, len(data), 0) == data

    assert 12 <= asked <= 16
    assert proxy.gets - before == asked


def test_reading_on_asks_s3_a_few_times(mounted: Start, proxy: FaultyS3):
    first, data = mounted(), sample(15 * MIB)
    (first.point / "far" / "f").write_bytes(data)
    first.unmount()
    mount, before = mounted(), proxy.gets

    assert (mount.point / "far" / "f").read_bytes() == data

    assert proxy.gets - before <= 15
    assert cached_bytes(mount) == len(data)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_no_more_than_the_bound_lies_on_the_disk(mounted: Start, bucket: str):
    first, data = mounted(), [sample(6 * MIB, bytes([n])) for n in range(5)]
    for n, content in enumerate(data):
        (first.point / bucket / f"{n}").write_bytes(content)
    first.unmount()
    mount = mounted()

    for n in (0, 1, 2, 0, 3, 4, 0):
        assert (mount.point / bucket / f"{n}").read_bytes() == data[n]
        eventually(lambda: 6 * MIB <= cached_bytes(mount) <= CACHE)


def test_while_s3_is_away_what_is_held_is_read_and_all_else_is_an_error(mounted: Start, proxy: FaultyS3):
    first, data = mounted(), sample(12 * MIB)
    for name in ("f", "other"):
        (first.point / "far" / name).write_bytes(data + name.encode())
    (first.point / "rows" / "near").write_bytes(data)
    first.unmount()
    mount = mounted()
    mount.expect_log("s3main", "read: ", "open: ")
    with opened(mount.point / "far" / "f", os.O_RDONLY) as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        assert os.pread(fd, 4096, 7 * MIB) == data[7 * MIB : 7 * MIB + 4096]
        proxy.fault = "down"
        forgotten(fd)

        assert os.pread(fd, 4096, 7 * MIB + 9000) == data[7 * MIB + 9000 : 7 * MIB + 9000 + 4096]
        with refused(errno.EIO):
            os.pread(fd, 4096, 2 * MIB)
        with refused(errno.EIO):
            (mount.point / "far" / "other").read_bytes()
        assert (mount.point / "rows" / "near").read_bytes() == data

        proxy.fault = ""
        eventually(lambda: os.pread(fd, 4096, 2 * MIB) == data[2 * MIB : 2 * MIB + 4096])
    assert (mount.point / "far" / "other").read_bytes() == data + b"other"


def test_bytes_that_changed_on_their_way_are_an_error_and_are_not_kept(mounted: Start, proxy: FaultyS3):
    first, data = mounted(), sample(3 * MIB)
    (first.point / "far" / "f").write_bytes(data)
    first.unmount()
    mount = mounted()
    mount.expect_log("read: ", "open: ")
    proxy.fault = "corrupt"

    with refused(errno.EIO):
        (mount.point / "far" / "f").read_bytes()

    proxy.fault = ""
    assert (mount.point / "far" / "f").read_bytes() == data


def test_an_object_that_is_shorter_than_the_file_is_an_error(
    mounted: Start, seaweedfs: SeaweedFS, s3_storage: S3Storage
):
    first, data = mounted(), sample(3 * MIB)
    (first.point / "far" / "f").write_bytes(data)
    first.unmount()
    (key,) = {
        item.get("Key", "")
        for item in seaweedfs.client.list_objects_v2(Bucket=s3_storage.bucket).get("Contents", [])
        if item.get("Size") == len(data)
    }
    seaweedfs.client.put_object(Bucket=s3_storage.bucket, Key=key, Body=data[:MIB])
    mount = mounted()
    mount.expect_log("open: ")

    with refused(errno.EIO):
        os.open(mount.point / "far" / "f", os.O_RDONLY)


def test_what_could_not_be_stored_is_kept_and_stored_once_s3_is_back(
    mounted: Start, proxy: FaultyS3, configuration: Path
):
    mount, data = mounted(), sample(2 * MIB)
    mount.expect_log("s3main", "is kept", "still kept", "flush: ")
    proxy.fault = "down"
    with refused(errno.EIO):
        (mount.point / "far" / "f").write_bytes(data)
    assert [draft["path"] for draft in drafts(mount, configuration)] == ["/far/f"]

    proxy.fault = ""
    eventually(lambda: drafts(mount, configuration, "--retry") == [])

    assert (mount.point / "far" / "f").read_bytes() == data
    mount.unmount()
    assert (mounted().point / "far" / "f").read_bytes() == data


def test_a_killed_mount_leaves_nothing_in_the_cache_and_others_are_not_disturbed(mounted: Start):
    one, two, data = mounted(), mounted(), sample(5 * MIB)
    (one.point / "far" / "f").write_bytes(data)
    assert (two.point / "far" / "f").read_bytes() == data

    one.kill9()
    one.forget()

    assert list((two.data / "cache").iterdir()) == []
    with opened(two.point / "far" / "f", os.O_RDONLY) as fd:
        forgotten(fd)
        assert os.pread(fd, len(data), 0) == data


def drafts(mount: Mount, configuration: Path, *options: str) -> list[dict[str, object]]:
    told = davstore("drafts", "--json", *options, "--config", configuration, "--data", mount.data)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def eventually(is_so: Callable[[], bool]) -> None:
    """A storage is asked again a short time after it failed, and what is being fetched may need room until it is."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        with suppress(OSError):
            if is_so():
                return
        time.sleep(0.1)
    raise AssertionError("never")
