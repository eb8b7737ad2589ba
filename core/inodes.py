"""The tree by node ids, as a file system asks for it: one name, one node, one page at a time.

The namespace's verbs go by paths; here a collection is known by its node's id, and names are exact. Each public method
is one transaction, whose commit is left to the operating system: it survives a kill, and `sync` makes it last.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from typing import BinaryIO, TypeVar

from sqlalchemy import ColumnElement, bindparam, select, update
from sqlalchemy.exc import NoResultFound

from . import (
    buckets,
    crossing,
    guards,
    inode_rows,
    kept_drafts,
    locks,
    media,
    objects,
    properties,
    room,
    tree,
    unpublished,
)
from .contents import Contents
from .database import Database, Transaction
from .drafts import RandomDraft
from .errors import (
    Forbidden,
    NotFound,
    Refusal,
    StorageUnavailable,
)
from .inode_changes import New, check_unlocked, exchange, link, make, recover, remove, rename, replace_content
from .inode_rows import TOP, Elsewhere, Inode, Target
from .model import (
    Bucket,
    BucketId,
    Caller,
    Digest,
    Instant,
    NodeId,
    Path,
    PropertyChange,
    PropertyName,
)
from .objects import Adopted
from .paths import checked
from .prepared import Prepared
from .schema import nodes
from .staging import Sealed
from .unpublished import Unpublished

T = TypeVar("T")
POLICY_AGE = 1.0
"""Seconds for which a bucket's policy is remembered."""
REMEMBERED = 1 << 16
"""Nodes of which it is remembered in which bucket they were."""
_HOME = Prepared(select(nodes.c.bucket).where(nodes.c.id == bindparam("node")))
_READ = Prepared(update(nodes).where(nodes.c.id == bindparam("node")).values(accessed=bindparam("accessed")))
PERMISSIONS = 0o7777
SETTABLE = frozenset({"mode", "uid_number", "gid_number", "modified", "accessed"})


@lru_cache
def _setting(*columns: str) -> Prepared:
    given: dict[str, ColumnElement[int]] = {column: bindparam(column) for column in columns}
    if "mode" in given:
        given["mode"] = nodes.c.mode.bitwise_and(~PERMISSIONS).bitwise_or(given["mode"])
    changed = update(nodes).values(changed=bindparam("at"), seq=bindparam("now_seq"), **given)
    return Prepared(changed.where(nodes.c.id == bindparam("node")))


class Inodes:
    """The tree as one mount sees and changes it."""

    def __init__(self, database: Database, contents: Contents, caller: Caller) -> None:
        self._database = database
        self._contents = contents
        self._caller = caller
        self._policies: dict[BucketId, tuple[float, Bucket]] = {}
        self._homes: dict[NodeId, BucketId] = {}

    def warm_up(self, top: NodeId) -> None:
        """The first requests find statements compiled, a connection open and rows in memory, as all others do."""
        self._database.read_ahead()
        Prepared.compile_all(self._database.engine.dialect)
        self.members(top, "", 1)

    def find(self, node: NodeId) -> Inode | None:
        return inode_rows.find(self._database, node)

    def get(self, node: NodeId) -> Inode:
        """Raises NotFound."""
        return inode_rows.get(self._database, node)

    def member(self, parent: NodeId, name: str) -> Inode | None:
        return inode_rows.member(self._database, parent, name)

    def members(self, parent: NodeId, after: str, limit: int) -> list[tuple[str, Inode]]:
        """Those whose names follow `after`, in the order of the names' bytes."""
        return inode_rows.page(self._database, parent, after, limit)

    def names(self, parent: NodeId, after: str, limit: int) -> Sequence[tuple[str, NodeId, str, int]]:
        """As `members`, of each only the name, the id, the kind and the mode."""
        return inode_rows.names_page(self._database, parent, after, limit)

    def parent(self, node: NodeId) -> NodeId:
        """The collection above; of a bucket's root, the list of the buckets."""
        return inode_rows.parent(self._database, node)

    def path(self, node: NodeId) -> Path | None:
        """Where a node is by its first name; None at the top, and where it was removed."""
        with self._database.read() as tx:
            return tree.path_of(tx, node)

    def make(self, parent: NodeId, name: str, new: New) -> Inode:
        """A new node; a file is empty. Raises AlreadyExists, NotFound where the parent is gone."""
        checked(name)
        made = self._done(parent, lambda tx, bucket: make(tx, self._caller, bucket, parent, name, new))
        self._remember(made.id, made.bucket)
        return made

    def link(self, node: NodeId, parent: NodeId, name: str) -> Inode:
        """Another name for what is no collection. Raises AlreadyExists, NotFound, InvalidMove across buckets."""
        checked(name)
        return self._done(parent, lambda tx, bucket: link(tx, self._caller, bucket, node, parent, name))

    def remove(self, parent: NodeId, name: str, *, collection: bool) -> Inode:
        """The name is gone; returns the node as it was. Raises NotFound, NotEmpty, NotACollection, IsACollection."""
        return self._done(
            parent, lambda tx, bucket: remove(tx, self._caller, bucket, parent, name, collection=collection)
        )

    def rename(self, parent: NodeId, name: str, into: NodeId, new_name: str, *, replace: bool) -> Inode | None:
        """The node has the new name; returns what had it before. Raises InvalidMove across buckets and into itself,
        AlreadyExists where `replace` is false, NotEmpty, NotACollection, IsACollection."""
        checked(new_name)
        names = (parent, name, into, new_name)
        return self._done(parent, lambda tx, bucket: rename(tx, self._caller, bucket, *names, replace=replace))

    def exchange(self, parent: NodeId, name: str, other: NodeId, other_name: str) -> None:
        """Each of the two nodes has the other's name."""
        one, two = (parent, name), (other, other_name)
        self._done(parent, lambda tx, bucket: exchange(tx, self._caller, bucket, one, two))

    def change(self, node: NodeId, **values: int) -> Inode:
        """Sets some of SETTABLE; of a mode the permissions. Raises NotFound."""
        assert values.keys() <= SETTABLE

        def act(tx: Transaction, bucket: Bucket) -> Inode:
            self._check_unlocked(tx, node)
            seq = buckets.advance(tx, bucket)
            tx.count(_setting(*sorted(values)), {"node": node, "at": tx.now, "now_seq": seq, **values})
            changed = inode_rows.get(tx, node)
            if changed.bucket != bucket.id:
                raise Elsewhere
            return changed

        return self._done(node, act)

    def check_writable(self, node: NodeId) -> None:
        """Raises Locked, Forbidden."""
        if not self._caller.may_write:
            raise Forbidden("", "you may read here, not write")
        if not locks.are_none(self._database):
            with self._database.read() as tx:
                self._check_unlocked(tx, node)

    def open(self, inode: Inode) -> BinaryIO:
        """A seekable reader of a file's bytes. Raises NotFound, Corrupt."""
        assert inode.object
        assert inode.storage is not None
        assert inode.key is not None
        with suppress(NotFound):
            reader = self._contents.store(inode.storage).open(inode.key)
            if reader.seek(0, os.SEEK_END) == inode.size:
                reader.seek(0)
                return reader
            reader.close()
        return self._contents.open_object(inode.object)

    def blocks(self, inode: Inode) -> int | None:
        """Of 512 bytes, those that the blob takes where it is a file; None where it is none."""
        assert inode.storage is not None
        try:
            if self._contents.store(inode.storage).type != "local":
                return None
            with self.open(inode) as content:
                return os.fstat(content.fileno()).st_blocks
        except (OSError, Refusal):
            return None

    def inline_below(self, node: NodeId) -> int:
        """Smaller contents of the file's bucket live in the database. Raises NotFound."""
        return self._policy(self._home(node)).inline_below

    def has_trash(self, bucket: BucketId) -> bool:
        """Whether what is removed from the bucket can be restored."""
        return self._policy(bucket).trash is not None

    def draft(self, inode: Inode) -> RandomDraft:
        """An empty draft for a file's next content."""
        return self._contents.random_draft(self._policy(inode.bucket))

    def write(
        self,
        node: NodeId,
        draft: RandomDraft,
        modified: Instant | None,
        *,
        accessed: Instant | None = None,
        durable: bool,
    ) -> Inode:
        """The file has the draft's content, and these times; the old one is a version. Drafts of it that were refused
        before go. `modified` None is now; `accessed` None leaves it as it is.

        Raises QuotaExceeded, NotFound, Locked …
        """
        kept = self._kept_file(self._home(node), draft) if draft.kept else None
        superseded: list[Unpublished] = []

        def act(tx: Transaction, bucket: Bucket, target: Target, content: Sealed, adopted: Adopted) -> Inode:
            refused = unpublished.refused(tx, node) if target.has_refused else []
            superseded[:] = [one for one in refused if one.file != kept]
            if kept is not None:
                unpublished.forget(tx, kept)
            written = replace_content(tx, bucket, target, content, adopted, modified, self._caller.name)
            if accessed is None:
                return written
            tx.count(_READ, {"node": node, "accessed": accessed})
            return written._replace(accessed=accessed)

        written = self._adopted(node, draft.seal(), act, durable=durable)
        for one in superseded:
            # The write is done: a draft that cannot be dropped now is an older version when it is found.
            with suppress(StorageUnavailable):
                kept_drafts.drop(self._database, self._contents, one)
        return written

    def _kept_file(self, bucket: BucketId, draft: RandomDraft) -> str | None:
        return draft.kept and f"{self._policy(bucket).storage}/{draft.kept}"

    def recover(self, draft: Unpublished, content: Sealed, modified: Instant, *, is_newest: bool) -> None:
        """A draft whose owner is gone is its file's content, or an older version of it (inode_changes.recover).

        Raises QuotaExceeded, NotFound, Locked …
        """

        def act(tx: Transaction, bucket: Bucket, target: Target, content: Sealed, adopted: Adopted) -> None:
            recover(tx, bucket, target, draft, content, adopted, modified, is_newest=is_newest)

        self._adopted(draft.node, content, act, durable=True)

    def _adopted(self, node: NodeId, content: Sealed, act: Callable[..., T], *, durable: bool) -> T:
        """What `act` gives that is done to a file with an object of the content, in one transaction."""

        def attempt(bucket: Bucket) -> T:
            self._admit(bucket, node, content)
            blob = self._contents.publish(bucket, content)
            with self._writing(bucket, durable=durable) as tx:
                target = inode_rows.target(tx, node)
                if target.file.bucket != bucket.id:
                    raise Elsewhere
                if target.has_locks:
                    check_unlocked(tx, self._caller, node)
                if target.file.links == 0:
                    raise NotFound("", "was removed")
                media.admit(bucket, (bucket.name,), target.file.media_type, content.size)
                return act(tx, bucket, target, content, objects.adopt(tx, bucket, content, blob))

        return crossing.with_bytes(lambda: self._at_home(node, attempt))

    def _admit(self, bucket: Bucket, node: NodeId, content: Sealed) -> None:
        """Raises UnsupportedMediaType, TooLarge, NotFound."""
        if bucket.types:
            with self._database.read() as tx:
                inode_rows.get(tx, node)
                name, file = tree.path_of(tx, node) or (bucket.name,), tree.reread(tx, node, ())
            if file.links == 0:
                raise NotFound("", "was removed")
            media.admit_bytes(bucket, name, file.media_type, content)

    def keep(
        self, inode: Inode, draft: RandomDraft, modified: Instant | None, refusal: Exception | None = None
    ) -> None:
        """The draft is durable, and will be published by whoever mounts next, if not before. Raises NotFound."""
        was_kept = draft.kept
        draft.keep(modified)
        file = self._kept_file(inode.bucket, draft)
        if file and (refusal is not None or was_kept is None):
            base = None if inode.digest is None else Digest(inode.digest)
            with self._database.write(inode.bucket) as tx:
                inode_rows.get(tx, inode.id)
                unpublished.record(tx, inode.id, file, self._caller.name, base, refusal)

    def properties(self, node: NodeId) -> dict[PropertyName, str]:
        """Dead properties as the XML of their elements."""
        with self._database.read() as tx:
            return properties.of(tx, [node]).get(node, {})

    def set_property(self, node: NodeId, change: PropertyChange) -> None:
        """Raises TooLarge, Locked."""

        def act(tx: Transaction, bucket: Bucket) -> None:
            if inode_rows.get(tx, node).bucket != bucket.id:
                raise Elsewhere
            self._check_unlocked(tx, node)
            properties.apply(tx, node, [change])
            seq = buckets.advance(tx, bucket)
            tx.count(_setting(), {"node": node, "at": tx.now, "now_seq": seq})

        self._done(node, act)

    def sync(self) -> None:
        """All that was committed before is on disk."""
        self._database.sync()

    def room(self, node: NodeId) -> tuple[int, int, int]:
        """Used and free bytes, and the number of files, of a node's bucket or of the whole store."""
        with self._database.read() as tx:
            every = buckets.every(tx)
        home = self._home(node) if node != TOP else None
        mine = [bucket for bucket in every if home in {None, bucket.id}]
        used, free = room.quota(self._contents, mine, is_whole=home is None)
        return used, free, sum(bucket.files for bucket in mine)

    def _done(self, node: NodeId, act: Callable[[Transaction, Bucket], T]) -> T:
        """What `act` gives in a write transaction on the bucket of a node. Raises NotFound, Forbidden."""

        def work(bucket: Bucket) -> T:
            with self._writing(bucket) as tx:
                return act(tx, bucket)

        return self._at_home(node, work)

    def _at_home(self, node: NodeId, work: Callable[[Bucket], T]) -> T:
        """What is done with the bucket of a node: it is thought to be where it was, until `work` raises Elsewhere."""
        while True:
            with suppress(Elsewhere):
                return work(self._bucket_of(node))
            self._homes.pop(node, None)

    def _bucket_of(self, node: NodeId) -> Bucket:
        believed = self._homes.get(node)
        if believed is not None:
            with suppress(NoResultFound):
                return self._policy(believed)
        home = self._home(node)
        self._remember(node, home)
        return self._policy(home)

    def _remember(self, node: NodeId, home: BucketId) -> None:
        if len(self._homes) >= REMEMBERED:
            self._homes.clear()
        self._homes[node] = home

    def _writing(self, bucket: Bucket, *, durable: bool = False) -> AbstractContextManager[Transaction]:
        """Raises Forbidden."""
        if not self._caller.may_write:
            raise Forbidden("", "you may read here, not write")
        return self._database.write(bucket.id, durable=durable, brief=True)

    def _home(self, node: NodeId) -> BucketId:
        if node == TOP:
            raise Forbidden("", guards.BUCKETS)
        row = self._database.first(_HOME, {"node": node})
        if row is None:
            raise NotFound("", "was removed")
        return row[0]

    def _policy(self, bucket: BucketId) -> Bucket:
        """The bucket as it was a moment ago: its counters are not to be used."""
        at, known = self._policies.get(bucket, (0.0, None))
        if known is None or time.monotonic() - at > POLICY_AGE:
            with self._database.read() as tx:
                known = buckets.by_id(tx, bucket)
            self._policies[bucket] = time.monotonic(), known
        return known

    def _check_unlocked(self, tx: Transaction, node: NodeId) -> None:
        if not locks.are_none(tx):
            check_unlocked(tx, self._caller, node)
