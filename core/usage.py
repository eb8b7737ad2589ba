"""What buckets hold: bytes as their users see them, and bytes as stored once."""

from sqlalchemy import func, select

from .database import Transaction
from .model import Bucket, Kind, Usage
from .schema import nodes, objects, trash
from .tree import below


def usage(tx: Transaction, bucket: Bucket) -> Usage:
    """`files` and `logical_bytes` count the trash, as the quota does; `trashed_bytes` say how much of it that is."""
    size = func.coalesce(func.sum(objects.c.size), 0)
    states = select(objects.c.state, func.count(), size).where(objects.c.bucket == bucket.id).group_by(objects.c.state)
    by_state = {state: (count, int(total)) for state, count, total in tx.execute(states)}
    live, condemned = by_state.get("live", (0, 0)), by_state.get("condemned", (0, 0))
    return Usage(
        bucket=bucket.name,
        files=bucket.files,
        logical_bytes=bucket.bytes,
        unique_bytes=live[1],
        condemned_bytes=condemned[1],
        objects=live[0] + condemned[0],
        trashed_bytes=_trashed(tx, bucket),
        quota=bucket.quota,
    )


def stored(tx: Transaction) -> dict[str, tuple[int, int]]:
    """The objects of each storage that has any, and their bytes."""
    counted = select(objects.c.storage, func.count(), func.sum(objects.c.size)).group_by(objects.c.storage)
    return {name: (count, int(size)) for name, count, size in tx.execute(counted)}


def _trashed(tx: Transaction, bucket: Bucket) -> int:
    tree = below(select(trash.c.node.label("id")).where(trash.c.bucket == bucket.id))
    total = select(func.coalesce(func.sum(nodes.c.size), 0)).where(
        nodes.c.id.in_(select(tree.c.id)), nodes.c.kind == Kind.FILE
    )
    return int(tx.scalar(total))
