"""The outbox of deletions: every blob that no object vouches for, or not yet, has a row here before it has bytes."""

from sqlalchemy import and_, bindparam, delete, exists, insert, select, update

from .database import Transaction
from .model import SECOND
from .prepared import Prepared
from .schema import purges
from .schema_services import jobs

BACKUP = "backup"
"""The lease under which no blob is deleted."""
INTENT = 24 * 3600 * SECOND
"""How long a publisher has, in nanoseconds, to make an object of its blob."""
_INTENT_OF = and_(
    purges.c.storage == bindparam("of_storage"), purges.c.key == bindparam("of_key"), purges.c.claimed.is_(None)
)
_POST = Prepared(insert(purges).values({name: bindparam(name) for name in ("storage", "key", "due")}))
_TAKE_BACK = Prepared(delete(purges).where(_INTENT_OF))
_HASTEN = Prepared(update(purges).where(_INTENT_OF).values(due=bindparam("at")))


def intend(tx: Transaction, storage: str, key: str) -> None:
    """A blob is about to be published at `key`; without an object it goes again."""
    post(tx, storage, key, INTENT)


def take_back(tx: Transaction, storage: str, key: str) -> bool:
    """An object vouches for the blob from now on. False where the row is gone or claimed: the blob may be too."""
    return tx.count(_TAKE_BACK, {"of_storage": storage, "of_key": key}) == 1


def give_up(tx: Transaction, storage: str, key: str) -> None:
    """No object will vouch for the blob that was published: it may go at once."""
    tx.count(_HASTEN, {"of_storage": storage, "of_key": key, "at": tx.now})


def post(tx: Transaction, storage: str, key: str, after: int = 0) -> None:
    """No object vouches for this blob any more; it may go in so many nanoseconds."""
    tx.count(_POST, {"storage": storage, "key": key, "due": tx.now + after})


def is_resting(tx: Transaction) -> bool:
    """Whether a backup is being taken: deletions are due later."""
    return bool(tx.scalar(select(exists().where(jobs.c.name == BACKUP, jobs.c.lease > tx.now))))
