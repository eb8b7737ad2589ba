"""Failures of the n-th step: a statement, a commit, or a call of a blob store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import event

from core.blobs import BlobStore
from core.blobs.store import Blob, Capability
from core.model import INLINE
from core.staging import Sealed
from core.store import Store


class Struck(Exception):
    """The step that was to fail."""


class Countdown:
    def __init__(self, at: int) -> None:
        self.left = at

    def step(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Struck

    @property
    def has_struck(self) -> bool:
        return self.left <= 0


@contextmanager
def statement_fails(store: Store, at: int) -> Iterator[Countdown]:
    """The n-th statement or commit fails, before it does anything."""
    countdown, engine = Countdown(at), store.database.engine

    def before_statement(*_: Any) -> None:
        countdown.step()

    event.listen(engine, "before_cursor_execute", before_statement)
    event.listen(engine, "commit", countdown.step)
    yield countdown
    event.remove(engine, "before_cursor_execute", before_statement)
    event.remove(engine, "commit", countdown.step)


class PausingBlobs:
    """A blob store that tells before and after each call, where somebody may wait or fail."""

    def __init__(self, store: BlobStore, tell: Callable[[str], None]) -> None:
        self.name, self.type, self.staging = store.name, store.type, store.staging
        self._store, self._tell = store, tell

    def publish(self, key: str, content: Sealed) -> None:
        self._tell("publish")
        self._store.publish(key, content)
        self._tell("published")

    def open(self, key: str) -> BinaryIO:
        self._tell("open")
        return self._store.open(key)

    def size(self, key: str) -> int | None:
        return self._store.size(key)

    def delete(self, key: str) -> None:
        self._tell("delete")
        self._store.delete(key)
        self._tell("deleted")

    def blobs(self) -> Iterator[Blob]:
        return self._store.blobs()

    def check(self) -> Iterator[Capability]:
        return self._store.check()

    def claim(self, uid: str, *, new: bool) -> None:
        self._store.claim(uid, new=new)


@contextmanager
def told(store: Store, tell: Callable[[str], None]) -> Iterator[None]:
    """Every blob store but the inline one tells of its calls."""
    stores = store.contents.stores
    real = dict(stores)
    wrapped = {name: each if name == INLINE else PausingBlobs(each, tell) for name, each in real.items()}
    store.contents.stores = wrapped
    yield
    store.contents.stores = stores


@contextmanager
def blob_call_fails(store: Store, at: int) -> Iterator[Countdown]:
    """The n-th call fails, before it does anything or (publish and delete) after it did all."""
    countdown = Countdown(at)
    with told(store, countdown.step):
        yield countdown


def drafts(data: Path) -> list[Path]:
    return list(data.rglob("draft.*"))
