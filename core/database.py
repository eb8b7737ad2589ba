"""Transactions on SQLite and PostgreSQL, and nothing else: `read()` is a short snapshot, `write(bucket)` is exclusive.

I6: one namespace writer at a time per bucket. On SQLite writers queue at a lock file (its own busy polling starves)
and then `BEGIN IMMEDIATE`; on PostgreSQL the transaction-scoped advisory lock is taken alone in the first statement.
I7: with durability "fsync" the log is on disk when `write()` returns. On SQLite one fsync of the WAL serves all
transactions that committed before it began; PostgreSQL does the same by itself.
"""

import os
import sqlite3
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    Executable,
    RootTransaction,
    Row,
    Select,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from . import uids
from .errors import Corrupt, StorageFull, StorageUnavailable, Unusable
from .model import BucketId, Instant
from .prepared import Parameters, Prepared, refusal
from .wal import SharedSync, UnsyncedLog, Watch, WriterQueue

Durability = Literal["fsync", "os"]
Result = CursorResult[*tuple[Any, ...]]
AnyRow = Row[*tuple[Any, ...]]
Query = Select[*tuple[Any, ...]]

NO_BUCKET = BucketId(0)
"""The writer lock of what belongs to no bucket: accounts, storages, the list of buckets."""
ADVISORY = 0x0DA57
CLOCK = Prepared(select(text("CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) * 1000")))
"""PostgreSQL's. SQLite has the clock of the machine that we share with it, but tells only its milliseconds."""
VANISHING = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Seconds, and at the end milliseconds, after which a server is given up whose machine vanished without a word."""
KEPT = 8
TIMELINE = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
SETTLING = (0.0, 0.1, 0.4, 1.5)
"""Seconds before each attempt to learn what became of a commit."""
MISTAKES = {"SQLITE_ERROR", "SQLITE_MISUSE"}
DISK_FULL = {"53100", "SQLITE_FULL"}
DAMAGED = {"XX001", "XX002", "SQLITE_CORRUPT", "SQLITE_NOTADB"}


@dataclass(slots=True)
class Transaction:
    """An open transaction. `now` is the database's clock, read once, after the lock is held."""

    connection: Connection
    _now: Instant | None = field(default=None)

    @property
    def now(self) -> Instant:
        if self._now is None:
            is_embedded = self.dialect == "sqlite"
            self._now = Instant(time.time_ns() // 1000 * 1000 if is_embedded else self.rows(CLOCK, {})[0][0])
        return self._now

    @property
    def dialect(self) -> str:
        return self.connection.dialect.name

    def execute(self, statement: Executable, parameters: Any = None) -> Result:
        return self.connection.execute(statement, parameters)

    def scalar(self, statement: Executable, parameters: Any = None) -> Any:
        return self.connection.execute(statement, parameters).scalar()

    def rows(self, statement: Prepared, parameters: Parameters) -> Sequence[Sequence[Any]]:
        return statement.rows(self.connection, parameters)

    def first(self, statement: Prepared, parameters: Parameters) -> Sequence[Any] | None:
        rows = statement.rows(self.connection, parameters)
        return rows[0] if rows else None

    def count(self, statement: Prepared, parameters: Parameters) -> int:
        """How many rows the statement changed."""
        return statement.count(self.connection, parameters)


class Database:
    """One database; threads share it, processes open their own."""

    def __init__(self, url: str, durability: Durability = "fsync") -> None:
        self.url: URL = make_url(url)
        self.durability: Durability = durability
        self._queue: WriterQueue | None = None
        self._turns: dict[BucketId, Lock] = {}
        self._sync: SharedSync | None = None
        self._watch: Watch | None = None
        if self.url.get_backend_name() == "sqlite":
            self._open_sqlite(Path(self.url.database or ""))
        else:
            self._open_postgresql()

    def _open_sqlite(self, file: Path) -> None:
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._queue = WriterQueue(file.with_name(file.name + ".lock"))
        except FileExistsError as error:
            raise Unusable(file.parent, "is a file; choose another data directory") from error
        except OSError as error:
            raise Unusable(
                file.parent,
                f"cannot be written ({error.strerror}); choose another data directory or give it to this user",
            ) from error
        self._watch = Watch(file)
        if self.durability == "fsync":
            self._sync = SharedSync(file.with_name(file.name + "-wal"))
        self.engine: Engine = create_engine(
            self.url,
            pool_size=16,
            max_overflow=48,
            connect_args={"isolation_level": None, "check_same_thread": False, "timeout": 30},
        )
        event.listen(self.engine, "connect", _prepare_sqlite)
        event.listen(self.engine, "begin", _begin_sqlite)
        self._readers = Connections(self.engine, KEPT)
        self._writers = Connections(self.engine.execution_options(davstore_begin="BEGIN IMMEDIATE"), KEPT)

    def _open_postgresql(self) -> None:
        commit = "on" if self.durability == "fsync" else "off"
        self.engine = create_engine(
            self.url,
            pool_size=8,
            max_overflow=24,
            pool_pre_ping=True,
            connect_args={"options": f"-c synchronous_commit={commit} -c TimeZone=UTC", **VANISHING},
        )
        event.listen(self.engine, "connect", _note_history)
        reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._readers = Connections(reader)
        self._writers = Connections(self.engine.execution_options(isolation_level="READ COMMITTED"))

    @contextmanager
    def read(self) -> Generator[Transaction]:
        """A consistent snapshot. Never wait for a socket inside."""
        with translated(), self._readers.lent() as connection, connection.begin() as transaction:
            yield Transaction(connection)
            transaction.rollback()

    @contextmanager
    def write(self, *buckets: BucketId, durable: bool = True) -> Generator[Transaction]:
        """The only writer of these buckets; committed and, with durability "fsync", on disk when it returns.

        What need not be `durable` is left to the operating system: it survives a kill, and a power failure only with
        a durable commit after it: the log keeps their order.
        """
        with ExitStack() as held, translated():
            for turn in self._turns_of(buckets):
                held.enter_context(turn)
            with self._writers.lent() as connection, connection.begin() as work:
                if not self._queue:
                    _take_turns(connection, buckets, durable=durable)
                yield Transaction(connection)
                self._commit(connection, work)
            held.close()
            if durable and self._sync:
                self._sync()

    def sync(self) -> None:
        """Everything committed before is on disk, with durability "fsync"."""
        if self._sync:
            self._sync()
        elif not self._queue:
            with self.write() as tx:
                tx.execute(text("SELECT txid_current()"))

    def _turns_of(self, buckets: tuple[BucketId, ...]) -> Sequence[AbstractContextManager[object]]:
        """What a writer waits for before it takes a connection, which a reader may need meanwhile."""
        if self._queue:
            return [self._queue]
        return [self._turns.setdefault(bucket, Lock()) for bucket in _in_order(buckets)]

    def _commit(self, connection: Connection, work: RootTransaction) -> None:
        """Where the connection breaks before the answer comes, PostgreSQL is asked what became of the transaction."""
        number = (
            None if self._queue else connection.scalar(text("SELECT CAST(pg_current_xact_id_if_assigned() AS text)"))
        )
        history = None if self._queue else connection.info["history"]
        try:
            work.commit()
        except BaseException as error:
            work.rollback()
            is_cut = isinstance(error, DBAPIError) and error.connection_invalidated
            if number is None or not is_cut or not self._was_committed(number, history):
                raise

    def _was_committed(self, number: str, history: str | None) -> bool:
        """False where it was not, and where nobody can say: the caller is told that it failed, and may try again.

        A standby that was promoted may give the number to a transaction of its own: that is another history.
        """
        for pause in SETTLING:
            time.sleep(pause)
            with suppress(DBAPIError, PoolTimeout), self.engine.connect() as connection:
                status = connection.scalar(text("SELECT pg_xact_status(CAST(:number AS xid8))"), {"number": number})
                if status != "in progress":
                    return status == "committed" and connection.info["history"] == history
        return False

    def version(self) -> int | None:
        """A number that is another one after each commit, by whomever: what was read since it was told still holds
        while it stays. None where the database tells none."""
        if self._watch is None:
            return None
        try:
            return self._watch.version()
        except sqlite3.Error as error:
            raise StorageUnavailable("the database", str(error)) from error

    def close(self) -> None:
        self._readers.close()
        self._writers.close()
        self.engine.dispose()
        for part in (self._queue, self._sync, self._watch):
            if part:
                part.close()


class Connections:
    """An engine's connections. Up to `kept` idle ones stay out of its pool, which is dear to ask."""

    def __init__(self, engine: Engine, kept: int = 0) -> None:
        self._engine = engine
        self._idle: deque[Connection] = deque()
        self._kept = kept

    @contextmanager
    def lent(self) -> Generator[Connection]:
        connection = self._taken()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < self._kept:
            self._idle.append(connection)
        else:
            connection.close()

    def _taken(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._engine.connect()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _note_history(connection: Any, record: Any) -> None:
    """Which of the server's timelines the connection writes to, if it says so; promoting a standby begins a new one."""
    from psycopg import Error  # only where there is PostgreSQL

    record.info["history"] = None
    with suppress(Error):
        record.info["history"] = connection.execute(TIMELINE).fetchone()[0]
    connection.rollback()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        "cache_size = -16000",
        "wal_autocheckpoint = 4000",
    ):
        connection.cursor().execute(f"PRAGMA {pragma}")
    connection.create_function("uuid7", 0, uids.fresh)


def _begin_sqlite(connection: Connection) -> None:
    command = connection.get_execution_options().get("davstore_begin", "BEGIN")
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(command)
    except sqlite3.Error as error:
        raise refusal(command, (), error, connection.dialect) from error


def _take_turns(connection: Connection, buckets: tuple[BucketId, ...], *, durable: bool) -> None:
    if not durable:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
    for bucket in _in_order(buckets):
        connection.execute(text("SELECT pg_advisory_xact_lock(:space, :bucket)"), {"space": ADVISORY, "bucket": bucket})


def _in_order(buckets: tuple[BucketId, ...]) -> list[BucketId]:
    return sorted(set(buckets or (NO_BUCKET,)))


@contextmanager
def translated() -> Generator[None]:
    """Driver failures in the store's words; broken constraints and wrong statements are ours, and pass as they are."""
    try:
        yield
    except DBAPIError as error:
        code = _code(error.orig)
        if code in DISK_FULL:
            raise StorageFull("the database", "has no room left on its disk") from error
        if code in DAMAGED:
            raise Corrupt("the database", f"is damaged ({error.orig}); restore it from a backup") from error
        if code in MISTAKES or isinstance(error, IntegrityError | ProgrammingError | DataError):
            raise
        raise StorageUnavailable("the database", " ".join(str(error.orig).split())) from error
    except PoolTimeout as error:
        raise StorageUnavailable("the database", "every connection is in use") from error
    except UnsyncedLog as error:
        raise StorageUnavailable(
            "the database", f"its log cannot be written to disk ({error}); restart once the disk is well"
        ) from error


def _code(error: BaseException | None) -> str:
    if isinstance(error, sqlite3.Error):
        return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
    return getattr(error, "sqlstate", None) or ""
