"""What the collector and its opponents did with objects: the rows that `explain` reads."""

from collections.abc import Sequence

from sqlalchemy import insert, literal, select

from .batches import among
from .database import Transaction
from .model import Bucket, ObjectId
from .schema import objects
from .schema_services import gc_log


def record(tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId], event: str, reason: str) -> None:
    """The event of each object, in the transaction that brings it about: condemned, revived or purged."""
    if not batch:
        return
    said = [literal(value) for value in (bucket.name, event, reason)]
    rows = select(literal(tx.now, gc_log.c.at.type), *said, objects.c.uid, objects.c.digest, objects.c.size)
    columns = ["at", "bucket", "event", "reason", "object_uid", "digest", "size"]
    tx.execute(insert(gc_log).from_select(columns, rows.where(among(tx, objects.c.id, batch))))
