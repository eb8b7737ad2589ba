"""The trash as a tree: buckets, in them the entries under names of their own, below those what they hold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import buckets, guards, places, relocation, subtrees, trash, tree
from .database import Transaction
from .errors import Forbidden, NotFound
from .model import Bucket, Caller, Expect, Node, NodeId, ObjectId, Path
from .places import Place


@dataclass(frozen=True, slots=True)
class TrashTree:
    """What `views.View` shows at one place and takes out of (views.Past)."""

    def node(self, tx: Transaction, path: Path) -> Node | None:
        if not path:
            return guards.root()
        bucket = buckets.find(tx, path[0])
        if bucket is None:
            return None
        place = _place(tx, bucket, path) if len(path) > 1 else None
        return _collection(tx, bucket) if len(path) == 1 else place and place.node

    def page(self, tx: Transaction, of: Node, after: Node | None, limit: int) -> list[Node]:
        match of.path:
            case ():
                return [] if after else [_collection(tx, bucket) for bucket in buckets.every(tx)]
            case (name,):
                return trash.page(tx, buckets.get(tx, name), after, limit)
            case _:
                return tree.children(tx, of.id, of.path, after and after.name, limit)

    def lacking(self, tx: Transaction, path: Path, bucket: Bucket) -> Sequence[ObjectId]:
        place = _source(tx, path)
        return subtrees.lacking(tx, place.node.id, bucket, history=True) if place.node else ()

    def copy(
        self, tx: Transaction, caller: Caller, path: Path, target: Place, expect: Expect, *, deep: bool, overwrite: bool
    ) -> NodeId:
        """The entry stays."""
        return relocation.copy(tx, caller, _source(tx, path), target, expect, deep=deep, overwrite=overwrite)

    def move(
        self, tx: Transaction, caller: Caller, path: Path, target: Place, expect: Expect, *, overwrite: bool
    ) -> NodeId:
        """Restores: uid, versions and properties are those that it had."""
        return relocation.restore(tx, caller, _source(tx, path), target, expect, overwrite=overwrite)

    def drop(self, tx: Transaction, path: Path) -> bool:
        return relocation.forget(tx, _source(tx, path))


def _collection(tx: Transaction, bucket: Bucket) -> Node:
    """A bucket's trash: it is another whenever the bucket changes."""
    return replace(tree.reread(tx, bucket.root, (bucket.name,)), seq=bucket.seq)


def _source(tx: Transaction, path: Path) -> Place:
    """Raises NotFound, and Forbidden for what is no entry nor in one."""
    if len(path) < 2:
        raise Forbidden("the list itself", "take out what is in it; `davstore trash empty` empties it")
    place = _place(tx, buckets.get(tx, path[0]), path)
    if place is None:
        raise NotFound(path)
    return place


def _place(tx: Transaction, bucket: Bucket, path: Path) -> Place | None:
    """Where a path below a bucket's trash leads; an entry has no parent."""
    node = trash.named(tx, bucket, path[1])
    if node is None:
        return None
    parents: list[NodeId] = []
    stored, here = node.path, node.id
    for name in path[2:]:
        step = places.member(tx, here, name)
        if step is None:
            return None
        parents.append(here)
        stored, here = (*stored, step[0]), step[1]
    member = tree.reread(tx, here, stored) if parents else node
    place = Place(stored, path, bucket, tuple(parents), parents[-1] if parents else None, member)
    return places.with_accesses(tx, place, node.access)
