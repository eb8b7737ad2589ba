"""Whole subtrees at once: duplicated, dropped and moved between buckets by sets, whatever their size."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    MetaData,
    Table,
    Text,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.schema import CreateTable

from . import progress
from .batches import among
from .buckets import expiry
from .database import AnyRow, Query, Transaction
from .errors import InvalidMove
from .model import Bucket, Kind, Node, NodeId, ObjectId
from .objects import BlobNeeded, counterpart, has_digest, is_sound
from .prepared import Prepared
from .schema import Id, dead_properties, locks, names, nodes, objects, trash, versions
from .tree import add, below, link, mark_changed, object_of

_subtree = Table(
    "subtree",
    MetaData(),
    Column("old", Id, primary_key=True, autoincrement=False),
    Column("new", Id),
    prefixes=["TEMPORARY"],
)
"""The nodes of one subtree and, where it is duplicated, their copies: empty but within one operation."""
_CREATE = CreateTable(_subtree, if_not_exists=True)
_REST = [column for column in dead_properties.c if column.name != "node"]
_COPY_PROPERTIES = Prepared(
    insert(dead_properties).from_select(
        ["node", *(column.name for column in _REST)],
        select(bindparam("copy", type_=Id), *_REST).where(dead_properties.c.node == bindparam("source")),
    )
)

UUID7: ColumnElement[Any] = literal_column(
    "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing substring(int8send("
    "(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid"
)
"""PostgreSQL has uuidv7() only from version 18 on."""


def duplicate(
    tx: Transaction, source: Node, bucket: Bucket, parent: NodeId, name: str, seq: int, *, author: str, deep: bool
) -> NodeId:
    """A copy of `source`, and of all below it if `deep`, under a new name: times, types and dead properties come along,
    versions and locks do not (RFC 4918, section 9.8), and how long it lives is for its bucket to say."""
    if source.kind is Kind.FILE:
        return _duplicate_file(tx, source, bucket, parent, name, seq, author=author)
    with _marked(tx, _members(source.id, deep=deep), numbered=True):
        tx.execute(insert(nodes).from_select(*_copied_nodes(tx, source, bucket, seq, author)))
        above, member = _subtree.alias("above"), _subtree.alias("member")
        copied_names = select(above.c.new, names.c.name, names.c.key, member.c.new).select_from(
            names.join(above, above.c.old == names.c.parent).join(member, member.c.old == names.c.node)
        )
        tx.execute(insert(names).from_select(["parent", "name", "key", "node"], copied_names))
        copied_properties = select(_subtree.c.new, *_REST).join(
            dead_properties, dead_properties.c.node == _subtree.c.old
        )
        columns = ["node", *(column.name for column in _REST)]
        tx.execute(insert(dead_properties).from_select(columns, copied_properties))
        if source.bucket != bucket.id:
            _refer_to(tx, bucket, nodes, nodes.c.id.in_(select(_subtree.c.new)))
        top: NodeId = tx.scalar(select(_subtree.c.new).where(_subtree.c.old == source.id))
    link(tx, parent, name, top)
    mark_changed(tx, parent, seq)
    return top


def _duplicate_file(
    tx: Transaction, source: Node, bucket: Bucket, parent: NodeId, name: str, seq: int, *, author: str
) -> NodeId:
    content = object_of(source)
    if source.bucket != bucket.id:
        content = counterpart(tx, content, bucket.id)
    like = {"object": content, "author": author, "modified": source.modified, "expires": expiry(tx, bucket)}
    like["owner"] = author if source.owner else ""
    kept = ("size", "media_type", "mode", "uid_number", "gid_number", "visibility")
    like |= {column: getattr(source, column) for column in kept}
    node = add(tx, bucket.id, parent, name, seq, kind=Kind.FILE, **like)
    tx.count(_COPY_PROPERTIES, {"source": source.id, "copy": node})
    return node


def _members(top: NodeId, *, deep: bool) -> Query:
    if not deep:
        return select(literal(top, Id).label("id"))
    return select(below(top).c.id)


def _copied_nodes(tx: Transaction, source: Node, bucket: Bucket, seq: int, author: str) -> tuple[list[str], Query]:
    above = _subtree.alias("above")
    inner = (
        select(func.count())
        .select_from(names.join(above, above.c.old == names.c.parent))
        .where(names.c.node == nodes.c.id)
    )
    top = case((nodes.c.id == source.id, 1), else_=0)
    fresh: dict[str, ColumnElement[Any]] = {
        "id": _subtree.c.new,
        "uid": func.uuid7() if tx.dialect == "sqlite" else UUID7,
        "bucket": literal(bucket.id, Id),
        "is_root": literal_column("false"),
        "owner": case((nodes.c.owner == "", ""), else_=author),
        "is_local": null(),
        "position": null(),
        "created": literal(tx.now, Id),
        "changed": literal(tx.now, Id),
        "author": literal(author),
        "rewritten": literal_column("NULL"),
        "expires": _expiry(tx, bucket),
        "seq": literal(seq, Id),
        "links": inner.scalar_subquery() + top,
    }
    columns = [column.name for column in nodes.c]
    return columns, select(*(fresh.get(name, nodes.c[name]) for name in columns)).join(
        _subtree, _subtree.c.old == nodes.c.id
    )


def _expiry(tx: Transaction, bucket: Bucket) -> ColumnElement[Any]:
    at = expiry(tx, bucket)
    return null() if at is None else case((nodes.c.kind == Kind.FILE, literal(at, Id)), else_=null())


def drop(tx: Transaction, top: NodeId) -> tuple[int, int]:
    """The subtree is gone for good, versions and properties too; what its nodes referred to is touched.

    Returns how many files went and their bytes. A file with another name outside stays.
    """
    with _marked(tx, _members(top, deep=True)):
        tx.execute(delete(trash).where(trash.c.node == top))
        tx.execute(delete(names).where(or_(names.c.parent.in_(select(_subtree.c.old)), names.c.node == top)))
        return _drop_marked(tx)


def drop_some(tx: Transaction, top: NodeId, limit: int) -> tuple[int, int]:
    """As `drop`, of at most `limit` nodes of a subtree that nobody sees. Files and empty collections go; collections
    that hold something come up to `top`, under names that no path can have, so that no step has far to go."""
    here = _members_of(tx, [top], limit // 2)
    full = [row.node for row in here if row.is_full]
    there = _members_of(tx, full, limit // 2)
    up = among(tx, names.c.node, [row.node for row in there if row.is_full])
    tx.execute(update(names).where(up).values(parent=top, name=cast(names.c.node, Text) + "/"))
    empty = [row.node for row in (*here, *there) if not row.is_full]
    with _marked(tx, select(nodes.c.id).where(among(tx, nodes.c.id, empty))):
        inner = among(tx, names.c.node, empty) & among(tx, names.c.parent, [top, *full])
        tx.execute(delete(names).where(inner))
        return _drop_marked(tx)


def _members_of(tx: Transaction, collections: Sequence[NodeId], limit: int) -> Sequence[AnyRow]:
    held = names.alias("held")
    is_full = exists().where(held.c.parent == names.c.node).label("is_full")
    return tx.execute(select(names.c.node, is_full).where(among(tx, names.c.parent, collections)).limit(limit)).all()


def holds_more(tx: Transaction, top: NodeId, limit: int) -> bool:
    """Whether the subtree has more nodes than that. It costs as much as the limit, not the subtree."""
    return len(tx.execute(select(below(top).c.id).limit(limit + 1)).all()) > limit


def _drop_marked(tx: Transaction) -> tuple[int, int]:
    """The marked nodes that no name leads to any more are gone."""
    mine = select(_subtree.c.old)
    left = select(func.count()).where(names.c.node == nodes.c.id).scalar_subquery()
    tx.execute(update(nodes).where(nodes.c.id.in_(mine), nodes.c.links > 1).values(links=left, changed=tx.now))
    tx.execute(delete(_subtree).where(exists().where(names.c.node == _subtree.c.old)))
    files = select(func.count(), func.coalesce(func.sum(nodes.c.size), 0)).where(
        nodes.c.id.in_(mine), nodes.c.kind == Kind.FILE
    )
    count, size = tx.execute(files).one()
    held = (
        select(nodes.c.object)
        .where(nodes.c.id.in_(mine))
        .union(select(versions.c.object).where(versions.c.node.in_(mine)))
    )
    tx.execute(update(objects).where(objects.c.id.in_(held)).values(touched=tx.now))
    tx.execute(delete(nodes).where(nodes.c.id.in_(mine)))
    return count, int(size)


def transfer(tx: Transaction, top: NodeId, target: Bucket, seq: int) -> None:
    """The subtree's nodes and versions belong to `target` and refer to its objects of the same digests.

    Those must be there already (`lacking`); what the old bucket's objects lose is touched. Raises InvalidMove.
    """
    with _marked(tx, _members(top, deep=True)):
        mine = select(_subtree.c.old)
        inner = select(func.count()).where(names.c.node == nodes.c.id, names.c.parent.in_(mine)).scalar_subquery()
        shared = nodes.c.links > inner + case((nodes.c.id == top, 1), else_=0)
        if tx.scalar(select(nodes.c.id).where(nodes.c.id.in_(mine), nodes.c.links > 1, shared).limit(1)) is not None:
            raise InvalidMove(reason="a file has another name that stays; copy it")
        held = (
            select(nodes.c.object)
            .where(nodes.c.id.in_(mine))
            .union(select(versions.c.object).where(versions.c.node.in_(mine)))
        )
        tx.execute(update(objects).where(objects.c.id.in_(held)).values(touched=tx.now))
        _refer_to(tx, target, versions, versions.c.node.in_(mine))
        _refer_to(tx, target, nodes, nodes.c.id.in_(mine))
        moved = {"bucket": target.id, "seq": seq, "changed": tx.now, "expires": _expiry(tx, target)}
        tx.execute(update(nodes).where(nodes.c.id.in_(mine)).values(**moved))
        progress.thin_anew(tx, target.id)


def lacking(tx: Transaction, top: NodeId, target: Bucket, *, history: bool) -> list[ObjectId]:
    """Objects that the subtree refers to, by `history` also its versions, and of which `target` has no sound copy."""
    mine, theirs = select(below(top).c.id), objects.alias("theirs")
    held = select(nodes.c.object).where(nodes.c.id.in_(mine))
    if history:
        held = held.union(select(versions.c.object).where(versions.c.node.in_(mine)))
    there = exists().where(theirs.c.bucket == target.id, has_digest(theirs, objects.c.digest), is_sound(theirs))
    return list(tx.execute(select(objects.c.id).where(objects.c.id.in_(held), ~there)).scalars())


def _refer_to(tx: Transaction, bucket: Bucket, rows: Table, which: ColumnElement[bool]) -> None:
    """The rows' objects are replaced by the bucket's own of the same contents. Raises BlobNeeded where it has none."""
    theirs, mine = objects.alias("theirs"), objects.alias("mine")
    same = select(func.min(theirs.c.id)).join(mine, has_digest(theirs, mine.c.digest))
    same = same.where(theirs.c.bucket == bucket.id, is_sound(theirs), mine.c.id == rows.c.object)
    counterpart = same.scalar_subquery()
    which &= rows.c.object.is_not(None)
    if tx.scalar(select(rows.c.id).where(which, counterpart.is_(None)).limit(1)) is not None:
        raise BlobNeeded
    tx.execute(update(rows).where(which).values(object=counterpart))


def locks_below(now: ColumnElement[Any], top: ColumnElement[Any]) -> Query:
    """The tokens of live locks whose roots lie in the subtree, found from the locks upwards: they are few."""
    up = select(locks.c.token, locks.c.node).where(locks.c.expires > now).cte("up", recursive=True)
    up = up.union(select(up.c.token, names.c.parent).join(up, names.c.node == up.c.node))
    return select(up.c.token).where(up.c.node == top)


@contextmanager
def _marked(tx: Transaction, members: Query, *, numbered: bool = False) -> Generator[None]:
    tx.execute(_CREATE)
    inner = members.subquery()
    number: ColumnElement[Any] = literal_column("NULL")
    if numbered and tx.dialect == "sqlite":
        number = select(func.coalesce(func.max(nodes.c.id), 0)).scalar_subquery() + func.row_number().over()
    elif numbered:
        number = func.nextval(literal_column("pg_get_serial_sequence('nodes', 'id')"))
    tx.execute(insert(_subtree).from_select(["old", "new"], select(inner.c[0], number.label("new"))))
    yield
    tx.execute(delete(_subtree))
