"""Name and node rows: where a path leads, and the set-based changes of the tree (I4).

Nothing here checks locks or policy; the namespace does. Every change takes the `seq` that `buckets.advance` gave.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from . import uids
from .database import Query, Transaction
from .errors import NotFound
from .model import BucketId, Descriptor, Kind, Node, NodeId, ObjectId, Path
from .paths import folded
from .prepared import Prepared
from .schema import buckets, names, nodes, objects

_OWN = (
    *("id", "uid", "bucket", "kind", "size", "media_type", "created", "modified", "seq", "mode"),
    *("uid_number", "gid_number", "links", "target", "owner", "visibility", "is_local", "expires", "object"),
)


def columns_of(node: FromClause, content: FromClause) -> tuple[ColumnElement[Any], ...]:
    """What `read` takes, of a node's and its object's row."""
    of_object = (
        content.c.uid.label("object_uid"),
        content.c.digest,
        content.c.storage,
        content.c.key.label("blob_key"),
    )
    return (*(node.c[name] for name in _OWN), *of_object)


_COLUMNS = columns_of(nodes, objects)
WIDTH = len(_COLUMNS)
_NODES = select(*_COLUMNS).select_from(nodes.outerjoin(objects, objects.c.id == nodes.c.object))
_BY_ID = Prepared(_NODES.where(nodes.c.id == bindparam("wanted")))
_NEW: Mapping[str, Any] = {
    "object": None,
    "size": 0,
    "media_type": "",
    "author": "",
    "mode": 0o644,
    "uid_number": 0,
    "gid_number": 0,
    "rdev": 0,
    "target": None,
    "links": 1,
    "owner": "",
    "visibility": None,
    "expires": None,
}
"""What a node is made of, unless it is said."""
_STAMPED = ("uid", "bucket", "kind", "created", "modified", "changed", "seq")
_ADD = Prepared(insert(nodes).values({name: bindparam(name) for name in (*_NEW, *_STAMPED)}).returning(nodes.c.id))
_LINK = Prepared(insert(names).values({name: bindparam(name) for name in ("parent", "name", "key", "node")}))
_UNLINK = Prepared(
    delete(names)
    .where(names.c.parent == bindparam("parent_"), names.c.name == bindparam("name_"))
    .returning(names.c.node)
)
_ONE_LESS = Prepared(
    update(nodes)
    .where(nodes.c.id == bindparam("wanted"))
    .values(links=nodes.c.links - 1, changed=bindparam("at"), seq=bindparam("now_seq"))
)
_RENAME = Prepared(
    update(names)
    .where(names.c.parent == bindparam("parent_"), names.c.name == bindparam("name_", type_=names.c.name.type))
    .values(parent=bindparam("new_parent"), name=bindparam("new_name"), key=bindparam("new_key"))
)
_CHANGED = Prepared(
    update(nodes).where(nodes.c.id == bindparam("wanted")).values(changed=bindparam("at"), seq=bindparam("now_seq"))
)
_MARK_CHANGED = Prepared(
    update(nodes)
    .where(nodes.c.id == bindparam("collection"))
    .values(modified=bindparam("at"), changed=bindparam("at"), seq=bindparam("now_seq"))
)
_FIRST_NAME = Prepared(select(names.c.parent, names.c.name).where(names.c.node == bindparam("wanted")).limit(1))
_ROOT_OF = Prepared(
    select(buckets.c.name)
    .join(nodes, nodes.c.bucket == buckets.c.id)
    .where(nodes.c.id == bindparam("wanted"), nodes.c.is_root)
)


def _above() -> Query:
    """A node and all above it, the uppermost first, each with its name."""
    up = select(bindparam("wanted", type_=names.c.node.type).label("node"), literal(0).label("depth")).cte(
        "up", recursive=True
    )
    up = up.union_all(select(names.c.parent, up.c.depth + 1).join(up, names.c.node == up.c.node))
    return select(up.c.node, names.c.name).outerjoin(names, names.c.node == up.c.node).order_by(up.c.depth.desc())


_ABOVE = Prepared(_above())


def _lineage() -> Query:
    """A collection and all above it, the uppermost first: the name, the mode, and of a bucket's root the bucket's."""
    up = select(bindparam("wanted", type_=names.c.node.type).label("node"), literal(0).label("depth")).cte(
        "up", recursive=True
    )
    up = up.union_all(select(names.c.parent, up.c.depth + 1).join(up, names.c.node == up.c.node))
    told = select(names.c.name, nodes.c.mode, buckets.c.name.label("bucket"))
    rows = told.select_from(
        up.join(nodes, nodes.c.id == up.c.node)
        .outerjoin(names, names.c.node == up.c.node)
        .outerjoin(buckets, (buckets.c.id == nodes.c.bucket) & nodes.c.is_root)
    )
    return rows.order_by(up.c.depth.desc())


_LINEAGE = Prepared(_lineage())
EVERYBODY = 0o001
"""The permission bit that lets others through a collection."""


def reread(tx: Transaction, node: NodeId, path: Path) -> Node:
    """The node as it is now. Raises NotFound."""
    row = tx.first(_BY_ID, {"wanted": node})
    if row is None:
        raise NotFound(path, "was removed")
    return read(row, path)


def by_ids(tx: Transaction, wanted: Sequence[NodeId]) -> dict[NodeId, Node]:
    """Those that there are, without their paths."""
    found = (read(row, ()) for row in tx.execute(_NODES.where(nodes.c.id.in_(wanted))))
    return {node.id: node for node in found}


def children(tx: Transaction, parent: NodeId, path: Path, after: str | None, limit: int) -> list[Node]:
    """One page of a collection, in the order of the names' bytes."""
    page = (
        select(*_COLUMNS, names.c.name)
        .select_from(names.join(nodes, nodes.c.id == names.c.node).outerjoin(objects, objects.c.id == nodes.c.object))
        .where(names.c.parent == parent)
        .order_by(names.c.name)
        .limit(limit)
    )
    if after is not None:
        page = page.where(names.c.name > after)
    return [read(row[:WIDTH], (*path, row.name)) for row in tx.execute(page)]


def roots(tx: Transaction) -> list[Node]:
    """The buckets as nodes, in name order."""
    page = select(*_COLUMNS, buckets.c.name.label("path")).select_from(
        nodes.join(buckets, buckets.c.id == nodes.c.bucket).outerjoin(objects, objects.c.id == nodes.c.object)
    )
    return [read(row[:WIDTH], (row.path,)) for row in tx.execute(page.where(nodes.c.is_root).order_by(buckets.c.name))]


def read(columns: Sequence[Any], path: Path) -> Node:
    """The node in the columns of `columns_of`."""
    (id_, uid, bucket, kind, size, media_type, created, modified, seq, mode, *rest) = columns
    (uid_number, gid_number, links, target, owner, visibility, is_local, expires, object_id, *of_object) = rest
    (object_uid, digest, storage, key) = of_object
    return Node(
        id=id_,
        uid=uid,
        bucket=bucket,
        path=path,
        kind=Kind(kind),
        size=size,
        media_type=media_type,
        created=created,
        modified=modified,
        seq=seq,
        object=object_id,
        object_uid=object_uid or "",
        content=None if object_id is None else Descriptor(digest, size, storage, key),
        mode=mode,
        uid_number=uid_number,
        gid_number=gid_number,
        links=links,
        target=target or "",
        owner=owner,
        visibility=visibility,
        is_local=None if is_local is None else bool(is_local),
        expires=expires,
    )


def path_of(tx: Transaction, node: NodeId) -> Path | None:
    """The path of a node by its first name; None where it is in the trash."""
    path, top = climb(tx, node)
    bucket = tx.first(_ROOT_OF, {"wanted": top})
    return None if bucket is None else (bucket[0], *path)


def climb(tx: Transaction, node: NodeId) -> tuple[Path, NodeId]:
    """The names on the way up from a node, the uppermost first, and the node without a name where it ends: a bucket's
    root, or the top of something in the trash."""
    first = tx.first(_FIRST_NAME, {"wanted": node})
    if first is None:
        return (), node
    parent, name = first
    rows = tx.rows(_ABOVE, {"wanted": parent})
    return (*(above for _, above in rows[1:]), name), rows[0][0]


class Lineage(NamedTuple):
    path: Path | None
    """None in the trash."""
    is_enclosed: bool
    """The collection, or one above it, does not let everybody in by its POSIX mode."""


def lineage(tx: Transaction, collection: NodeId) -> Lineage:
    """Where a collection is."""
    rows = tx.rows(_LINEAGE, {"wanted": collection})
    bucket = rows[0][2] if rows else None
    path = None if bucket is None else (bucket, *(name for name, _, _ in rows[1:]))
    return Lineage(path, any(mode & EVERYBODY == 0 for _, mode, _ in rows))


def add(tx: Transaction, bucket: BucketId, parent: NodeId, name: str, seq: int, *, kind: Kind, **values: Any) -> NodeId:
    """A new node under a name that is free."""
    return added(tx, bucket, parent, (name,), seq, kind=kind, **values).id


def added(
    tx: Transaction,
    bucket: BucketId,
    parent: NodeId,
    path: Path,
    seq: int,
    *,
    kind: Kind,
    vouched: tuple[str, Descriptor] | None = None,
    **values: Any,
) -> Node:
    """As `add`, for a path; gives the node. `vouched` are the uid and the content of its object."""
    now = tx.now
    made = {"created": now, "modified": now, **_NEW, **values}
    made |= {"uid": uids.fresh(), "bucket": bucket, "kind": kind.value, "seq": seq, "changed": now}
    assert len(made) == len(_NEW) + len(_STAMPED)
    ((made["id"],),) = tx.rows(_ADD, made)
    link(tx, parent, path[-1], made["id"])
    mark_changed(tx, parent, seq)
    uid, content = vouched or ("", None)
    of_object = (uid, content.digest, content.storage, content.key) if content else (uid, None, None, None)
    return read((*map(made.get, _OWN), *of_object), path)


def link(tx: Transaction, parent: NodeId, name: str, node: NodeId) -> None:
    tx.count(_LINK, {"parent": parent, "name": name, "key": folded(name), "node": node})


def unlink(tx: Transaction, parent: NodeId, name: str, seq: int) -> None:
    """Takes one name away; its node has one link less and may now be without any."""
    ((node,),) = tx.rows(_UNLINK, {"parent_": parent, "name_": name})
    tx.count(_ONE_LESS, {"wanted": node, "at": tx.now, "now_seq": seq})
    mark_changed(tx, parent, seq)


def relocate(tx: Transaction, node: Node, old_parent: NodeId, parent: NodeId, name: str, seq: int) -> None:
    """The node gets another name in place of the one that ends its path."""
    rename(tx, node.id, old_parent, node.name, parent, name, seq)


def rename(
    tx: Transaction, node: NodeId, old_parent: NodeId, old_name: str, parent: NodeId, name: str, seq: int
) -> None:
    """The node's name in one collection becomes another, there or elsewhere."""
    named = {"new_parent": parent, "new_name": name, "new_key": folded(name)}
    tx.count(_RENAME, {"parent_": old_parent, "name_": old_name, **named})
    touch(tx, node, seq)
    for collection in {old_parent, parent}:
        mark_changed(tx, collection, seq)


def touch(tx: Transaction, node: NodeId, seq: int) -> None:
    """Something of the node changed, but not its content."""
    tx.count(_CHANGED, {"wanted": node, "at": tx.now, "now_seq": seq})


def mark_changed(tx: Transaction, collection: NodeId, seq: int) -> None:
    """A member came, went or was renamed."""
    tx.count(_MARK_CHANGED, {"collection": collection, "at": tx.now, "now_seq": seq})


def below(top: NodeId | Query) -> CTE:
    """The ids of a subtree, or of several, tops included, as a recursive table expression with one column `id`.

    Each is there once, so that hard links count once and not even a damaged tree with a circle in it is endless.
    """
    tops = top if isinstance(top, Select) else select(literal(top, names.c.node.type).label("id"))
    tree = tops.cte("below", recursive=True)
    return tree.union(select(names.c.node).join(tree, names.c.parent == tree.c.id))


def size_below(tx: Transaction, top: NodeId) -> tuple[int, int]:
    """How many files a subtree holds, and the sum of their sizes."""
    files = select(func.count(), func.coalesce(func.sum(nodes.c.size), 0)).where(nodes.c.kind == Kind.FILE)
    count, size = tx.execute(files.where(nodes.c.id.in_(select(below(top).c.id)))).one()
    return count, int(size)


def pages(tx: Transaction, parent: NodeId, path: Path, limit: int) -> Iterator[list[Node]]:
    after: str | None = None
    while page := children(tx, parent, path, after, limit):
        yield page
        after = page[-1].name


def types_below(tx: Transaction, top: NodeId) -> list[tuple[str, int]]:
    """The media types of a subtree's files, each with the size of its largest."""
    tree = below(top)
    sizes = select(nodes.c.media_type, func.max(nodes.c.size)).join(tree, tree.c.id == nodes.c.id)
    rows = tx.execute(sizes.where(nodes.c.kind == Kind.FILE).group_by(nodes.c.media_type))
    return [(media_type, largest) for media_type, largest in rows]


def object_of(node: Node) -> ObjectId:
    assert node.object is not None
    return node.object
