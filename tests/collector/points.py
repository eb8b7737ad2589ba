"""Named points between the steps of whoever works on a store, where another may come in.

A point is named by what has just been done: a transaction that committed, or a call of a blob store that returned.
Nobody holds a lock there, so whoever is paused at one keeps nobody waiting.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from sqlalchemy import event

from core.blobs import Blob, BlobStore
from core.blobs.store import Capability
from core.database import Transaction
from core.model import BucketId
from core.staging import Sealed
from core.store import Store

DONE = {
    "SELECT objects.id, objects.uid, objects.storage, objects.key, objects.verdict": "looked up",
    "INSERT INTO purges (storage, key, due) VALUES": "intended",
    "INSERT INTO objects": "adopted",
    "UPDATE objects SET storage=": "repaired",
    "UPDATE objects SET state=": "revived or condemned",
    "DELETE FROM objects": "purged",
    "UPDATE purges SET claimed=": "claimed",
    "DELETE FROM purges WHERE purges.id": "carried out",
    "INSERT INTO holds": "held",
    "INSERT INTO trash": "trashed",
    "DELETE FROM trash": "left the trash",
    "INSERT INTO names": "named",
}
"""What statements begin with, and what is done once their transaction has committed."""

Listener = Callable[[str], None]


class Points:
    """Tells each thread's listener what that thread has done to the store."""

    def __init__(self, store: Store) -> None:
        self._mine = threading.local()
        self._read, self._write, self._act = store.database.read, store.database.write, store.database.written
        store.database.read = self._reading
        store.database.write = self._writing
        store.database.written = self._written
        event.listen(store.database.engine, "before_cursor_execute", self._executes)
        known = cast("dict[str, BlobStore]", store.contents.stores)
        for name, blobs in list(known.items()):
            known[name] = Telling(blobs, self.reach)

    @contextmanager
    def heard(self, listener: Listener) -> Iterator[None]:
        """Tells this thread's listener meanwhile."""
        self._mine.listener, before = listener, getattr(self._mine, "listener", None)
        try:
            yield
        finally:
            self._mine.listener = before

    def reach(self, point: str) -> None:
        listener: Listener | None = getattr(self._mine, "listener", None)
        if listener:
            listener(point)

    def _executes(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        words = " ".join(statement.replace('"', "").split())
        done = next((done for begin, done in DONE.items() if words.startswith(begin)), None)
        if done and hasattr(self._mine, "done"):
            self._mine.done.append(done)

    @contextmanager
    def _writing(self, *buckets: BucketId, durable: bool = True, brief: bool = False) -> Generator[Transaction]:
        self._mine.done = []
        with self._write(*buckets, durable=durable, brief=brief) as tx:
            yield tx
        self._tell()

    def _written(self, act: Callable[[Transaction], Any], *buckets: BucketId) -> Any:
        """Nobody else writes while this one has its turn, so the act is done by this thread."""
        self._mine.done = []
        result = self._act(act, *buckets)
        self._tell()
        return result

    @contextmanager
    def _reading(self) -> Generator[Transaction]:
        self._mine.done = []
        with self._read() as tx:
            yield tx
        self._tell()

    def _tell(self) -> None:
        done: list[str] = self._mine.done
        if done:
            self.reach(", ".join(dict.fromkeys(done)))


class Telling:
    """A blob store that tells of what was published and deleted."""

    def __init__(self, inner: BlobStore, reach: Listener) -> None:
        self.inner, self._reach = inner, reach
        self.name, self.type, self.staging = inner.name, inner.type, inner.staging

    def publish(self, key: str, content: Sealed) -> None:
        self.inner.publish(key, content)
        self._reach("published")

    def open(self, key: str) -> BinaryIO:
        return self.inner.open(key)

    def size(self, key: str) -> int | None:
        return self.inner.size(key)

    def delete(self, key: str) -> None:
        self.inner.delete(key)
        self._reach("deleted")

    def blobs(self) -> Iterator[Blob]:
        return self.inner.blobs()

    def check(self) -> Iterator[Capability]:
        return self.inner.check()

    def claim(self, uid: str, *, new: bool) -> None:
        self.inner.claim(uid, new=new)


Act = Callable[[], object]


class Turns:
    """Actors of whom one works at a time, up to its next point."""

    def __init__(self, points: Points, actors: Sequence[Act], patience: float = 60.0) -> None:
        self._points = points
        self._patience = patience
        self._goes = [threading.Semaphore(0) for _ in actors]
        self._stopped = threading.Semaphore(0)
        self.alive = list(range(len(actors)))
        self.told: list[str] = []
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._play, args=(n, act)) for n, act in enumerate(actors)]
        for thread in self._threads:
            thread.start()

    def _play(self, n: int, act: Act) -> None:
        def pause(point: str) -> None:
            self.told.append(f"{n} {point}")
            self._stopped.release()
            assert self._goes[n].acquire(timeout=self._patience)

        assert self._goes[n].acquire(timeout=self._patience)
        try:
            with self._points.heard(pause):
                act()
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            self.alive.remove(n)
            self._stopped.release()

    def go(self, n: int) -> None:
        """The actor works up to its next point, or to its end."""
        self._goes[n].release()
        assert self._stopped.acquire(timeout=self._patience), f"{n} waits for another: {self.told}"

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def play(points: Points, actors: Sequence[Act], choices: Sequence[int]) -> tuple[Turns, list[tuple[int, int]]]:
    """One play: at each step that choice of those who are still at work; the first one where no choice is given.

    Returns with each choice how many there were.
    """
    turns, made = Turns(points, actors), list[tuple[int, int]]()
    while turns.alive:
        choice = choices[len(made)] if len(made) < len(choices) else 0
        options = len(turns.alive)
        turns.go(turns.alive[choice % options])
        made.append((choice % options, options))
    turns.join()
    if turns.failures:
        raise AssertionError(turns.told) from turns.failures[0]
    return turns, made


def every_order(once: Callable[[Sequence[int]], Sequence[tuple[int, int]]], most: int) -> int:
    """Plays once for each order in which the steps can come, up to `most`. Returns how many there were."""
    choices: list[int] | None = []
    for count in range(most):
        if choices is None:
            return count
        choices = _next(once(choices))
    return most


def _next(made: Sequence[tuple[int, int]]) -> list[int] | None:
    for n in reversed(range(len(made))):
        chosen, options = made[n]
        if chosen + 1 < options:
            return [*(each for each, _ in made[:n]), chosen + 1]
    return None


def once_at(points: Points, point: str, do: Act) -> Listener:
    """A listener that does it when the point is reached for the first time, out of hearing."""
    pending: list[Act] = [do]

    def listen(reached: str) -> None:
        if point in reached and pending:
            act = pending.pop()
            with points.heard(lambda _: None):
                act()

    return listen
