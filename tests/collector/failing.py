"""The n-th statement or blob call fails: before it is done, or after, when only its answer is lost."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, cast

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from core.blobs import Blob, BlobStore
from core.blobs.store import Capability
from core.errors import StorageUnavailable
from core.staging import Sealed
from core.store import Store

What = Literal["statement", "blob call", "blob call's answer"]


class Broken(Exception):
    """What the driver of a database raises when the line is cut."""


@dataclass
class Faults:
    """Counts steps, and fails one of them."""

    store: Store
    at: int = 0
    what: What = "statement"
    count: int = 0
    _stores: dict[str, BlobStore] = field(default_factory=dict[str, BlobStore])

    @contextmanager
    def failing(self, what: What, at: int) -> Iterator[None]:
        self.what, self.at, self.count = what, at, 0
        engine, known = self.store.database.engine, cast("dict[str, BlobStore]", self.store.contents.stores)
        before = dict(known)
        event.listen(engine, "before_cursor_execute", self._executes)
        event.listen(engine, "commit", self._commits)
        known.update({name: Frail(blobs, self) for name, blobs in before.items()})
        try:
            yield
        finally:
            known.update(before)
            event.remove(engine, "before_cursor_execute", self._executes)
            event.remove(engine, "commit", self._commits)

    def _executes(self, *_given: object) -> None:
        if self.what == "statement":
            self._step(OperationalError("statement", {}, Broken("the line was cut")))

    def _commits(self, _connection: object) -> None:
        if self.what == "statement":
            self._step(OperationalError("COMMIT", {}, Broken("the line was cut")))

    def call(self, do: Callable[[], None]) -> None:
        if self.what == "blob call":
            self._step(StorageUnavailable("the storage", "does not answer"))
        do()
        if self.what == "blob call's answer":
            self._step(StorageUnavailable("the storage", "did not answer"))

    def _step(self, failure: Exception) -> None:
        self.count += 1
        if self.count == self.at:
            raise failure


class Frail:
    """A blob store whose n-th call fails."""

    def __init__(self, inner: BlobStore, faults: Faults) -> None:
        self._inner, self._faults = inner, faults
        self.name, self.type, self.staging = inner.name, inner.type, inner.staging

    def publish(self, key: str, content: Sealed) -> None:
        self._faults.call(lambda: self._inner.publish(key, content))

    def open(self, key: str) -> BinaryIO:
        with ExitStack() as lost:
            opened: list[BinaryIO] = []
            self._faults.call(lambda: opened.append(lost.enter_context(self._inner.open(key))))
            lost.pop_all()
            return opened[0]

    def size(self, key: str) -> int | None:
        return self._inner.size(key)

    def delete(self, key: str) -> None:
        self._faults.call(lambda: self._inner.delete(key))

    def blobs(self) -> Iterator[Blob]:
        return self._inner.blobs()

    def check(self) -> Iterator[Capability]:
        return self._inner.check()

    def claim(self, uid: str, *, new: bool) -> None:
        self._inner.claim(uid, new=new)
