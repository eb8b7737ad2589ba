"""What the collector and its opponents did with objects: the rows that `explain` reads."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, literal, select

from .batches import among
from .database import Database, Transaction
from .model import Bucket, ObjectId
from .schema import objects
from .schema_services import gc_log
from .tempo import FLAT_OUT, Tempo

BATCH = 1000


def record(tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId], event: str, reason: str) -> None:
    """The event of each object, in the transaction that brings it about: condemned, revived or purged."""
    if not batch:
        return
    said = [literal(value) for value in (bucket.name, event, reason)]
    rows = select(literal(tx.now, gc_log.c.at.type), *said, objects.c.uid, objects.c.digest, objects.c.size)
    columns = ["at", "bucket", "event", "reason", "object_uid", "digest", "size"]
    tx.execute(insert(gc_log).from_select(columns, rows.where(among(tx, objects.c.id, batch))))


def forget(database: Database, older_than: int, tempo: Tempo = FLAT_OUT) -> int:
    """Events of more than so many nanoseconds ago are gone. Returns how many went."""
    total = 0
    while True:
        with database.write(durable=False) as tx:
            old = select(gc_log.c.id).where(gc_log.c.at <= tx.now - older_than).order_by(gc_log.c.at).limit(BATCH)
            gone = tx.execute(delete(gc_log).where(gc_log.c.id.in_(old))).rowcount
        total += gone
        if gone < BATCH:
            return total
        tempo.between()
