"""`python -m bench media`: a drag of photos: how fast they come, when all have thumbnails, and what that costs others.

Rounds alternate between a bucket that makes thumbnails and one that makes none, so that both meet the same machine.
"""

import argparse
import base64
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench import usage
from bench.wire import Connection
from tests.parts import images, processes

PASSWORD = "bench"
KINDS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP")
SIZE = (1600, 1200)
PROPFIND = b'<propfind xmlns="DAV:" xmlns:s="urn:davstore:"><prop><s:thumbnail/></prop></propfind>'
MIB = 1 << 20


def main(given: Sequence[str] | None = None) -> None:
    options = _options(given)
    photos = [images.photo(kind, SIZE, orientation=n % 8 + 1, seed=n) for n, kind in enumerate(KINDS)]
    with tempfile.TemporaryDirectory(prefix="davstore-bench-", dir=options.directory) as folder:
        port = processes.free_port()
        server = _serve(Path(folder) / "data", port)
        try:
            _wait(port)
            _measure(server.pid, port, photos, options.photos, options.rounds)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def _measure(server: int, port: int, photos: Sequence[bytes], count: int, rounds: int) -> None:
    """Rounds of uploads and downloads, quiet and with renditions being made beside them."""
    connection = Connection(port, "admin", PASSWORD)
    connection.ask("PUT", "/files/original", 201, photos[0])
    taken: dict[str, list[list[float]]] = {"files": [], "media": []}
    begin, each = time.perf_counter(), max(1, count // rounds)
    for n in range(rounds):
        for bucket in ("files", "media"):
            taken[bucket].append(_round(connection, bucket, photos, n * each, each))
        _until_done(port, (n + 1) * each)
    seconds = time.perf_counter() - begin
    for what, index in (("PUT photo", 0), ("GET photo", 1)):
        quiet, busy = (statistics.median(row[index] for row in taken[bucket]) for bucket in ("files", "media"))
        ratio = statistics.median(b[index] / q[index] for q, b in zip(taken["files"], taken["media"], strict=True))
        print(f"{what}: {1000 * quiet:7.2f} ms alone, {1000 * busy:7.2f} ms beside renditions, x {ratio:.2f} (median)")
    made = rounds * each
    print(f"{made} photos had all thumbnails (AVIF, WebP, JPEG) after {seconds:.1f} s: {made / seconds:.1f} a second")
    for pid in processes.tree(server):
        print(f"{usage.peak([pid]):8.1f} MiB, {usage.cpu([pid]):6.1f} s of CPU: {_role(pid, server)}")


def _round(connection: Connection, bucket: str, photos: Sequence[bytes], first: int, count: int) -> list[float]:
    """Median seconds of the uploads, and of downloads right after them."""
    puts: list[float] = []
    for n in range(first, first + count):
        unique = photos[n % len(photos)] + f"{bucket}{n}".encode()
        puts.append(_timed(connection, "PUT", f"/{bucket}/{n}.jpg", 201, unique))
    gets = [_timed(connection, "GET", "/files/original", 200) for _ in range(count)]
    return [statistics.median(puts), statistics.median(gets)]


def _timed(connection: Connection, method: str, path: str, status: int, body: bytes = b"") -> float:
    start = time.perf_counter()
    connection.ask(method, path, status, body)
    return time.perf_counter() - start


def _until_done(port: int, count: int) -> None:
    while True:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/media/", PROPFIND, {"Depth": "1"}, method="PROPFIND")
        request.add_header("Authorization", _basic())
        with urllib.request.urlopen(request) as answer:
            if answer.read().count(b"/thumbnail<") == count:
                return
        time.sleep(0.2)


def _basic() -> str:
    return "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()


def _role(pid: int, server: int) -> str:
    if "core.rendering" in processes.command(pid):
        return "the process that decodes"
    children = sorted(processes.children(server))
    roles = {server: "the parent", children[0]: "the worker", children[-1]: "the jobs beside it"}
    return roles.get(pid, "another")


def _serve(data: Path, port: int) -> "subprocess.Popen[bytes]":
    environ = {"DAVSTORE_ADMIN_PASSWORD": PASSWORD, "DAVSTORE_BUCKETS__MEDIA__THUMBNAILS": "true"}
    command = [sys.executable, "-m", "davstore", "serve", "--data", str(data), "--port", str(port)]
    return subprocess.Popen(command, env=os.environ | environ, stdout=subprocess.DEVNULL)


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz").close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server does not answer")


def _options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench media", description=__doc__)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=20, help="alternations between thumbnails and none")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
