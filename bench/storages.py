"""S3 through davstore against the S3 server itself, and workers on one PostgreSQL: `python -m bench.storages`."""

import argparse
import base64
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg

from bench.wire import Connection
from core.database import ADVISORY
from tests.parts.postgresql import Cluster
from tests.parts.processes import free_port
from tests.parts.seaweedfs import SeaweedFS

PASSWORD = "bench"
MIB = 1 << 20
CONFIG = """
[database]
url = "{url}"
[storages.s3main]
type = "s3"
bucket = "{bucket}"
endpoint = "{endpoint}"
region = "us-east-1"
[buckets.remote]
storage = "s3main"
[collector]
enabled = false
"""
LOCKED = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s"


def main() -> None:
    options = _options()
    scratch = tempfile.TemporaryDirectory(prefix="davstore-bench-", dir=options.directory)
    with scratch as folder, Cluster() as cluster, SeaweedFS() as seaweedfs:
        config = Path(folder) / "davstore.toml"
        url = cluster.url(cluster.create())
        config.write_text(CONFIG.format(url=url, bucket=seaweedfs.bucket(), endpoint=seaweedfs.endpoint))
        with served(Path(folder), config, seaweedfs, 1) as port:
            _compare(port, seaweedfs)
        for workers in options.workers:
            with served(Path(folder), config, seaweedfs, workers) as port:
                _throughput(port, workers, url, options)


@contextmanager
def served(folder: Path, config: Path, seaweedfs: SeaweedFS, workers: int) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "davstore", "serve", "--data", str(folder / "data"), "--config", str(config)]
    environ = os.environ | seaweedfs.environ | {"DAVSTORE_ADMIN_PASSWORD": PASSWORD}
    log = (folder / "log").open("wb")
    options = ["--port", str(port), "--workers", str(workers)]
    server = subprocess.Popen([*command, *options], env=environ, stdout=log, stderr=log)
    try:
        _wait(port, server)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        log.close()


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz").close()
            return
        except OSError:
            if server.poll() is not None:
                raise SystemExit(f"the server ended with {server.returncode}") from None
            time.sleep(0.05)


def _compare(port: int, seaweedfs: SeaweedFS) -> None:
    """One connection, the two in turn; medians of MB/s for large contents, of requests/s for small ones."""
    bucket, connection = seaweedfs.bucket(), Connection(port, "admin", PASSWORD)
    print(f"{'':26}{'S3 itself':>12}{'davstore':>12}{'ratio':>8}{'redirect':>12}{'ratio':>8}")
    for name, size, count in (
        ("64 MiB, MB/s", 64 * MIB, 3),
        ("1 MiB, req/s", MIB, 20),
        ("128 KiB, req/s", 1 << 17, 40),
    ):
        _compare_size(name, [os.urandom(size) for _ in range(count)], seaweedfs, bucket, connection, port)
    connection.close()


def _compare_size(
    name: str, data: list[bytes], seaweedfs: SeaweedFS, bucket: str, connection: Connection, port: int
) -> None:
    client, size = seaweedfs.client, len(data[0])
    unit = size / 1e6 if size > 8 * MIB else 1
    direct = _rate(data, lambda n, body: client.put_object(Bucket=bucket, Key=f"{size}-{n}", Body=body))
    through = _rate(data, lambda n, body: connection.ask("PUT", f"/remote/{size}-{n}", 201, body))
    _print(f"PUT {name}", direct * unit, through * unit)
    direct = _rate(data, lambda n, body: _read(client.get_object(Bucket=bucket, Key=f"{size}-{n}")["Body"], size))
    through = _rate(data, lambda n, body: connection.ask("GET", f"/remote/{size}-{n}", 200))
    followed = _rate(data, lambda n, body: _follow(port, f"/remote/{size}-{n}", size)) if size >= MIB else None
    _print(f"GET {name}", direct * unit, through * unit, followed and followed * unit)


def _rate(data: list[bytes], act: Callable[[int, bytes], object]) -> float:
    """One over the median time."""
    times: list[float] = []
    for n, body in enumerate(data):
        begin = time.perf_counter()
        act(n, body)
        times.append(time.perf_counter() - begin)
    return 1 / median(times)


def _read(body: "object", size: int) -> None:
    assert len(body.read()) == size  # pyright: ignore[reportAttributeAccessIssue] - botocore's StreamingBody


def _follow(port: int, path: str, size: int) -> None:
    """As curl does: the password stays with the host that asked for it."""
    credentials = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Host": "drive.test", "User-Agent": "curl/8.0", "Authorization": f"Basic {credentials}"}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    with urllib.request.urlopen(answer.headers["Location"]) as found:
        assert len(found.read()) == size


def _print(name: str, direct: float, through: float, followed: float | None = None) -> None:
    redirect = f"{followed:12.1f}{followed / direct:8.2f}" if followed else ""
    print(f"{name:26}{direct:12.1f}{through:12.1f}{through / direct:8.2f}{redirect}", flush=True)


def _throughput(port: int, workers: int, url: str, options: argparse.Namespace) -> None:
    """Durable PUTs of 4 KiB into one bucket and GETs of one, by clients in processes of their own."""
    first = Connection(port, "admin", PASSWORD)
    if workers == options.workers[0]:
        print(f"\n{'workers':>8}{'PUT 4 KiB/s':>14}{'lock held':>12}{'GET 1 KiB/s':>14}")
        first.ask("PUT", "/files/one-kib", 201, os.urandom(1024))
    first.close()
    share = _LockShare(url)
    with ProcessPoolExecutor(2) as pool, share:
        puts = sum(pool.map(_puts, [port] * 2, [options.clients // 2] * 2, [options.seconds] * 2))
    with ProcessPoolExecutor(2) as pool:
        gets = sum(pool.map(_gets, [port] * 2, [options.clients // 2] * 2, [options.seconds] * 2))
    seconds = options.seconds
    print(f"{workers:8}{puts / seconds:14.0f}{share.held:12.0%}{gets / seconds:14.0f}", flush=True)


def _puts(port: int, clients: int, seconds: float) -> int:
    return _hammer(
        port, clients, seconds, lambda link, n: link.ask("PUT", f"/files/{os.urandom(8).hex()}", 201, os.urandom(4096))
    )


def _gets(port: int, clients: int, seconds: float) -> int:
    return _hammer(port, clients, seconds, lambda link, n: link.ask("GET", "/files/one-kib", 200))


def _hammer(port: int, clients: int, seconds: float, ask: Callable[[Connection, int], object]) -> int:
    counts = [0] * clients
    end = time.monotonic() + seconds

    def work(client: int) -> None:
        connection = Connection(port, "admin", PASSWORD)
        while time.monotonic() < end:
            ask(connection, counts[client])
            counts[client] += 1
        connection.close()

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


class _LockShare:
    """How much of the time some bucket's writer lock is held, by looking every few milliseconds."""

    def __init__(self, url: str) -> None:
        self.held = 0.0
        self._url = url.replace("+psycopg", "")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        seen: list[bool] = []
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._ending.wait(0.005):
                row = connection.execute(LOCKED, (ADVISORY,)).fetchone()
                seen.append(bool(row and row[0]))
        self.held = sum(seen) / max(1, len(seen))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.storages", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each number of workers is measured")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 6])
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
