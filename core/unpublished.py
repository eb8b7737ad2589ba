"""Rows of drafts that are durable and not yet anybody's content: an fsync promised them, or publishing them failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from . import uids
from .database import Transaction
from .errors import TooLarge, UnsupportedMediaType
from .model import Digest, Instant, NodeId
from .prepared import Prepared
from .schema_services import drafts

FINAL = (TooLarge, UnsupportedMediaType)
"""Refusals of a content for what it is: the same one comes again unless somebody changes the bucket's policy."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """`file` is `<storage>/<name in its staging directory>`; `base` the digest of what the file held when the draft was
    begun, None where a program before revision 0012 recorded it."""

    node: NodeId
    file: str
    principal: str
    created: Instant
    error: str | None
    base: Digest | None
    is_final: bool


_COLUMNS = (
    *(drafts.c[name] for name in ("node", "file", "principal", "created", "error", "base")),
    func.coalesce(drafts.c.is_final, False),
)
_REFUSED = Prepared(select(*_COLUMNS).where(drafts.c.node == bindparam("of"), drafts.c.error.is_not(None)))


def record(
    tx: Transaction, node: NodeId, file: str, principal: str, base: Digest | None, error: Exception | None
) -> None:
    """The draft is known, with why it could not be published, if that was tried. It stays as old as it was."""
    told = {"error": error and str(error), "is_final": isinstance(error, FINAL)}
    if tx.execute(update(drafts).where(drafts.c.file == file).values(**told)).rowcount == 0:
        values = {"uid": uids.fresh(), "node": node, "file": file, "principal": principal, "base": base}
        tx.execute(insert(drafts).values(created=tx.now, **values, **told))


def forget(tx: Transaction, file: str) -> None:
    """The draft was published, or is not wanted any more."""
    tx.execute(delete(drafts).where(drafts.c.file == file))


def refused(tx: Transaction, node: NodeId) -> list[Unpublished]:
    """Those of a file that could not be published."""
    return [_read(row) for row in tx.rows(_REFUSED, {"of": node})]


def every(tx: Transaction) -> list[Unpublished]:
    """Oldest first."""
    return [_read(row) for row in tx.execute(select(*_COLUMNS).order_by(drafts.c.id))]


def _read(row: Sequence[Any]) -> Unpublished:
    *columns, is_final = row
    return Unpublished(*columns, is_final=bool(is_final))
