"""Lists of attachments: a filter, an order, and pages that begin after a key, so that no insertion shifts them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import CTE, ColumnElement, func, or_, select, tuple_

from . import attachments, reach, tree
from .attachments import Attachment
from .database import Transaction
from .model import Caller, Kind, Node, NodeId
from .reach import Showing
from .schema import names, nodes

Order = Literal["created", "-created", "filename", "-filename", "size", "-size"]
Key = tuple[int | str, int]
"""What a page is ordered by, and the number of a node: the last of the page before."""

_NAME = select(func.min(names.c.name)).where(names.c.node == nodes.c.id).correlate(nodes).scalar_subquery()
_VALUES: dict[str, ColumnElement[Any]] = {"created": nodes.c.created, "filename": _NAME, "size": nodes.c.size}


@dataclass(frozen=True, slots=True)
class Filter:
    """Of whose attachments: a document's, or those of all documents of the caller's and what no document has."""

    document: Node | None = None
    filename: str = ""
    """A part of the name, whatever its case."""
    media_type: str = ""
    """The type, or `image/*`."""
    created_from: int | None = None
    created_until: int | None = None
    """Made at that time or later, and before that one; nanoseconds."""


@dataclass(frozen=True, slots=True)
class Page:
    attachments: list[Attachment]
    end: Key | None
    """Where the next one begins; None where this is the last."""


def page(tx: Transaction, caller: Caller, of: Filter, order: Order, after: Key | None, limit: int) -> Page:
    """One page of what the caller may read, in one order for all pages.

    Whether there is another page follows from what the caller may read, too (I9).
    """
    found: list[tuple[Key, Showing]] = []
    for key, showing in _readable(tx, caller, of, order, after, limit):
        if len(found) == limit:
            return Page(attachments.described(tx, [each for _, each in found]), found[-1][0])
        found.append((key, showing))
    return Page(attachments.described(tx, [each for _, each in found]), None)


def _readable(
    tx: Transaction, caller: Caller, of: Filter, order: Order, after: Key | None, limit: int
) -> Iterator[tuple[Key, Showing]]:
    while True:
        rows = tx.execute(_rows(caller, of, order, after).limit(limit + 1)).all()
        shown = {showing.node: showing for showing in _shown(tx, caller, of, [row.id for row in rows])}
        for row in rows:
            after = (row.value, row.id)
            if row.id in shown:
                yield after, shown[row.id]
        if len(rows) <= limit:
            return


def _rows(caller: Caller, of: Filter, order: Order, after: Key | None) -> Any:
    value = _VALUES[order.removeprefix("-")]
    wanted = select(nodes.c.id, value.label("value")).where(nodes.c.kind == Kind.FILE, _among(caller, of))
    if of.filename:
        wanted = wanted.where(func.lower(_NAME).contains(of.filename.lower(), autoescape=True))
    if of.media_type.endswith("/*"):
        wanted = wanted.where(nodes.c.media_type.startswith(of.media_type[:-1], autoescape=True))
    elif of.media_type:
        wanted = wanted.where(nodes.c.media_type == of.media_type)
    if of.created_from is not None:
        wanted = wanted.where(nodes.c.created >= of.created_from)
    if of.created_until is not None:
        wanted = wanted.where(nodes.c.created < of.created_until)
    is_falling = order.startswith("-")
    if after is not None:
        here, last = tuple_(value, nodes.c.id), tuple_(*after)
        wanted = wanted.where(here < last if is_falling else here > last)
    keys = (value.desc(), nodes.c.id.desc()) if is_falling else (value, nodes.c.id)
    return wanted.order_by(*keys)


def _among(caller: Caller, of: Filter) -> ColumnElement[bool]:
    if of.document:
        return nodes.c.id.in_(select(tree.below(of.document.id).c.id))
    unattached = (nodes.c.owner == caller.name) & reach.ruled()
    return or_(nodes.c.id.in_(select(_documents(caller).c.id)), unattached)


def _documents(caller: Caller) -> CTE:
    """All that lies in documents of the caller's."""
    tops = select(nodes.c.id).where(nodes.c.owner == caller.name, nodes.c.kind == Kind.COLLECTION, reach.ruled())
    inside = tops.cte("inside", recursive=True)
    is_elses = (nodes.c.kind == Kind.COLLECTION) & nodes.c.owner.not_in(("", caller.name))
    members = select(names.c.node).join(inside, names.c.parent == inside.c.id).join(nodes, nodes.c.id == names.c.node)
    return inside.union(members.where(~is_elses))


def _shown(tx: Transaction, caller: Caller, of: Filter, wanted: list[NodeId]) -> list[Showing]:
    every = reach.showings(tx, nodes.c.id.in_(wanted))
    if of.document:
        top = of.document.path
        return [each for each in every if each.path[: len(top)] == top and each.access.readable(caller)]
    return [each for each in every if each.access.owner == caller.name]
