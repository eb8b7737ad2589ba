"""How far the collector has come in each bucket: whatever was touched up to there has been decided on.

So an object that something refers to costs a question and no write. Every touch is made under the bucket's writer lock,
and so is every step of the progress: what is touched later has a later time. A time that lies ahead was written while
the database's clock was wrong: then it is time to begin again.
"""

from sqlalchemy import ColumnElement, exists, or_, select, update

from .database import Transaction
from .model import SECOND, Bucket, BucketId
from .schema import buckets, holds, objects

START = -1
AGAIN = 30 * 24 * 3600 * SECOND
"""Every object is examined again so often, in nanoseconds, so that a forgotten touch leaks nothing for ever."""


def reached(tx: Transaction, bucket: Bucket) -> int:
    """The last time of touches that were decided on; START where it is time to begin again."""
    came = select(buckets.c.collected).where(buckets.c.id == bucket.id, ~_is_due(tx))
    found = tx.scalar(came)
    return START if found is None else found


def begin(tx: Transaction, bucket: Bucket) -> bool:
    """A walk over every object has begun, where it is time for one. Returns whether it was."""
    walk = update(buckets).where(buckets.c.id == bucket.id, _is_due(tx))
    return tx.execute(walk.values(collected=START, walked=tx.now)).rowcount == 1


def _is_due(tx: Transaction) -> ColumnElement[bool]:
    return or_(buckets.c.walked <= tx.now - AGAIN, buckets.c.walked > tx.now, buckets.c.collected > tx.now)


def is_misdated(tx: Transaction) -> ColumnElement[bool]:
    """Of `objects`: no touch that the collector comes to. An older program cleared it, or it lies ahead and no hold
    keeps the object until then."""
    held = exists().where(holds.c.object == objects.c.id, holds.c.until >= objects.c.touched)
    return or_(objects.c.touched.is_(None), (objects.c.touched > tx.now) & ~held)


def advance(tx: Transaction, bucket: Bucket, to: int) -> None:
    """Touches of this transaction's time may still come: they are not decided on."""
    to = min(to, tx.now - 1)
    tx.execute(update(buckets).where(buckets.c.id == bucket.id, buckets.c.collected < to).values(collected=to))


def thinned(tx: Transaction, bucket: Bucket) -> int:
    """Versions that were replaced up to then are not too many for their files."""
    came = select(buckets.c.thinned).where(buckets.c.id == bucket.id, buckets.c.thinned <= tx.now)
    return tx.scalar(came) or 0


def thin(tx: Transaction, bucket: Bucket, before: int, to: int) -> None:
    """No more where somebody began again meanwhile: with another policy, or files that came from another bucket."""
    same = or_(buckets.c.thinned == before, buckets.c.thinned > tx.now)
    tx.execute(update(buckets).where(buckets.c.id == bucket.id, same).values(thinned=to))


def thin_anew(tx: Transaction, bucket: BucketId) -> None:
    """Files have versions that came to them in another way than by being replaced: they may be too many."""
    tx.execute(update(buckets).where(buckets.c.id == bucket).values(thinned=0))
