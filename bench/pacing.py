"""`python -m bench.pacing`: what a small PUT costs while the collector is at work beside it, and while it is not.

Rounds alternate on one database, and who is first does too, so that both meet the same sizes and the same hour of the
machine. What it prints is the table of docs/performance.md.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import select, text

from bench.collector import fill
from bench.wire import Connection
from core.policy import BucketPolicy
from core.schema_services import jobs
from core.store import Store
from tests.parts import stores
from tests.parts.postgresql import Cluster
from tests.parts.processes import free_port

PASSWORD = "bench"
NAMES = {False: "collector off", True: "collector at work"}
AGAIN = (
    "UPDATE objects SET state = 'live', condemned = NULL WHERE state = 'condemned'",
    "UPDATE buckets SET collected = -1",
)
"""All that was decided on is undecided again."""


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="davstore-bench-", dir=options.directory)))
        url = f"sqlite:///{folder}/davstore.db"
        if options.database == "postgresql":
            cluster = stack.enter_context(Cluster())
            url = cluster.url(cluster.create())
        with _served(url, folder, collecting=False):
            pass
        store = stores.opened(url, folder, "fsync", files=BucketPolicy())
        stack.callback(store.close)
        fill(store, int(float(options.objects)))
        _rounds(store, url, folder, options)


def _rounds(store: Store, url: str, folder: Path, options: argparse.Namespace) -> None:
    print(f"{options.database}, {options.objects} objects, PUT of 4 KiB, {options.seconds:g} s each, ms\n")
    print("| | requests | median | p99 | longest |\n|---|--:|--:|--:|--:|")
    all_times: dict[bool, list[float]] = {False: [], True: []}
    rises: list[float] = []
    for number in range(options.rounds):
        medians: dict[bool, float] = {}
        for collecting in (False, True) if number % 2 == 0 else (True, False):
            times = _measured(store, url, folder, options.seconds, collecting=collecting)
            _tell(f"{NAMES[collecting]}, round {number + 1}", times)
            medians[collecting] = median(times)
            all_times[collecting] += times
        rises.append(medians[True] / medians[False] - 1)
    for collecting, times in all_times.items():
        _tell(f"**{NAMES[collecting]}**", times)
    each = ", ".join(f"{rise:+.0%}" for rise in rises)
    print(f"\nThe median rises by {median(rises):.0%} (rounds: {each}).")


def _measured(store: Store, url: str, folder: Path, seconds: float, *, collecting: bool) -> list[float]:
    """How long each PUT took, in seconds."""
    with store.database.write() as tx:
        for statement in AGAIN if collecting else ():
            tx.execute(text(statement))
        tx.execute(jobs.delete())
    with _served(url, folder, collecting=collecting) as port:
        connection = Connection(port, "admin", PASSWORD)
        for n in range(50):
            connection.ask("PUT", f"/files/warm-{time.time_ns()}-{n}", 201, os.urandom(4096))
        while collecting and not _is_collecting(store):
            time.sleep(0.02)
        times, end = list[float](), time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            connection.ask("PUT", f"/files/put-{time.time_ns()}", 201, os.urandom(4096))
            times.append(time.perf_counter() - start)
        if collecting and not _is_collecting(store):
            raise SystemExit("the collector had done its work before the end; give it more --objects")
        connection.close()
    return times


def _is_collecting(store: Store) -> bool:
    with store.database.read() as tx:
        return tx.scalar(select(jobs.c.lease).where(jobs.c.name == "collect")) is not None


def _tell(name: str, times: list[float]) -> None:
    p99, longest = quantiles(times, n=100)[98], max(times)
    print(
        f"| {name} | {len(times)} | {1000 * median(times):.2f} | {1000 * p99:.2f} | {1000 * longest:.1f} |", flush=True
    )


@contextmanager
def _served(url: str, folder: Path, *, collecting: bool) -> Iterator[int]:
    """The port of a server with or without the collector, and with no other job."""
    port = free_port()
    switched = {"ENABLED": str(collecting).lower(), "GRACE": "0s", "SWEEP": "false", "SCRUB": "false"}
    environ = {f"DAVSTORE_COLLECTOR__{name}": value for name, value in switched.items()}
    environ |= {"DAVSTORE_ADMIN_PASSWORD": PASSWORD, "DAVSTORE_DATABASE__URL": url}
    command = [sys.executable, "-m", "davstore", "serve", "--data", str(folder), "--port", str(port)]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(command, env=os.environ | environ, stdout=log, stderr=log)
    try:
        _wait(port, server, folder / "log")
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _wait(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(1200):
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}: {log.read_text()[-2000:]}")
        try:
            first = Connection(port, "admin", PASSWORD)
        except OSError:
            time.sleep(0.05)
            continue
        first.ask("GET", "/healthz", 200)
        first.close()
        return
    raise SystemExit("the server does not answer")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.pacing", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--objects", default="2e5", help="how many wait for the collector, half of them unreferenced")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each phase is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
