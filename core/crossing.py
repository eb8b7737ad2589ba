"""Contents on their way to another bucket: COPY and MOVE between buckets need objects there before they relink."""

import shutil
from collections.abc import Callable, Sequence
from typing import TypeVar

from . import buckets, guards, objects, subtrees
from .contents import Contents
from .database import Database
from .errors import NotFound, StorageUnavailable
from .model import SECOND, Bucket, Caller, ObjectId, Path
from .objects import BlobNeeded

HOLD = 3600 * SECOND
"""How long, in nanoseconds, a brought content waits for the transaction that refers to it."""
BLOCK = 256 * 1024
ATTEMPTS = 5
"""How often a write goes back for bytes that the collector took between publishing and adopting."""

T = TypeVar("T")


def bring(database: Database, contents: Contents, caller: Caller, source: Path, target: Path, *, history: bool) -> None:
    """The target's bucket has a held object of every content below the source, with `history` of the versions too.

    One content after the other, each in transactions of its own, so that memory and locks stay small. Nothing visible
    changes. Raises NotFound.
    """
    with database.read() as tx:
        place = guards.source(tx, caller, source)
        bucket = buckets.find(tx, target[0])
        missing = subtrees.lacking(tx, place.node.id, bucket, history=history) if place.node and bucket else []
    if bucket:
        bring_each(database, contents, missing, bucket)


def bring_each(database: Database, contents: Contents, missing: Sequence[ObjectId], bucket: Bucket) -> None:
    """The bucket has a held object of each of these contents."""
    for content in missing:
        _bring_one(database, contents, content, bucket)


def _bring_one(database: Database, contents: Contents, wanted: ObjectId, bucket: Bucket) -> None:
    with contents.draft(bucket) as draft:
        try:
            with contents.open_object(wanted) as reader:
                shutil.copyfileobj(reader, draft, BLOCK)
        except NotFound:
            raise BlobNeeded from None
        sealed = draft.seal()
        blob = contents.publish(bucket, sealed)
        with database.write(bucket.id) as tx:
            objects.hold(tx, objects.adopt(tx, bucket, sealed, blob), HOLD, "copied from another bucket")


def with_bytes(attempt: Callable[[], T]) -> T:
    """What an attempt gives that publishes bytes, or brings them, and then adopts them. Raises StorageUnavailable."""
    for _ in range(ATTEMPTS):
        try:
            return attempt()
        except BlobNeeded:
            continue
    raise StorageUnavailable("the storage", "the bytes went away again and again; try once more")
