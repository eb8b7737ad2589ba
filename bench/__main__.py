"""`make bench`: small writes, small reads and property requests per second against a server of its own.

`python -m bench fuse` measures the mount, `python -m bench media` thumbnails."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles

from bench import fuse, media, peers
from bench.wire import Connection
from tests.parts.processes import free_port

PASSWORD = "bench"
Ask = Callable[[Connection, int, int], object]


def put(connection: Connection, client: int, n: int) -> None:
    connection.ask("PUT", f"/files/put-{client}-{n}", 201, os.urandom(4096))


def get(connection: Connection, client: int, n: int) -> None:
    assert connection.ask("GET", "/files/one-kib", 200) == 1024


def propfind(connection: Connection, client: int, n: int) -> None:
    connection.ask("PROPFIND", "/files/one-kib", 207, headers="Depth: 0\r\n")


MEASURES: dict[str, Ask] = {"PUT 4 KiB, new": put, "GET 1 KiB": get, "PROPFIND, depth 0": propfind}


def main() -> None:
    if sys.argv[1:2] == ["fuse"]:
        fuse.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["media"]:
        media.main(sys.argv[2:])
        return
    options = _options()
    with tempfile.TemporaryDirectory(prefix="davstore-bench-", dir=options.directory) as folder:
        port = free_port()
        server = _serve(Path(folder) / "data", port, options.workers, options.durability)
        try:
            _wait(port, server)
            _measure(port, options)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def _measure(port: int, options: argparse.Namespace) -> None:
    first = Connection(port, "admin", PASSWORD)
    first.ask("PUT", "/files/one-kib", 201, os.urandom(1024))
    first.close()
    print(f"durability {options.durability}, {options.workers} worker(s), {options.seconds:g} s each")
    print(f"{'':20}{'connections':>12}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    for name, ask in MEASURES.items():
        for clients in (1, options.clients):
            times, seconds = _run(port, ask, clients, options.seconds)
            cuts = [1000 * cut for cut in quantiles(times, n=100)]
            print(f"{name:20}{clients:12}{len(times) / seconds:12.0f}{cuts[49]:10.2f}{cuts[98]:10.2f}", flush=True)


def _run(port: int, ask: Ask, clients: int, seconds: float) -> tuple[list[float], float]:
    """How long each request took, and the time that all took together."""
    begin = time.perf_counter()
    names = [time.time_ns() + client for client in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        results = list(pool.map(lambda client: _client(port, ask, client, begin + seconds), names))
    return [taken for times in results for taken in times], time.perf_counter() - begin


def _client(port: int, ask: Ask, client: int, end: float) -> list[float]:
    connection = Connection(port, "admin", PASSWORD)
    times: list[float] = []
    while (start := time.perf_counter()) < end:
        ask(connection, client, len(times))
        times.append(time.perf_counter() - start)
    connection.close()
    return times


def _serve(data: Path, port: int, workers: int, durability: str) -> "subprocess.Popen[bytes]":
    environ = {"DAVSTORE_ADMIN_PASSWORD": PASSWORD, "DAVSTORE_DATABASE__DURABILITY": durability}
    command = [sys.executable, "-m", "davstore", "serve", "--data", str(data), "--port", str(port)]
    return subprocess.Popen([*command, "--workers", str(workers)], env=os.environ | environ, stdout=subprocess.DEVNULL)


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz").close()
            return
        except OSError:
            if server.poll() is not None:
                raise SystemExit(f"the server ended with {server.returncode}") from None
            time.sleep(0.05)
    raise SystemExit("the server does not answer")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each line is measured")
    parser.add_argument("--clients", type=int, default=8, help="connections of the second line of each pair")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--durability", choices=["fsync", "os"], default="fsync")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["peers"]:
        peers.main(sys.argv[2:])
    else:
        main()
