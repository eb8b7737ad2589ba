"""What a write needs before it may change anything: the right to, the caller's expectations, and the lock tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select

from . import buckets, locks, places, reach, tree
from .database import Transaction
from .errors import Forbidden, IsACollection, NoParent, NotFound
from .model import Access, Bucket, BucketId, Caller, Expect, Instant, Kind, Lock, Node, NodeId, Path
from .places import Place
from .schema import nodes

BUCKETS = "buckets are made and removed with `davstore bucket`"
"""Why the root takes no writes."""
UNATTACHED = "attachments"
"""The collection of a bucket whose members are the attachments that no document has, by their makers."""
NOT_YOURS = "it is, or holds, a document of somebody else's"


@dataclass(frozen=True, slots=True)
class Situation:
    """The tree as the committing transaction shows it to a caller (model.Look)."""

    tx: Transaction
    caller: Caller

    def find(self, path: Path) -> Place | None:
        """Where the path leads, without what the caller may not see; None where there is no such bucket."""
        place = places.resolve(self.tx, path)
        return place and _seen(place, self.caller)

    def place(self, path: Path) -> Place:
        """Raises NotFound where there is no such bucket."""
        place = self.find(path)
        if place is None:
            raise NotFound(path, "there is no such bucket")
        return place

    def node(self, path: Path) -> Node | None:
        if not path:
            return root()
        place = self.find(path)
        return place.node if place else None

    def locks(self, path: Path) -> tuple[Lock, ...]:
        place = self.find(path) if path else None
        return locks.covering(self.tx, place) if place else ()


def root() -> Node:
    """The collection of all buckets. It is no row."""
    epoch = Instant(0)
    return Node(NodeId(0), "root", BucketId(0), (), Kind.COLLECTION, 0, "", epoch, epoch, 0, mode=0o755)


def _seen(place: Place, caller: Caller) -> Place:
    if not place.accesses:
        return place
    parent = place.parent if place.above.readable(caller) else None
    if place.node is None or place.access.readable(caller):
        return replace(place, parent=parent)
    return replace(place, parent=parent, node=None, is_hidden=True)


def holds(tx: Transaction, caller: Caller, expect: Expect) -> None:
    """Raises PreconditionFailed where the caller's check does."""
    if expect.check:
        expect.check(Situation(tx, caller))


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


def source(tx: Transaction, caller: Caller, path: Path) -> Place:
    """Raises NotFound."""
    place = Situation(tx, caller).place(path)
    if place.node is None:
        raise NotFound(path)
    return place


def found(tx: Transaction, caller: Caller, path: Path) -> Node:
    """Raises NotFound."""
    node = source(tx, caller, path).node
    assert node
    return node


def target(tx: Transaction, caller: Caller, path: Path) -> Place:
    """The place of a write, whose parent is there. Raises NoParent, and Forbidden where the caller may not write."""
    place = Situation(tx, caller).find(path)
    if place is None or place.parent is None:
        raise NoParent(path, "the collection that should hold it is not there")
    if place.is_hidden:
        raise Forbidden(path, "the name is taken")
    changeable(place, caller)
    return place


def changeable(place: Place, caller: Caller) -> None:
    """The caller may write what is there, or make it. Raises Forbidden."""
    if not place.access.writable(caller):
        raise Forbidden(place.path, NOT_YOURS)


def removable(tx: Transaction, place: Place, caller: Caller) -> None:
    """The caller may take the name away, and all that is below it. Raises Forbidden."""
    every = [place.above, place.access, *_below(tx, place)]
    if not all(access.writable(caller) for access in every):
        raise Forbidden(place.path, NOT_YOURS)


def ownable(path: Path) -> None:
    """A document can be there. Raises Forbidden where the attachments of everybody lie, or it would keep them out."""
    if _is_everybodys(path):
        raise Forbidden(path, "attachments that no document has lie here, so no document can")


def placeable(tx: Transaction, source: Place, target: Place) -> None:
    """What is there can be at the target, with the documents in it. Raises Forbidden."""
    assert source.node
    if not _is_everybodys(target.path) or not source.node.is_collection:
        return
    members = select(tree.below(source.node.id).c.id)
    owned = select(nodes.c.id).where(nodes.c.id.in_(members), nodes.c.kind == Kind.COLLECTION, nodes.c.owner != "")
    if tx.scalar(owned.limit(1)) is not None:
        ownable(target.path)


def _is_everybodys(path: Path) -> bool:
    return path[1:2] == (UNATTACHED,) and len(path) <= 3


def copyable(tx: Transaction, place: Place, caller: Caller) -> None:
    """The caller may read all that is below it. Raises Forbidden."""
    if not all(access.readable(caller) for access in _below(tx, place)):
        raise Forbidden(place.path, "it holds what you may not read")


def _below(tx: Transaction, place: Place) -> list[Access]:
    if not place.accesses or place.node is None or not place.node.is_collection:
        return []
    return reach.below(tx, place.node.id)


def locks_of(tx: Transaction, caller: Caller, of: Sequence[Node]) -> dict[NodeId, tuple[Lock, ...]]:
    """Live locks that cover each node, inherited ones too: for one node, or for members of one collection."""
    if not of or not of[0].path or locks.are_none(tx):
        return {}
    if len(of) == 1:
        found = Situation(tx, caller).locks(of[0].path)
        return {of[0].id: found} if found else {}
    return locks_of_members(tx, caller, of[0].path[:-1], {node.id: node.path for node in of})


def locks_of_members(
    tx: Transaction, caller: Caller, collection: Path, members: Mapping[NodeId, Path]
) -> dict[NodeId, tuple[Lock, ...]]:
    """The same for members of one collection, with their paths."""
    own = locks.of_members(tx, members)
    inherited = tuple(lock for lock in Situation(tx, caller).locks(collection) if lock.infinite)
    return {node: (*own.get(node, ()), *inherited) for node in members if inherited or node in own}


def home(tx: Transaction, path: Path) -> Bucket:
    """The bucket that a file at the path goes to. Raises NoParent, IsACollection, Forbidden."""
    fillable(tx, path)
    bucket = buckets.find(tx, path[0])
    if bucket is None:
        raise NoParent(path, "there is no such bucket")
    return bucket
