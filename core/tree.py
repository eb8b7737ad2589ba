"""Name and node rows: where a path leads, and the set-based changes of the tree (I4).

Nothing here checks locks or policy; the namespace does. Every change takes the `seq` that `buckets.advance` gave.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from . import uids
from .database import AnyRow, Query, Transaction
from .model import Bucket, BucketId, Descriptor, Digest, Kind, Node, NodeId, ObjectId, Path
from .paths import folded
from .schema import buckets, names, nodes, objects

_STEPS = 8
"""Names resolved by one statement; SQLite joins at most 64 tables."""

_NODE = (
    nodes.c.id,
    nodes.c.uid,
    nodes.c.bucket,
    nodes.c.kind,
    nodes.c.size,
    nodes.c.media_type,
    nodes.c.created,
    nodes.c.modified,
    nodes.c.seq,
    nodes.c.mode,
    nodes.c.uid_number,
    nodes.c.gid_number,
    nodes.c.links,
    nodes.c.target,
    nodes.c.owner,
    nodes.c.visibility,
    nodes.c.object,
    objects.c.uid.label("object_uid"),
    objects.c.digest,
    objects.c.storage,
    objects.c.key.label("blob_key"),
)
_NODES = select(*_NODE).select_from(nodes.outerjoin(objects, objects.c.id == nodes.c.object))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads. `parents` are the nodes above it that exist, the bucket's root first."""

    path: Path
    """As stored, as far as it exists."""
    requested: Path
    bucket: Bucket
    parents: tuple[NodeId, ...]
    parent: Node | None
    """What holds, or would hold, the last name; None where it is missing. A root has none."""
    node: Node | None

    def unmapped(self) -> "Place":
        """The same place under the very name that was asked for, where nothing is."""
        return replace(self, path=(*self.path[:-1], self.requested[-1]), node=None)


def resolve(tx: Transaction, bucket: Bucket, path: Path) -> Place:
    """`path` begins with the bucket's name. Exact names win; else the NFC-equal one is taken, as macOS needs."""
    found: list[tuple[str, NodeId]] = [(bucket.name, bucket.root)]
    while len(found) < len(path):
        steps = _follow(tx, found[-1][1], path[len(found) :][:_STEPS]) or _step_folded(
            tx, found[-1][1], path[len(found)]
        )
        if not steps:
            break
        found += steps
    missing = len(path) - len(found)
    stored = (*(name for name, _ in found), *path[len(found) :])
    ids = [node for _, node in found]
    wanted = by_ids(tx, ids[-2:] if not missing else ids[-1:])
    node = wanted.get(ids[-1]) if not missing else None
    parent = wanted.get(ids[-1] if missing else ids[-2]) if missing == 1 or (not missing and len(ids) > 1) else None
    return Place(
        path=stored,
        requested=path,
        bucket=bucket,
        parents=tuple(ids if missing else ids[:-1]),
        parent=parent and replace(parent, path=stored[:-1]),
        node=node and replace(node, path=stored),
    )


def _follow(tx: Transaction, start: NodeId, wanted: Path) -> list[tuple[str, NodeId]]:
    row = tx.execute(_chain(len(wanted)), {"start": start, **{f"name{n}": name for n, name in enumerate(wanted)}}).one()
    return [(name, node) for name, node in zip(wanted, row, strict=True) if node is not None]


@lru_cache
def _chain(length: int) -> Query:
    one = select(literal(1).label("one")).subquery()
    source: FromClause = one
    above: ColumnElement[Any] = bindparam("start", type_=names.c.parent.type)
    steps = [names.alias(f"n{n}") for n in range(length)]
    for n, step in enumerate(steps):
        source = source.outerjoin(
            step, and_(step.c.parent == above, step.c.name == bindparam(f"name{n}", type_=names.c.name.type))
        )
        above = step.c.node
    return select(*(step.c.node for step in steps)).select_from(source)


def _step_folded(tx: Transaction, parent: NodeId, name: str) -> list[tuple[str, NodeId]]:
    equal = (
        select(names.c.name, names.c.node)
        .where(names.c.parent == parent, names.c.key == folded(name))
        .order_by(names.c.name)
        .limit(1)
    )
    return [(row.name, row.node) for row in tx.execute(equal)]


def by_ids(tx: Transaction, ids: Sequence[NodeId]) -> dict[NodeId, Node]:
    """Nodes without their paths."""
    return {row.id: _node(row, ()) for row in tx.execute(_NODES.where(nodes.c.id.in_(ids)))}


def reread(tx: Transaction, node: NodeId, path: Path) -> Node:
    """The node as it is now."""
    return replace(by_ids(tx, [node])[node], path=path)


def children(tx: Transaction, parent: NodeId, path: Path, after: str | None, limit: int) -> list[Node]:
    """One page of a collection, in the order of the names' bytes."""
    page = (
        select(names.c.name, *_NODE)
        .select_from(names.join(nodes, nodes.c.id == names.c.node).outerjoin(objects, objects.c.id == nodes.c.object))
        .where(names.c.parent == parent)
        .order_by(names.c.name)
        .limit(limit)
    )
    if after is not None:
        page = page.where(names.c.name > after)
    return [_node(row, (*path, row.name)) for row in tx.execute(page)]


def roots(tx: Transaction) -> list[Node]:
    """The buckets as nodes, in name order."""
    page = select(buckets.c.name, *_NODE).select_from(
        nodes.join(buckets, buckets.c.id == nodes.c.bucket).outerjoin(objects, objects.c.id == nodes.c.object)
    )
    return [_node(row, (row.name,)) for row in tx.execute(page.where(nodes.c.is_root).order_by(buckets.c.name))]


def _node(row: AnyRow, path: Path) -> Node:
    content = Descriptor(Digest(row.digest), row.size, row.storage, row.blob_key) if row.object is not None else None
    return Node(
        id=row.id,
        uid=row.uid,
        bucket=row.bucket,
        path=path,
        kind=Kind(row.kind),
        size=row.size,
        media_type=row.media_type,
        created=row.created,
        modified=row.modified,
        seq=row.seq,
        object=row.object,
        object_uid=row.object_uid or "",
        content=content,
        mode=row.mode,
        uid_number=row.uid_number,
        gid_number=row.gid_number,
        links=row.links,
        target=row.target or "",
        owner=row.owner,
        visibility=row.visibility,
    )


def path_of(tx: Transaction, node: NodeId) -> Path | None:
    """The path of a node by its first name; None where it is in the trash."""
    first = tx.execute(select(names.c.parent, names.c.name).where(names.c.node == node).limit(1)).first()
    up = select(literal(first.parent if first else node, names.c.node.type).label("node"), literal(0).label("depth"))
    up = up.cte("up", recursive=True)
    up = up.union_all(select(names.c.parent, up.c.depth + 1).join(up, names.c.node == up.c.node))
    above = select(up.c.node, names.c.name).outerjoin(names, names.c.node == up.c.node).order_by(up.c.depth.desc())
    rows = tx.execute(above).all()
    bucket = tx.scalar(
        select(buckets.c.name)
        .join(nodes, nodes.c.bucket == buckets.c.id)
        .where(nodes.c.id == rows[0].node, nodes.c.is_root)
    )
    if bucket is None:
        return None
    return (bucket, *(row.name for row in rows[1:]), *((first.name,) if first else ()))


def add(tx: Transaction, bucket: BucketId, parent: NodeId, name: str, seq: int, **values: Any) -> NodeId:
    """A new node under a name that is free."""
    made = {"created": tx.now, "modified": tx.now, "links": 1, "mode": 0o644} | values
    node: NodeId = tx.scalar(
        insert(nodes).values(uid=uids.fresh(), bucket=bucket, seq=seq, changed=tx.now, **made).returning(nodes.c.id)
    )
    link(tx, parent, name, node)
    mark_changed(tx, parent, seq)
    return node


def link(tx: Transaction, parent: NodeId, name: str, node: NodeId) -> None:
    tx.execute(insert(names).values(parent=parent, name=name, key=folded(name), node=node))


def unlink(tx: Transaction, parent: NodeId, name: str, seq: int) -> None:
    """Takes one name away; its node has one link less and may now be without any."""
    node = tx.scalar(delete(names).where(names.c.parent == parent, names.c.name == name).returning(names.c.node))
    tx.execute(update(nodes).where(nodes.c.id == node).values(links=nodes.c.links - 1, changed=tx.now, seq=seq))
    mark_changed(tx, parent, seq)


def relocate(tx: Transaction, source: Place, parent: NodeId, name: str, seq: int) -> None:
    """The node at `source` gets another name."""
    assert source.node
    assert source.parent
    here = (names.c.parent == source.parent.id) & (names.c.name == source.path[-1])
    tx.execute(update(names).where(here).values(parent=parent, name=name, key=folded(name)))
    tx.execute(update(nodes).where(nodes.c.id == source.node.id).values(changed=tx.now, seq=seq))
    for collection in {source.parent.id, parent}:
        mark_changed(tx, collection, seq)


def mark_changed(tx: Transaction, collection: NodeId, seq: int) -> None:
    """A member came, went or was renamed."""
    tx.execute(update(nodes).where(nodes.c.id == collection).values(modified=tx.now, changed=tx.now, seq=seq))


def below(top: NodeId | Query) -> CTE:
    """The ids of a subtree, or of several, tops included, as a recursive table expression with one column `id`."""
    tops = top if isinstance(top, Select) else select(literal(top, names.c.node.type).label("id"))
    tree = tops.cte("below", recursive=True)
    return tree.union_all(select(names.c.node).join(tree, names.c.parent == tree.c.id))


def size_below(tx: Transaction, top: NodeId) -> tuple[int, int]:
    """How many files a subtree holds, and the sum of their sizes."""
    tree = below(top)
    files = select(func.count(), func.coalesce(func.sum(nodes.c.size), 0)).join(tree, tree.c.id == nodes.c.id)
    count, size = tx.execute(files.where(nodes.c.kind == Kind.FILE)).one()
    return count, int(size)


def pages(tx: Transaction, parent: NodeId, path: Path, limit: int) -> Iterator[list[Node]]:
    after: str | None = None
    while page := children(tx, parent, path, after, limit):
        yield page
        after = page[-1].name


def object_of(node: Node) -> ObjectId:
    assert node.object is not None
    return node.object
