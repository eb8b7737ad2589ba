"""What is kept for a time only: trash entries, older versions and files that expire. What they held is touched."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, union, update

from . import buckets, forgetting, progress, subtrees, tree
from .batches import among
from .database import Database, Query, Transaction
from .model import Bucket, Caller, NodeId
from .recovery import Recovery
from .schema import names, nodes, objects, trash, versions
from .tempo import FLAT_OUT, Tempo

BATCH = 200
"""Files whose versions are thinned in one transaction."""
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
    forgetting.finish(database, tempo)
    emptied = 0
    for uid in over:
        emptied += recovery.forget(uid, tempo)
        tempo.between()
    return Expired(
        trash=emptied,
        versions=sum(_thin(database, bucket, tempo) for bucket in every),
        files=sum(_end_files(database, bucket, tempo) for bucket in every),
    )


def _thin(database: Database, bucket: Bucket, tempo: Tempo) -> int:
    """Versions beyond the bucket's number for each file, or older than its age, are gone.

    Files that have such versions are looked for in a snapshot, for which nobody waits; what goes is decided again under
    the writer lock. Too many has a file only if one is newer than the last look.
    """
    total, until = 0, None
    with database.read() as tx:
        seen = progress.thinned(tx, bucket)
        is_new = tx.scalar(select(exists().where(versions.c.replaced > seen)))
    if is_new:
        with database.write(bucket.id, durable=False) as tx:
            # What other writers of the bucket replaced earlier is seen from now on, and what they replace is later.
            until = tx.now - 1
    while True:
        with database.read() as tx:
            crowded = _crowded(bucket, tx.now - bucket.versions_age, seen)
            files: list[NodeId] = list(tx.execute(crowded.limit(BATCH)).scalars())
        if not files:
            break
        with database.write(bucket.id) as tx:
            rows = tx.execute(_surplus(tx, bucket, files)).all()
            tx.execute(delete(versions).where(among(tx, versions.c.id, [row.id for row in rows])))
            held = among(tx, objects.c.id, [row.object for row in rows])
            tx.execute(update(objects).where(held).values(touched=tx.now))
        tempo.between()
        total += len(rows)
    if until is not None:
        with database.write(bucket.id, durable=False) as tx:
            progress.thin(tx, bucket, seen, until)
    return total


def _crowded(bucket: Bucket, oldest: int, seen: int) -> Query:
    """Files of which a version is too many or too old."""
    each = versions.alias("each")
    count = select(func.count()).where(each.c.node == versions.c.node).scalar_subquery()
    too_many = select(versions.c.node).where(versions.c.replaced > seen, _is_of(bucket), count > bucket.keep_versions)
    too_old = select(versions.c.node).where(versions.c.replaced <= oldest, _is_of(bucket))
    return select(union(too_many, too_old).subquery().c.node)


def _is_of(bucket: Bucket) -> ColumnElement[bool]:
    return exists().where(nodes.c.id == versions.c.node, nodes.c.bucket == bucket.id)


def _surplus(tx: Transaction, bucket: Bucket, files: Sequence[NodeId]) -> Query:
    newest_first = (versions.c.replaced.desc(), versions.c.id.desc())
    rank = func.row_number().over(partition_by=versions.c.node, order_by=newest_first).label("rank")
    ranked = select(versions.c.id, versions.c.object, versions.c.replaced, rank)
    each = ranked.where(among(tx, versions.c.node, files)).subquery()
    over = or_(each.c.rank > bucket.keep_versions, each.c.replaced <= tx.now - bucket.versions_age)
    return select(each.c.id, each.c.object).where(over)


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
