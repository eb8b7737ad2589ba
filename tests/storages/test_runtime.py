"""The storage of a bucket is changed, and blobs move, while servers run."""

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.storage_settings import S3Storage
from tests.parts.blobs import MIB, sample
from tests.parts.faults import FaultyS3
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import ROOT, DavServer, environment

MOVE = ("move-blobs", "--from", "local", "--to", "s3main", "--keep", "0s")
SIZES = (100, 100_000, 2 * MIB)


@pytest.fixture
def config(s3_storage: S3Storage, tmp_path: Path) -> Path:
    config = tmp_path / "davstore.toml"
    config.write_text(
        f"""
data = "{tmp_path / "data"}"
[storages.s3main]
type = "s3"
bucket = "{s3_storage.bucket}"
endpoint = "{s3_storage.endpoint}"
[buckets.media]
inline_below = "0"
"""
    )
    return config


@pytest.fixture
def davstore(config: Path, seaweedfs: SeaweedFS) -> Callable[..., str]:
    """Runs a command in a process of its own, as an administrator would beside the server."""

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "davstore", "--config", str(config), *words]
        environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **seaweedfs.environ}
        done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def put(server: DavServer, path: str) -> bytes:
    data = sample(SIZES[sum(path.encode()) % len(SIZES)], path.encode())
    assert server.request("PUT", path, data).status in {201, 204}
    return data


def used(davstore: Callable[..., str]) -> dict[str, int]:
    return {each["name"]: each["objects"] for each in json.loads(davstore("storage", "ls", "--json"))}


def test_a_bucket_changes_its_storage_while_all_workers_serve_it(
    config: Path, serve: Callable[..., DavServer], davstore: Callable[..., str], seaweedfs: SeaweedFS
) -> None:
    server = serve("--config", str(config), "--workers", "2", environ=seaweedfs.environ)
    known = {f"/media/{n}": put(server, f"/media/{n}") for n in range(6)}
    assert used(davstore) == {"local": 6, "s3main": 0}

    davstore("bucket", "set", "media", "storage=s3main", "inline_below=1 KiB")
    known |= {path: put(server, path) for path in map("/media/{}".format, range(10, 16))}
    large = sum(len(data) >= 1024 for path, data in known.items() if len(path) > len("/media/1"))

    assert used(davstore) == {"local": 6, "s3main": large}
    assert {path: server.request("GET", path).body for path in known} == known


def test_blobs_move_while_the_server_reads_and_writes_both(
    config: Path, serve: Callable[..., DavServer], davstore: Callable[..., str], seaweedfs: SeaweedFS
) -> None:
    server = serve("--config", str(config), environ=seaweedfs.environ)
    known = {f"/media/{n}": put(server, f"/media/{n}") for n in range(12)}
    davstore("bucket", "set", "media", "storage=s3main")
    moving, wrong, answered = threading.Event(), list[str](), 0
    moving.set()

    def reads() -> None:
        nonlocal answered
        while moving.is_set():
            for path, data in list(known.items()):
                wrong.extend([path] * (server.request("GET", path).body != data))
                answered += 1

    def writes() -> None:
        n = 0
        while moving.is_set():
            n += 1
            known[f"/media/new{n}"] = put(server, f"/media/new{n}")

    threads = [threading.Thread(target=act) for act in (reads, writes)]
    for thread in threads:
        thread.start()
    moved = json.loads(davstore("move-blobs", "--from", "local", "--to", "s3main", "--keep", "0s", "--json"))
    davstore("gc", "run")
    moving.clear()
    for thread in threads:
        thread.join()

    assert (moved["moved"], moved["left"], moved["failed"]) == (12, 0, [])
    assert (wrong, answered > 0) == ([], True)
    assert used(davstore)["local"] == 0
    assert not [file for file in (config.parent / "data" / "blobs").glob("media/*/*/*") if file.is_file()]
    assert {path: hashlib.sha256(server.request("GET", path).body).digest() for path in known} == {
        path: hashlib.sha256(data).digest() for path, data in known.items()
    }
    davstore("fsck", "--deep")


def test_a_move_that_is_killed_goes_on_where_it_was_and_loses_nothing(
    config: Path,
    serve: Callable[..., DavServer],
    davstore: Callable[..., str],
    seaweedfs: SeaweedFS,
) -> None:
    server = serve("--config", str(config), environ=seaweedfs.environ)
    known = {f"/media/{n}": sample(100_000, b"%d" % n) for n in range(140)}
    for path, data in known.items():
        assert server.request("PUT", path, data).status == 201

    with FaultyS3(seaweedfs.endpoint) as slow:
        slow.fault, slow.delay = "slow", 0.05
        environ = {**seaweedfs.environ, "DAVSTORE_STORAGES__S3MAIN__ENDPOINT": slow.endpoint}
        command = [sys.executable, "-m", "davstore", "--config", str(config), *MOVE]
        moving = subprocess.Popen(command, env=environment(environ), cwd=ROOT, stdout=subprocess.DEVNULL)
        while slow.struck < 80:
            assert moving.poll() is None
            time.sleep(0.01)
        moving.kill()
        moving.wait()
    interrupted = used(davstore)
    moved = json.loads(davstore(*MOVE, "--json"))

    assert interrupted["local"] > 0
    assert interrupted["s3main"] >= 50
    assert interrupted["local"] + interrupted["s3main"] == len(known)
    assert (moved["moved"], moved["left"], moved["failed"]) == (interrupted["local"], 0, [])
    assert {path for path, data in known.items() if server.request("GET", path).body != data} == set()
    davstore("fsck", "--deep")
