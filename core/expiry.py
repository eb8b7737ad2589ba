"""What is kept for a time only: trash entries, older versions and files that expire. What they held is touched."""

from dataclasses import dataclass

from sqlalchemy import delete, func, or_, select, update

from . import buckets, subtrees, tree
from .database import Database
from .model import Bucket, Caller, NodeId
from .recovery import Recovery
from .schema import names, nodes, objects, trash, versions
from .tempo import FLAT_OUT, Tempo

BATCH = 1000
FILES = 50


@dataclass(frozen=True, slots=True)
class Expired:
    """What went because its time, or of versions their number, was over."""

    trash: int = 0
    versions: int = 0
    files: int = 0


def expire(database: Database, tempo: Tempo = FLAT_OUT) -> Expired:
    """Nothing is kept beyond its time any more."""
    with database.read() as tx:
        over = list(tx.execute(select(trash.c.uid).where(trash.c.until <= tx.now)).scalars())
        every = buckets.every(tx)
    recovery = Recovery(database, Caller("collector", admin=True))
    emptied = 0
    for uid in over:
        emptied += recovery.forget(uid)
        tempo.between()
    return Expired(
        trash=emptied,
        versions=sum(_thin(database, bucket, tempo) for bucket in every),
        files=sum(_end_files(database, bucket, tempo) for bucket in every),
    )


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


def _end_files(database: Database, bucket: Bucket, tempo: Tempo) -> int:
    """Files whose time is over are gone for good, wherever they are, the trash included."""
    total = 0
    while True:
        with database.write(bucket.id) as tx:
            over = select(nodes.c.id).where(nodes.c.bucket == bucket.id, nodes.c.expires <= tx.now)
            ended: list[NodeId] = list(tx.execute(over.order_by(nodes.c.expires).limit(FILES)).scalars())
            holding = set(tx.execute(select(names.c.parent).where(names.c.node.in_(ended))).scalars())
            dropped = [subtrees.drop(tx, node) for node in ended]
            if ended:
                seq = buckets.advance(tx, bucket, -len(dropped), -sum(size for _, size in dropped))
                for collection in holding:
                    tree.mark_changed(tx, collection, seq)
        tempo.between()
        total += len(ended)
        if len(ended) < FILES:
            return total
