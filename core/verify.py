"""Reads the rows and the storages against the invariants: what `davstore fsck` prints."""

import hashlib
from collections.abc import Iterator

from sqlalchemy import ColumnElement, func, or_, select, text

from .blobs import BlobStore
from .contents import Contents
from .database import AnyRow, Database, Query, Transaction
from .errors import Refusal
from .model import Digest, Findings, Kind, Problem
from .schema import buckets, locks, names, nodes, objects, purges, trash, versions
from .tree import below

HASH_BLOCK = 1 << 20


def verify(database: Database, contents: Contents, *, deep: bool = False) -> Findings:
    """Every invariant that can be read off, with `deep` the digest of every blob too. Writers may go on meanwhile."""
    with database.read() as tx:
        problems = [*_tree(tx), *_references(tx), *_counters(tx)]
        counts = {
            table.name: tx.scalar(select(func.count()).select_from(table))
            for table in (nodes, objects, versions, trash)
        }
    reclaimable: list[Problem] = []
    for name, store in contents.stores.items():
        lost, orphans = _blobs(database, name, store)
        problems += lost
        reclaimable += orphans
    problems += _unknown_storages(database, contents)
    if deep:
        problems += _digests(database, contents)
    return Findings(tuple(problems), tuple(reclaimable), counts)


def _tree(tx: Transaction) -> Iterator[Problem]:
    named = select(func.count()).where(names.c.node == nodes.c.id).scalar_subquery()
    yield from _each(
        tx, select(nodes.c.uid).where(nodes.c.links != named), "I4", "its link count is not the number of its names"
    )
    parent = nodes.alias("parent")
    strays = select(names.c.name).join(parent, parent.c.id == names.c.parent).where(parent.c.kind != Kind.COLLECTION)
    yield from _each(tx, strays, "I4", "its parent is not a collection")
    tops = select(nodes.c.id.label("id")).where(nodes.c.is_root).union_all(select(trash.c.node))
    reached = select(below(select(tops.subquery().c.id)).c.id)
    yield from _each(
        tx, select(nodes.c.uid).where(nodes.c.id.not_in(reached)), "I4", "no path and no trash entry leads to it"
    )
    twice = select(trash.c.uid).join(names, names.c.node == trash.c.node)
    yield from _each(tx, twice, "I4", "is in the trash and in the tree")
    rootless = (
        select(buckets.c.name)
        .outerjoin(nodes, (nodes.c.bucket == buckets.c.id) & nodes.c.is_root)
        .where(nodes.c.id.is_(None))
    )
    yield from _each(tx, rootless, "I4", "the bucket has no root")
    child, above = nodes.alias("child"), nodes.alias("above")
    foreign = select(child.c.uid).join(names, names.c.node == child.c.id).join(above, above.c.id == names.c.parent)
    yield from _each(tx, foreign.where(child.c.bucket != above.c.bucket), "I4", "is of another bucket than its parent")
    removed = select(below(select(trash.c.node.label("id"))).c.id)
    lost = select(locks.c.token).where(locks.c.expires > tx.now, locks.c.node.in_(removed))
    yield from _each(tx, lost, "I5", "locks something in the trash")
    one, other = locks.alias("one"), locks.alias("other")
    beside = select(one.c.token).join(other, (other.c.node == one.c.node) & (other.c.token != one.c.token))
    both = (one.c.expires > tx.now) & (other.c.expires > tx.now)
    yield from _each(tx, beside.where(both, one.c.exclusive), "I5", "is exclusive, and not the only lock there")


def _references(tx: Transaction) -> Iterator[Problem]:
    if tx.dialect == "sqlite":
        for row in tx.execute(text("PRAGMA foreign_key_check")):
            yield Problem("I3", f"{row[0]} row {row[1]}", f"refers to a row of {row[2]} that is not there")
    for holder in (nodes, versions):
        mixed = (
            select(holder.c.uid).join(objects, objects.c.id == holder.c.object).where(objects.c.size != holder.c.size)
        )
        yield from _each(tx, mixed, "I3", "its size is not its object's")
    foreign = (
        select(nodes.c.uid).join(objects, objects.c.id == nodes.c.object).where(objects.c.bucket != nodes.c.bucket)
    )
    yield from _each(tx, foreign, "I3", "its object is another bucket's")
    used = or_(objects.c.id.in_(select(nodes.c.object)), objects.c.id.in_(select(versions.c.object)))
    yield from _each(
        tx, select(objects.c.digest).where(objects.c.state == "condemned", used), "I3", "is referred to and condemned"
    )
    bad = select(objects.c.digest).where(objects.c.verdict.in_(["lost", "corrupt"]))
    yield from _each(tx, bad, "I2", "its bytes were found lost or corrupt, by a scrub or when they were wanted")
    doubled = select(objects.c.digest).join(
        purges, (purges.c.storage == objects.c.storage) & (purges.c.key == objects.c.key)
    )
    yield from _each(tx, doubled, "I2", "its blob is also due for deletion")


def _counters(tx: Transaction) -> Iterator[Problem]:
    is_file: ColumnElement[bool] = nodes.c.kind == Kind.FILE
    real = (
        select(nodes.c.bucket, func.count().label("files"), func.sum(nodes.c.size).label("bytes"))
        .where(is_file)
        .group_by(nodes.c.bucket)
        .subquery()
    )
    files, size = func.coalesce(real.c.files, 0), func.coalesce(real.c.bytes, 0)
    wrong = select(buckets.c.name).outerjoin(real, real.c.bucket == buckets.c.id)
    yield from _each(
        tx,
        wrong.where((buckets.c.files != files) | (buckets.c.bytes != size)),
        "counter",
        "files or bytes are miscounted",
    )


def _each(tx: Transaction, subjects: Query, kind: str, detail: str) -> Iterator[Problem]:
    for subject in sorted(map(str, tx.execute(subjects).scalars())):
        yield Problem(kind, subject, detail)


def _blobs(database: Database, name: str, store: BlobStore) -> tuple[list[Problem], list[Problem]]:
    """Rows against blobs both ways. The rows are read around the listing, since writers may go on meanwhile."""
    before = _rows(database, name)
    try:
        listed = {blob.key: blob.size for blob in store.blobs()}
    except Refusal as error:
        return [Problem("I2", name, f"the storage cannot be listed: {error}")], []
    after = _rows(database, name)
    lost = [
        Problem(
            "I2", key, "is missing" if key not in listed else f"has {listed[key]} bytes where {size} are vouched for"
        )
        for key, size in before.items()
        if size is not None and after.get(key) == size != listed.get(key)
    ]
    orphans = [
        Problem("orphan", key, f"{size} bytes")
        for key, size in listed.items()
        if key not in before and key not in after
    ]
    due = [Problem("due", key, f"{listed[key]} bytes") for key, size in after.items() if size is None and key in listed]
    return lost, orphans + due


def _rows(database: Database, storage: str) -> dict[str, int | None]:
    """Keys that rows know, with the size that an object vouches for, or None for one that is due for deletion."""
    with database.read() as tx:
        due: dict[str, int | None] = dict.fromkeys(
            tx.execute(select(purges.c.key).where(purges.c.storage == storage)).scalars()
        )
        vouched = tx.execute(select(objects.c.key, objects.c.size).where(objects.c.storage == storage))
        return due | {row.key: row.size for row in vouched}


def _unknown_storages(database: Database, contents: Contents) -> list[Problem]:
    with database.read() as tx:
        named = list(tx.execute(select(objects.c.storage).distinct()).scalars())
    return [Problem("I2", name, "holds objects and is not configured") for name in named if name not in contents.stores]


def _digests(database: Database, contents: Contents) -> Iterator[Problem]:
    last = 0
    while True:
        page = select(objects.c.id, objects.c.digest, objects.c.storage, objects.c.key).where(objects.c.id > last)
        with database.read() as tx:
            rows = tx.execute(page.order_by(objects.c.id).limit(1000)).all()
        for row in rows:
            last = row.id
            found = _digest(contents, row.storage, row.key)
            if found != row.digest and _is_still_there(database, row):
                yield Problem("I1", row.key, f"hashes to {found}" if found else "cannot be read")
        if not rows:
            return


def _is_still_there(database: Database, seen: AnyRow) -> bool:
    """Whether the object has the blob that it had: what was let go or moved meanwhile is in order."""
    same = select(objects.c.id).where(objects.c.id == seen.id, objects.c.storage == seen.storage)
    with database.read() as tx:
        return tx.scalar(same.where(objects.c.key == seen.key)) is not None


def _digest(contents: Contents, storage: str, key: str) -> Digest | None:
    try:
        with contents.store(storage).open(key) as blob:
            found = hashlib.sha256()
            while block := blob.read(HASH_BLOCK):
                found.update(block)
            return Digest(found.hexdigest())
    except (Refusal, OSError):
        return None
