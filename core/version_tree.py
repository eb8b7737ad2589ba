"""The versions as a tree: the namespace's collections, and each of its files as a collection of its older contents."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select

from . import buckets, guards, objects, places, relocation, stamps, tree, versions
from .database import AnyRow, Query, Transaction
from .errors import Forbidden, NotFound
from .model import Bucket, Caller, Descriptor, Expect, Instant, Kind, Node, NodeId, ObjectId, Path, Version
from .objects import BlobNeeded
from .paths import folded
from .places import Place
from .schema import objects as object_rows
from .schema import versions as rows

NO_NODE = NodeId(0)


@dataclass(frozen=True, slots=True)
class VersionTree:
    """What `views.View` shows at one place and takes out of (views.Past)."""

    def node(self, tx: Transaction, path: Path) -> Node | None:
        if not path:
            return guards.root()
        place = places.resolve(tx, path)
        if place and place.node:
            return _as_collection(place.node, place.bucket)
        return _version(tx, path)

    def page(self, tx: Transaction, of: Node, after: Node | None, limit: int) -> list[Node]:
        if not of.path:
            return [] if after else tree.roots(tx)
        place = places.resolve(tx, of.path)
        if place is None or place.node is None:
            return []
        if place.node.kind is Kind.FILE:
            return [] if after else _contents(tx, place.node)
        members = tree.children(tx, of.id, of.path, after and after.name, limit)
        return [_as_collection(member, place.bucket) for member in members]

    def lacking(self, tx: Transaction, path: Path, bucket: Bucket) -> Sequence[ObjectId]:
        content = tree.object_of(_source(tx, path))
        try:
            objects.counterpart(tx, content, bucket.id)
        except BlobNeeded:
            return [content]
        return []

    def copy(
        self, tx: Transaction, caller: Caller, path: Path, target: Place, expect: Expect, *, deep: bool, overwrite: bool
    ) -> NodeId:
        """Over the file itself this restores; the content that it had is a version then."""
        return relocation.recall(tx, caller, _source(tx, path), target, expect, overwrite=overwrite)

    def move(
        self, tx: Transaction, caller: Caller, path: Path, target: Place, expect: Expect, *, overwrite: bool
    ) -> NodeId:
        """As `copy`, and the version leaves the list."""
        version = _source(tx, path)
        node = relocation.recall(tx, caller, version, target, expect, overwrite=overwrite)
        versions.drop(tx, version.uid)
        return node

    def drop(self, tx: Transaction, path: Path) -> bool:
        version = _source(tx, path)
        buckets.advance(tx, buckets.get(tx, path[0]))
        versions.drop(tx, version.uid)
        return False


def _as_collection(node: Node, bucket: Bucket) -> Node:
    """A file as the collection of its versions, which is another whenever the bucket changes. Who may read the file
    may enter."""
    if node.kind is not Kind.FILE:
        return node
    no_content = {"object": None, "object_uid": "", "content": None, "size": 0, "media_type": ""}
    mode = node.mode | (node.mode & 0o444) >> 2
    return replace(node, kind=Kind.COLLECTION, seq=bucket.seq, mode=mode, **no_content)


def _contents(tx: Transaction, file: Node) -> list[Node]:
    """The older contents of a file as files of their own, newest first."""
    found = _ROWS.where(rows.c.node == file.id).order_by(rows.c.replaced.desc(), rows.c.id.desc())
    return [_read(row, file) for row in tx.execute(found)]


_ROWS: Query = select(
    rows, object_rows.c.uid.label("object_uid"), object_rows.c.digest, object_rows.c.storage, object_rows.c.key
).join(object_rows, object_rows.c.id == rows.c.object)


def _read(row: AnyRow, file: Node) -> Node:
    kept = Version(row.uid, row.digest, row.size, row.media_type, row.modified, row.author, Instant(row.replaced))
    name = stamps.stamp(kept.replaced, kept.uid) + stamps.split(file.name)[1]
    return Node(
        NO_NODE,
        kept.uid,
        file.bucket,
        (*file.path, name),
        Kind.FILE,
        kept.size,
        kept.media_type,
        created=kept.replaced,
        modified=kept.modified,
        seq=0,
        object=row.object,
        object_uid=row.object_uid,
        content=Descriptor(kept.digest, kept.size, row.storage, row.key),
        mode=file.mode,
        uid_number=file.uid_number,
        gid_number=file.gid_number,
        owner=file.owner,
        visibility=file.visibility,
        access=file.access,
        past=kept,
    )


def _version(tx: Transaction, path: Path) -> Node | None:
    if len(path) < 3:
        return None
    *above, name = path
    place = places.resolve(tx, tuple(above))
    if place is None or place.node is None or place.node.kind is not Kind.FILE:
        return None
    return next((each for each in _contents(tx, place.node) if folded(each.name) == folded(name)), None)


def _source(tx: Transaction, path: Path) -> Node:
    """Raises NotFound, and Forbidden for what is no version."""
    version = _version(tx, path)
    if version is None:
        place = places.resolve(tx, path) if path else None
        if path and (place is None or place.node is None):
            raise NotFound(path)
        raise Forbidden("the list itself", "only the versions in it can be taken out or deleted")
    return version
