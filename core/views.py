"""What is gone from the tree, as a tree of its own: read it, take out of it, or end it for good.

A view has the namespace's verbs for reading, `copy`, `move` and `delete`; nothing else can be written. It lies at a
path that no bucket has, with which the paths of its nodes begin. Each verb is one transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from . import buckets, crossing, forgetting, guards, listings, reach, relocation, tree
from .database import Transaction
from .errors import NotACollection, NotFound
from .guards import Situation
from .listings import SHOWN, Members
from .model import (
    ANYTHING,
    Bucket,
    BucketId,
    Caller,
    Expect,
    Instant,
    Lock,
    Node,
    NodeId,
    ObjectId,
    Outcome,
    Path,
    PropertyName,
    Visibility,
)
from .namespace import PAGE, Namespace
from .paths import within
from .pictures import Picture
from .places import Place

FEWER = 100
"""Members read at once with their dead properties, which may be large."""


class Past(Protocol):
    """The trash, or the versions: a tree whose paths begin with a bucket's name, () being the list of the buckets."""

    def node(self, tx: Transaction, path: Path) -> Node | None: ...

    def page(self, tx: Transaction, of: Node, after: Node | None, limit: int) -> list[Node]:
        """A collection's members that follow `after`."""
        ...

    def lacking(self, tx: Transaction, path: Path, bucket: Bucket) -> Sequence[ObjectId]:
        """Objects below the path of whose contents another bucket has none."""
        ...

    def copy(
        self, tx: Transaction, caller: Caller, path: Path, target: Place, expect: Expect, *, deep: bool, overwrite: bool
    ) -> NodeId:
        """Raises Forbidden for what cannot be taken out, AlreadyExists, Locked, QuotaExceeded."""
        ...

    def move(
        self, tx: Transaction, caller: Caller, path: Path, target: Place, expect: Expect, *, overwrite: bool
    ) -> NodeId: ...

    def drop(self, tx: Transaction, path: Path) -> bool:
        """Gone for good. True: it is large (forgetting.begin). Raises Forbidden for what cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """The past as one caller sees it below the path `at`."""

    namespace: Namespace
    past: Past
    at: Path

    def find(self, path: Path) -> Node | None:
        with self.namespace.database.read() as tx:
            return self.seen(tx, path)

    def seen(self, tx: Transaction, path: Path) -> Node | None:
        node = self.past.node(tx, self._inner(path))
        return self._shown(node) if node and self._sees(node) else None

    def _sees(self, node: Node) -> bool:
        """The past of a document is shown to those only whose it is."""
        return node.access is None or node.access.belongs_to(self.namespace.caller)

    def node(self, path: Path) -> Node:
        """Raises NotFound."""
        node = self.find(path)
        if node is None:
            raise NotFound(path)
        return node

    def children_of(self, node: Node, page: int = PAGE) -> Iterator[list[Node]]:
        """Raises NotACollection, and NotFound where it vanishes meanwhile."""
        if not node.is_collection:
            raise NotACollection(node.path)
        of = replace(node, path=self._inner(node.path))
        last: Node | None = None
        while True:
            with self.namespace.database.read() as tx:
                members = self.past.page(tx, of, last, page)
            if members:
                yield [self._shown(member) for member in reach.told(members, node) if self._sees(member)]
            if len(members) < page:
                return
            last = members[-1]

    def members_of(self, node: Node, wanted: frozenset[str], page: int = PAGE) -> Iterator[Members]:
        """As the namespace's, with every column. What is gone has no locks and no thumbnail."""
        has_properties = "properties" in wanted
        for nodes in self.children_of(node, min(page, FEWER) if has_properties else page):
            shown = [member for member in nodes if member.kind in SHOWN]
            if shown:
                yield listings.of_nodes(shown, properties=self.properties(shown) if has_properties else None)

    def open(self, node: Node) -> BinaryIO:
        return self.namespace.open(node)

    def properties(self, of: Sequence[Node]) -> dict[NodeId, dict[PropertyName, str]]:
        return self.namespace.properties(of)

    def pictures(self, of: Sequence[Node]) -> dict[NodeId, Picture]:
        """Nothing: what is gone has no thumbnail."""
        return {}

    def locks(self, of: Sequence[Node]) -> dict[NodeId, tuple[Lock, ...]]:
        """None: what came to the trash lost its locks, and a version never had one."""
        return {}

    def has_locks(self) -> bool:
        return False

    def quota(self, path: Path) -> tuple[int, int]:
        """Of the bucket whose past it is."""
        return self.namespace.quota(self._inner(path)[:1])

    def visibility(self, path: Path) -> Visibility:
        return self.namespace.visibility(self._inner(path))

    def check(self, path: Path, expect: Expect) -> None:
        """Raises PreconditionFailed where the expectation does not hold now."""
        with self.namespace.database.read() as tx:
            self._hold(tx, expect)

    def delete(self, path: Path, *, expect: Expect = ANYTHING) -> None:
        """Gone for good; what it held is the collector's. Raises NotFound, Forbidden."""
        guards.writable(path, self.namespace.caller)
        self.node(path)
        inner = self._inner(path)
        with self.namespace.database.write(self._bucket(inner)) as tx:
            self._hold(tx, expect)
            if self.seen(tx, path) is None:
                raise NotFound(path)
            is_large = self.past.drop(tx, inner)
        if is_large:
            forgetting.finish(self.namespace.database)

    def copy(
        self,
        source: Path,
        destination: Path,
        *,
        deep: bool = True,
        overwrite: bool = True,
        modified: Instant | None = None,
        expect: Expect = ANYTHING,
    ) -> Outcome:
        """The destination in the namespace has it, and the view still does."""

        def act(tx: Transaction, path: Path, there: Place) -> NodeId:
            caller = self.namespace.caller
            return self.past.copy(tx, caller, path, there, expect, deep=deep, overwrite=overwrite)

        return self._take_out(source, destination, modified, expect, act)

    def move(
        self,
        source: Path,
        destination: Path,
        *,
        overwrite: bool = True,
        modified: Instant | None = None,
        expect: Expect = ANYTHING,
    ) -> Outcome:
        """The destination in the namespace has it, and the view does not any more."""

        def act(tx: Transaction, path: Path, there: Place) -> NodeId:
            return self.past.move(tx, self.namespace.caller, path, there, expect, overwrite=overwrite)

        return self._take_out(source, destination, modified, expect, act)

    def _take_out(
        self,
        source: Path,
        destination: Path,
        modified: Instant | None,
        expect: Expect,
        act: Callable[[Transaction, Path, Place], NodeId],
    ) -> Outcome:
        guards.writable(destination, self.namespace.caller)
        self.node(source)
        inner, database = self._inner(source), self.namespace.database
        home, target = self._bucket(inner), self._bucket(destination)

        def attempt() -> Outcome:
            with database.write(home, target) as tx:
                self._hold(tx, expect)
                if self.seen(tx, source) is None:
                    raise NotFound(source)
                there = guards.target(tx, self.namespace.caller, destination)
                node = act(tx, inner, there)
                relocation.set_modified(tx, node, modified)
                return Outcome(tree.reread(tx, node, tree.path_of(tx, node) or there.path), created=there.node is None)

        def brought() -> Outcome:
            self._bring(inner, destination)
            return attempt()

        return attempt() if home == target else crossing.with_bytes(brought)

    def _bring(self, inner: Path, destination: Path) -> None:
        with self.namespace.database.read() as tx:
            bucket = buckets.find(tx, destination[0])
            missing = self.past.lacking(tx, inner, bucket) if bucket else ()
        if bucket:
            crossing.bring_each(self.namespace.database, self.namespace.contents, missing, bucket)

    def _inner(self, path: Path) -> Path:
        return path[len(self.at) :]

    def _shown(self, node: Node) -> Node:
        return replace(node, path=(*self.at, *node.path))

    def _bucket(self, path: Path) -> BucketId:
        """The id of a path's bucket, for its writer lock; of none where there is no such bucket."""
        with self.namespace.database.read() as tx:
            bucket = buckets.find(tx, path[0]) if path else None
        return bucket.id if bucket else BucketId(0)

    def _hold(self, tx: Transaction, expect: Expect) -> None:
        if expect.check:
            expect.check(_Sight(self, tx))


@dataclass(frozen=True, slots=True)
class _Sight:
    """The namespace and one view, as the deciding transaction sees them (model.Look)."""

    view: View
    tx: Transaction

    @property
    def _present(self) -> Situation:
        return Situation(self.tx, self.view.namespace.caller)

    def node(self, path: Path) -> Node | None:
        inside = within(path, self.view.at)
        return self.view.seen(self.tx, path) if inside else self._present.node(path)

    def locks(self, path: Path) -> tuple[Lock, ...]:
        return () if within(path, self.view.at) else self._present.locks(path)
