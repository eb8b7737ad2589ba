"""What a bucket's policy keeps for a time only: trash entries and older versions. What they held is touched."""

from sqlalchemy import delete, func, or_, select, update

from . import buckets
from .database import Database
from .model import Bucket, Caller
from .recovery import Recovery
from .schema import nodes, objects, trash, versions
from .tempo import FLAT_OUT, Tempo

BATCH = 1000


def expire(database: Database, tempo: Tempo = FLAT_OUT) -> tuple[int, int]:
    """Returns how many trash entries and versions went because their time, or their number, was over."""
    with database.read() as tx:
        over = list(tx.execute(select(trash.c.uid).where(trash.c.until <= tx.now)).scalars())
        every = buckets.every(tx)
    recovery = Recovery(database, Caller("collector", admin=True))
    emptied = 0
    for uid in over:
        emptied += recovery.forget(uid)
        tempo.between()
    return emptied, sum(_thin(database, bucket, tempo) for bucket in every)


def _thin(database: Database, bucket: Bucket, tempo: Tempo) -> int:
    """Versions beyond the bucket's number for each file, or older than its age, are gone."""
    total = 0
    while True:
        with database.write(bucket.id) as tx:
            newer = func.row_number().over(partition_by=versions.c.node, order_by=versions.c.replaced.desc())
            mine = select(versions.c.id, versions.c.object, versions.c.replaced, newer.label("rank"))
            ranked = mine.join(nodes, nodes.c.id == versions.c.node).where(nodes.c.bucket == bucket.id).subquery()
            surplus = or_(ranked.c.rank > bucket.keep_versions, ranked.c.replaced <= tx.now - bucket.versions_age)
            rows = tx.execute(select(ranked.c.id, ranked.c.object).where(surplus).limit(BATCH)).all()
            tx.execute(delete(versions).where(versions.c.id.in_([row.id for row in rows])))
            held = objects.c.id.in_([row.object for row in rows])
            tx.execute(update(objects).where(held).values(touched=tx.now))
        tempo.between()
        total += len(rows)
        if len(rows) < BATCH:
            return total
