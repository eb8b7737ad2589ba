"""The outbox of deletions: every blob that no object vouches for, or not yet, has a row here before it has bytes."""

from sqlalchemy import ColumnElement, delete, exists, insert, select, update

from .database import Transaction
from .model import SECOND
from .schema import purges
from .schema_services import jobs

BACKUP = "backup"
"""The lease under which no blob is deleted."""
LONGEST_REST = 3600 * SECOND
"""A lease that ends later was taken while the database's clock was wrong."""
INTENT = 24 * 3600 * SECOND
"""How long a publisher has, in nanoseconds, to make an object of its blob."""


def intend(tx: Transaction, storage: str, key: str) -> None:
    """A blob is about to be published at `key`; without an object it goes again."""
    tx.execute(insert(purges).values(storage=storage, key=key, due=tx.now + INTENT))


def take_back(tx: Transaction, storage: str, key: str) -> bool:
    """An object vouches for the blob from now on. False where the row is gone or claimed: the blob may be too."""
    return tx.execute(delete(purges).where(_intent(storage, key))).rowcount == 1


def give_up(tx: Transaction, storage: str, key: str) -> None:
    """No object will vouch for the blob that was published: it may go at once."""
    tx.execute(update(purges).where(_intent(storage, key)).values(due=tx.now))


def _intent(storage: str, key: str) -> ColumnElement[bool]:
    return (purges.c.storage == storage) & (purges.c.key == key) & purges.c.claimed.is_(None)


def post(tx: Transaction, storage: str, key: str, after: int = 0) -> None:
    """No object vouches for this blob any more; it may go in so many nanoseconds."""
    tx.execute(insert(purges).values(storage=storage, key=key, due=tx.now + after))


def is_resting(tx: Transaction) -> bool:
    """Whether a backup is being taken: deletions are due later."""
    rests = jobs.c.lease.between(tx.now + 1, tx.now + LONGEST_REST)
    return bool(tx.scalar(select(exists().where(jobs.c.name == BACKUP, rests))))
