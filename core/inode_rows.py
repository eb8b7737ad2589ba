"""Nodes as a file system sees them: rows by id, by name in a collection, and in pages."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, bindparam, case, exists, func, literal, null, select, type_coerce

from . import tree
from .errors import NotFound
from .model import BucketId, Instant, Kind, Node, NodeId, ObjectId
from .prepared import Asked, Prepared
from .schema import buckets, locks, names, nodes, objects
from .schema_services import drafts

TOP = NodeId(0)
"""The list of the buckets, which is no row."""


class Elsewhere(Exception):
    """The node is in another bucket than it was a moment ago."""


class Slot(NamedTuple):
    """A collection, and what is to be known of it before a name comes into it."""

    bucket: BucketId
    kind: str
    links: int
    mode: int
    gid_number: int
    is_root: bool
    is_taken: bool
    has_locks: bool
    """Somewhere, not in it: mostly there are none at all."""

    @property
    def is_removed(self) -> bool:
        return self.links == 0 and not self.is_root


class Target(NamedTuple):
    """A file, and what is to be known of it before another content comes into it."""

    file: Node
    accessed: Instant | None
    author: str
    rewritten: Instant | None
    has_locks: bool
    """As a slot's."""
    has_refused: bool
    """Drafts of it could not be published."""


class Inode(NamedTuple):
    """A node's row with its object's. A tuple, since a listing makes thousands of them."""

    id: NodeId
    bucket: BucketId
    kind: str
    mode: int
    links: int
    size: int
    uid_number: int
    gid_number: int
    rdev: int
    target: str | None
    created: Instant
    modified: Instant
    changed: Instant
    accessed: Instant | None
    is_root: bool
    object: ObjectId | None
    storage: str | None
    key: str | None
    digest: str | None
    subcollections: int | None
    """Of a collection; None where it has too many members to count."""
    blocks: int | None = None
    """Of 512 bytes, where it is known that they are fewer than the size says."""

    @property
    def is_collection(self) -> bool:
        return self.kind == "collection"

    @property
    def is_removed(self) -> bool:
        """It has no name any more: it is in the trash, or was."""
        return self.links == 0 and not self.is_root


_OF_OBJECT = ("storage", "key", "digest")
COUNTED = 64
"""Members up to which a collection's subcollections are counted."""


def _subcollections() -> ColumnElement[int]:
    member, its = nodes.alias("member"), names.alias("its")
    of_it = its.c.parent == nodes.c.id
    is_one = case((member.c.kind == literal("collection"), 1), else_=0)
    counted = select(func.coalesce(func.sum(is_one), 0)).select_from(its.join(member, member.c.id == its.c.node))
    one_more = select(its.c.node).where(of_it).limit(1).offset(COUNTED).correlate(nodes)
    return case(
        (nodes.c.kind != literal("collection"), 0),
        (one_more.exists(), null()),
        else_=counted.where(of_it).correlate(nodes).scalar_subquery(),
    )


_COLUMNS = (
    *(nodes.c[name] for name in Inode._fields[:14]),
    type_coerce(nodes.c.is_root, Integer),
    nodes.c.object,
    *(objects.c[name] for name in _OF_OBJECT),
    _subcollections().label("subcollections"),
)
_WITH_OBJECT = nodes.outerjoin(objects, objects.c.id == nodes.c.object)
_NAMED = names.join(nodes, nodes.c.id == names.c.node).outerjoin(objects, objects.c.id == nodes.c.object)
_BY_ID = Prepared(select(*_COLUMNS).select_from(_WITH_OBJECT).where(nodes.c.id == bindparam("node")))
_BY_NAME = Prepared(
    select(*_COLUMNS)
    .select_from(_NAMED)
    .where(names.c.parent == bindparam("above"), names.c.name == bindparam("wanted", type_=names.c.name.type))
)
_PAGE = Prepared(
    select(names.c.name, *_COLUMNS)
    .select_from(_NAMED)
    .where(names.c.parent == bindparam("above"), names.c.name > bindparam("after", type_=names.c.name.type))
    .order_by(names.c.name)
    .limit(bindparam("most"))
)
_NAMES = Prepared(
    select(names.c.name, nodes.c.id, nodes.c.kind, nodes.c.mode)
    .join(nodes, nodes.c.id == names.c.node)
    .where(names.c.parent == bindparam("above"), names.c.name > bindparam("after", type_=names.c.name.type))
    .order_by(names.c.name)
    .limit(bindparam("most"))
)
_ROOTS = Prepared(
    select(buckets.c.name, *_COLUMNS)
    .select_from(_WITH_OBJECT.join(buckets, buckets.c.id == nodes.c.bucket))
    .where(nodes.c.is_root, buckets.c.name > bindparam("after", type_=buckets.c.name.type))
    .order_by(buckets.c.name)
    .limit(bindparam("most"))
)
_ROOT = Prepared(
    select(*_COLUMNS)
    .select_from(_WITH_OBJECT.join(buckets, buckets.c.id == nodes.c.bucket))
    .where(nodes.c.is_root, buckets.c.name == bindparam("wanted", type_=buckets.c.name.type))
)
_IS_WANTED = names.c.name == bindparam("wanted", type_=names.c.name.type)
_SLOT = Prepared(
    select(
        *(nodes.c[name] for name in ("bucket", "kind", "links", "mode", "gid_number")),
        type_coerce(nodes.c.is_root, Integer),
        type_coerce(
            exists().where(names.c.parent == nodes.c.id, names.c.name == bindparam("wanted", type_=names.c.name.type)),
            Integer,
        ),
        type_coerce(exists(select(locks.c.token)), Integer),
    ).where(nodes.c.id == bindparam("above"))
)
_TARGET = Prepared(
    select(
        *tree.columns_of(nodes, objects),
        *(nodes.c.accessed, nodes.c.author, nodes.c.rewritten),
        type_coerce(exists(select(locks.c.token)), Integer),
        type_coerce(exists().where(drafts.c.node == nodes.c.id, drafts.c.error.is_not(None)), Integer),
    )
    .select_from(_WITH_OBJECT)
    .where(nodes.c.id == bindparam("node"))
)
_MEMBER = Prepared(select(names.c.node).where(names.c.parent == bindparam("above")).limit(1))
_PARENT = Prepared(select(names.c.parent).where(names.c.node == bindparam("member")).limit(1))
_EPOCH = Instant(0)
_TOP = Inode(
    *(TOP, BucketId(0), Kind.COLLECTION.value, 0o755, 1, 0, 0, 0, 0, None),
    *(_EPOCH, _EPOCH, _EPOCH, None, True, None, None, None, None, None),
)


def find(tx: Asked, node: NodeId) -> Inode | None:
    if node == TOP:
        return _TOP
    row = tx.first(_BY_ID, {"node": node})
    return Inode(*row) if row else None


def get(tx: Asked, node: NodeId) -> Inode:
    """Raises NotFound."""
    found = find(tx, node)
    if found is None:
        raise NotFound("", "was removed")
    return found


def member(tx: Asked, parent: NodeId, name: str) -> Inode | None:
    row = tx.first(_ROOT, {"wanted": name}) if parent == TOP else tx.first(_BY_NAME, {"above": parent, "wanted": name})
    return Inode(*row) if row else None


def slot(tx: Asked, parent: NodeId, name: str) -> Slot:
    """Raises NotFound."""
    row = tx.first(_SLOT, {"above": parent, "wanted": name})
    if row is None:
        raise NotFound("", "was removed")
    return Slot(*row)


def target(tx: Asked, node: NodeId) -> Target:
    """Raises NotFound."""
    row = tx.first(_TARGET, {"node": node})
    if row is None:
        raise NotFound("", "was removed")
    return Target(tree.read(row[: tree.WIDTH], ()), *row[tree.WIDTH :])


def page(tx: Asked, parent: NodeId, after: str, limit: int) -> list[tuple[str, Inode]]:
    """Members whose names follow `after`, in the order of the names' bytes."""
    rows = (
        tx.rows(_ROOTS, {"after": after, "most": limit})
        if parent == TOP
        else tx.rows(_PAGE, {"above": parent, "after": after, "most": limit})
    )
    return [(row[0], Inode(*row[1:])) for row in rows]


def names_page(tx: Asked, parent: NodeId, after: str, limit: int) -> Sequence[tuple[str, NodeId, str, int]]:
    """As `page`, of each member only the name, the id, the kind and the mode."""
    if parent == TOP:
        return [(name, inode.id, inode.kind, inode.mode) for name, inode in page(tx, parent, after, limit)]
    rows: Sequence[Any] = tx.rows(_NAMES, {"above": parent, "after": after, "most": limit})
    return rows


def parent(tx: Asked, node: NodeId) -> NodeId:
    """The collection above by the node's first name; the list of the buckets where it has none."""
    row = tx.first(_PARENT, {"member": node})
    return row[0] if row else TOP


def above(tx: Asked, node: NodeId) -> list[NodeId]:
    """The collections above a collection."""
    found: list[NodeId] = []
    while (up := parent(tx, found[-1] if found else node)) != TOP:
        found.append(up)
    return found


def is_empty(tx: Asked, collection: NodeId) -> bool:
    return tx.first(_MEMBER, {"above": collection}) is None
