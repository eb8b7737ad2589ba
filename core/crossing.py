"""Contents on their way to another bucket: COPY and MOVE between buckets need objects there before they relink."""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from sqlalchemy import select

from . import buckets, guards, media, objects, subtrees, tree
from .contents import Contents
from .database import Database, Transaction
from .errors import NotFound, StorageUnavailable
from .model import SECOND, Bucket, Caller, NodeId, ObjectId, Path
from .objects import BlobNeeded
from .schema import nodes

HOLD = 3600 * SECOND
"""How long, in nanoseconds, a brought content waits for the transaction that refers to it."""
BLOCK = 256 * 1024
ATTEMPTS = 5
"""How often a write goes back for bytes that the collector took between publishing and adopting."""

T = TypeVar("T")
Said = Mapping[ObjectId, Collection[str]]
"""The media types that files say of their contents."""
NOTHING: Said = MappingProxyType({})


def bring(database: Database, contents: Contents, caller: Caller, source: Path, target: Path, *, history: bool) -> None:
    """The target's bucket has a held object of every content below the source, with `history` of the versions too.

    One content after the other, each in transactions of its own, so that memory and locks stay small. Nothing visible
    changes. Raises NotFound.
    """
    with database.read() as tx:
        place = guards.source(tx, caller, source)
        bucket = buckets.find(tx, target[0])
        missing = subtrees.lacking(tx, place.node.id, bucket, history=history) if place.node and bucket else []
        said = _types_below(tx, place.node.id) if place.node and bucket and bucket.types else NOTHING
    if bucket:
        bring_each(database, contents, missing, bucket, target, said)


def bring_each(
    database: Database,
    contents: Contents,
    missing: Sequence[ObjectId],
    bucket: Bucket,
    target: Path = (),
    said: Said = NOTHING,
) -> None:
    """The bucket has a held object of each of these contents. Raises UnsupportedMediaType for one in disguise."""
    for content in missing:
        _bring_one(database, contents, content, bucket, target, said.get(content, ()))


def _types_below(tx: Transaction, top: NodeId) -> Said:
    below = tree.below(top)
    rows = tx.execute(select(nodes.c.object, nodes.c.media_type).join(below, below.c.id == nodes.c.id).distinct())
    said: dict[ObjectId, set[str]] = {}
    for content, media_type in rows:
        said.setdefault(content, set()).add(media_type)
    return said


def _bring_one(
    database: Database, contents: Contents, wanted: ObjectId, bucket: Bucket, target: Path, said: Collection[str]
) -> None:
    with contents.draft(bucket) as draft:
        try:
            with contents.open_object(wanted) as reader:
                shutil.copyfileobj(reader, draft, BLOCK)
        except NotFound:
            raise BlobNeeded from None
        sealed = draft.seal()
        for media_type in said:
            media.admit_bytes(bucket, target, media_type, sealed)
        blob = contents.publish(bucket, sealed)
        with database.write(bucket.id) as tx:
            objects.hold(tx, objects.adopt(tx, bucket, sealed, blob).id, HOLD, "copied from another bucket")


def with_bytes(attempt: Callable[[], T]) -> T:
    """What an attempt gives that publishes bytes, or brings them, and then adopts them. Raises StorageUnavailable."""
    for _ in range(ATTEMPTS):
        try:
            return attempt()
        except BlobNeeded:
            continue
    raise StorageUnavailable("the storage", "the bytes went away again and again; try once more")
