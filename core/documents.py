"""Documents and libraries: collections that say who may read what is below them, and whether it is local."""

from typing import Any

from sqlalchemy import select, update

from . import guards, reach
from .database import Transaction
from .errors import Forbidden
from .model import Caller, Kind, Node, Rules
from .places import Place
from .schema import nodes


def every(tx: Transaction) -> list[Node]:
    """All documents and libraries, by their paths."""
    said = reach.showings(tx, reach.ruled() & (nodes.c.kind == Kind.COLLECTION))
    return sorted(reach.nodes_of(tx, list(said)), key=lambda node: node.path)


def rule(tx: Transaction, place: Place, caller: Caller, rules: Rules) -> None:
    """The node says this of its own access. Raises Forbidden."""
    assert place.node
    tx.execute(update(nodes).where(nodes.c.id == place.node.id).values(**ruled(tx, place, caller, rules)))


def ruled(tx: Transaction, place: Place, caller: Caller, rules: Rules) -> dict[str, Any]:
    """What the node's row says from now on. A collection that is given a visibility outside every document becomes one,
    the caller's. Raises Forbidden.
    """
    assert place.node
    values: dict[str, Any] = {}
    if rules.owner is not None:
        values["owner"] = _given(place, caller, rules.owner)
    if rules.visibility is not None:
        values["visibility"] = None if rules.visibility == "inherit" else rules.visibility
    is_first = rules.visibility not in {None, "inherit"} and not place.access.in_document
    if is_first and rules.owner is None:
        values["owner"] = _taken(tx, place, caller)
    if rules.is_local is not None:
        values["is_local"] = _library(place, rules.is_local)
    return values


def _given(place: Place, caller: Caller, owner: str) -> str:
    _check_collection(place)
    if not caller.unbound and not (caller.name == place.access.owner and place.access.in_document):
        raise Forbidden(place.path, "only its owner gives a document away")
    return owner


def _taken(tx: Transaction, place: Place, caller: Caller) -> str:
    """Whoever made a collection may make it a document, with all that nobody else owns in it."""
    _check_collection(place)
    assert place.node
    if caller.unbound:
        raise Forbidden(place.path, "say whose document it shall be")
    author = tx.scalar(select(nodes.c.author).where(nodes.c.id == place.node.id))
    if not caller.name or not (caller.admin or author == caller.name):
        raise Forbidden(place.path, "only who made a collection, or an administrator, makes it a document")
    below = reach.below(tx, place.node.id) if place.accesses else []
    if not all(access.writable(caller) for access in below):
        raise Forbidden(place.path, "it holds what somebody else owns")
    return caller.name


def _library(place: Place, is_local: bool) -> bool:
    if place.node is None or place.node.kind is not Kind.COLLECTION:
        raise Forbidden(place.path, "a collection can be a library, a file cannot")
    return is_local


def _check_collection(place: Place) -> None:
    guards.ownable(place.path)
    if place.parent is None:
        raise Forbidden(place.path, "a bucket's visibility is set with `davstore bucket set`")
    if place.node is None or place.node.kind is not Kind.COLLECTION:
        raise Forbidden(place.path, "it lies in no document, and only a collection can be one")
