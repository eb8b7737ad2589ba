"""COPY and MOVE inside one transaction: all or nothing, whatever the size of the tree."""

from sqlalchemy import update

from . import buckets, forgetting, guards, locks, media, objects, properties, subtrees, trash, tree, versions
from .database import Transaction
from .errors import AlreadyExists, InvalidMove
from .model import Bucket, Caller, Expect, Kind, Node, NodeId
from .paths import within
from .places import Place
from .schema import nodes

EXECUTE = 0o111


def remove(tx: Transaction, place: Place, seq: int, by: str) -> None:
    """The name goes. The last name of a node takes it to the trash, or away where the bucket keeps none.

    A large subtree is out of sight then, and goes with the collector's next run.
    """
    assert place.node
    assert place.parent
    if place.may_be_locked:
        locks.remove_below(tx, place.node.id)
    tree.unlink(tx, place.parent, place.path[-1], seq)
    if place.node.links > 1:
        return
    if place.bucket.trash is not None:
        is_enclosed = tree.lineage(tx, place.parent).is_enclosed
        trash.put(tx, place.bucket, place.node.id, place.path, by, place.access.owner, is_enclosed=is_enclosed)
    else:
        forgetting.begin(tx, place.bucket, place.node.id)


def copy(
    tx: Transaction, caller: Caller, source: Place, target: Place, expect: Expect, *, deep: bool, overwrite: bool
) -> NodeId:
    """A second node like the source's, with the same object, at the target. Returns it."""
    assert source.node
    assert target.parent
    _check_overlap(source, target, deep=deep)
    _check_overwrite(target, overwrite=overwrite)
    guards.copyable(tx, source, caller)
    _check_rights(tx, caller, target)
    guards.placeable(tx, source, target)
    locks.require(tx, caller, expect, target, member=True, inside=True)
    _admit(tx, source, target, deep=deep)
    over_file = target.node is not None and target.node.kind is source.node.kind is Kind.FILE
    files, size = _extent(tx, source.node, deep=deep)
    if over_file and target.node:
        seq = buckets.advance(tx, target.bucket, 0, size - target.node.size)
        _write_over(tx, caller, source, target, seq)
        tree.mark_changed(tx, target.parent, seq)
        return target.node.id
    seq = buckets.advance(tx, target.bucket, files, size)
    if target.node:
        remove(tx, target, seq, caller.name)
    return subtrees.duplicate(
        tx, source.node, target.bucket, target.parent, target.path[-1], seq, author=caller.name, deep=deep
    )


def _extent(tx: Transaction, node: Node, *, deep: bool) -> tuple[int, int]:
    """How many files a copy brings, and their bytes."""
    if node.is_collection:
        return tree.size_below(tx, node.id) if deep else (0, 0)
    return int(node.kind is Kind.FILE), node.size


def _write_over(tx: Transaction, caller: Caller, source: Place, target: Place, seq: int) -> None:
    assert source.node
    assert target.node
    new, content = source.node, tree.object_of(source.node)
    if source.bucket.id != target.bucket.id:
        content = objects.counterpart(tx, content, target.bucket.id)
    expires = buckets.expiry(tx, target.bucket)
    versions.replace_content(
        tx,
        target.node,
        content,
        new.size,
        new.media_type,
        new.modified,
        author=caller.name,
        seq=seq,
        expires=expires,
    )
    properties.replace(tx, target.node.id, new.id)


def move(tx: Transaction, caller: Caller, source: Place, target: Place, expect: Expect, *, overwrite: bool) -> NodeId:
    """The source's node has the target's name. Returns it.

    A file that takes the name of a file takes over its uid, versions and locks: a save-by-rename is a new version.
    """
    assert source.node
    assert source.parent
    assert target.parent
    moved, old_parent, parent = source.node, source.parent, target.parent
    target = renamed(source, target)
    _check_overlap(source, target, deep=True)
    _check_overwrite(target, overwrite=overwrite)
    guards.removable(tx, source, caller)
    _check_rights(tx, caller, target)
    guards.placeable(tx, source, target)
    locks.require(tx, caller, expect, source, member=True, inside=True)
    locks.require(tx, caller, expect, target, member=True, inside=True)
    _admit(tx, source, target, deep=True)
    if source.may_be_locked:
        locks.remove_below(tx, moved.id)
    seq = buckets.advance(tx, target.bucket)
    if source.bucket.id != target.bucket.id:
        _change_bucket(tx, moved.id, source.bucket, target.bucket, seq)
    if target.node:
        _make_way(tx, caller, moved, target, seq)
    tree.relocate(tx, moved, old_parent, parent, target.path[-1], seq)
    return moved.id


def renamed(source: Place, target: Place) -> Place:
    """The target of a move: where it is the source itself under another Unicode form, the name that was asked for."""
    return target.unmapped() if target.path == source.path != target.requested else target


def restore(
    tx: Transaction, caller: Caller, source: Place, target: Place, expect: Expect, *, overwrite: bool
) -> NodeId:
    """What lies in the trash has the target's name, with its uid, versions and properties. Returns it.

    `source` is an entry, which no collection holds, or a member below one. What has the name goes to the trash.
    """
    assert source.node
    assert target.parent
    node, name = source.node, target.path[-1]
    _check_overwrite(target, overwrite=overwrite)
    _check_rights(tx, caller, target)
    guards.placeable(tx, source, target)
    locks.require(tx, caller, expect, target, member=target.node is None, inside=True)
    _admit(tx, source, target, deep=True)
    seq = buckets.advance(tx, target.bucket)
    if source.bucket.id != target.bucket.id:
        _change_bucket(tx, node.id, source.bucket, target.bucket, seq)
    if target.node:
        remove(tx, target, seq, caller.name)
    if source.parent:
        tree.relocate(tx, node, source.parent, target.parent, name, seq)
    else:
        trash.take_out(tx, node.id, seq)
        tree.link(tx, target.parent, name, node.id)
        tree.mark_changed(tx, target.parent, seq)
    return node.id


def recall(tx: Transaction, caller: Caller, version: Node, target: Place, expect: Expect, *, overwrite: bool) -> NodeId:
    """The file at the target has a version's content, with its time and type. Returns the file."""
    assert target.parent
    file, content = target.node, tree.object_of(version)
    _check_overwrite(target, overwrite=overwrite)
    _check_rights(tx, caller, target)
    locks.require(tx, caller, expect, target, member=file is None, inside=True)
    if version.bucket != target.bucket.id:
        media.admit(target.bucket, target.path, version.media_type, version.size)
        content = objects.counterpart(tx, content, target.bucket.id)
    if file and file.kind is Kind.FILE:
        seq = buckets.advance(tx, target.bucket, 0, version.size - file.size)
        versions.restore(tx, file, content, version, author=caller.name, seq=seq)
        return file.id
    seq = buckets.advance(tx, target.bucket, 1, version.size)
    if file:
        remove(tx, target, seq, caller.name)
    values = {"object": content, "size": version.size, "media_type": version.media_type, "modified": version.modified}
    rest = {"author": caller.name, "expires": buckets.expiry(tx, target.bucket)}
    return tree.add(tx, target.bucket.id, target.parent, target.path[-1], seq, kind=Kind.FILE, **values, **rest)


def forget(tx: Transaction, place: Place) -> bool:
    """What lies in the trash, an entry or a member below one, is gone for good. True: it is large (`begin`)."""
    assert place.node
    seq = buckets.advance(tx, place.bucket)
    if place.parent:
        tree.unlink(tx, place.parent, place.path[-1], seq)
        if place.node.links > 1:
            return False
    return forgetting.begin(tx, place.bucket, place.node.id)


def _make_way(tx: Transaction, caller: Caller, heir: Node, target: Place, seq: int) -> None:
    assert target.node
    assert target.parent
    replaced = target.node
    if not (replaced.kind is heir.kind is Kind.FILE and replaced.links == heir.links == 1):
        remove(tx, target, seq, caller.name)
        return
    locks.pass_on(tx, replaced.id, heir.id)
    versions.inherit(tx, heir, replaced)
    count, size = subtrees.drop(tx, replaced.id)
    buckets.advance(tx, target.bucket, -count, -size)


def _change_bucket(tx: Transaction, top: NodeId, old: Bucket, new: Bucket, seq: int) -> None:
    files, size = tree.size_below(tx, top)
    buckets.advance(tx, old, -files, -size)
    buckets.advance(tx, new, files, size)
    subtrees.transfer(tx, top, new, seq)


def _check_overlap(source: Place, target: Place, *, deep: bool) -> None:
    if target.node and source.node and target.node.id == source.node.id:
        raise InvalidMove(target.path, "is the source itself")
    if deep and within(target.path, source.path):
        raise InvalidMove(target.path, "lies inside the source")
    if target.node and within(source.path, target.path):
        raise InvalidMove(target.path, "holds the source")


def _check_overwrite(target: Place, *, overwrite: bool) -> None:
    if target.node and not overwrite:
        raise AlreadyExists(target.path)


def _check_rights(tx: Transaction, caller: Caller, target: Place) -> None:
    """The caller may replace a collection with all that it holds; `guards.target` has seen to the rest."""
    if target.node and target.node.is_collection:
        guards.removable(tx, target, caller)


def _admit(tx: Transaction, source: Place, target: Place, *, deep: bool) -> None:
    """Another bucket takes what its policy says. Raises TooLarge, UnsupportedMediaType."""
    assert source.node
    if source.bucket.id != target.bucket.id and (deep or not source.node.is_collection):
        for media_type, largest in tree.types_below(tx, source.node.id):
            media.admit(target.bucket, target.path, media_type, largest)


def set_executable(tx: Transaction, node: NodeId, executable: bool) -> None:
    """The three x bits of its mode."""
    mode = nodes.c.mode.op("|")(EXECUTE) if executable else nodes.c.mode.op("&")(~EXECUTE)
    tx.execute(update(nodes).where(nodes.c.id == node).values(mode=mode))


def set_modified(tx: Transaction, node: NodeId, modified: int | None) -> None:
    if modified is not None:
        tx.execute(update(nodes).where(nodes.c.id == node).values(modified=modified, changed=tx.now))
