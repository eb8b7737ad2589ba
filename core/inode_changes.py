"""Names that go, move and change places, and contents that come, by node ids; the callers hold the bucket's writer
lock."""

from dataclasses import replace

from sqlalchemy import bindparam, delete, literal, or_, select, update

from . import buckets, inode_rows, locks, media, pictures, places, trash, tree, unpublished, versions
from .database import Transaction
from .errors import AlreadyExists, InvalidMove, InvalidPath, IsACollection, NotACollection, NotEmpty, NotFound
from .inode_rows import Inode
from .model import ANYTHING, Bucket, Caller, Instant, Kind, Node, NodeId, ObjectId
from .places import Place
from .prepared import Prepared
from .schema import names, nodes
from .schema import objects as object_rows
from .schema import versions as version_rows
from .staging import Sealed
from .unpublished import Unpublished

_IS_RULED = Prepared(select(literal(1)).where(places.is_ruled(bindparam("of", type_=nodes.c.bucket.type))))
_DROP = Prepared(delete(nodes).where(nodes.c.id == bindparam("node")))
_OLD_CONTENTS = select(version_rows.c.object).where(version_rows.c.node == bindparam("node"))
_TOUCH = Prepared(
    update(object_rows)
    .where(or_(object_rows.c.id == bindparam("current"), object_rows.c.id.in_(_OLD_CONTENTS)))
    .values(touched=bindparam("at"))
)
_REFER = Prepared(
    update(names)
    .where(names.c.parent == bindparam("above"), names.c.name == bindparam("called", type_=names.c.name.type))
    .values(node=bindparam("member"))
)
_CHANGED = Prepared(
    update(nodes).where(nodes.c.id == bindparam("node")).values(changed=bindparam("at"), seq=bindparam("now_seq"))
)
_SET_TYPE = Prepared(
    update(nodes)
    .where(nodes.c.id == bindparam("node"), nodes.c.media_type != bindparam("said"))
    .values(media_type=bindparam("said"))
)


def remove(tx: Transaction, caller: Caller, bucket: Bucket, parent: NodeId, name: str, *, collection: bool) -> Inode:
    """The name is gone, and its node is in the trash, or gone too. Returns it as it was."""
    found = _member(tx, parent, name)
    _check_kind(found, name, collection=collection)
    if found.is_collection and not inode_rows.is_empty(tx, found.id):
        raise NotEmpty(name)
    if not locks.are_none(tx):
        locks.require(tx, caller, ANYTHING, place(tx, parent, name), member=True, inside=True)
        locks.remove_below(tx, found.id)
    _take_away(tx, caller, bucket, parent, name, found, buckets.advance(tx, bucket))
    return found


def _take_away(
    tx: Transaction, caller: Caller, bucket: Bucket, parent: NodeId, name: str, found: Inode, seq: int
) -> None:
    path = tree.path_of(tx, parent) if found.links == 1 and bucket.trash is not None else None
    owner = place(tx, parent, name).access.owner if path and tx.first(_IS_RULED, {"of": bucket.id}) else ""
    tree.unlink(tx, parent, name, seq)
    if path is not None:
        trash.put(tx, bucket, parent, tree.reread(tx, found.id, (*path, name)), caller.name, owner)
    elif found.links == 1:
        _drop(tx, bucket, found)


def _drop(tx: Transaction, bucket: Bucket, found: Inode) -> None:
    """A node without members and names is gone for good."""
    if found.object is not None:
        tx.count(_TOUCH, {"node": found.id, "current": found.object, "at": tx.now})
        buckets.advance(tx, bucket, -1, -found.size)
    tx.count(_DROP, {"node": found.id})


def rename(
    tx: Transaction,
    caller: Caller,
    bucket: Bucket,
    parent: NodeId,
    name: str,
    into: NodeId,
    new_name: str,
    *,
    replace: bool,
) -> Inode | None:
    """The node has the new name. Returns what had it before."""
    moved, replaced = _member(tx, parent, name), inode_rows.member(tx, into, new_name)
    if replaced and not replace:
        raise AlreadyExists(new_name)
    if replaced and replaced.id == moved.id:
        return None
    _check_target(tx, bucket, into, new_name, moved)
    if replaced:
        _check_kind(replaced, new_name, collection=moved.is_collection)
        if replaced.is_collection and not inode_rows.is_empty(tx, replaced.id):
            raise NotEmpty(new_name)
    if not locks.are_none(tx):
        for here in (place(tx, parent, name), place(tx, into, new_name)):
            locks.require(tx, caller, ANYTHING, here, member=True, inside=True)
        locks.remove_below(tx, moved.id)
    seq = buckets.advance(tx, bucket)
    if replaced:
        _make_way(tx, caller, bucket, moved, replaced, into, new_name, seq)
    tree.rename(tx, moved.id, parent, name, into, new_name, seq)
    _follow_name(tx, moved, new_name)
    return replaced


def _check_target(tx: Transaction, bucket: Bucket, into: NodeId, name: str, moved: Inode) -> None:
    above = inode_rows.get(tx, into)
    if above.bucket != bucket.id:
        raise InvalidMove(name, "lies in another bucket")
    if not above.is_collection:
        raise NotACollection(name)
    if above.is_removed:
        raise NotFound(name, "its collection was removed")
    if moved.is_collection and moved.id in (into, *inode_rows.above(tx, into)):
        raise InvalidPath(name, "lies inside what is renamed")


def _make_way(
    tx: Transaction, caller: Caller, bucket: Bucket, heir: Inode, replaced: Inode, into: NodeId, name: str, seq: int
) -> None:
    """A file that takes the name of a file takes over its uid, versions and locks: a save is a new version."""
    if not (replaced.kind == heir.kind == Kind.FILE and replaced.links == heir.links == 1):
        _take_away(tx, caller, bucket, into, name, replaced, seq)
        return
    locks.pass_on(tx, replaced.id, heir.id)
    versions.inherit(tx, tree.reread(tx, heir.id, ()), tree.reread(tx, replaced.id, ()))
    tree.unlink(tx, into, name, seq)
    _drop(tx, bucket, replaced)


def _follow_name(tx: Transaction, file: Inode, name: str) -> None:
    """A file is of the type that its new name says, if it says one: saving goes by way of temporary names."""
    said = media.type_of(name, "")
    if file.kind == Kind.FILE and said != media.UNKNOWN:
        tx.count(_SET_TYPE, {"node": file.id, "said": said})


def exchange(
    tx: Transaction, caller: Caller, bucket: Bucket, one: tuple[NodeId, str], other: tuple[NodeId, str]
) -> None:
    """Each has the other's name."""
    first, second = _member(tx, *one), _member(tx, *other)
    if first.id == second.id:
        return
    _check_target(tx, bucket, other[0], other[1], first)
    _check_target(tx, bucket, one[0], one[1], second)
    if not locks.are_none(tx):
        for here in (place(tx, *one), place(tx, *other)):
            locks.require(tx, caller, ANYTHING, here, member=True, inside=True)
    seq = buckets.advance(tx, bucket)
    for (parent, name), node in ((one, second), (other, first)):
        tx.count(_REFER, {"above": parent, "called": name, "member": node.id})
        tx.count(_CHANGED, {"node": node.id, "at": tx.now, "now_seq": seq})
        tree.mark_changed(tx, parent, seq)
        _follow_name(tx, node, name)


def replace_content(
    tx: Transaction,
    bucket: Bucket,
    file: Node,
    content: Sealed,
    adopted: ObjectId,
    modified: Instant | None,
    author: str,
    *,
    always: bool = False,
) -> None:
    """The file has other content, of an object that the bucket has. `always`: a rewrite is a version too."""
    seq = buckets.advance(tx, bucket, size=content.size - file.size)
    pictures.want(tx, bucket, adopted, file.media_type, content.size)
    versions.replace_content(
        *(tx, file, adopted, content.size, file.media_type, tx.now if modified is None else modified),
        author=author,
        seq=seq,
        expires=buckets.expiry(tx, bucket),
        always=always,
    )


def recover(
    tx: Transaction,
    bucket: Bucket,
    file: Node,
    draft: Unpublished,
    content: Sealed,
    adopted: ObjectId,
    modified: Instant,
    *,
    is_newest: bool,
) -> None:
    """A draft whose owner is gone is its file's content. It is an older version instead where it is not the newest, or
    where the file got another content since the draft was begun."""
    unpublished.forget(tx, draft.file)
    has_moved_on = draft.base is not None and file.content is not None and file.content.digest != draft.base
    if is_newest and not has_moved_on:
        always = draft.base is None
        replace_content(tx, bucket, file, content, adopted, modified, draft.principal, always=always)
    elif content.size and adopted != file.object:
        buckets.advance(tx, bucket)
        versions.keep(tx, replace(file, object=adopted, size=content.size, modified=modified), author=draft.principal)


def check_unlocked(tx: Transaction, caller: Caller, node: NodeId) -> None:
    """Nobody else's lock covers the node. Raises Locked."""
    path = tree.path_of(tx, node)
    here = places.resolve(tx, path) if path else None
    if here:
        locks.require(tx, caller, ANYTHING, here)


def place(tx: Transaction, parent: NodeId, name: str) -> Place:
    """The namespace's view of a name. Raises NotFound where its parent is in the trash or gone."""
    path = tree.path_of(tx, parent)
    found = places.resolve(tx, (*path, name)) if path else None
    if found is None:
        raise NotFound(name)
    return found if found.path[-1] == name else found.unmapped()


def _member(tx: Transaction, parent: NodeId, name: str) -> Inode:
    found = inode_rows.member(tx, parent, name)
    if found is None:
        raise NotFound(name)
    return found


def _check_kind(found: Inode, name: str, *, collection: bool) -> None:
    if found.is_collection and not collection:
        raise IsACollection(name)
    if collection and not found.is_collection:
        raise NotACollection(name)
