"""Where a path leads: one statement for each path, and a slower walk where names differ in their Unicode form."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, exists, literal, null, select, text

from . import buckets, tree
from .database import Transaction
from .model import Access, Bucket, BucketId, Kind, Node, NodeId, Path
from .paths import checked, folded
from .prepared import Prepared
from .schema import RULED, locks, names, nodes, objects
from .schema import buckets as bucket_rows

DEEPEST = 24
"""Names resolved by one statement; SQLite joins at most 64 tables."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads, and what it passes. `parents` are the nodes above it that exist, the bucket's root first."""

    path: Path
    """As stored, as far as it exists."""
    requested: Path
    bucket: Bucket
    parents: tuple[NodeId, ...]
    parent: NodeId | None
    """The collection that holds, or would hold, the last name. None where there is none, and for a bucket's root."""
    node: Node | None
    may_be_locked: bool = True
    """False where nothing is locked anywhere, as mostly."""
    accesses: tuple[Access, ...] = ()
    """Of the parents and the node; () where nothing in the bucket says anything of access."""
    is_hidden: bool = False
    """There is a node that the caller may not see."""

    @property
    def above(self) -> Access:
        """What its parents say."""
        own = 1 if self.node or self.is_hidden else 0
        before = self.accesses[: len(self.accesses) - own]
        return before[-1] if before else Access(self.bucket.visibility)

    @property
    def access(self) -> Access:
        """What the whole path says."""
        return self.accesses[-1] if self.accesses else Access(self.bucket.visibility)

    def unmapped(self) -> "Place":
        """The same place under the very name that was asked for, where nothing is."""
        return replace(self, path=(*self.path[:-1], self.requested[-1]), node=None)


def resolve(tx: Transaction, path: Path) -> Place | None:
    """`path` begins with a bucket's name; None where there is no such bucket. Raises InvalidPath.

    Exact names win; else the NFC-equal one is taken, as macOS needs. An ASCII name is asked for exactly only.
    """
    for name in path:
        checked(name)
    if len(path) > DEEPEST:
        return _walk(tx, path)
    wanted = {f"name{n}": name for n, name in enumerate(path)}
    row = tx.first(_lookup(len(path)), wanted)
    if row is None:
        return None
    if row[buckets.WIDTH] is None and not all(name.isascii() for name in path[1:]):
        return _walk(tx, path)
    place = _place(row, path)
    return with_accesses(tx, place) if row[-1] else place


@lru_cache
def _lookup(length: int) -> Prepared:
    """The bucket, the leaf with its object, the chain of nodes, the parent's kind, and whether anything is locked."""
    root, leaf, above = nodes.alias("root"), nodes.alias("leaf"), nodes.alias("above")
    source: FromClause = bucket_rows.join(root, and_(root.c.bucket == bucket_rows.c.id, root.c.is_root))
    chain: list[ColumnElement[NodeId]] = [root.c.id]
    for n in range(1, length):
        step = names.alias(f"n{n}")
        here = and_(step.c.parent == chain[-1], step.c.name == bindparam(f"name{n}", type_=names.c.name.type))
        source = source.outerjoin(step, here)
        chain.append(step.c.node)
    source = source.outerjoin(leaf, leaf.c.id == chain[-1]).outerjoin(objects, objects.c.id == leaf.c.object)
    kind: ColumnElement[Any] = null()
    if length > 1:
        source, kind = source.outerjoin(above, above.c.id == chain[-2]), above.c.kind
    columns = [*buckets.columns_of(bucket_rows, root), *tree.columns_of(leaf, objects)]
    labels = [node.label(f"n{n}_node") for n, node in enumerate(chain)]
    is_locked = exists(select(locks.c.token)).label("is_locked")
    marks = kind.label("above_kind"), is_locked, is_ruled(bucket_rows.c.id).label("is_ruled")
    found = select(*columns, *labels, *marks).select_from(source)
    return Prepared(found.where(bucket_rows.c.name == bindparam("name0", type_=bucket_rows.c.name.type)))


def _place(row: Sequence[Any], path: Path) -> Place:
    leaf, chain = buckets.WIDTH, buckets.WIDTH + tree.WIDTH
    bucket = buckets.read(row[:leaf])
    node = None if row[leaf] is None else tree.read(row[leaf:chain], path)
    *above, _, kind, is_locked, _ = row[chain:]
    parents = tuple(id_ for id_ in above if id_ is not None)
    holds = kind == Kind.COLLECTION
    return Place(path, path, bucket, parents, parents[-1] if holds else None, node, bool(is_locked))


def is_ruled(bucket: ColumnElement[BucketId]) -> ColumnElement[bool]:
    """Whether some node of the bucket says something of access: as a question of one index, since most have none."""
    ruled = nodes.alias("ruled")
    said = text("(ruled.owner <> '' OR ruled.visibility IS NOT NULL OR ruled.is_local IS NOT NULL)")
    return exists(select(ruled.c.id).where(ruled.c.bucket == bucket, said))


def with_accesses(tx: Transaction, place: Place, start: Access | None = None) -> Place:
    """The place with what its path says of access, below what has `start`."""
    chain = [*place.parents, *([place.node.id] if place.node else [])]
    said = {row.id: row[1:] for row in tx.execute(_RULES, {"chain": chain})}
    access, found = start or Access(place.bucket.visibility), list[Access]()
    for node in chain:
        access = access.of(*said[node]) if node in said else access
        found.append(access)
    node = place.node and replace(place.node, access=access)
    return replace(place, node=node, accesses=tuple(found))


_RULES = select(nodes.c.id, nodes.c.kind, nodes.c.owner, nodes.c.visibility, nodes.c.is_local).where(
    nodes.c.id.in_(bindparam("chain", expanding=True)), text(f"({RULED})")
)


def _walk(tx: Transaction, path: Path) -> Place | None:
    place = _walked(tx, path)
    return place and (with_accesses(tx, place) if tx.scalar(select(is_ruled(literal(place.bucket.id)))) else place)


def _walked(tx: Transaction, path: Path) -> Place | None:
    bucket = buckets.find(tx, path[0])
    if bucket is None:
        return None
    stored, chain = [bucket.name], [bucket.root]
    for name in path[1:]:
        step = member(tx, chain[-1], name)
        if step is None:
            break
        stored.append(step[0])
        chain.append(step[1])
    missing = path[len(stored) :]
    whole = (*stored, *missing)
    if not missing:
        parent = chain[-2] if len(chain) > 1 else None
        return Place(whole, path, bucket, tuple(chain[:-1]), parent, tree.reread(tx, chain[-1], whole))
    holds = len(missing) == 1 and tree.reread(tx, chain[-1], whole).is_collection
    return Place(whole, path, bucket, tuple(chain), chain[-1] if holds else None, None)


def member(tx: Transaction, parent: NodeId, name: str) -> tuple[str, NodeId] | None:
    """A member, with its name as stored: the very name, or else the first of those that are NFC-equal."""
    key = folded(name)
    others = select(names.c.name).where(names.c.parent == parent, names.c.key == key, names.c.key != names.c.name)
    for stored in (name, *sorted({key, *tx.execute(others).scalars()}, key=str.encode)):
        node = tx.scalar(select(names.c.node).where(names.c.parent == parent, names.c.name == stored))
        if node is not None:
            return stored, node
    return None
