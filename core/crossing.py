"""Contents on their way to another bucket: COPY and MOVE between buckets need objects there before they relink."""

import shutil

from . import buckets, guards, objects, subtrees
from .contents import Contents
from .database import Database
from .model import SECOND, Bucket, ObjectId, Path

HOLD = 3600 * SECOND
"""How long, in nanoseconds, a brought content waits for the transaction that refers to it."""
BLOCK = 256 * 1024


def bring(database: Database, contents: Contents, source: Path, target: Path, *, history: bool) -> None:
    """The target's bucket has a held object of every content below the source, with `history` of the versions too.

    One content after the other, each in transactions of its own, so that memory and locks stay small. Nothing visible
    changes. Raises NotFound.
    """
    with database.read() as tx:
        place = guards.source(tx, source)
        bucket = buckets.find(tx, target[0])
        missing = subtrees.lacking(tx, place.node.id, bucket, history=history) if place.node and bucket else []
    for content in missing:
        if bucket:
            _bring_one(database, contents, content, bucket)


def _bring_one(database: Database, contents: Contents, wanted: ObjectId, bucket: Bucket) -> None:
    with database.read() as tx:
        content = objects.located(tx, wanted)
    if content is None:
        return
    with contents.read(content) as reader, contents.draft(bucket) as draft:
        shutil.copyfileobj(reader, draft, BLOCK)
        sealed = draft.seal()
        blob = contents.publish(bucket, sealed)
        with database.write(bucket.id) as tx:
            objects.hold(tx, objects.adopt(tx, bucket, sealed, blob), HOLD, "copied from another bucket")
