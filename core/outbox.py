"""The outbox of deletions: every blob that no object vouches for, or not yet, has a row here before it has bytes."""

from sqlalchemy import delete, insert

from .database import Transaction
from .model import SECOND
from .schema import purges

INTENT = 24 * 3600 * SECOND
"""How long a publisher has, in nanoseconds, to make an object of its blob."""


def intend(tx: Transaction, storage: str, key: str) -> None:
    """A blob is about to be published at `key`; without an object it goes again."""
    tx.execute(insert(purges).values(storage=storage, key=key, due=tx.now + INTENT))


def take_back(tx: Transaction, storage: str, key: str) -> bool:
    """An object vouches for the blob from now on. False where the row is gone or claimed: the blob may be too."""
    intent = (purges.c.storage == storage) & (purges.c.key == key) & purges.c.claimed.is_(None)
    return tx.execute(delete(purges).where(intent)).rowcount == 1


def post(tx: Transaction, storage: str, key: str) -> None:
    """No object vouches for this blob any more."""
    tx.execute(insert(purges).values(storage=storage, key=key, due=tx.now))
