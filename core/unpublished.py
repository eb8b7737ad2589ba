"""Rows of drafts that are durable and not yet anybody's content: an fsync promised them, or publishing them failed."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from . import uids
from .database import Transaction
from .model import Instant, NodeId
from .schema_services import drafts


@dataclass(frozen=True, slots=True)
class Unpublished:
    """`file` is `<storage>/<name in its staging directory>`."""

    node: NodeId
    file: str
    principal: str
    created: Instant
    error: str | None


def record(tx: Transaction, node: NodeId, file: str, principal: str, error: str | None) -> None:
    """The draft is known, with why it could not be published, if that was tried."""
    forget(tx, file)
    values = {"uid": uids.fresh(), "node": node, "file": file, "principal": principal, "error": error}
    tx.execute(insert(drafts).values(created=tx.now, **values))


def forget(tx: Transaction, file: str) -> None:
    """The draft was published, or is not wanted any more."""
    tx.execute(delete(drafts).where(drafts.c.file == file))


def every(tx: Transaction) -> list[Unpublished]:
    """Oldest first."""
    columns = (drafts.c[name] for name in ("node", "file", "principal", "created", "error"))
    return [Unpublished(*row) for row in tx.execute(select(*columns).order_by(drafts.c.id))]
