"""Names that go, move and change places, and contents that come, by node ids; the callers hold the bucket's writer
lock."""

import stat
from dataclasses import dataclass, replace

from sqlalchemy import Integer, bindparam, delete, exists, or_, select, type_coerce, update

from . import buckets, inode_rows, locks, media, objects, pictures, places, trash, tree, unpublished, versions
from .database import Transaction
from .errors import (
    AlreadyExists,
    Forbidden,
    InvalidMove,
    InvalidPath,
    IsACollection,
    NotACollection,
    NotEmpty,
    NotFound,
)
from .inode_rows import Elsewhere, Inode, Slot, Target
from .model import ANYTHING, Bucket, Caller, Instant, Kind, NodeId
from .objects import Adopted
from .places import Place
from .prepared import Prepared
from .schema import locks as lock_rows
from .schema import names, nodes
from .schema import objects as object_rows
from .schema import versions as version_rows
from .staging import Sealed
from .unpublished import Unpublished

_ABOUT = Prepared(
    select(
        type_coerce(exists(select(lock_rows.c.token)), Integer),
        type_coerce(places.is_ruled(bindparam("of", type_=nodes.c.bucket.type)), Integer),
    )
)
"""Whether there are locks anywhere, and whether something in the bucket says who may see it."""
_DROP = Prepared(delete(nodes).where(nodes.c.id == bindparam("node")))
_OLD_CONTENTS = select(version_rows.c.object).where(version_rows.c.node == bindparam("node"))
_TOUCH = Prepared(
    update(object_rows)
    .where(or_(object_rows.c.id == bindparam("current"), object_rows.c.id.in_(_OLD_CONTENTS)))
    .values(touched=bindparam("at"))
)
_MORE_LINKS = Prepared(
    update(nodes)
    .where(nodes.c.id == bindparam("node"))
    .values(links=nodes.c.links + 1, changed=bindparam("at"), seq=bindparam("now_seq"))
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


@dataclass(frozen=True, slots=True)
class New:
    """What a node is made as."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    rdev: int = 0
    target: str | None = None


def make(tx: Transaction, caller: Caller, bucket: Bucket, parent: NodeId, name: str, new: New) -> Inode:
    """A new node, given as it is. A collection whose group bit is set gives its group to what is made in it."""
    above = check_free(tx, caller, bucket, parent, name)
    is_file, is_collection = new.kind is Kind.FILE, new.kind is Kind.COLLECTION
    inherits = above.mode & stat.S_ISGID
    mode = new.mode | (stat.S_ISGID if inherits and is_collection else 0)
    gid = above.gid_number if inherits else new.gid
    size = len((new.target or "").encode())
    seq = buckets.advance(tx, bucket, files=int(is_file))
    values = {"mode": mode, "uid_number": new.uid, "gid_number": gid, "rdev": new.rdev, "target": new.target}
    empty = objects.empty(tx, bucket) if is_file else None
    if empty:
        values |= {"media_type": media.type_of(name, ""), "expires": buckets.expiry(tx, bucket), "object": empty.id}
    node = tree.add(tx, bucket.id, parent, name, seq, kind=new.kind, author=caller.name, size=size, **values)
    content = empty.content if empty else None
    return Inode(
        *(node, bucket.id, new.kind.value, mode, 1, size, new.uid, gid, new.rdev, new.target),
        *(tx.now, tx.now, tx.now, None, False, empty.id if empty else None),
        *((content.storage, content.key, content.digest) if content else (None, None, None)),
        subcollections=0,
    )


def check_free(tx: Transaction, caller: Caller, bucket: Bucket, parent: NodeId, name: str) -> Slot:
    """The collection of the bucket in which nothing has the name."""
    above = inode_rows.slot(tx, parent, name)
    if above.bucket != bucket.id:
        raise Elsewhere
    if above.kind != Kind.COLLECTION:
        raise NotACollection(name)
    if above.is_removed:
        raise NotFound(name, "its collection was removed")
    if above.is_taken:
        raise AlreadyExists(name)
    if above.has_locks:
        check_unlocked(tx, caller, parent)
    return above


def link(tx: Transaction, caller: Caller, bucket: Bucket, node: NodeId, parent: NodeId, name: str) -> Inode:
    """The node has another name; it is given as it is."""
    check_free(tx, caller, bucket, parent, name)
    found = inode_rows.get(tx, node)
    if found.bucket != bucket.id:
        raise InvalidMove(name, "lies in another bucket")
    if found.is_collection:
        raise Forbidden(name, "a collection has one name")
    if found.is_removed:
        raise NotFound(name, "was removed")
    seq = buckets.advance(tx, bucket)
    tree.link(tx, parent, name, node)
    tx.count(_MORE_LINKS, {"node": node, "at": tx.now, "now_seq": seq})
    tree.mark_changed(tx, parent, seq)
    return inode_rows.get(tx, node)


def remove(tx: Transaction, caller: Caller, bucket: Bucket, parent: NodeId, name: str, *, collection: bool) -> Inode:
    """The name is gone, and its node is in the trash, or gone too. Returns it as it was."""
    found = _member(tx, parent, name)
    if found.bucket != bucket.id:
        raise Elsewhere
    _check_kind(found, name, collection=collection)
    if found.is_collection and not inode_rows.is_empty(tx, found.id):
        raise NotEmpty(name)
    has_locks, is_ruled = tx.rows(_ABOUT, {"of": bucket.id})[0]
    if has_locks:
        locks.require(tx, caller, ANYTHING, place(tx, parent, name), member=True, inside=True)
        locks.remove_below(tx, found.id)
    _take_away(tx, caller, bucket, parent, name, found, buckets.advance(tx, bucket), is_ruled=is_ruled)
    return found


def _take_away(
    tx: Transaction,
    caller: Caller,
    bucket: Bucket,
    parent: NodeId,
    name: str,
    found: Inode,
    seq: int,
    *,
    is_ruled: bool,
) -> None:
    """`is_ruled`: somewhere in the bucket is something that has an owner or a visibility."""
    is_last = found.links == 1
    above = tree.lineage(tx, parent) if is_last and bucket.trash is not None else None
    owner = place(tx, parent, name).access.owner if above and above.path and is_ruled else ""
    tree.unlink(tx, parent, name, seq)
    if above and above.path:
        path = (*above.path, name)
        trash.put(tx, bucket, found.id, path, caller.name, owner, is_enclosed=above.is_enclosed)
    elif is_last:
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
    if moved.bucket != bucket.id:
        raise Elsewhere
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
        _, is_ruled = tx.rows(_ABOUT, {"of": bucket.id})[0]
        _take_away(tx, caller, bucket, into, name, replaced, seq, is_ruled=is_ruled)
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
    if first.bucket != bucket.id:
        raise Elsewhere
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
    target: Target,
    content: Sealed,
    adopted: Adopted,
    modified: Instant | None,
    author: str,
    *,
    always: bool = False,
) -> Inode:
    """The file has other content, of an object that the bucket has, and is given as it is. `always`: a rewrite is a
    version too."""
    file, at = target.file, tx.now if modified is None else modified
    seq = buckets.advance(tx, bucket, size=content.size - file.size)
    pictures.want(tx, bucket, adopted.id, file.media_type, content.size)
    versions.replace_content(
        *(tx, file, adopted.id, content.size, file.media_type, at),
        author=author,
        seq=seq,
        expires=buckets.expiry(tx, bucket),
        always=always,
        last_written=(target.author, target.rewritten),
    )
    storage, key = adopted.content.storage, adopted.content.key
    return Inode(
        *(file.id, file.bucket, file.kind.value, file.mode, file.links, content.size, file.uid_number, file.gid_number),
        *(0, None, file.created, at, tx.now, target.accessed, False, adopted.id, storage, key, content.digest, 0),
    )


def recover(
    tx: Transaction,
    bucket: Bucket,
    target: Target,
    draft: Unpublished,
    content: Sealed,
    adopted: Adopted,
    modified: Instant,
    *,
    is_newest: bool,
) -> None:
    """A draft whose owner is gone is its file's content. It is an older version instead where it is not the newest, or
    where the file got another content since the draft was begun."""
    file = target.file
    unpublished.forget(tx, draft.file)
    has_moved_on = draft.base is not None and file.content is not None and file.content.digest != draft.base
    if is_newest and not has_moved_on:
        always = draft.base is None
        replace_content(tx, bucket, target, content, adopted, modified, draft.principal, always=always)
    elif content.size and adopted.id != file.object:
        buckets.advance(tx, bucket)
        versions.keep(
            tx, replace(file, object=adopted.id, size=content.size, modified=modified), author=draft.principal
        )


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
