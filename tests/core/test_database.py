"""Transactions as I6 and I7 promise them, on both databases."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import TCP_KEEPIDLE, TCP_KEEPINTVL
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from core import wal
from core.database import Database, Transaction
from core.errors import StorageUnavailable
from core.model import SECOND, BucketId
from core.namespace import Namespace
from core.schema import names
from core.store import Store
from core.wal import SharedSync, UnsyncedLog
from tests.core.conftest import OpenStore
from tests.parts import stores
from tests.parts.postgresql import Cluster
from tests.parts.scale import soak
from tests.parts.server import ROOT

FAIR = 0.25
FILE, OTHER = ("files", "file"), ("media", "file")


def home(store: Store, name: str) -> BucketId:
    return next(bucket.id for bucket in store.buckets() if bucket.name == name)


@pytest.mark.slow
def test_no_writing_process_starves_another(checked: OpenStore, database_url: str, tmp_path: Path):
    checked()
    command = [sys.executable, "-m", "tests.parts.writer", database_url, str(tmp_path / "data"), "8", str(soak(3, 30))]
    pipe = subprocess.PIPE
    writers = [subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(2)]
    assert [writer.stdout and writer.stdout.readline() for writer in writers] == ["ready\n", "ready\n"]

    told = list(ThreadPoolExecutor().map(lambda writer: writer.communicate("go\n"), writers))

    assert [error for _, error in told] == ["", ""]
    written = [list(map(int, output.split())) for output, _ in told]
    total = sum(map(sum, written))
    assert min(map(sum, written)) / total >= FAIR
    assert all(min(threads) >= sum(threads) / len(threads) * FAIR for threads in written)


def test_a_reader_sees_the_old_state_and_never_waits_for_a_writer(store: Store, ann: Namespace):
    stores.put(ann, FILE, b"old")
    written, may_commit = threading.Event(), threading.Event()

    def write() -> None:
        with store.database.write(home(store, "files")) as tx:
            tx.execute(text("UPDATE names SET name = 'renamed'"))
            written.set()
            assert may_commit.wait(10)

    with ThreadPoolExecutor() as pool:
        writer = pool.submit(write)
        assert written.wait(10)
        assert stores.content(ann, FILE) == b"old"
        may_commit.set()
        writer.result()
    assert [node.name for node in stores.members(ann, ("files",))] == ["renamed"]


def test_writers_of_one_bucket_take_turns(store: Store):
    inside: list[str] = []

    def write(name: str) -> None:
        with store.database.write(home(store, "files")):
            inside.append(f"{name} in")
            time.sleep(0.05)
            inside.append(f"{name} out")

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, "abc"))

    assert [step.split()[1] for step in inside] == ["in", "out"] * 3


def test_two_buckets_in_either_order_never_wait_for_each_other_for_ever(store: Store):
    both = home(store, "files"), home(store, "media")

    def write(order: tuple[BucketId, ...]) -> None:
        for _ in range(20):
            with store.database.write(*order) as tx:
                assert tx.now

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, (both, both[::-1]) * 2))


def test_now_is_the_time_after_the_writers_turn_came_and_stays(store: Store):
    """A writer that waited has not the time at which it began to wait."""
    nows: list[int] = []

    def write(delay: float) -> None:
        with store.database.write(home(store, "files")) as tx:
            time.sleep(delay)
            nows.append(tx.now)
            time.sleep(delay)
            assert tx.now == nows[-1]

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, (0.1, 0.1)))

    assert abs(nows[-1] / SECOND - time.time()) < 5
    assert nows[1] - nows[0] >= 0.1 * SECOND


def test_every_connection_holds_foreign_keys(store: Store):
    def orphan(_: int) -> None:
        with pytest.raises(IntegrityError), store.database.write(home(store, "files")) as tx:
            tx.execute(insert(names).values(parent=10**9, name="x", key="x", node=10**9))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(orphan, range(16)))


def test_a_transaction_that_raises_leaves_nothing(store: Store, ann: Namespace):
    with pytest.raises(ZeroDivisionError), store.database.write(home(store, "files")) as tx:
        _ = tx.execute(text("UPDATE buckets SET seq = 77")), 1 // 0

    assert {bucket.seq for bucket in store.buckets()} == {0}
    stores.put(ann, FILE)


@pytest.mark.slow
def test_a_lost_connection_is_told_and_the_next_transaction_works(postgres: Cluster, postgres_url: str):
    database = Database(postgres_url)
    with pytest.raises(StorageUnavailable), database.write() as tx:
        _lose(tx, database)

    with database.write() as tx:
        assert tx.scalar(text("SELECT 1")) == 1
    database.close()


def _lose(tx: Transaction, database: Database) -> None:
    mine = tx.scalar(text("SELECT pg_backend_pid()"))
    with database.read() as other:
        other.execute(text(f"SELECT pg_terminate_backend({mine})"))
    tx.execute(text("SELECT 1"))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose data were synced."""
    found, real = list[str](), os.fdatasync

    def fdatasync(descriptor: int) -> None:
        real(descriptor)
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return found


class TestTheLogOfSqlite:
    """I7: what a write acknowledges is on disk."""

    @pytest.fixture
    def database_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'davstore.db'}"

    def test_is_synced_before_every_write_returns(self, checked: OpenStore, synced: list[str], tmp_path: Path):
        ann = checked("fsync").namespace(stores.ANN)
        acts: list[Callable[[], object]] = [
            lambda: stores.put(ann, FILE, b"inline"),
            lambda: ann.move(FILE, ("files", "moved")),
            lambda: ann.make_collection(("files", "d")),
            lambda: ann.delete(("files", "moved")),
        ]

        for act in acts:
            synced.clear()
            act()
            assert synced == [str(tmp_path / "davstore.db-wal")]

    def test_is_left_to_the_operating_system_where_that_is_wanted(self, checked: OpenStore, synced: list[str]):
        stores.put(checked("os").namespace(stores.ANN), FILE, b"a content that has a blob of its own")

        assert synced == []

    def test_that_cannot_be_synced_refuses_this_write_and_all_later_ones(
        self, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
    ):
        ann, failures = open_store("fsync").namespace(stores.ANN), [OSError(5, "Input/output error")]

        def fdatasync(_: int) -> None:
            if failures:
                raise failures.pop()

        monkeypatch.setattr(os, "fdatasync", fdatasync)
        for _ in range(3):
            with pytest.raises(StorageUnavailable, match="restart once the disk is well"):
                stores.put(ann, FILE, b"inline")


def test_one_sync_serves_all_who_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log, begun, may_end = tmp_path / "log", threading.Semaphore(0), threading.Semaphore(0)
    log.touch()

    def fdatasync(_: int) -> None:
        begun.release()
        assert may_end.acquire(timeout=10)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    sync = SharedSync(log)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(sync)
        assert begun.acquire(timeout=10)
        waiting = [pool.submit(sync) for _ in range(8)]
        while len(sync._waiting) < 8:  # pyright: ignore[reportPrivateUsage]
            time.sleep(0.001)
        may_end.release()
        first.result(10)
        assert begun.acquire(timeout=10)
        assert not any(each.done() for each in waiting)
        may_end.release()
        for each in waiting:
            each.result(10)
    assert not begun.acquire(timeout=0.05)
    sync.close()


def test_a_sync_that_failed_fails_for_all_who_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log, may_fail = tmp_path / "log", threading.Event()
    log.touch()

    def fdatasync(_: int) -> None:
        assert may_fail.wait(10)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    sync = SharedSync(log)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(sync) for _ in range(4)]
        time.sleep(0.05)
        may_fail.set()
        assert [type(each.exception(10)) for each in waiting] == [UnsyncedLog] * 4
    sync.close()


@pytest.mark.slow
def test_a_server_whose_machine_vanished_is_given_up_within_a_minute(postgres_url: str):
    database = Database(postgres_url)
    with database.read() as tx:
        driver: Any = tx.connection.connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as wire:
            silent = [wire.getsockopt(socket.IPPROTO_TCP, option) for option in (TCP_KEEPIDLE, TCP_KEEPINTVL)]
            tries = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
            unheard = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    database.close()

    assert silent[0] + silent[1] * tries <= 60
    assert 0 < unheard <= 60_000


def test_what_was_committed_comes_into_the_file_while_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wal, "COMMITS", 5)
    file, names = tmp_path / "davstore.db", set[str]()
    database = Database(f"sqlite:///{file}")
    with database.write() as tx:
        tx.execute(text("CREATE TABLE said (word TEXT)"))
    before = file.stat().st_size

    deadline = time.monotonic() + 30
    while file.stat().st_size == before and time.monotonic() < deadline:
        with database.write() as tx:
            tx.execute(text("INSERT INTO said VALUES (:word)"), {"word": "x" * 10_000})
        names |= {thread.name for thread in threading.enumerate()}
    grown = file.stat().st_size
    database.close()

    assert grown > before
    assert "davstore-checkpoints" in names
    assert "davstore-checkpoints" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_reading_ahead_lets_no_other_process_take_the_log_away(database_url: str, tmp_path: Path):
    """Who closes a database as its last user removes the log: SQLite's locks tell it whether it is."""
    stores.migrated(database_url)
    database = Database(database_url)
    log = Path(f"{database.url.database}-wal")
    with database.write() as tx:
        tx.execute(text("CREATE TABLE more (n INTEGER)"))

    database.read_ahead()
    database.read_ahead()

    used = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM more').fetchall(); c.close()"
    )
    subprocess.run([sys.executable, "-c", used, str(database.url.database)], check=True)
    assert log.stat().st_size > 0
    database.close()
    assert not log.exists()
