"""Dead properties: what clients set and only they understand, as XML text keyed by node."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select

from .database import Transaction
from .errors import TooLarge
from .model import NodeId, PropertyChange, PropertyName
from .prepared import Prepared
from .schema import dead_properties, names

MOST = 1 << 20
"""Characters of XML that one node keeps."""
_OF = select(dead_properties).where(dead_properties.c.node.in_(bindparam("wanted", expanding=True)))
_OF_ONE = Prepared(select(dead_properties).where(dead_properties.c.node == bindparam("wanted")))
_OF_MEMBERS = Prepared(
    select(dead_properties)
    .join(names, names.c.node == dead_properties.c.node)
    .where(
        names.c.parent == bindparam("above"),
        names.c.name >= bindparam("first", type_=names.c.name.type),
        names.c.name <= bindparam("last", type_=names.c.name.type),
    )
)


def of(tx: Transaction, nodes: Sequence[NodeId]) -> dict[NodeId, dict[PropertyName, str]]:
    """The properties of each node that has any."""
    if len(nodes) == 1:
        return _by_node(tx.rows(_OF_ONE, {"wanted": nodes[0]}))
    return _by_node(tx.execute(_OF, {"wanted": nodes}))


def of_members(tx: Transaction, collection: NodeId, first: str, last: str) -> dict[NodeId, dict[PropertyName, str]]:
    """The same of a collection's members from one name to another."""
    return _by_node(tx.rows(_OF_MEMBERS, {"above": collection, "first": first, "last": last}))


def _by_node(rows: Iterable[Sequence[Any]]) -> dict[NodeId, dict[PropertyName, str]]:
    found: dict[NodeId, dict[PropertyName, str]] = {}
    for node, namespace, name, xml in rows:
        found.setdefault(node, {})[PropertyName(namespace, name)] = xml
    return found


def apply(tx: Transaction, node: NodeId, changes: Sequence[PropertyChange]) -> None:
    """In order, so that a later change of the same property wins (RFC 4918, section 9.2). Raises TooLarge."""
    for change in changes:
        here = (
            (dead_properties.c.node == node)
            & (dead_properties.c.namespace == change.name.namespace)
            & (dead_properties.c.name == change.name.name)
        )
        tx.execute(delete(dead_properties).where(here))
        if change.xml is not None:
            tx.execute(
                insert(dead_properties).values(
                    node=node, namespace=change.name.namespace, name=change.name.name, xml=change.xml
                )
            )
    kept = select(func.coalesce(func.sum(func.length(dead_properties.c.xml)), 0)).where(dead_properties.c.node == node)
    if any(change.xml for change in changes) and tx.scalar(kept) > MOST:
        raise TooLarge(reason=f"its properties would take more than {MOST} characters")


def replace(tx: Transaction, node: NodeId, source: NodeId) -> None:
    """The node has the properties of `source` and no others, as after a COPY over it."""
    tx.execute(delete(dead_properties).where(dead_properties.c.node == node))
    for name, xml in of(tx, [source]).get(source, {}).items():
        tx.execute(insert(dead_properties).values(node=node, namespace=name.namespace, name=name.name, xml=xml))
