"""Writers of one process that wait for their turn share a transaction (SQLite), and nobody sees that they do."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from core.database import Database, Transaction
from core.errors import StorageUnavailable
from core.writers import MOST

SAVEPOINT = 32
"""SQLite's code of such a statement, to an authorizer."""


class Refused(Exception):
    """What a writer decides on what it reads."""


class Crowd:
    """A writer that is within its turn, and others who wait for theirs, in a known order."""

    def __init__(self, database: Database, done_by: Sequence[str]) -> None:
        self.database = database
        self._done_by = cycle(done_by)
        self.within, self.may_end = threading.Event(), threading.Event()
        self.pool = ThreadPoolExecutor(MOST + 8)
        self._first = self.pool.submit(self._hold)
        assert self.within.wait(10)

    def _hold(self) -> None:
        with self.database.write(brief=True) as tx:
            insert(tx, "first")
            self.within.set()
            assert self.may_end.wait(10)

    def join(self, act: Callable[[Transaction], object], *, brief: bool = True) -> Future[None]:
        waiting = self._waiting()
        write = self._write if not brief or next(self._done_by) == "themselves" else self._have_written
        joined = self.pool.submit(write, act, brief)
        while self._waiting() == waiting:
            time.sleep(0.001)
        return joined

    def _write(self, act: Callable[[Transaction], object], brief: bool) -> None:
        with self.database.write(brief=brief) as tx:
            act(tx)

    def _have_written(self, act: Callable[[Transaction], object], brief: bool) -> None:
        self.database.written(act)

    def _waiting(self) -> int:
        writers: Any = self.database._embedded  # pyright: ignore[reportPrivateUsage]
        return len(writers._queue)

    def go(self) -> Future[None]:
        self.may_end.set()
        return self._first


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'davstore.db'}")
    with database.write() as tx:
        tx.execute(text("CREATE TABLE said (word TEXT PRIMARY KEY, next TEXT REFERENCES said (word))"))
    yield database
    database.close()


@pytest.fixture(params=["themselves", "others", "themselves and others", "others and themselves"])
def crowd(database: Database, request: pytest.FixtureRequest) -> Iterator[Crowd]:
    """Those who wait write themselves, or have it done by who is before them."""
    crowd = Crowd(database, request.param.split(" and "))
    yield crowd
    crowd.go()
    crowd.pool.shutdown()


@pytest.fixture
def commits(database: Database) -> list[object]:
    found: list[object] = []
    event.listen(database.engine, "commit", found.append)
    return found


def insert(tx: Transaction, word: str) -> None:
    tx.execute(text("INSERT INTO said (word) VALUES (:word)"), {"word": word})


def adds(word: str) -> Callable[[Transaction], object]:
    return lambda tx: insert(tx, word)


def refuses(word: str) -> Callable[[Transaction], object]:
    def act(tx: Transaction) -> None:
        insert(tx, word)
        raise Refused

    return act


def said(database: Database) -> set[str]:
    with database.read() as tx:
        return set(tx.execute(text("SELECT word FROM said")).scalars())


def test_those_who_wait_are_committed_and_synced_together(
    database: Database, crowd: Crowd, commits: list[object], monkeypatch: pytest.MonkeyPatch
):
    syncs, real = list[int](), os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (real(file), syncs.append(file))[0])  # pyright: ignore[reportUnknownLambdaType]
    joined = [crowd.join(adds(word)) for word in "abc"]

    for each in [crowd.go(), *joined]:
        each.result(10)

    assert said(database) == {"first", "a", "b", "c"}
    assert len(commits) == len(syncs) == 1


def test_each_sees_what_those_before_it_did(crowd: Crowd):
    seen: list[set[str]] = []

    def look(tx: Transaction) -> None:
        seen.append(set(tx.execute(text("SELECT word FROM said")).scalars()))

    crowd.join(adds("a"))
    last = crowd.join(look)

    crowd.go()
    last.result(10)
    assert seen == [{"first", "a"}]


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_one_that_is_refused_leaves_nothing_and_the_others_all(database: Database, crowd: Crowd, refused: int):
    joined = [crowd.join(refuses("x") if n == refused else adds(str(n))) for n in range(3)]
    crowd.go().result(10)

    for n, each in enumerate(joined):
        assert isinstance(each.exception(10), Refused if n == refused else type(None))

    assert said(database) == {"first"} | {str(n) for n in range(3) if n != refused}


def test_nobody_is_told_before_all_is_committed(database: Database, crowd: Crowd):
    seen: list[bool] = []
    early = crowd.join(adds("a"))
    late = crowd.join(lambda _: (time.sleep(0.05), seen.append(early.done())))

    crowd.go()
    late.result(10)

    assert seen == [False]
    early.result(10)


def test_a_commit_that_fails_is_told_to_all(database: Database, crowd: Crowd):
    joined = [crowd.join(adds(word)) for word in "ab"]

    def fail(_: object) -> None:
        event.remove(database.engine, "commit", fail)
        raise Refused

    event.listen(database.engine, "commit", fail)
    told = [each.exception(10) for each in [crowd.go(), *joined]]

    assert [type(error) for error in told] == [Refused] * 3
    assert said(database) == set()
    with database.write(brief=True) as tx:
        insert(tx, "later")
    assert said(database) == {"later"}


def test_a_sync_that_fails_is_told_to_all(crowd: Crowd, monkeypatch: pytest.MonkeyPatch):
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    joined = [crowd.join(adds(word)) for word in "ab"]

    assert [type(each.exception(10)) for each in [crowd.go(), *joined]] == [StorageUnavailable] * 3


@pytest.mark.parametrize("is_noticed", [True, False])
def test_where_sqlite_gives_up_the_whole_transaction_those_before_are_told(
    database: Database, crowd: Crowd, is_noticed: bool
):
    def give_up(tx: Transaction) -> None:
        tx.connection.connection.driver_connection.rollback()  # pyright: ignore[reportOptionalMemberAccess, reportUnknownMemberType]
        if is_noticed:
            raise Refused

    joined = [crowd.join(adds("a")), crowd.join(give_up), crowd.join(adds("b"))]

    told = [each.exception(10) for each in [crowd.go(), *joined]]

    lost = StorageUnavailable
    assert [type(error) for error in told] == [lost, lost, Refused if is_noticed else lost, type(None)]
    assert said(database) == {"b"}


def test_one_that_cannot_even_begin_takes_nothing_of_others_along_unseen(database: Database, crowd: Crowd):
    def close(tx: Transaction) -> None:
        driver: Any = tx.connection.connection.driver_connection
        driver.set_authorizer(lambda action, *_: int(action == SAVEPOINT))  # pyright: ignore[reportUnknownLambdaType]

    joined = [crowd.join(adds("a")), crowd.join(close), crowd.join(adds("b"))]

    told = [each.exception(10) for each in [crowd.go(), *joined]]

    assert [type(error) for error in told] == [StorageUnavailable] * 4
    assert said(database) == set()


def test_what_is_not_brief_has_a_transaction_of_its_own(database: Database, crowd: Crowd, commits: list[object]):
    joined = [crowd.join(adds("a")), crowd.join(adds("long"), brief=False), crowd.join(adds("b"))]

    for each in [crowd.go(), *joined]:
        each.result(10)

    assert said(database) == {"first", "a", "long", "b"}
    assert len(commits) == 3


def test_other_processes_get_their_turn(database: Database, crowd: Crowd, commits: list[object]):
    joined = [crowd.join(adds(str(n))) for n in range(MOST + 3)]

    for each in [crowd.go(), *joined]:
        each.result(10)

    assert len(commits) == 2


def test_many_writers_at_once_lose_nothing(database: Database):
    def write(n: int) -> None:
        for m in range(20):
            with database.write(brief=bool((n + m) % 3)) as tx:
                insert(tx, f"{n}.{m}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))

    assert said(database) == {f"{n}.{m}" for n in range(8) for m in range(20)}


def test_what_is_done_by_others_gives_what_it_gives(crowd: Crowd, database: Database):
    given = [crowd.pool.submit(database.written, lambda tx, n=n: (insert(tx, str(n)), n)[1]) for n in range(3)]
    crowd.go()

    assert [each.result(10) for each in given] == [0, 1, 2]
    assert said(database) == {"first", "0", "1", "2"}
