"""The tree by node ids, as a file system asks for it: one name, one node, one page at a time.

The path-bound verbs are the namespace's. Here a collection is known by its node's id, 0 being the list of the buckets,
and names are exact. Each public method is one transaction.
"""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import bindparam, select, update

from . import buckets as bucket_rows
from . import crossing, guards, locks, media, objects, pictures, places, relocation, tree, versions
from .contents import Contents
from .database import Database, Transaction
from .drafts import RandomDraft
from .errors import AlreadyExists, Forbidden, InvalidMove, IsACollection, NotACollection, NotEmpty, NotFound
from .model import ANYTHING, Bucket, BucketId, Caller, Instant, Kind, NodeId, ObjectId
from .paths import checked
from .places import Place
from .prepared import Prepared
from .schema import buckets, names, nodes
from .schema import objects as object_rows
from .staging import Sealed

TOP = NodeId(0)
"""The list of the buckets, which is no row."""


class Inode(NamedTuple):
    """A node's row with its object's. A tuple, since listings make thousands of them."""

    id: NodeId
    bucket: int
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
    object: ObjectId | None
    storage: str | None
    key: str | None
    digest: str | None

    @property
    def is_collection(self) -> bool:
        return self.kind == Kind.COLLECTION


_EPOCH = Instant(0)
TOP_INODE = Inode(TOP, 0, Kind.COLLECTION, 0o755, 1, 0, 0, 0, 0, None, _EPOCH, _EPOCH, _EPOCH, None, None, None, None)
_OWN = ("id", "bucket", "kind", "mode", "links", "size", "uid_number", "gid_number", "rdev", "target", "created")
_COLUMNS = (
    *(nodes.c[name] for name in (*_OWN, "modified", "changed", "object")),
    *(object_rows.c[name] for name in ("storage", "key", "digest")),
)
_WITH_OBJECT = nodes.outerjoin(object_rows, object_rows.c.id == nodes.c.object)
_BY_ID = Prepared(select(*_COLUMNS).select_from(_WITH_OBJECT).where(nodes.c.id == bindparam("node")))
_NAMED = names.join(nodes, nodes.c.id == names.c.node).outerjoin(object_rows, object_rows.c.id == nodes.c.object)
_BY_NAME = Prepared(
    select(*_COLUMNS)
    .select_from(_NAMED)
    .where(names.c.parent == bindparam("parent"), names.c.name == bindparam("name", type_=names.c.name.type))
)
_PAGE = Prepared(
    select(names.c.name, *_COLUMNS)
    .select_from(_NAMED)
    .where(names.c.parent == bindparam("parent"), names.c.name > bindparam("after", type_=names.c.name.type))
    .order_by(names.c.name)
    .limit(bindparam("most"))
)
_BUCKETS = Prepared(
    select(buckets.c.name, *_COLUMNS)
    .select_from(_WITH_OBJECT.join(buckets, buckets.c.id == nodes.c.bucket))
    .where(nodes.c.is_root, buckets.c.name > bindparam("after", type_=buckets.c.name.type))
    .order_by(buckets.c.name)
)
_ANY_MEMBER = Prepared(select(names.c.node).where(names.c.parent == bindparam("parent")).limit(1))
_SETTABLE = ("mode", "uid_number", "gid_number", "modified")


@dataclass(frozen=True, slots=True)
class Inodes:
    """The tree as one mount sees and changes it."""

    database: Database
    contents: Contents
    caller: Caller

    def get(self, node: NodeId) -> Inode | None:
        if not node:
            return TOP_INODE
        with self.database.read() as tx:
            return _inode(tx, node)

    def open(self, inode: Inode) -> BinaryIO:
        """A seekable reader of a file's bytes. Raises NotFound, Corrupt."""
        assert inode.object
        assert inode.storage is not None
        assert inode.key is not None
        try:
            return self.contents.store(inode.storage).open(inode.key)
        except NotFound:
            return self.contents.open_object(inode.object)

    def draft(self, inode: Inode) -> RandomDraft:
        with self.database.read() as tx:
            return self.contents.random_draft(bucket_rows.by_id(tx, BucketId(inode.bucket)))

    def sync(self) -> None:
        """All that was committed before is on disk."""
        with self.database.write():
            pass

    def room(self, node: NodeId) -> tuple[int, int, int]:
        """Used and free bytes, and the number of files, of a node's bucket or of the whole store."""
        with self.database.read() as tx:
            every = bucket_rows.every(tx)
            found = _inode(tx, node) if node else None
        mine = [bucket for bucket in every if found is None or bucket.id == found.bucket]
        used = sum(bucket.bytes for bucket in mine)
        free = min(shutil.disk_usage(self.contents.store(bucket.storage).staging).free for bucket in mine)
        rest = [max(0, bucket.quota - bucket.bytes) for bucket in mine if bucket.quota is not None]
        return used, min([free, *rest]) if found else free, sum(bucket.files for bucket in mine)

    def lookup(self, parent: NodeId, name: str) -> Inode | None:
        with self.database.read() as tx:
            return _member(tx, parent, name)

    def members(self, parent: NodeId, after: str, limit: int) -> list[tuple[str, Inode]]:
        """Those whose names follow `after`, in the order of the names' bytes."""
        with self.database.read() as tx:
            rows = (
                tx.rows(_PAGE, {"parent": parent, "after": after, "most": limit})
                if parent
                else tx.rows(_BUCKETS, {"after": after})
            )
        return [(row[0], Inode(*row[1:])) for row in rows]

    def make(
        self,
        parent: NodeId,
        name: str,
        kind: Kind,
        *,
        mode: int,
        uid: int,
        gid: int,
        rdev: int = 0,
        target: str | None = None,
    ) -> Inode:
        """A new node; a file is empty. Raises AlreadyExists, NotFound where the parent is gone."""
        checked(name)
        with self._changed(parent) as (tx, bucket):
            self._check_free(tx, parent, name)
            seq = bucket_rows.advance(tx, bucket, files=int(kind is Kind.FILE))
            values: dict[str, Any] = {
                "mode": mode,
                "uid_number": uid,
                "gid_number": gid,
                "rdev": rdev,
                "target": target,
            }
            if kind is Kind.FILE:
                values |= {
                    "object": self._empty(tx, bucket),
                    "media_type": media.type_of(name, ""),
                    "expires": bucket_rows.expiry(tx, bucket),
                }
            if kind is Kind.SYMLINK:
                values["size"] = len((target or "").encode())
            node = tree.add(tx, bucket.id, parent, name, seq, kind=kind, author=self.caller.name, **values)
            return _there(tx, node)

    def link(self, node: NodeId, parent: NodeId, name: str) -> Inode:
        """Another name for what is no collection. Raises AlreadyExists, NotFound, InvalidMove across buckets."""
        checked(name)
        with self._changed(parent) as (tx, bucket):
            found = _there(tx, node)
            if found.bucket != bucket.id:
                raise InvalidMove(name, "lies in another bucket")
            if found.is_collection:
                raise Forbidden(name, "a collection has one name")
            if found.links == 0:
                raise NotFound(name, "was removed")
            self._check_free(tx, parent, name)
            seq = bucket_rows.advance(tx, bucket)
            tree.link(tx, parent, name, node)
            tx.execute(update(nodes).where(nodes.c.id == node).values(links=nodes.c.links + 1, changed=tx.now, seq=seq))
            tree.mark_changed(tx, parent, seq)
            return _there(tx, node)

    def remove(self, parent: NodeId, name: str, *, collection: bool) -> Inode:
        """The name is gone; its node, as it was before, is returned. Raises NotFound, NotEmpty, NotACollection …"""
        with self._changed(parent) as (tx, bucket):
            found = _member(tx, parent, name)
            if found is None:
                raise NotFound(name)
            _check_kind(found, name, collection=collection)
            if found.is_collection and tx.first(_ANY_MEMBER, {"parent": found.id}):
                raise NotEmpty(name)
            place = _place(tx, parent, name)
            locks.require(tx, self.caller, ANYTHING, place, member=True, inside=True)
            relocation.remove(tx, place, bucket_rows.advance(tx, bucket), self.caller.name)
            return found

    def rename(self, parent: NodeId, name: str, new_parent: NodeId, new_name: str, *, replace: bool) -> Inode | None:
        """The node has the new name; returns what had it before. Raises InvalidMove across buckets and into itself,
        AlreadyExists where `replace` is false, NotEmpty, NotACollection, IsACollection."""
        checked(new_name)
        with self._changed(parent) as (tx, _):
            source, old = _place(tx, parent, name), _member(tx, new_parent, new_name)
            target = _place(tx, new_parent, new_name)
            if source.bucket.id != target.bucket.id:
                raise InvalidMove(new_name, "lies in another bucket")
            assert source.node
            if old and old.id == source.node.id:
                return None
            if old and replace:
                _check_kind(old, new_name, collection=source.node.is_collection)
                if old.is_collection and tx.first(_ANY_MEMBER, {"parent": old.id}):
                    raise NotEmpty(new_name)
            relocation.move(tx, self.caller, source, target, ANYTHING, overwrite=replace)
            return old

    def change(self, node: NodeId, **values: int) -> Inode:
        """Sets mode, uid_number, gid_number or modified. Raises NotFound."""
        assert values.keys() <= set(_SETTABLE)
        with self._changed(node) as (tx, bucket):
            seq = bucket_rows.advance(tx, bucket)
            tx.execute(update(nodes).where(nodes.c.id == node).values(changed=tx.now, seq=seq, **values))
            return _there(tx, node)

    def write(self, node: NodeId, content: Sealed, modified: Instant | None = None, *, durable: bool) -> Inode:
        """The file has this content; the old one is a version. Raises QuotaExceeded, NotFound, Locked …"""

        def attempt() -> Inode:
            bucket = self._bucket(node)
            self._admit(bucket, node, content)
            blob = self.contents.publish(bucket, content)
            with self._changed(node) as (tx, bucket):
                found = tree.reread(tx, node, ())
                name = tree.path_of(tx, node) or ("",)
                media.admit(bucket, name, found.media_type, content.size)
                seq = bucket_rows.advance(tx, bucket, size=content.size - found.size)
                adopted = objects.adopt(tx, bucket, content, blob)
                pictures.want(tx, bucket, adopted, found.media_type, content.size)
                at = tx.now if modified is None else modified
                versions.replace_content(
                    tx,
                    found,
                    adopted,
                    content.size,
                    found.media_type,
                    at,
                    author=self.caller.name,
                    seq=seq,
                    expires=bucket_rows.expiry(tx, bucket),
                )
                return _there(tx, node)

        return crossing.with_bytes(attempt)

    def _admit(self, bucket: Bucket, node: NodeId, content: Sealed) -> None:
        """Raises UnsupportedMediaType, NotFound."""
        if bucket.types:
            with self.database.read() as tx:
                name, found = tree.path_of(tx, node) or ("",), tree.reread(tx, node, ())
            media.admit_bytes(bucket, name, found.media_type, content)

    @contextmanager
    def _changed(self, node: NodeId) -> Generator[tuple[Transaction, Bucket]]:
        """A write transaction on the bucket of a node. Raises NotFound, Forbidden."""
        if not self.caller.may_write:
            raise Forbidden("", "you may read here, not write")
        bucket = self._bucket(node)
        with self.database.write(bucket.id) as tx:
            yield tx, bucket_rows.by_id(tx, bucket.id)

    def _bucket(self, node: NodeId) -> Bucket:
        if not node:
            raise Forbidden("", guards.BUCKETS)
        with self.database.read() as tx:
            return bucket_rows.by_id(tx, BucketId(_there(tx, node).bucket))

    def _check_free(self, tx: Transaction, parent: NodeId, name: str) -> None:
        above = _there(tx, parent)
        if not above.is_collection:
            raise NotACollection(name)
        if _member(tx, parent, name):
            raise AlreadyExists(name)
        if not locks.are_none(tx):
            locks.require(tx, self.caller, ANYTHING, _place(tx, parent, name), member=True)

    def _empty(self, tx: Transaction, bucket: Bucket) -> ObjectId:
        with self.contents.draft(bucket) as empty:
            return objects.adopt(tx, bucket, empty.seal(), None)


def _inode(tx: Transaction, node: NodeId) -> Inode | None:
    row = tx.first(_BY_ID, {"node": node})
    return Inode(*row) if row else None


def _there(tx: Transaction, node: NodeId) -> Inode:
    found = _inode(tx, node)
    if found is None:
        raise NotFound("", "was removed")
    return found


def _member(tx: Transaction, parent: NodeId, name: str) -> Inode | None:
    if not parent:
        return next((Inode(*row[1:]) for row in tx.rows(_BUCKETS, {"after": ""}) if row[0] == name), None)
    row = tx.first(_BY_NAME, {"parent": parent, "name": name})
    return Inode(*row) if row else None


def _check_kind(found: Inode, name: str, *, collection: bool) -> None:
    if found.is_collection and not collection:
        raise IsACollection(name)
    if collection and not found.is_collection:
        raise NotACollection(name)


def _place(tx: Transaction, parent: NodeId, name: str) -> Place:
    """The namespace's view of a name. Raises NotFound where its parent is in the trash or gone."""
    path = tree.path_of(tx, parent)
    place = places.resolve(tx, (*path, name)) if path else None
    if place is None:
        raise NotFound(name)
    return place if place.path[-1] == name else place.unmapped()
