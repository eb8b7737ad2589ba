"""How far the collector has come in each bucket: whatever was touched up to there has been decided on.

So an object that something refers to costs a question and no write. Every touch is made under the bucket's writer lock,
and so is every step of the progress: what is touched later has a later time.
"""

from sqlalchemy import select, update

from .database import Transaction
from .model import SECOND, Bucket
from .schema import buckets

START = -1
AGAIN = 30 * 24 * 3600 * SECOND
"""Every object is examined again so often, in nanoseconds, so that a forgotten touch leaks nothing for ever."""


def reached(tx: Transaction, bucket: Bucket) -> int:
    """The last time of touches that were decided on; START where it is time to begin again."""
    row = tx.execute(select(buckets.c.collected, buckets.c.walked).where(buckets.c.id == bucket.id)).one()
    return START if row.walked <= tx.now - AGAIN else row.collected


def begin(tx: Transaction, bucket: Bucket) -> bool:
    """A walk over every object has begun, where it is time for one. Returns whether it was."""
    due = (buckets.c.id == bucket.id) & (buckets.c.walked <= tx.now - AGAIN)
    return tx.execute(update(buckets).where(due).values(collected=START, walked=tx.now)).rowcount == 1


def advance(tx: Transaction, bucket: Bucket, to: int) -> None:
    """Touches of this transaction's time may still come: they are not decided on."""
    to = min(to, tx.now - 1)
    tx.execute(update(buckets).where(buckets.c.id == bucket.id, buckets.c.collected < to).values(collected=to))
