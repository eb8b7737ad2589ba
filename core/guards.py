"""What a write needs before it may change anything: the right to, the caller's expectations, and the lock tokens."""

from dataclasses import dataclass

from . import buckets, locks, places
from .database import Transaction
from .errors import Forbidden, IsACollection, NoParent, NotFound
from .model import BucketId, Caller, Expect, Instant, Kind, Lock, Node, NodeId, Path
from .places import Place

BUCKETS = "buckets are made and removed with `davstore bucket`"
"""Why the root takes no writes."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The tree as the committing transaction sees it (model.Look)."""

    tx: Transaction

    def place(self, path: Path) -> Place:
        """Raises NotFound where there is no such bucket."""
        place = places.resolve(self.tx, path)
        if place is None:
            raise NotFound(path, "there is no such bucket")
        return place

    def node(self, path: Path) -> Node | None:
        if not path:
            return root()
        place = places.resolve(self.tx, path)
        return place.node if place else None

    def locks(self, path: Path) -> tuple[Lock, ...]:
        place = places.resolve(self.tx, path) if path else None
        return locks.covering(self.tx, place) if place else ()


def root() -> Node:
    """The collection of all buckets. It is no row."""
    epoch = Instant(0)
    return Node(NodeId(0), "root", BucketId(0), (), Kind.COLLECTION, 0, "", epoch, epoch, 0, mode=0o755)


def holds(tx: Transaction, expect: Expect) -> None:
    """Raises PreconditionFailed where the caller's check does."""
    if expect.check:
        expect.check(Situation(tx))


def writable(path: Path, caller: Caller, *, deep: int = 2) -> None:
    """The caller may write, and the path is of something that can be written: not the root, nor a bucket."""
    if not caller.may_write:
        raise Forbidden(path, "you may read here, not write")
    if len(path) < deep:
        raise Forbidden(path, BUCKETS)


def fillable(tx: Transaction, path: Path) -> None:
    """A file can be at the path. Raises IsACollection for the root and a bucket, Forbidden where one could be made."""
    if not path or (len(path) == 1 and buckets.find(tx, path[0])):
        raise IsACollection(path)
    if len(path) == 1:
        raise Forbidden(path, BUCKETS)


def source(tx: Transaction, path: Path) -> Place:
    """Raises NotFound."""
    place = Situation(tx).place(path)
    if place.node is None:
        raise NotFound(path)
    return place


def found(tx: Transaction, path: Path) -> Node:
    """Raises NotFound."""
    node = source(tx, path).node
    assert node
    return node


def target(tx: Transaction, path: Path) -> Place:
    """The place of a write, whose parent is there. Raises NoParent."""
    place = places.resolve(tx, path)
    if place is None or place.parent is None:
        raise NoParent(path, "the collection that should hold it is not there")
    return place
