"""The outbox of deletions is carried out here, and nowhere else are blobs deleted (I8)."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, or_, select, update

from .batches import among
from .blobs.store import BatchDeletes
from .contents import Contents
from .database import AnyRow, Database
from .errors import Refusal
from .model import SECOND
from .outbox import is_resting
from .schema import purges
from .tempo import FLAT_OUT, Tempo

log = logging.getLogger(__name__)

CLAIM = 600 * SECOND
"""Nanoseconds that a worker has for one claim; after that another may repeat the deletion, which is harmless."""
BATCH = 100
FIRST_DELAY, LONGEST_DELAY = 60 * SECOND, 24 * 3600 * SECOND


Tried = tuple[AnyRow, str | None]
"""A claimed row, and what went wrong with its deletion."""


@dataclass(frozen=True, slots=True)
class Delivered:
    deleted: int = 0
    failed: int = 0


def deliver(database: Database, contents: Contents, tempo: Tempo = FLAT_OUT) -> Delivered:
    """Every deletion that is due was tried once. A failed one stays, with its error, and is due again later."""
    deleted = failed = 0
    while rows := _claim(database):
        tried: list[Tried] = []
        try:
            tried.extend(_tried(contents, rows, tempo))
        finally:
            _note(database, tried)
        wrong = sum(error is not None for _, error in tried)
        deleted, failed = deleted + len(tried) - wrong, failed + wrong
    return Delivered(deleted, failed)


def _claim(database: Database) -> list[AnyRow]:
    """A claim is never given back: a publisher that finds one must not count on the bytes (outbox.take_back).

    It is on disk before a blob goes, and so is everything that let the blob go.
    """
    with database.write() as tx:
        if is_resting(tx):
            return []
        over = or_(purges.c.claimed <= tx.now, purges.c.claimed > tx.now + CLAIM)
        free = or_(purges.c.claimed.is_(None), over)
        due = select(purges.c.id).where(purges.c.due <= tx.now, free).order_by(purges.c.due).limit(BATCH)
        ids = list(tx.execute(due.with_for_update(skip_locked=True)).scalars())
        claimed = (
            update(purges).where(purges.c.id.in_(ids)).values(claimed=tx.now + CLAIM, attempts=purges.c.attempts + 1)
        )
        return list(tx.execute(claimed.returning(purges.c.id, purges.c.storage, purges.c.key, purges.c.attempts)))


def _note(database: Database, tried: Sequence[Tried]) -> None:
    """Rows of blobs that are gone are gone; those of the others are due again, later each time."""
    with database.write(durable=False) as tx:
        tx.execute(delete(purges).where(among(tx, purges.c.id, [row.id for row, error in tried if error is None])))
        for row, error in tried:
            if error is not None:
                later = tx.now + min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(row.attempts - 1, 20))
                again = update(purges).where(purges.c.id == row.id)
                tx.execute(again.values(due=later, claimed=tx.now, error=error))


def _tried(contents: Contents, rows: Sequence[AnyRow], tempo: Tempo) -> Iterator[Tried]:
    """Each of them, one after the other; together where their store takes many at once."""
    for name in dict.fromkeys(row.storage for row in rows):
        mine = [row for row in rows if row.storage == name]
        store = contents.stores.get(name)
        if isinstance(store, BatchDeletes):
            yield from _delete_all(contents, store, mine)
            tempo.between()
            continue
        for row in mine:
            yield row, _delete(contents, row)
            tempo.between()


def _delete_all(contents: Contents, store: BatchDeletes, claimed: Sequence[AnyRow]) -> Iterator[Tried]:
    """As `_delete`, in one request; each blob has an error of its own. Which of them breaks it, shows one by one."""
    try:
        failed = store.delete_all([row.key for row in claimed])
    except Refusal as refusal:
        failed = dict.fromkeys((row.key for row in claimed), refusal)
    except Exception:
        yield from ((row, _delete(contents, row)) for row in claimed)
        return
    for row in claimed:
        yield row, str(failed[row.key]) if row.key in failed else None


def _delete(contents: Contents, claimed: AnyRow) -> str | None:
    """The error, if the blob could not be deleted. The claimed row is the proof that no object vouches for it."""
    try:
        contents.store(claimed.storage).delete(claimed.key)
    except Refusal as refusal:
        return str(refusal)
    except Exception as error:
        # What nobody foresaw is this row's own trouble, and waits like any other: it is due first, and if it ended the
        # run, it would end every run to come, and no other blob would ever be deleted.
        log.exception("the deletion of %s failed", claimed.key)
        return f"{type(error).__name__}: {error}"
    return None
