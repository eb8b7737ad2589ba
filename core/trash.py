"""Removed subtrees: one row each, whatever their size. What is below keeps its names, and comes back with them."""

from sqlalchemy import delete, insert, select, update

from . import uids
from .database import AnyRow, Transaction
from .errors import NotFound
from .model import Bucket, BucketId, Instant, Kind, Node, NodeId, Trashed
from .schema import buckets, nodes, trash
from .tree import size_below


def put(tx: Transaction, bucket: Bucket, node: Node, by: str) -> None:
    """The node, just unlinked from `node.path`, can be restored until the bucket's trash retention is over."""
    until = None if bucket.trash is None else tx.now + bucket.trash
    tx.execute(
        insert(trash).values(
            uid=uids.fresh(), bucket=bucket.id, node=node.id, path=list(node.path), by=by, at=tx.now, until=until
        )
    )


def entries(tx: Transaction, bucket: str | None) -> list[tuple[Trashed, NodeId]]:
    """What is in the trash of one bucket or of all, newest first, with the nodes."""
    rows = _ROWS.order_by(trash.c.at.desc(), trash.c.id.desc())
    if bucket is not None:
        rows = rows.where(buckets.c.name == bucket)
    return [(_trashed(tx, row), row.node) for row in tx.execute(rows)]


_ROWS = (
    select(trash, nodes.c.kind).join(nodes, nodes.c.id == trash.c.node).join(buckets, buckets.c.id == trash.c.bucket)
)


def get(tx: Transaction, uid: str) -> tuple[Trashed, NodeId]:
    """Raises NotFound."""
    for row in tx.execute(_ROWS.where(trash.c.uid == uid)) if uids.is_uid(uid) else ():
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


def bucket_of(tx: Transaction, uid: str) -> BucketId | None:
    """The bucket of an entry; None where it is in the trash no more."""
    return tx.scalar(select(trash.c.bucket).where(trash.c.uid == uid))
