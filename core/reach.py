"""By which paths nodes can be reached, and what those say of access (I9)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby

from sqlalchemy import ColumnElement, literal, select, text

from . import tree
from .database import AnyRow, Query, Transaction
from .model import Access, Bucket, Caller, Digest, Node, NodeId, Path
from .objects import is_sound
from .schema import RULED, buckets, names, nodes, objects

PAGE = 200
DEEPEST = 4096
"""Names on the longest path that is followed; only a damaged tree has longer ones."""


@dataclass(frozen=True, slots=True)
class Showing:
    """One name of a node: the path that ends with it, and what that says of access."""

    node: NodeId
    path: Path
    access: Access
    document: NodeId | None
    """The nearest document above it."""


def showings(tx: Transaction, which: ColumnElement[bool]) -> Iterator[Showing]:
    """Every name of the nodes, outside the trash."""
    start = select(names.c.node, names.c.parent, names.c.name).join(nodes, nodes.c.id == names.c.node).where(which)
    for offset in count(0, PAGE):
        page = list(_page(tx, _ascents(start, offset)))
        yield from (showing for showing in page if showing)
        if len(page) < PAGE:
            return


def shows(tx: Transaction, caller: Caller, bucket: Bucket, digest: Digest, size: int) -> bool:
    """Whether the caller can read this content at some path of the bucket, and it is believed healthy."""
    same = select(objects.c.id).where(objects.c.bucket == bucket.id, objects.c.dedup_key == digest)
    same = same.where(objects.c.size == size, is_sound(objects))
    return any(showing.access.readable(caller) for showing in showings(tx, nodes.c.object.in_(same)))


def below(tx: Transaction, top: NodeId) -> list[Access]:
    """The accesses of all nodes below a collection that say something of their own."""
    members = select(tree.below(top).c.id)
    return [showing.access for showing in showings(tx, nodes.c.id.in_(members) & ruled() & (nodes.c.id != top))]


def ruled() -> ColumnElement[bool]:
    """Of `nodes`: it says something of access."""
    said = " OR ".join(f"nodes.{part}" for part in RULED.split(" OR "))
    return text(f"({said})")  # pyright: ignore[reportReturnType] - it is a condition


def readable(members: Sequence[Node], of: Node, caller: Caller) -> list[Node]:
    """The members of a collection that the caller may see."""
    return [node for node in told(members, of) if node.access is None or node.access.readable(caller)]


def told(members: Sequence[Node], of: Node) -> list[Node]:
    """The members of a collection with what their paths say, those that have none yet."""
    above = of.access
    if above is None:
        return list(members)
    return [
        replace(node, access=node.access or above.of(node.kind, node.owner, node.visibility, node.is_local))
        for node in members
    ]


def nodes_of(tx: Transaction, shown: Sequence[Showing]) -> list[Node]:
    """The nodes at those paths, in that order."""
    found = tree.by_ids(tx, [showing.node for showing in shown])
    return [
        replace(found[showing.node], path=showing.path, access=showing.access)
        for showing in shown
        if showing.node in found
    ]


def _ascents(start: Query, offset: int) -> Query:
    """A row for each step of each name's way up, the uppermost first."""
    first = start.order_by(names.c.node, names.c.parent, names.c.name).limit(PAGE).offset(offset).subquery("first")
    up = select(first.c.node, first.c.parent, first.c.name, first.c.parent.label("at"), literal(0).label("depth")).cte(
        "up", recursive=True
    )
    step = select(up.c.node, up.c.parent, up.c.name, names.c.parent, up.c.depth + 1)
    up = up.union_all(step.join(names, names.c.node == up.c.at).where(up.c.depth < DEEPEST))
    at, own, its = nodes.alias("at_node"), nodes.alias("own"), names.alias("its")
    rules = [node.c[name].label(f"{node.name}_{name}") for node in (at, own) for name in _SAID]
    return (
        select(up, its.c.name.label("step"), at.c.is_root, *rules, buckets.c.name.label("bucket"), buckets.c.visibility)
        .join(at, at.c.id == up.c.at)
        .join(own, own.c.id == up.c.node)
        .join(buckets, buckets.c.id == at.c.bucket)
        .outerjoin(its, its.c.node == up.c.at)
        .order_by(up.c.node, up.c.parent, up.c.name, up.c.depth.desc())
    )


_SAID = ("kind", "owner", "visibility", "is_local")


def _page(tx: Transaction, ascents: Query) -> Iterator[Showing | None]:
    for _, steps in groupby(tx.execute(ascents), key=lambda row: (row.node, row.parent, row.name)):
        yield _showing(list(steps))


def _showing(steps: Sequence[AnyRow]) -> Showing | None:
    """None where the way up does not end at a bucket's root: it is in the trash."""
    top, last = steps[0], steps[-1]
    if not top.is_root:
        return None
    access = Access(top.visibility)
    document: NodeId | None = None
    for step in steps:
        document = step.at if step.at_node_owner else document
        access = access.of(step.at_node_kind, step.at_node_owner, step.at_node_visibility, step.at_node_is_local)
    access = access.of(last.own_kind, last.own_owner, last.own_visibility, last.own_is_local)
    return Showing(last.node, (top.bucket, *(step.step for step in steps[1:]), last.name), access, document)
