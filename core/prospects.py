"""What the next run would find over, and what it would condemn for that: a dry run's look ahead. Nothing is written."""

from collections.abc import Sequence

from sqlalchemy import CTE, and_, exists, func, or_, select

from . import buckets, progress
from .collector import Collected
from .database import AnyRow, Database, Query, Transaction
from .expiry import Expired
from .model import Bucket, ObjectId
from .references import Registry
from .schema import names, nodes, objects, trash, versions
from .tree import below

BATCH = 1000


def foresee(database: Database, registry: Registry, retention: int | None, *, grace: int) -> tuple[Expired, Collected]:
    """What has had its time, and what of it would be let go at once: nothing, unless there is no grace."""
    expired, total = Expired(), Collected()
    with database.read() as tx:
        every = buckets.every(tx)
    for bucket in every:
        with database.read() as tx:
            mine = _expired(tx, bucket)
            files, older = expired.files + mine.files, expired.versions + mine.versions
            expired = Expired(expired.trash + mine.trash, older, files)
            if grace == 0 and not registry.unknown(tx, bucket):
                total += _released(tx, registry, bucket, retention)
    return expired, total


def _expired(tx: Transaction, bucket: Bucket) -> Expired:
    over = (trash.c.bucket == bucket.id, trash.c.until <= tx.now, trash.c.ending.is_(None))
    gone, surplus = _removed(tx, bucket), _surplus(tx, bucket)
    ended = select(func.count()).where(nodes.c.bucket == bucket.id, nodes.c.expires <= tx.now)
    older = select(func.count()).select_from(surplus.join(versions, versions.c.id == surplus.c.id))
    return Expired(
        trash=tx.scalar(select(func.count()).select_from(trash).where(*over)),
        versions=tx.scalar(older.where(versions.c.node.not_in(select(gone.c.id)))),
        files=tx.scalar(ended.where(nodes.c.id.not_in(select(gone.c.id)))),
    )


def _removed(tx: Transaction, bucket: Bucket) -> CTE:
    """The nodes of what has been in the trash long enough, but for files that have a name elsewhere."""
    over = or_(trash.c.until <= tx.now, trash.c.ending.is_not(None))
    tree = below(select(trash.c.node.label("id")).where(trash.c.bucket == bucket.id, over))
    outside = exists().where(names.c.node == tree.c.id, names.c.parent.not_in(select(tree.c.id)))
    return select(tree.c.id).where(~outside).cte("removed")


def _surplus(tx: Transaction, bucket: Bucket) -> CTE:
    newest_first = (versions.c.replaced.desc(), versions.c.id.desc())
    rank = func.row_number().over(partition_by=versions.c.node, order_by=newest_first).label("rank")
    each = select(versions.c.id, versions.c.replaced, rank).join(nodes, nodes.c.id == versions.c.node)
    ranked = each.where(nodes.c.bucket == bucket.id).subquery()
    over = or_(ranked.c.rank > bucket.keep_versions, ranked.c.replaced <= tx.now - bucket.versions_age)
    return select(ranked.c.id).where(over).cte("surplus")


def _released(tx: Transaction, registry: Registry, bucket: Bucket, retention: int | None) -> Collected:
    kept_for = bucket.retention if retention is None else retention
    rows = tx.execute(_held(tx, bucket)).all()
    reached = progress.reached(tx, bucket)
    counted = [row for row in rows if not reached < row.touched <= tx.now]
    free = [row for row in rows if row.is_free]
    gone = [row for start in range(0, len(free), BATCH) for row in _unkept(tx, registry, bucket, free[start:][:BATCH])]
    size = sum(row.size for row in gone)
    purged = Collected(purged=len(gone), purged_bytes=size) if kept_for == 0 else Collected()
    return Collected(examined=len(counted), condemned=len(gone)) + purged


def _held(tx: Transaction, bucket: Bucket) -> Query:
    """The objects of what would go; free are those to which no file or version that stays refers."""
    removed, surplus = _removed(tx, bucket), _surplus(tx, bucket)
    ended = select(nodes.c.id).where(nodes.c.bucket == bucket.id, nodes.c.expires <= tx.now)
    goes = select(removed.c.id).union(ended).cte("goes")
    node_goes = nodes.c.id.in_(select(goes.c.id))
    version_goes = or_(versions.c.id.in_(select(surplus.c.id)), versions.c.node.in_(select(goes.c.id)))
    held = select(nodes.c.object).where(node_goes).union(select(versions.c.object).where(version_goes))
    stays = or_(
        exists().where(and_(nodes.c.object == objects.c.id, ~node_goes)),
        exists().where(and_(versions.c.object == objects.c.id, ~version_goes)),
    )
    columns = (objects.c.id, objects.c.touched, objects.c.size, (~stays).label("is_free"))
    return select(*columns).where(objects.c.id.in_(held))


def _unkept(tx: Transaction, registry: Registry, bucket: Bucket, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """Those of the objects that no other rule finds either."""
    found: set[ObjectId] = set()
    for rule in registry.rules(bucket):
        if rule.column.table not in (nodes, versions):
            found |= rule.referenced(tx, [row.id for row in rows])
    return [row for row in rows if row.id not in found]
