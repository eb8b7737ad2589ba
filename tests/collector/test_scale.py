"""Many objects: every question has an index, and a run costs what was touched, not what is stored."""

import gc
import re
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path as FilePath

import pytest
from sqlalchemy import event, insert, text

from bench import collector as bench
from core import uids
from core.collector import Collector
from core.jobs import LONGEST
from core.model import Path
from core.policy import BucketPolicy, Versions
from core.schema import versions
from core.store import Store
from core.tempo import Tempo
from tests.collector import life
from tests.collector.conftest import OpenStore
from tests.parts.scale import soak
from tests.parts.server import ROOT
from tests.parts.stores import INLINE_BELOW, migrated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(soak(300, 1800))]

FEW = soak(2000, 100_000)
MIB = 1 << 20
CACHE = 16 * MIB
"""What SQLite may keep of the database in memory (core/database.py)."""
RESIDENT = """import resource, sys
from pathlib import Path
from bench.collector import fill
from core.collector import Collector
from tests.parts import stores
store = stores.opened(sys.argv[1], Path(sys.argv[2]))
fill(store, int(sys.argv[3]))
collector = Collector(store.database, store.registry)
done = collector.collect(0) + collector.purge(0)
store.close()
print(done.purged, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store(files=BucketPolicy(inline_below=INLINE_BELOW))


def test_the_benchmark_runs(store: Store, capsys: pytest.CaptureFixture[str]):
    bench.fill(store, 2000)

    bench.decided(store, "sqlite", 2000)
    bench.touched_again(store, "sqlite", 2000)

    told = capsys.readouterr().out.splitlines()
    assert re.search(r" 2000 stored, all touched: +\d+ objects/s", told[0])
    assert re.search(r" 2000 stored, 1000 touched: +[\d.]+ ms", told[1])
    _forget_all(store)


def test_every_question_of_a_run_on_sqlite_is_answered_by_an_index(store: Store):
    if store.database.url.get_backend_name() != "sqlite":
        return
    bench.fill(store, 3000)
    asked: dict[str, object] = {}

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        if re.match("SELECT|UPDATE|DELETE|INSERT", statement):
            asked[statement] = parameters

    event.listen(store.database.engine, "before_cursor_execute", note)
    life.run(store)
    event.remove(store.database.engine, "before_cursor_execute", note)

    scans, batches = list[str](), list[str]()
    with store.database.engine.connect() as connection:
        for statement, parameters in asked.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # pyright: ignore[reportArgumentType]
            steps = [str(row[3]) for row in plan]
            scans += [f"{step}: {statement}" for step in steps if step.startswith("SCAN")]
            if statement.startswith("SELECT objects.id, objects.") and " AS since" in statement:
                batches += steps
    small = r"SCAN (\(subquery|buckets|anon_\d|json_each|reference_rules|CONSTANT)"
    assert [scan for scan in scans if not re.match(small, scan)] == []
    names = ("touched", "condemned")
    assert [step.split(" (")[0].replace(" COVERING", "") for step in batches] == [
        f"SEARCH objects USING INDEX ix_objects_{name}" for name in names
    ]
    _forget_all(store)


def test_a_run_asks_as_often_whatever_is_stored(open_store: OpenStore):
    """A thousand times the objects, and the same few touched: the same statements."""
    store = open_store(files=BucketPolicy(inline_below=INLINE_BELOW))
    counts: list[int] = []
    for turn, stored in enumerate((0, 0, 3000)):
        if stored:
            bench.fill(store, stored)
        life.put_and_delete(store, data=life.PHOTO * (turn + 1))
        count = [0]

        def one_more(*_given: object, count: list[int] = count) -> None:
            count[0] += 1

        event.listen(store.database.engine, "before_cursor_execute", one_more)
        done = life.condemn(store)
        event.remove(store.database.engine, "before_cursor_execute", one_more)
        counts.append(count[0])
        assert done.examined == 1
        life.run(store)
    _forget_all(store)
    assert counts[1] == counts[2], "the first run of all begins the walk"


def test_a_run_takes_as_long_however_many_versions_are_kept(open_store: OpenStore):
    """In steps of SQLite's machine."""
    store = open_store(files=BucketPolicy(inline_below=INLINE_BELOW, versions=Versions(keep=10_000)))
    if store.database.url.get_backend_name() != "sqlite":
        return
    path, steps = life.put(store), list[int]()
    for count in (10, 1000):
        _keep(store, path, count)
        life.run(store)
        life.put(store, path[-1], life.PHOTO * count)

        steps.append(_steps(store, lambda: life.run(store)))

    assert len(store.recovery(life.ADMIN).versions(path)) > 1000
    assert steps[1] < 1.5 * steps[0]


def _keep(store: Store, path: Path, count: int) -> None:
    """So many older contents more."""
    file = life.as_ann(store).node(path)
    with store.database.write() as tx:
        like = {"node": file.id, "object": file.object, "size": file.size, "media_type": file.media_type}
        about = {"modified": tx.now, "author": "ann", "replaced": tx.now}
        tx.execute(insert(versions), [{"uid": uids.fresh(), **like, **about} for _ in range(count)])


def _steps(store: Store, act: Callable[[], object]) -> int:
    """What SQLite does meanwhile, by tens."""
    done = [0]

    def tick() -> None:
        done[0] += 1

    def listen(_connection: object, cursor: sqlite3.Cursor, *_rest: object) -> None:
        cursor.connection.set_progress_handler(tick, 10)

    event.listen(store.database.engine, "before_cursor_execute", listen)
    act()
    event.remove(store.database.engine, "before_cursor_execute", listen)
    return done[0]


def _forget_all(store: Store) -> None:
    """The rows of the benchmark are no store's."""
    with store.database.write() as tx:
        for table in ("names", "nodes", "objects", "blob_data", "purges"):
            root = " WHERE NOT is_root" if table == "nodes" else ""
            tx.execute(text(f"DELETE FROM {table}{root}"))


def test_beside_a_server_even_the_first_batch_is_short(store: Store):
    bench.fill(store, 1000)
    condemned: list[int] = []

    def count() -> None:
        condemned.append(sum(row.state == "condemned" for row in life.rows(store, life.objects)))

    Collector(store.database, store.registry, Tempo(LONGEST, count)).collect(grace=0)

    assert next(count for count in condemned if count) <= 50
    assert condemned[-1] == 500
    _forget_all(store)


def test_a_run_over_ten_times_as_many_objects_holds_no_more_in_memory(store: Store):
    few, many = (_peak(store, count) for count in (FEW, 10 * FEW))

    assert many < few + MIB


def _peak(store: Store, count: int) -> int:
    """Bytes at most of what a run made, which must not grow with what it decides on."""
    bench.fill(store, count)
    collector = Collector(store.database, store.registry, Tempo(0.02))
    gc.collect()
    tracemalloc.start()
    done = collector.collect(0) + collector.purge(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (done.examined, done.purged) == (count, count // 2)
    _forget_all(store)
    life.change(store, life.buckets, collected=-1)
    return peak


def test_a_process_that_lets_ten_times_as_much_go_is_hardly_larger(tmp_path: FilePath):
    """But for what SQLite keeps of the larger database."""
    few, many = (_resident(tmp_path / str(count), count) for count in (FEW, 10 * FEW))

    assert many - few < CACHE + 8 * MIB


def _resident(data: FilePath, count: int) -> int:
    data.mkdir()
    url = f"sqlite:///{data}/davstore.db"
    migrated(url)
    command = [sys.executable, "-c", RESIDENT, url, str(data), str(count)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    purged, most = map(int, told.stdout.split())
    assert purged == count // 2
    return most
