"""Removed subtrees: one row each, whatever their size. What is below keeps its names, and comes back with them."""

from dataclasses import replace

from sqlalchemy import ColumnElement, Text, and_, bindparam, cast, delete, insert, or_, select, update

from . import stamps, tree, uids
from .database import AnyRow, Transaction
from .errors import NotFound
from .model import SECOND, Access, Bucket, BucketId, Instant, Kind, Node, NodeId, Path, Removal, Trashed
from .paths import folded
from .prepared import Prepared
from .schema import buckets, nodes, objects, trash
from .tree import size_below

_FIELDS = ("uid", "bucket", "node", "path", "by", "at", "until", "owner", "is_enclosed")
OWNERS = ~0o077
"""Of permissions, what is left of something that lay where not everybody came: who else did is not known any more."""
_PUT = Prepared(insert(trash).values({name: bindparam(name) for name in _FIELDS}))


def put(tx: Transaction, bucket: Bucket, node: NodeId, path: Path, by: str, owner: str, *, is_enclosed: bool) -> None:
    """The node, just unlinked from `path`, can be restored until the bucket's trash retention is over.

    `owner` is that of the document that it was in; `is_enclosed` as of the collection in which it was (tree.lineage).
    """
    until = None if bucket.trash is None else tx.now + bucket.trash
    row = {"uid": uids.fresh(), "bucket": bucket.id, "node": node, "path": list(path)}
    tx.count(_PUT, {**row, "by": by, "at": tx.now, "until": until, "owner": owner, "is_enclosed": is_enclosed})


def entries(tx: Transaction, bucket: str | None) -> list[tuple[Trashed, NodeId]]:
    """What is in the trash of one bucket or of all, newest first, with the nodes."""
    rows = _ROWS.where(_is_whole()).order_by(trash.c.at.desc(), trash.c.id.desc())
    if bucket is not None:
        rows = rows.where(buckets.c.name == bucket)
    return [(_trashed(tx, row), row.node) for row in tx.execute(rows)]


def uids_of(tx: Transaction, bucket: str | None) -> list[str]:
    """The entries of one bucket or of all, newest first."""
    rows = select(trash.c.uid).where(_is_whole()).order_by(trash.c.at.desc(), trash.c.id.desc())
    if bucket is not None:
        rows = rows.join(buckets, buckets.c.id == trash.c.bucket).where(buckets.c.name == bucket)
    return list(tx.execute(rows).scalars())


_ROWS = (
    select(trash, nodes.c.kind).join(nodes, nodes.c.id == trash.c.node).join(buckets, buckets.c.id == trash.c.bucket)
)


def get(tx: Transaction, uid: str) -> tuple[Trashed, NodeId]:
    """Raises NotFound."""
    for row in tx.execute(_ROWS.where(trash.c.uid == uid, _is_whole())) if uids.is_uid(uid) else ():
        return _trashed(tx, row), row.node
    raise NotFound(uid, "is not in the trash; `davstore trash ls` lists what is")


def _trashed(tx: Transaction, row: AnyRow) -> Trashed:
    return Trashed(
        row.uid, tuple(row.path), Kind(row.kind), size_below(tx, row.node)[1], row.by, Instant(row.at), row.until
    )


def take_out(tx: Transaction, node: NodeId, seq: int) -> None:
    """The node has left the trash, for a name that the caller gives it."""
    tx.execute(delete(trash).where(trash.c.node == node))
    tx.execute(update(nodes).where(nodes.c.id == node).values(links=1, changed=tx.now, seq=seq))


def find(tx: Transaction, uid: str) -> tuple[BucketId, NodeId] | None:
    """The bucket and the node of an entry; None where it is in the trash no more."""
    row = tx.execute(select(trash.c.bucket, trash.c.node).where(trash.c.uid == uid, _is_whole())).first()
    return (row.bucket, row.node) if row else None


def end(tx: Transaction, bucket: Bucket, node: NodeId) -> None:
    """Nobody sees the subtree any more, nor can restore it: the rest of it goes later."""
    if tx.execute(update(trash).where(trash.c.node == node).values(ending=tx.now)).rowcount == 0:
        about = {"path": [bucket.name], "by": "", "at": tx.now, "ending": tx.now}
        tx.execute(insert(trash).values(uid=uids.fresh(), bucket=bucket.id, node=node, **about))


def ending(tx: Transaction) -> list[tuple[BucketId, NodeId]]:
    """Subtrees whose end has begun."""
    rows = tx.execute(select(trash.c.bucket, trash.c.node).where(trash.c.ending.is_not(None)).order_by(trash.c.ending))
    return [(row.bucket, row.node) for row in rows]


def _is_whole() -> ColumnElement[bool]:
    return trash.c.ending.is_(None)


_TOPS = (
    select(*tree.columns_of(nodes, objects), trash.c.uid.label("entry"), trash.c.path, trash.c.by, trash.c.at)
    .add_columns(trash.c.until, trash.c.owner.label("was_of"), trash.c.is_enclosed)
    .select_from(trash.join(nodes, nodes.c.id == trash.c.node).outerjoin(objects, objects.c.id == nodes.c.object))
    .order_by(trash.c.at.desc(), trash.c.node.desc())
)


def page(tx: Transaction, bucket: Bucket, after: Node | None, limit: int) -> list[Node]:
    """A bucket's entries as nodes with names of their own below it, newest first; those that follow `after`."""
    rows = _TOPS.where(trash.c.bucket == bucket.id, _is_whole()).limit(limit)
    if after is not None:
        assert isinstance(after.past, Removal)
        at = after.past.at
        rows = rows.where(or_(trash.c.at < at, and_(trash.c.at == at, trash.c.node < after.id)))
    return [_top(bucket, row) for row in tx.execute(rows)]


def named(tx: Transaction, bucket: Bucket, name: str) -> Node | None:
    """The entry that `page` gives this name."""
    stamp = stamps.read(name)
    if stamp is None:
        return None
    second, end = stamp
    in_second = trash.c.at.between(second, second + SECOND - 1)
    rows = _TOPS.where(trash.c.bucket == bucket.id, _is_whole(), in_second, cast(trash.c.uid, Text).like(f"%{end}"))
    found = (_top(bucket, row) for row in tx.execute(rows))
    return next((node for node in found if folded(node.name) == folded(name)), None)


def _top(bucket: Bucket, row: AnyRow) -> Node:
    removal = Removal(tuple(row.path), row.by, Instant(row.at), row.until)
    node = tree.read(row[: tree.WIDTH], ())
    name = stamps.stamped(removal.path[-1], node.kind, removal.at, row.entry)
    access = Access("private", row.was_of, in_document=True) if row.was_of else Access(bucket.visibility)
    access = access.of(node.kind, node.owner, node.visibility, node.is_local)
    mode = node.mode if row.is_enclosed is False else node.mode & OWNERS
    return replace(node, path=(bucket.name, name), mode=mode, past=removal, access=access)
