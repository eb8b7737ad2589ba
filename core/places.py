"""Where a path leads: one statement for each path, and a slower walk where names differ in their Unicode form."""

from dataclasses import dataclass, replace
from functools import lru_cache

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, select

from . import buckets, tree
from .database import AnyRow, Query, Transaction
from .model import Bucket, Kind, Node, NodeId, Path
from .paths import checked, folded
from .schema import buckets as bucket_rows
from .schema import names, nodes, objects

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
    row = tx.execute(_lookup(len(path)), wanted).first()
    if row is None:
        return None
    if row.leaf_id is None and not all(name.isascii() for name in path[1:]):
        return _walk(tx, path)
    return _place(row, path)


@lru_cache
def _lookup(length: int) -> Query:
    """The bucket, the chain of nodes down to the parent, the parent's kind, and the leaf with its object."""
    root, leaf, above = nodes.alias("root"), nodes.alias("leaf"), nodes.alias("above")
    source: FromClause = bucket_rows.join(root, and_(root.c.bucket == bucket_rows.c.id, root.c.is_root))
    chain: list[ColumnElement[NodeId]] = [root.c.id]
    for n in range(1, length):
        step = names.alias(f"n{n}")
        here = and_(step.c.parent == chain[-1], step.c.name == bindparam(f"name{n}", type_=names.c.name.type))
        source = source.outerjoin(step, here)
        chain.append(step.c.node)
    source = source.outerjoin(leaf, leaf.c.id == chain[-1]).outerjoin(objects, objects.c.id == leaf.c.object)
    source = source.outerjoin(above, above.c.id == (chain[-2] if length > 1 else None))
    columns = [*buckets.columns_of(bucket_rows, root), *tree.columns_of(leaf, objects)]
    labels = [node.label(f"n{n}_node") for n, node in enumerate(chain)]
    found = select(*columns, *labels, leaf.c.id.label("leaf_id"), above.c.kind.label("above_kind")).select_from(source)
    return found.where(bucket_rows.c.name == bindparam("name0", type_=bucket_rows.c.name.type))


def _place(row: AnyRow, path: Path) -> Place:
    width, leaf_width = buckets.WIDTH, tree.WIDTH
    bucket = buckets.read(row[:width])
    chain = row[width + leaf_width : width + leaf_width + len(path)]
    node = None if row.leaf_id is None else tree.read(row[width : width + leaf_width], path)
    parents = tuple(NodeId(id_) for id_ in chain[:-1] if id_ is not None)
    holds = row.above_kind == Kind.COLLECTION
    return Place(path, path, bucket, parents, parents[-1] if holds else None, node)


def _walk(tx: Transaction, path: Path) -> Place | None:
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
    """A member, with its name as stored: the very name, or else the NFC-equal one."""
    same = select(names.c.name, names.c.node).where(names.c.parent == parent)
    for which in (names.c.name == name, names.c.key == folded(name)):
        row = tx.execute(same.where(which).order_by(names.c.name).limit(1)).first()
        if row:
            return row.name, row.node
    return None
