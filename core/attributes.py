"""What PROPPATCH changes of a node, inside the transaction that commits it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import update

from . import documents, properties, relocation, tree
from .database import Transaction
from .model import FOREVER, Caller, Instant, Kind, Node, PropertyChange, Rules
from .places import Place
from .schema import nodes


@dataclass(frozen=True, slots=True)
class Change:
    """Dead properties, in order, and what else is not None."""

    properties: Sequence[PropertyChange]
    modified: Instant | None
    executable: bool | None
    expires: Instant | None
    rules: Rules | None


def change(tx: Transaction, caller: Caller, place: Place, seq: int, wanted: Change) -> Node:
    """All of it has happened to the node that is there. Raises TooLarge, Forbidden."""
    assert place.node
    node = place.node
    properties.apply(tx, node.id, wanted.properties)
    relocation.set_modified(tx, node.id, wanted.modified)
    if wanted.executable is not None:
        relocation.set_executable(tx, node.id, wanted.executable)
    values: dict[str, Any] = {}
    if wanted.expires is not None and node.kind is Kind.FILE:
        values["expires"] = None if wanted.expires == FOREVER else wanted.expires
    if wanted.rules:
        values |= documents.ruled(tx, place, caller, wanted.rules)
    if values:
        tx.execute(update(nodes).where(nodes.c.id == node.id).values(**values))
    tree.touch(tx, node.id, seq)
    if wanted.modified is None and wanted.executable is None and not values:
        return replace(node, seq=seq)
    return tree.reread(tx, node.id, place.path)
