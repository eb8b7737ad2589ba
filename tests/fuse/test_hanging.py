"""A storage that hangs is in the way of those only who read from it."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.storage_settings import S3Storage
from tests.fuse.calls import opened
from tests.parts.blobs import MIB, sample
from tests.parts.faults import FaultyS3
from tests.parts.mount import Mount
from tests.parts.seaweedfs import SeaweedFS

READERS = 20
AHEAD = 4
"""Threads that fetch what nobody has asked for yet; they stay."""
HANGING = 14.0
"""Seconds; after fifteen without a byte nobody asks again who has begun to read."""
PATIENCE = 30.0


@pytest.fixture
def proxy(seaweedfs: SeaweedFS) -> Iterator[FaultyS3]:
    with FaultyS3(seaweedfs.endpoint) as proxy:
        yield proxy


@pytest.fixture
def mounted(proxy: FaultyS3, s3_storage: S3Storage, start: Callable[..., Mount], tmp_path: Path) -> Callable[[], Mount]:
    """Bucket `far` on S3, and bucket `near` on this disk."""
    config = tmp_path / "davstore.toml"
    config.write_text(
        f"""
[storages.s3main]
type = "s3"
bucket = "{s3_storage.bucket}"
endpoint = "{proxy.endpoint}"
region = "{s3_storage.region}"
read_timeout = "30s"
retries = 0
[buckets.far]
storage = "s3main"
[buckets.near]
storage = "local"
"""
    )
    return lambda: start("--config", str(config), "--attr-timeout", "0")


def test_local_files_are_read_and_written_while_many_wait_for_s3(mounted: Callable[[], Mount], proxy: FaultyS3):
    data, first = sample(2 * MIB), mounted()
    for n in range(READERS):
        (first.point / "far" / f"{n}").write_bytes(data + bytes([n]))
    (first.point / "near" / "old").write_bytes(data)
    first.unmount()
    mount = mounted()
    near = mount.point / "near"

    with ExitStack() as held, ThreadPoolExecutor(READERS) as pool:
        files = [held.enter_context(opened(mount.point / "far" / f"{n}", os.O_RDONLY)) for n in range(READERS)]
        proxy.fault, idle = "hang", threads(mount)
        readers = [pool.submit(os.pread, fd, 10, MIB) for fd in files]
        try:
            until(lambda: proxy.struck >= READERS, HANGING)
            assert (near / "old").read_bytes() == data
            (near / "new").write_bytes(data)
            assert sorted(os.listdir(near)) == ["new", "old"]
            assert not any(reader.done() for reader in readers)
            assert threads(mount) > idle + AHEAD
        finally:
            proxy.fault = ""
        assert {reader.result() for reader in readers} == {data[MIB : MIB + 10]}
    assert (near / "new").read_bytes() == data
    until(lambda: threads(mount) <= idle + AHEAD)


def threads(mount: Mount) -> int:
    return len(os.listdir(f"/proc/{mount.pid}/task"))


def until(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    limit = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.02)
