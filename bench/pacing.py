"""`python -m bench.pacing`: what a small PUT costs while the collector is at work beside it, and while it is not.

Rounds alternate on one database, so that both meet the same sizes and the same hour of the machine.
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
from statistics import quantiles

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
    print(f"{options.database}, {options.objects} objects, PUT of 4 KiB, {options.seconds:g} s each")
    print(f"{'':24}{'requests':>10}{'p50 ms':>10}{'p99 ms':>10}{'longest ms':>12}")
    all_times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(options.rounds):
        for collecting in (False, True):
            times = _measured(store, url, folder, options.seconds, collecting=collecting)
            _tell(NAMES[collecting], times)
            all_times[collecting] += times
    for collecting, times in all_times.items():
        _tell(f"{NAMES[collecting]}, all", times)
    medians = [quantiles(all_times[collecting], n=100)[49] for collecting in (False, True)]
    print(f"the median rises by {100 * (medians[1] / medians[0] - 1):.0f} %")


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
        connection.close()
        if collecting and not _is_collecting(store):
            raise SystemExit("the collector had done its work before the end; give it more --objects")
    return times


def _is_collecting(store: Store) -> bool:
    with store.database.read() as tx:
        return tx.scalar(select(jobs.c.lease).where(jobs.c.name == "collect")) is not None


def _tell(name: str, times: list[float]) -> None:
    cuts = [1000 * cut for cut in quantiles(times, n=100)]
    print(f"{name:24}{len(times):10}{cuts[49]:10.2f}{cuts[98]:10.2f}{1000 * max(times):12.1f}", flush=True)


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
    parser.add_argument("--objects", default="1e6", help="how many wait for the collector, half of them unreferenced")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each phase is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
