"""What the namespace's state machine drives: thin adapters that speak of every store in the model's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from core import schema
from core.errors import PreconditionFailed, Refusal
from core.model import Caller, Expect, LockRequest, Look, PropertyChange, PropertyName, Scope
from core.namespace import Namespace
from core.store import Store
from tests.parts import stores
from tests.parts.model import Model, Path, Refused

NAMESPACE = "urn:example:machine"
KEPT = {"alembic_version", "storages", "users"}

Tree = dict[object, object]
"""path -> (content, or None for a collection; its properties; the tokens of the locks that cover it)."""


class Driver(Protocol):
    store: Store

    def renew(self) -> None:
        """The store is as at the first start."""
        ...

    def words(self, verb: str, reasons: set[str]) -> set[str]:
        """How this driver tells the model's reasons."""
        ...

    def put(self, by: str, path: Path, content: bytes, tokens: frozenset[str], only_new: bool) -> bool: ...

    def make_collection(self, by: str, path: Path, tokens: frozenset[str]) -> None: ...

    def set_properties(
        self, by: str, path: Path, changes: list[tuple[str, str | None]], tokens: frozenset[str]
    ) -> None: ...

    def delete(self, by: str, path: Path, tokens: frozenset[str]) -> None: ...

    def copy(
        self, by: str, source: Path, target: Path, tokens: frozenset[str], *, deep: bool, overwrite: bool
    ) -> bool: ...

    def move(self, by: str, source: Path, target: Path, tokens: frozenset[str], *, overwrite: bool) -> bool: ...

    def lock(
        self, by: str, path: Path, tokens: frozenset[str], *, infinite: bool, exclusive: bool
    ) -> tuple[bool, str]: ...

    def unlock(self, by: str, path: Path, token: str) -> None: ...

    def refresh(self, by: str, path: Path, token: str) -> None: ...

    def tree(self, model: Model) -> Tree: ...


class CoreDriver:
    def __init__(self, store: Store) -> None:
        self.store = store

    def renew(self) -> None:
        wipe(self.store)

    def words(self, verb: str, reasons: set[str]) -> set[str]:
        return reasons

    def put(self, by: str, path: Path, content: bytes, tokens: frozenset[str], only_new: bool) -> bool:
        expect = Expect(_absent(path) if only_new else None, tokens)
        with self._as(by) as namespace:
            return stores.put(namespace, path, content, expect).created

    def make_collection(self, by: str, path: Path, tokens: frozenset[str]) -> None:
        with self._as(by) as namespace:
            namespace.make_collection(path, expect=Expect(tokens=tokens))

    def set_properties(
        self, by: str, path: Path, changes: list[tuple[str, str | None]], tokens: frozenset[str]
    ) -> None:
        wanted = [
            PropertyChange(PropertyName(NAMESPACE, name), None if value is None else element(name, value))
            for name, value in changes
        ]
        with self._as(by) as namespace:
            namespace.set_properties(path, wanted, expect=Expect(tokens=tokens))

    def delete(self, by: str, path: Path, tokens: frozenset[str]) -> None:
        with self._as(by) as namespace:
            namespace.delete(path, expect=Expect(tokens=tokens))

    def copy(self, by: str, source: Path, target: Path, tokens: frozenset[str], *, deep: bool, overwrite: bool) -> bool:
        with self._as(by) as namespace:
            expect = Expect(tokens=tokens)
            return namespace.copy(source, target, deep=deep, overwrite=overwrite, expect=expect).created

    def move(self, by: str, source: Path, target: Path, tokens: frozenset[str], *, overwrite: bool) -> bool:
        with self._as(by) as namespace:
            return namespace.move(source, target, overwrite=overwrite, expect=Expect(tokens=tokens)).created

    def lock(self, by: str, path: Path, tokens: frozenset[str], *, infinite: bool, exclusive: bool) -> tuple[bool, str]:
        scope = Scope.EXCLUSIVE if exclusive else Scope.SHARED
        with self._as(by) as namespace:
            lock, created, *_ = namespace.lock(path, LockRequest(scope, infinite), expect=Expect(tokens=tokens))
            return created, lock.token

    def unlock(self, by: str, path: Path, token: str) -> None:
        with self._as(by) as namespace:
            namespace.unlock(path, token)

    def refresh(self, by: str, path: Path, token: str) -> None:
        with self._as(by) as namespace:
            namespace.refresh(path, None, expect=Expect(tokens=frozenset({token})))

    def tree(self, model: Model) -> Tree:
        namespace = self.store.namespace(Caller("ann"))
        found: Tree = {}
        for bucket in model.buckets:
            top = namespace.node((bucket,))
            for node in [top, *stores.below(namespace, top.path)]:
                content = None if node.is_collection else stores.content(namespace, node.path)
                kept = namespace.properties([node]).get(node.id, {})
                locks = namespace.locks([node]).get(node.id, ())
                found[node.path] = (
                    content,
                    frozenset((name.name, value(xml)) for name, xml in kept.items()),
                    frozenset(lock.token for lock in locks),
                )
        return found

    @contextmanager
    def _as(self, by: str) -> Iterator[Namespace]:
        try:
            yield self.store.namespace(Caller(by))
        except Refusal as refusal:
            raise Refused({type(refusal).__name__}) from refusal


def restore(store: Store, n: int, by: str) -> None:
    """Brings back the n-th oldest thing in the trash."""
    recovery = store.recovery(Caller(by))
    try:
        recovery.restore(recovery.trashed()[-1 - n].uid)
    except Refusal as refusal:
        raise Refused({type(refusal).__name__}) from refusal


def wipe(store: Store) -> None:
    """An empty store with its buckets, as at the first start."""
    policies = store.settings.buckets
    with store.database.write() as tx:
        for table in reversed(schema.metadata.sorted_tables):
            if table.name not in KEPT:
                tx.execute(table.delete())
    for name, policy in policies.items():
        store.create_bucket(name, policy)


def element(name: str, value: str) -> str:
    return f'<{name} xmlns="{NAMESPACE}">{value}</{name}>'


def value(xml: str) -> str:
    return xml.partition(">")[2].partition("<")[0]


def _absent(path: Path):
    def check(look: Look) -> None:
        if look.node(path):
            raise PreconditionFailed(path)

    return check
