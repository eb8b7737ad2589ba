"""`python -m bench.collector`: how many objects the collector decides a second, with how much memory, and that a run
costs what was touched, not what is stored."""

import argparse
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from bench import usage
from core.database import Transaction
from core.policy import BucketPolicy
from core.store import Store
from core.subtrees import UUID7
from tests.parts import processes, stores
from tests.parts.postgresql import Cluster

TOUCHED = 1000
MIB = 1 << 20
AGO = "1000000000"
"""When the rows were touched: the first second after the epoch."""
SIZE = 64

NUMBERS = {
    "sqlite": "WITH RECURSIVE s (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM s WHERE n < :last)",
    "postgresql": "WITH s (n) AS (SELECT * FROM generate_series(cast(:first AS bigint), cast(:last AS bigint)))",
}
DIGEST = {"sqlite": "sha256(n)", "postgresql": "encode(sha256(convert_to(cast(n AS text), 'UTF8')), 'hex')"}
UID = {"sqlite": "uuid7()", "postgresql": str(UUID7)}
DATA = {"sqlite": f"zeroblob({SIZE})", "postgresql": f"decode(repeat('00', {SIZE}), 'hex')"}
OBJECTS = f"""INSERT INTO objects (id, uid, bucket, digest, dedup_key, size, storage, key, state, created, touched)
    {{numbers}} SELECT n, {{uid}}, 1, {{digest}}, {{digest}}, {SIZE}, 'inline', 'files/' || {{digest}}, 'live',
    {AGO}, {AGO} FROM s"""
BLOBS = "INSERT INTO blob_data (key, n, data) {numbers} SELECT 'inline/files/' || {digest}, 0, {data} FROM s"
NODES = f"""INSERT INTO nodes (uid, bucket, is_root, kind, object, size, created, modified, changed, mode, links, seq)
    {{numbers}} SELECT {{uid}}, 1, false, 'file', n, {SIZE}, {AGO}, {AGO}, {AGO}, 420, 1, 1 FROM s WHERE n % 2 = 0"""


def main() -> None:
    options = _options()
    counts = [int(float(count)) for count in options.objects.split(",")]
    for name in options.databases.split(","):
        for count in counts:
            with _store(name) as store:
                fill(store, count)
                decided(store, name, count)
                touched_again(store, name, count)


def fill(store: Store, count: int) -> None:
    """Objects with inline contents, every second one without a reference, all of them touched long ago."""
    with store.database.write() as tx:
        for statement in (OBJECTS, BLOBS, NODES):
            each_thousand(tx, statement, count)
        if tx.dialect == "postgresql":
            tx.execute(text("SELECT setval(pg_get_serial_sequence('objects', 'id'), max(id)) FROM objects"))
    _analyze(store)


def decided(store: Store, name: str, count: int) -> float:
    """Prints and returns how many objects a second were cleared or condemned."""
    before, cpu, start = _memory(), _cpu(), time.perf_counter()
    run = store.collect_garbage(grace=0)
    taken, cpu = time.perf_counter() - start, _cpu() - cpu
    assert (run.examined, run.condemned) == (count, count - count // 2)
    grown = (_memory() - before) / MIB
    print(
        f"{name:12}{count:>9} stored, all touched: {count / taken:9.0f} objects/s, {count / cpu:9.0f} per CPU second,"
        f" {grown:6.1f} MiB more",
        flush=True,
    )
    return count / taken


def touched_again(store: Store, name: str, count: int) -> float:
    """The seconds of a run in which a thousand of them were touched."""
    _analyze(store)
    with store.database.write() as tx:
        step = max(1, count // TOUCHED)
        tx.execute(
            text("UPDATE objects SET touched = :now WHERE state = 'live' AND id % :step = 0 AND id <= :last"),
            {"now": tx.now, "step": step, "last": count},
        )
    start = time.perf_counter()
    run = store.collect_garbage(grace=0)
    taken = time.perf_counter() - start
    print(f"{name:12}{count:>9} stored, {run.examined} touched: {1000 * taken:9.1f} ms", flush=True)
    return taken


def each_thousand(tx: Transaction, statement: str, last: int, begin: int = 1) -> None:
    """The statement for all numbers from `begin` to `last`: `{numbers}` names each n, `{digest}` is that of n."""
    words = {"numbers": NUMBERS, "uid": UID, "digest": DIGEST, "data": DATA}
    if tx.dialect == "sqlite":
        driver = tx.connection.connection.driver_connection
        assert driver
        driver.create_function("sha256", 1, _sha256)
    filled = text(statement.format(**{name: by[tx.dialect] for name, by in words.items()}))
    for first in range(begin, last + 1, 100_000):
        tx.execute(filled, {"first": first, "last": min(last, first + 99_999)})


def _sha256(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def _analyze(store: Store) -> None:
    """What PostgreSQL's autovacuum does in time: without it the next run would meet every row that the last changed."""
    if store.database.url.get_backend_name() == "sqlite":
        with store.database.write() as tx:
            tx.execute(text("ANALYZE"))
        return
    with store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _cpu() -> float:
    """Seconds of processor time that this process and its database server have used."""
    mine = time.process_time()
    return mine + usage.cpu(pid for child in processes.children(os.getpid()) for pid in processes.tree(child))


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _store(name: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="davstore-bench-") as folder:
        if name == "sqlite":
            yield from _opened(f"sqlite:///{folder}/davstore.db", Path(folder))
            return
        with Cluster() as cluster:
            yield from _opened(cluster.url(cluster.create()), Path(folder))


def _opened(url: str, folder: Path) -> Iterator[Store]:
    store = stores.opened(url, folder / "data", "fsync", files=BucketPolicy())
    try:
        yield store
    finally:
        store.close()


def _options(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.collector", description=__doc__)
    parser.add_argument("--objects", default="1e4,1e5,1e6", help="how many are stored, one run for each")
    parser.add_argument("--databases", default="sqlite,postgresql")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
