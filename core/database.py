"""Transactions on SQLite and PostgreSQL, and nothing else: `read()` is a short snapshot, `write(bucket)` is exclusive.

I6: one namespace writer at a time per bucket. On SQLite writers queue (`writers`; its own busy polling starves)
and then `BEGIN IMMEDIATE`; on PostgreSQL the transaction-scoped advisory lock is taken alone in the first statement.
I7: with durability "fsync" the log is on disk when `write()` returns. On SQLite one fsync of the WAL serves all
transactions that committed before it began; PostgreSQL does the same by itself.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Literal, TypeVar

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
from .connections import Connections
from .errors import Corrupt, Refusal, StorageFull, StorageUnavailable, Unusable
from .model import BucketId, Instant
from .prepared import Parameters, Prepared, refusal
from .wal import Checkpoints, FileLock, SharedSync, UnsyncedLog, Watch
from .writers import Writers

T = TypeVar("T")
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
READ_AHEAD = 64 << 20
"""Bytes of SQLite's file that are read before they are asked for."""
LONGEST_LOG = 16_000
"""Pages of the write-ahead log after which a commit moves them to the file, if nobody else did (`wal.Checkpoints`)."""
TIMELINE = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
SETTLING = (0.0, 0.1, 0.4, 1.5)
"""Seconds before each attempt to learn what became of a commit."""
MISTAKES = {"SQLITE_ERROR", "SQLITE_MISUSE"}
DISK_FULL = {"53100", "SQLITE_FULL"}
DAMAGED = {"XX001", "XX002", "SQLITE_CORRUPT", "SQLITE_NOTADB"}


class Transaction:
    """An open transaction. `now` is the database's clock, read once, after the lock is held.

    Prepared statements go straight to the driver, but where somebody listens to the engine's events.
    """

    __slots__ = ("_dialect", "_driver", "_is_heard", "_now", "connection")

    def __init__(self, connection: Connection, *, is_heard: bool) -> None:
        self.connection = connection
        self._dialect = connection.dialect
        self._driver: Any = connection.connection.driver_connection
        self._is_heard = is_heard
        self._now: Instant | None = None

    @property
    def now(self) -> Instant:
        if self._now is None:
            is_embedded = self.dialect == "sqlite"
            self._now = Instant(time.time_ns() // 1000 * 1000 if is_embedded else self.rows(CLOCK, {})[0][0])
        return self._now

    @property
    def dialect(self) -> str:
        return self._dialect.name

    def execute(self, statement: Executable, parameters: Any = None) -> Result:
        return self.connection.execute(statement, parameters)

    def scalar(self, statement: Executable, parameters: Any = None) -> Any:
        return self.connection.execute(statement, parameters).scalar()

    def rows(self, statement: Prepared, parameters: Parameters) -> Sequence[Sequence[Any]]:
        if self._is_heard:
            return self.connection.execute(statement.statement, parameters).all()
        return statement.rows(self._driver, self._dialect, parameters)

    def first(self, statement: Prepared, parameters: Parameters) -> Sequence[Any] | None:
        rows = self.rows(statement, parameters)
        return rows[0] if rows else None

    def count(self, statement: Prepared, parameters: Parameters) -> int:
        """How many rows the statement changed."""
        if self._is_heard:
            return self.connection.execute(statement.statement, parameters).rowcount
        return statement.count(self._driver, self._dialect, parameters)


class Database:
    """One database; threads share it, processes open their own."""

    def __init__(self, url: str, durability: Durability = "fsync") -> None:
        self.url: URL = make_url(url)
        self.durability: Durability = durability
        self._embedded: Writers | None = None
        self._read_ahead = -1
        """Open as long as SQLite has the file open: closing any descriptor of it ends SQLite's locks (fcntl)."""
        self._turns: dict[BucketId, Lock] = {}
        self._sync: SharedSync | None = None
        self._watch: Watch | None = None
        self._checkpoints: Checkpoints | None = None
        if self.url.get_backend_name() == "sqlite":
            self._open_sqlite(Path(self.url.database or ""))
        else:
            self._open_postgresql()

    def _open_sqlite(self, file: Path) -> None:
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            others = FileLock(file.with_name(file.name + ".lock"))
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
        self._writers = Connections(self.engine, 1)
        self._checkpoints = Checkpoints(file)
        self._embedded = Writers(
            self._writers.take, self._writers.give_back, others, self._sync, self._checkpoints.count
        )
        self._checkpoints.alone = self._embedded.pause

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
            yield self._transaction(connection)
            transaction.rollback()

    def rows(self, statement: Prepared, parameters: Parameters) -> Sequence[Sequence[Any]]:
        """A snapshot of one statement, which SQLite gives without a transaction around it."""
        if self._embedded is None or self.engine.dispatch.before_cursor_execute:
            with self.read() as tx:
                return tx.rows(statement, parameters)
        with translated(), self._readers.lent() as connection:
            return statement.rows(connection.connection.driver_connection, self.engine.dialect, parameters)

    def first(self, statement: Prepared, parameters: Parameters) -> Sequence[Any] | None:
        rows = self.rows(statement, parameters)
        return rows[0] if rows else None

    @contextmanager
    def write(self, *buckets: BucketId, durable: bool = True, brief: bool = False) -> Generator[Transaction]:
        """The only writer of these buckets; committed and, with durability "fsync", on disk when it returns.

        What need not be `durable` is left to the operating system: it survives a kill, and a power failure only with
        a durable commit after it: the log keeps their order. What is `brief` neither lasts nor waits for other threads.
        """
        with translated(), self._turn(buckets, durable=durable, brief=brief) as connection:
            yield self._transaction(connection)

    def written(self, act: Callable[[Transaction], T], *buckets: BucketId) -> T:
        """What the act gives, in a brief and durable `write`. It may be done by another thread that writes."""
        if self._embedded is None:
            with self.write(*buckets, brief=True) as tx:
                return act(tx)
        with translated():
            return self._embedded.run(lambda connection: act(self._transaction(connection)), durable=True)

    def _transaction(self, connection: Connection) -> Transaction:
        return Transaction(connection, is_heard=bool(self.engine.dispatch.before_cursor_execute))

    @property
    def has_one_writer(self) -> bool:
        """Whichever bucket it is of."""
        return self._embedded is not None

    def _turn(self, buckets: tuple[BucketId, ...], *, durable: bool, brief: bool) -> AbstractContextManager[Connection]:
        if self._embedded:
            return self._embedded.turn(durable=durable, brief=brief)
        return self._turn_among(buckets, durable=durable)

    @contextmanager
    def _turn_among(self, buckets: tuple[BucketId, ...], *, durable: bool) -> Generator[Connection]:
        """PostgreSQL's. Threads wait for one another before they take a connection, which a reader may need."""
        with ExitStack() as held:
            for bucket in _in_order(buckets):
                held.enter_context(self._turns.setdefault(bucket, Lock()))
            with self._writers.lent() as connection, connection.begin() as work:
                _take_turns(connection, buckets, durable=durable)
                yield connection
                self._commit(connection, work)

    def sync(self) -> None:
        """Everything committed before is on disk, with durability "fsync"."""
        if self._sync:
            self._sync()
        elif not self._embedded:
            with self.write() as tx:
                tx.execute(text("SELECT txid_current()"))

    def _commit(self, connection: Connection, work: RootTransaction) -> None:
        """Where the connection breaks before the answer comes, PostgreSQL is asked what became of the transaction."""
        number = connection.scalar(text("SELECT CAST(pg_current_xact_id_if_assigned() AS text)"))
        history = connection.info["history"]
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

    def read_ahead(self) -> None:
        """The system begins to read the file of SQLite, from its start, before somebody waits for it."""
        if self._embedded is None or self._read_ahead >= 0:
            return
        self._read_ahead = os.open(self.url.database or "", os.O_RDONLY | os.O_CLOEXEC)
        os.posix_fadvise(self._read_ahead, 0, READ_AHEAD, os.POSIX_FADV_WILLNEED)

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
        for part in (self._checkpoints, self._readers, self._writers, self._embedded, self._sync, self._watch):
            if part:
                part.close()
        self.engine.dispose()
        if self._read_ahead >= 0:
            os.close(self._read_ahead)


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
        f"wal_autocheckpoint = {LONGEST_LOG}",
    ):
        connection.cursor().execute(f"PRAGMA {pragma}")
    connection.create_function("uuid7", 0, uids.fresh)


def _begin_sqlite(connection: Connection) -> None:
    """A writer has begun already."""
    driver: Any = connection.connection.driver_connection
    if driver.in_transaction:
        return
    try:
        driver.execute("BEGIN")
    except sqlite3.Error as error:
        raise refusal("BEGIN", (), error, connection.dialect) from error


def _take_turns(connection: Connection, buckets: tuple[BucketId, ...], *, durable: bool) -> None:
    if not durable:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
    for bucket in _in_order(buckets):
        connection.execute(text("SELECT pg_advisory_xact_lock(:space, :bucket)"), {"space": ADVISORY, "bucket": bucket})


def _in_order(buckets: tuple[BucketId, ...]) -> list[BucketId]:
    return sorted(set(buckets or (NO_BUCKET,)))


class translated:  # noqa: N801 - a context manager, as in contextlib
    """Driver failures in the store's words; broken constraints and wrong statements are ours, and pass as they are."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, DBAPIError | PoolTimeout | UnsyncedLog) and (told := _told(error)):
            raise told from error


def _told(error: DBAPIError | PoolTimeout | UnsyncedLog) -> Refusal | None:
    if isinstance(error, PoolTimeout):
        return StorageUnavailable("the database", "every connection is in use")
    if isinstance(error, UnsyncedLog):
        remedy = "restart once the disk is well"
        return StorageUnavailable("the database", f"its log cannot be written to disk ({error}); {remedy}")
    code = _code(error.orig)
    if code in DISK_FULL:
        return StorageFull("the database", "has no room left on its disk")
    if code in DAMAGED:
        return Corrupt("the database", f"is damaged ({error.orig}); restore it from a backup")
    if code in MISTAKES or isinstance(error, IntegrityError | ProgrammingError | DataError):
        return None
    return StorageUnavailable("the database", " ".join(str(error.orig).split()))


def _code(error: BaseException | None) -> str:
    if isinstance(error, sqlite3.Error):
        return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
    return getattr(error, "sqlstate", None) or ""
