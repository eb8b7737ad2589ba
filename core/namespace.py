"""The verbs that both front ends use. Each public method is one transaction and returns frozen values.

Every path starts with a bucket's name; () is the root, which lists the buckets and takes no writes. Any method may
raise StorageUnavailable; the other refusals are named where they are not plain from the verb.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, BinaryIO, TypeVar

from . import (
    attributes,
    buckets,
    crossing,
    documents,
    files,
    guards,
    listings,
    locks,
    media,
    pictures,
    properties,
    reach,
    relocation,
    room,
    tree,
)
from .contents import Contents
from .database import Database, Transaction
from .errors import AlreadyExists, Forbidden, InvalidMove, NotACollection, NotFound
from .guards import Situation
from .listings import Members
from .model import (
    ANYTHING,
    Bucket,
    BucketId,
    Caller,
    Descriptor,
    Digest,
    Expect,
    Granted,
    Instant,
    Kind,
    Lock,
    LockLimits,
    LockRequest,
    Node,
    NodeId,
    Outcome,
    Path,
    PropertyChange,
    PropertyName,
    Rules,
    Visibility,
)
from .objects import BlobNeeded
from .pictures import Picture
from .places import Place
from .staging import Draft, Sealable, Sealed

T = TypeVar("T")
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Namespace:
    """The tree as one caller sees and changes it."""

    database: Database
    contents: Contents
    lock_limits: LockLimits
    caller: Caller

    def find(self, path: Path) -> Node | None:
        """What is there, or None. () gives the root."""
        with self.database.read() as tx:
            return Situation(tx, self.caller).node(path)

    def node(self, path: Path) -> Node:
        """Raises NotFound."""
        node = self.find(path)
        if node is None:
            raise NotFound(path)
        return node

    def children(self, path: Path, page: int = PAGE) -> Iterator[list[Node]]:
        """A collection's members in pages by name, each a short transaction. Raises NotFound, NotACollection."""
        return self.children_of(self.node(path), page)

    def children_of(self, node: Node, page: int = PAGE) -> Iterator[list[Node]]:
        if not node.is_collection:
            raise NotACollection(node.path)
        return listings.nodes_of_collection(self.database, self.caller, node, page)

    def members_of(self, node: Node, wanted: frozenset[str], page: int = PAGE) -> Iterator[Members]:
        """The members of a collection that a listing shows, with as much of each as is wanted (listings.Members)."""
        if node.path:
            return listings.of_collection(self.database, self.caller, node, wanted, page)
        return map(listings.of_nodes, self.children_of(node))

    def open(self, node: Node) -> BinaryIO:
        """A seekable reader of the content; a real file where the storage is a directory. Raises Corrupt."""
        return self.contents.open(node)

    def properties(self, of: Sequence[Node]) -> dict[NodeId, dict[PropertyName, str]]:
        """Dead properties as the XML of their elements, for the nodes that have any."""
        with self.database.read() as tx:
            return properties.of(tx, [node.id for node in of])

    def pictures(self, of: Sequence[Node]) -> dict[NodeId, Picture]:
        """What is known of those of the files that are pictures: asked only where one may be."""
        shown = [node.id for node in of if node.media_type.startswith("image/")]
        if not shown:
            return {}
        with self.database.read() as tx:
            return pictures.of(tx, shown)

    def locks(self, of: Sequence[Node]) -> dict[NodeId, tuple[Lock, ...]]:
        """Live locks that cover each node, inherited ones too: for one node, or for members of one collection."""
        with self.database.read() as tx:
            return guards.locks_of(tx, self.caller, of)

    def has_locks(self) -> bool:
        """Something is locked somewhere, or was."""
        with self.database.read() as tx:
            return not locks.are_none(tx)

    def quota(self, path: Path) -> tuple[int, int]:
        """(used, available) bytes of the path's bucket, the trash included; of the whole store at the root."""
        with self.database.read() as tx:
            every = buckets.every(tx) if not path else [buckets.get(tx, path[0])]
        return room.quota(self.contents, every, is_whole=not path)

    def visibility(self, path: Path) -> Visibility:
        """What the path's bucket says where no node does."""
        with self.database.read() as tx:
            return buckets.get(tx, path[0]).visibility if path else "private"

    def check(self, path: Path, expect: Expect) -> None:
        """Raises PreconditionFailed where the expectation does not hold now."""
        with self.database.read() as tx:
            guards.holds(tx, self.caller, expect)

    def check_put(self, path: Path, *, size: int | None, media_type: str = "", expect: Expect = ANYTHING) -> int:
        """The bytes by which the bucket would grow. Raises all that `put` would, as far as it can be known before."""
        guards.writable(path, self.caller, deep=0)
        with self.database.read() as tx:
            place = files.place(tx, self.caller, path, expect)
            media.admit_announced(place.bucket, path, media_type, size)
        growth = (size or 0) - (place.node.size if place.node else 0)
        if size:
            room.admit(self.contents, place.bucket, path, size, growth)
        return growth

    def stage(self, path: Path, *, also: Sequence[str] = ()) -> Draft:
        """A draft bound for the path's bucket. Raises NoParent; its `write` raises TooLarge, StorageFull."""
        guards.writable(path, self.caller, deep=0)
        return self.contents.draft(self._home(path), also)

    def put(
        self,
        path: Path,
        draft: Sealable,
        *,
        media_type: str = "",
        modified: Instant | None = None,
        expires: Instant | timedelta | None = None,
        expect: Expect = ANYTHING,
    ) -> Outcome:
        """The draft's bytes are the file's content, durably; the old ones are a version.

        `expires` is when the file goes by itself, or how long after now; None: as its bucket says, or as before.
        Raises NoParent, IsACollection, PreconditionFailed, Locked, QuotaExceeded, UnsupportedMediaType, StorageFull.
        """
        guards.writable(path, self.caller, deep=0)
        content = draft.seal()

        def attempt() -> Outcome:
            if content.data is not None:
                with suppress(BlobNeeded):
                    return self._written(path, write)
            bucket = self._home(path)
            media.admit_bytes(bucket, path, media.type_of(path[-1], media_type, content), content)
            blob = self.contents.publish(bucket, content)
            with self.database.write(bucket.id) as tx:
                return write(tx, blob)

        def write(tx: Transaction, blob: Descriptor | None = None) -> Outcome:
            return files.write(tx, self.caller, path, content, blob, media_type, modified, expect, expires)

        return crossing.with_bytes(attempt)

    def put_known(
        self,
        path: Path,
        digest: Digest,
        size: int,
        *,
        media_type: str = "",
        modified: Instant | None = None,
        expires: Instant | timedelta | None = None,
        expect: Expect = ANYTHING,
    ) -> Outcome | None:
        """As `put`, of a content that the caller can read in the bucket already. None where the bytes are needed: what
        the caller may not read is as unknown as what is not there (I9)."""
        guards.writable(path, self.caller, deep=0)
        bucket, content = self._home(path), Sealed(digest, size, None, None, {"sha256": digest})
        with self.database.read() as tx:
            may_know = not bucket.types and reach.shows(tx, self.caller, bucket, digest, size)
        if not may_know or not self.contents.has(bucket, digest, size):
            return None
        with suppress(BlobNeeded), self.database.write(bucket.id) as tx:
            if reach.shows(tx, self.caller, bucket, digest, size):
                return files.write(tx, self.caller, path, content, None, media_type, modified, expect, expires)
        return None

    def make_collection(
        self, path: Path, *, modified: Instant | None = None, rules: Rules | None = None, expect: Expect = ANYTHING
    ) -> Node:
        """Raises AlreadyExists, NoParent, and Forbidden where it cannot be a document."""
        guards.writable(path, self.caller, deep=0)
        with self._write(path) as tx:
            guards.holds(tx, self.caller, expect)
            if len(path) < 2:
                raise AlreadyExists(path) if not path or buckets.find(tx, path[0]) else Forbidden(path, guards.BUCKETS)
            place = guards.target(tx, self.caller, path)
            if place.node:
                raise AlreadyExists(path)
            locks.require(tx, self.caller, expect, place, member=True)
            assert place.parent
            seq = buckets.advance(tx, place.bucket)
            made: dict[str, Any] = {"mode": 0o755, "author": self.caller.name}
            made |= {} if modified is None else {"modified": modified}
            node = tree.added(tx, place.bucket.id, place.parent, place.path, seq, kind=Kind.COLLECTION, **made)
            if rules is None:
                return node
            documents.rule(tx, guards.source(tx, self.caller, place.path), self.caller, rules)
            return guards.found(tx, self.caller, place.path)

    def delete(self, path: Path, *, expect: Expect = ANYTHING) -> None:
        """The name is gone; the last name of a node takes it, and all below it, to the trash. Raises Locked."""
        guards.writable(path, self.caller, deep=0)
        with self._write(path) as tx:
            guards.holds(tx, self.caller, expect)
            place = guards.source(tx, self.caller, path) if path else None
            if place is None or place.parent is None:
                raise Forbidden(path, guards.BUCKETS)
            guards.removable(tx, place, self.caller)
            locks.require(tx, self.caller, expect, place, member=True, inside=True)
            relocation.remove(tx, place, buckets.advance(tx, place.bucket), self.caller.name)

    def copy(
        self,
        source: Path,
        destination: Path,
        *,
        deep: bool = True,
        overwrite: bool = True,
        modified: Instant | None = None,
        expect: Expect = ANYTHING,
    ) -> Outcome:
        """Raises AlreadyExists where `overwrite` is false, NoParent, InvalidMove, Locked, QuotaExceeded."""

        def act(tx: Transaction, here: Place, there: Place) -> NodeId:
            return relocation.copy(tx, self.caller, here, there, expect, deep=deep, overwrite=overwrite)

        return self._relocate(source, destination, modified, expect, act, history=False)

    def move(
        self,
        source: Path,
        destination: Path,
        *,
        overwrite: bool = True,
        modified: Instant | None = None,
        expect: Expect = ANYTHING,
    ) -> Outcome:
        """Raises AlreadyExists where `overwrite` is false, NoParent, InvalidMove, Locked, Forbidden for a bucket."""

        def act(tx: Transaction, here: Place, there: Place) -> NodeId:
            if here.parent is None:
                raise Forbidden(source, guards.BUCKETS)
            return relocation.move(tx, self.caller, here, there, expect, overwrite=overwrite)

        return self._relocate(source, destination, modified, expect, act, history=True)

    def _relocate(
        self,
        source: Path,
        destination: Path,
        modified: Instant | None,
        expect: Expect,
        act: Callable[[Transaction, Place, Place], NodeId],
        *,
        history: bool,
    ) -> Outcome:
        """`history`: the versions go along."""
        if not source:
            raise Forbidden(source, guards.BUCKETS)
        if source == destination:
            raise InvalidMove(destination, "is the source itself")
        guards.writable(destination, self.caller)
        involved = {self._bucket(path) for path in {source[:1], destination[:1]}}

        def attempt() -> Outcome:
            with self.database.write(*involved) as tx:
                guards.holds(tx, self.caller, expect)
                here, there = guards.source(tx, self.caller, source), guards.target(tx, self.caller, destination)
                node = act(tx, here, there)
                relocation.set_modified(tx, node, modified)
                place = relocation.renamed(here, there)
                return Outcome(tree.reread(tx, node, place.path), created=place.node is None)

        def brought() -> Outcome:
            try:
                return attempt()
            except BlobNeeded:
                crossing.bring(self.database, self.contents, self.caller, source, destination, history=history)
                raise

        return crossing.with_bytes(brought)

    def set_properties(
        self,
        path: Path,
        changes: Sequence[PropertyChange],
        *,
        modified: Instant | None = None,
        executable: bool | None = None,
        expires: Instant | None = None,
        rules: Rules | None = None,
        expect: Expect = ANYTHING,
    ) -> Node:
        """All changes in order, or none. `executable` sets the x bits, `expires` when a file goes, or FOREVER."""
        guards.writable(path, self.caller, deep=1)
        with self._write(path) as tx:
            guards.holds(tx, self.caller, expect)
            place = guards.source(tx, self.caller, path)
            assert place.node
            guards.changeable(place, self.caller)
            locks.require(tx, self.caller, expect, place)
            seq = buckets.advance(tx, place.bucket)
            wanted = attributes.Change(changes, modified, executable, expires, rules)
            return attributes.change(tx, self.caller, place, seq, wanted)

    def lock(self, path: Path, request: LockRequest, *, expect: Expect = ANYTHING) -> Granted:
        """A new lock. Raises LockConflict."""
        guards.writable(path, self.caller, deep=1)
        timeout = min(request.timeout or self.lock_limits.default, self.lock_limits.longest)

        def act(tx: Transaction) -> Granted:
            guards.holds(tx, self.caller, expect)
            is_top = len(path) == 1
            place = Situation(tx, self.caller).place(path) if is_top else guards.target(tx, self.caller, path)
            created = place.node is None
            if created:
                locks.require(tx, self.caller, expect, place, member=True)
                within = replace(expect, check=None)
                made = files.write(tx, self.caller, place.path, Sealed.of(b""), None, "", None, within)
                place = replace(place, node=made.node)
            lock, others = locks.acquire(tx, self.caller, place, request, timeout)
            return Granted(lock, created, others, place.node is not None and place.node.is_collection)

        return self._written(path, act)

    def refresh(self, path: Path, timeout: int | None, *, expect: Expect) -> Lock:
        """The submitted lock that covers the path lives on. Raises PreconditionFailed, Forbidden."""
        guards.writable(path, self.caller, deep=1)
        with self._write(path) as tx:
            guards.holds(tx, self.caller, expect)
            place = guards.source(tx, self.caller, path)
            return locks.refresh(tx, self.caller, place, expect.tokens, timeout, self.lock_limits.longest)

    def unlock(self, path: Path, token: str) -> None:
        """Raises NoSuchLock, Forbidden for another's lock unless the caller is an administrator."""
        guards.writable(path, self.caller, deep=1)
        self._written(path, lambda tx: locks.release(tx, self.caller, Situation(tx, self.caller).place(path), token))

    def _write(self, path: Path) -> AbstractContextManager[Transaction]:
        """The only writer of the path's bucket, briefly."""
        return self.database.write(*self._writer(path), brief=True)

    def _written(self, path: Path, act: Callable[[Transaction], T]) -> T:
        """As `_write`, of an act that any thread may do."""
        return self.database.written(act, *self._writer(path))

    def _writer(self, path: Path) -> tuple[BucketId, ...]:
        return () if self.database.has_one_writer else (self._bucket(path),)

    def _home(self, path: Path) -> Bucket:
        with self.database.read() as tx:
            return guards.home(tx, path)

    def _bucket(self, path: Path) -> BucketId:
        """The id of a path's bucket, for its writer lock; of none where there is no such bucket."""
        with self.database.read() as tx:
            bucket = buckets.find(tx, path[0]) if path else None
        return bucket.id if bucket else BucketId(0)
