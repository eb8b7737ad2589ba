"""SQLite's writers, one after the other. Brief ones that wait go on in the transaction of the one before them.

So the pages that all of them change are written once, and one sync of the log serves them. What each of them does is a
savepoint: it is undone alone where it fails. None returns before the commit, and where that fails, all have failed.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .prepared import refusal
from .wal import FileLock, SharedSync

BEGIN = "BEGIN IMMEDIATE"
Act = Callable[[Connection], Any]
MOST = 16
"""Writers in one transaction, so that other processes get their turn."""


@dataclass(slots=True)
class _Batch:
    """A transaction, and those who wait for it to be on disk."""

    connection: Connection
    durable: bool = False
    count: int = 1
    waiting: list["_Waiter"] = field(default_factory=list["_Waiter"])
    failure: BaseException | None = None

    @property
    def driver(self) -> Any:
        return self.connection.connection.driver_connection

    @property
    def member(self) -> str:
        """The savepoint of the one whose turn it is. Those before keep theirs."""
        return f"member{self.count}"


class _Waiter:
    """A thread that sleeps until its bell rings: it has its turn, or its act has been done for it."""

    __slots__ = ("_bell", "act", "batch", "durable", "failure", "is_brief", "is_done", "result")

    def __init__(self, is_brief: bool = True, act: Act | None = None, *, durable: bool = False) -> None:
        self.is_brief = is_brief
        self.act = act
        self.durable = durable
        self.batch: _Batch | None = None
        self.is_done = False
        self.result: Any = None
        self.failure: BaseException | None = None
        self._bell = threading.Lock()
        self._bell.acquire()

    def sleep(self) -> None:
        self._bell.acquire()

    def wake(self) -> None:
        self._bell.release()

    def told(self) -> Any:
        """What the act gave, now that it is on disk."""
        failure = self.failure or (self.batch and self.batch.failure)
        if failure:
            raise failure
        return self.result


class Writers:
    """The writers of this process; `others` are those of all processes.

    `sync` is None where nothing is synced; `committed` hears of each commit, while nobody else writes.
    """

    def __init__(
        self,
        take: Callable[[], Connection],
        give_back: Callable[[Connection], None],
        others: FileLock,
        sync: SharedSync | None,
        committed: Callable[[], None],
    ) -> None:
        self._take = take
        self._give_back = give_back
        self._others = others
        self._sync = sync
        self._committed = committed
        self._guard = threading.Lock()
        self._is_taken = False
        self._queue: deque[_Waiter] = deque()

    @contextmanager
    def turn(self, *, durable: bool, brief: bool) -> Generator[Connection]:
        """The only writer: committed, and on disk if `durable`, when it returns.

        `brief` says that it neither lasts nor waits for other threads, so that it may share its transaction.
        """
        with self._joined(self._awaited(brief), durable=durable, brief=brief) as connection:
            yield connection

    def run(self, act: Act, *, durable: bool) -> Any:
        """What the act gives, as in a brief turn. Where others write, one of them does it beside its own: no thread
        has to wake up for it while the others wait."""
        with self._guard:
            me = _Waiter(act=act, durable=durable) if self._is_taken else None
            if me:
                self._queue.append(me)
            self._is_taken = True
        if me:
            me.sleep()
            if me.is_done:
                return me.told()
        with self._joined(me and me.batch, durable=durable, brief=True) as connection:
            return act(connection)

    @contextmanager
    def _joined(self, batch: _Batch | None, *, durable: bool, brief: bool) -> Generator[Connection]:
        """Our turn, in the transaction that we share, or in one of our own."""
        is_first = batch is None
        batch = batch or self._begun()
        try:
            if not is_first:
                _command(batch, f"SAVEPOINT {batch.member}")
            yield batch.connection
            if not batch.driver.in_transaction:
                raise _ended(batch)
        except BaseException as error:
            if is_first or not _undone(batch):
                self._abandon(batch, error if isinstance(error, DBAPIError) else _ended(batch))
            else:
                self._go_on(batch, durable=False, brief=brief, is_over=True)
            raise
        self._go_on(batch, durable=durable, brief=brief)

    @contextmanager
    def pause(self) -> Generator[None]:
        """Nobody writes meanwhile, in this process or another."""
        batch = self._awaited(False)
        assert batch is None
        try:
            self._others.acquire()
            try:
                yield
            finally:
                self._others.release()
        finally:
            self._pass_on()

    def _awaited(self, brief: bool) -> _Batch | None:
        """Our turn has come; with the transaction that we share, if there is one."""
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return None
            me = _Waiter(brief)
            self._queue.append(me)
        me.sleep()
        return me.batch

    def _begun(self) -> _Batch:
        try:
            self._others.acquire()
        except BaseException:
            self._pass_on()
            raise
        try:
            return _begun(self._take())
        except BaseException:
            self._others.release()
            self._pass_on()
            raise

    def _go_on(self, batch: _Batch, *, durable: bool, brief: bool, is_over: bool = False) -> None:
        """The next one goes on with the transaction, or it is committed."""
        batch.durable |= durable
        if brief:
            self._take_along(batch)
        me = None if is_over else _Waiter()
        if not (brief and self._handed_over(batch, me)):
            self._commit(batch)
        elif me:
            me.sleep()
            if batch.failure:
                raise batch.failure

    def _take_along(self, batch: _Batch) -> None:
        """What is waiting to be done is done here and now. Raises where that ends the transaction."""
        while (waiter := self._next_act(batch)) is not None:
            if not _done_for(waiter, batch):
                self._abandon(batch, _ended(batch))
                raise _ended(batch)

    def _next_act(self, batch: _Batch) -> _Waiter | None:
        with self._guard:
            if not self._queue or self._queue[0].act is None or batch.count >= MOST:
                return None
            batch.count += 1
            return self._queue.popleft()

    def _handed_over(self, batch: _Batch, me: _Waiter | None) -> bool:
        with self._guard:
            if not self._queue or not self._queue[0].is_brief or batch.count >= MOST:
                return False
            if me:
                batch.waiting.append(me)
            batch.count += 1
            heir = self._queue.popleft()
        heir.batch = batch
        heir.wake()
        return True

    def _commit(self, batch: _Batch) -> None:
        try:
            _commit(batch)
        except BaseException as error:
            self._abandon(batch, error)
            raise
        try:
            self._make_way(batch)
            if batch.durable and self._sync:
                self._sync()
        except BaseException as error:
            batch.failure = error
            raise
        finally:
            _wake(batch)

    def _make_way(self, batch: _Batch) -> None:
        try:
            self._give_back(batch.connection)
            self._committed()
        finally:
            self._others.release()
            self._pass_on()

    def _abandon(self, batch: _Batch, error: BaseException) -> None:
        """Nothing of the transaction has happened."""
        batch.failure = error
        try:
            _roll_back(batch)
            with suppress(SQLAlchemyError):
                batch.connection.close()
        finally:
            self._others.release()
            self._pass_on()
            _wake(batch)

    def _pass_on(self) -> None:
        with self._guard:
            self._is_taken = bool(self._queue)
            heir = self._queue.popleft() if self._queue else None
        if heir:
            heir.wake()

    def close(self) -> None:
        self._others.close()


def _begun(connection: Connection) -> _Batch:
    """By the driver alone: what SQLAlchemy itself does in a transaction is dear. It joins in where it is asked."""
    batch = _Batch(connection)
    try:
        _command(batch, BEGIN)
    except BaseException:
        connection.close()
        raise
    return batch


def _done_for(waiter: _Waiter, batch: _Batch) -> bool:
    """The waiter's act is a part of the transaction, or undone. False where the transaction is over with it."""
    waiter.batch, waiter.is_done = batch, True
    try:
        _command(batch, f"SAVEPOINT {batch.member}")
        waiter.result = waiter.act(batch.connection) if waiter.act else None
        if not batch.driver.in_transaction:
            raise _ended(batch)
    except BaseException as error:
        waiter.failure = error
        is_undone = _undone(batch)
        waiter.wake()
        return is_undone
    batch.durable |= waiter.durable
    batch.waiting.append(waiter)
    return True


def _command(batch: _Batch, command: str) -> None:
    try:
        batch.driver.execute(command)
    except sqlite3.Error as error:
        raise refusal(command, (), error, batch.connection.dialect) from error


def _commit(batch: _Batch) -> None:
    if batch.connection.in_transaction():
        batch.connection.commit()
        return
    heard = batch.connection.dispatch.commit
    if heard:
        heard(batch.connection)
    _command(batch, "COMMIT")


def _roll_back(batch: _Batch) -> None:
    with suppress(SQLAlchemyError, sqlite3.Error):
        batch.connection.rollback()
        batch.driver.rollback()


def _ended(batch: _Batch) -> BaseException:
    """What those are told whose transaction is over before its end."""
    error = sqlite3.OperationalError("the transaction was rolled back")
    return refusal("COMMIT", (), error, batch.connection.dialect)


def _undone(batch: _Batch) -> bool:
    """What the last one did is undone. False where SQLite gave up the whole transaction, as when a disk is full."""
    if not batch.driver.in_transaction:
        return False
    try:
        batch.driver.execute(f"ROLLBACK TO {batch.member}")
    except sqlite3.Error:
        return False
    return True


def _wake(batch: _Batch) -> None:
    for waiter in batch.waiting:
        waiter.wake()
