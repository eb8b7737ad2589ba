"""Blobs moved from one storage to another while both serve.

Each copy is like an upload: an intent, a draft that is hashed, a fresh key (I1), and then one transaction under the
bucket's writer lock in which the object points to the copy and the old key enters the outbox of deletions (I2, I8).
The object is left alone if it changed meanwhile: whoever repaired, moved or purged it was first, and the copy goes.
A run that is interrupted leaves nothing but intents; the next one goes on with what is still in the old storage.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import ColumnElement, func, select, update

from . import buckets, objects, outbox
from .contents import Contents
from .database import AnyRow, Database, Transaction
from .errors import Corrupt, InvalidSetting, NotFound, Refusal, StorageUnavailable
from .model import INLINE, Descriptor
from .schema import objects as rows

PAGE, PAGE_BYTES = 50, 256 << 20
"""The most that is copied before objects point to the copies: an interruption loses no more."""
AT_ONCE = 4
"""Copies that are under way at the same time."""
BLOCK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a move is. `left` and `left_bytes` are still in the old storage, whoever put them there."""

    moved: int = 0
    moved_bytes: int = 0
    changed: int = 0
    """Left to whoever repaired, moved or purged them meanwhile."""
    failed: tuple[str, ...] = ()
    """Contents that could not be moved, with the reason; they are as they were."""
    left: int = 0
    left_bytes: int = 0


def move(
    database: Database, contents: Contents, source: str, target: str, keep: int, tell: Callable[[Moved], None]
) -> Moved:
    """The objects of `source` are in `target`. Old blobs stay for `keep` nanoseconds, for those who read them.

    Raises InvalidSetting for a storage that cannot be, StorageUnavailable where nothing at all can be moved.
    """
    if source == target:
        raise InvalidSetting(source, "is both; name two storages")
    if target == INLINE:
        raise InvalidSetting(target, "is no storage; contents below a bucket's inline_below go there by themselves")
    for name in (source, target):
        contents.store(name)
    so_far = _counted(database, source, Moved())
    tell(so_far)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for page in _pages(database, source):
            so_far = _moved(database, contents, page, target, keep, pool, so_far)
            tell(so_far)
    return _counted(database, source, so_far)


def _counted(database: Database, source: str, so_far: Moved) -> Moved:
    with database.read() as tx:
        count, size = tx.execute(
            select(func.count(), func.coalesce(func.sum(rows.c.size), 0)).where(rows.c.storage == source)
        ).one()
    return replace(so_far, left=count, left_bytes=int(size))


def _pages(database: Database, source: str) -> Iterator[list[AnyRow]]:
    """The objects of the storage, those that come while it is moved too."""
    last = 0
    columns = rows.c.id, rows.c.bucket, rows.c.digest, rows.c.size, rows.c.storage, rows.c.key
    page = select(*columns).where(rows.c.storage == source).order_by(rows.c.id).limit(PAGE)
    while True:
        with database.read() as tx:
            found = list(tx.execute(page.where(rows.c.id > last)))
        if not found:
            return
        some = _some(found)
        yield some
        last = some[-1].id


def _some(found: list[AnyRow]) -> list[AnyRow]:
    """The first of them, at least one, as many as are of no more than PAGE_BYTES."""
    size = 0
    for count, row in enumerate(found):
        size += row.size
        if count and size > PAGE_BYTES:
            return found[:count]
    return found


def _moved(
    database: Database,
    contents: Contents,
    page: Sequence[AnyRow],
    target: str,
    keep: int,
    pool: ThreadPoolExecutor,
    so_far: Moved,
) -> Moved:
    copies = _intended(database, page, target)
    failures = list(pool.map(partial(_copy, contents), page, copies))
    lost = _lost(database, page, failures)
    if len(lost) == len(page) and isinstance(lost[0], StorageUnavailable):
        raise lost[0]
    done = [(row, copy) for row, copy, failure in zip(page, copies, failures, strict=True) if failure is None]
    pointed = _point(database, done, keep)
    size = sum(row.size for row in pointed)
    return replace(
        so_far,
        moved=so_far.moved + len(pointed),
        moved_bytes=so_far.moved_bytes + size,
        changed=so_far.changed + len(page) - len(lost) - len(pointed),
        failed=(*so_far.failed, *map(str, lost)),
        left=so_far.left - len(pointed),
        left_bytes=so_far.left_bytes - size,
    )


def _intended(database: Database, page: Sequence[AnyRow], target: str) -> list[Descriptor]:
    """Where the copies will be. They have intents, so that what nobody comes to point to goes again."""
    with database.write() as tx:
        homes = {bucket.id: bucket for bucket in buckets.every(tx)}
        copies = [
            Descriptor(row.digest, row.size, target, objects.blob_key(homes[row.bucket], row.digest)) for row in page
        ]
        for copy in copies:
            outbox.intend(tx, copy.storage, copy.key)
    return copies


def _copy(contents: Contents, row: AnyRow, copy: Descriptor) -> Refusal | None:
    """The object's bytes are at the copy's key too, proved by their digest; else why not."""
    try:
        with contents.transit(copy.storage) as draft:
            with contents.store(row.storage).open(row.key) as blob:
                shutil.copyfileobj(blob, draft, BLOCK)
            sealed = draft.seal()
            if sealed.digest != row.digest:
                return Corrupt(row.digest, "its blob has other bytes; `davstore scrub` marks it for repair")
            contents.store(copy.storage).publish(copy.key, sealed)
    except NotFound:
        return Corrupt(row.digest, "its blob is missing; `davstore scrub` marks it for repair")
    except Refusal as refusal:
        return refusal
    return None


def _lost(database: Database, page: Sequence[AnyRow], failures: Sequence[Refusal | None]) -> list[Refusal]:
    """What could not be copied and is still where it was: whatever went or moved meanwhile is no failure."""
    failed = [(row, failure) for row, failure in zip(page, failures, strict=True) if failure is not None]
    with database.read() as tx:
        return [failure for row, failure in failed if tx.scalar(select(rows.c.id).where(_is_same(row))) is not None]


def _point(database: Database, done: Sequence[tuple[AnyRow, Descriptor]], keep: int) -> list[AnyRow]:
    """The objects point to their copies; those are returned that were still what they were when they were copied."""
    pointed: list[AnyRow] = []
    for home in sorted({row.bucket for row, _ in done}):
        with database.write(home) as tx:
            pointed += [row for row, copy in done if row.bucket == home and _point_one(tx, row, copy, keep)]
    return pointed


def _point_one(tx: Transaction, row: AnyRow, copy: Descriptor, keep: int) -> bool:
    is_same = _is_same(row)
    if tx.scalar(select(rows.c.id).where(is_same)) is None:
        outbox.give_up(tx, copy.storage, copy.key)
        return False
    if not outbox.take_back(tx, copy.storage, copy.key):
        return False
    there = {"storage": copy.storage, "key": copy.key, "verdict": None, "verified": None}
    tx.execute(update(rows).where(is_same).values(**there))
    outbox.post(tx, row.storage, row.key, keep)
    return True


def _is_same(row: AnyRow) -> ColumnElement[bool]:
    """Whether the object has still the blob that it had."""
    return (rows.c.id == row.id) & (rows.c.storage == row.storage) & (rows.c.key == row.key)
