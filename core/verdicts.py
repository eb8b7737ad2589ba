"""Verdicts on blobs: what was found when one was looked for or read, kept with its object for uploads to repair.

A verdict is of the blob that was looked at: an object that was repaired or moved meanwhile keeps its own. It is noted
under the bucket's writer lock, so that no upload takes an object for healthy that is judged while it commits (I2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from sqlalchemy import bindparam, update

from .database import Database
from .model import BucketId, ObjectId
from .schema import objects

Word = Literal["ok", "lost", "corrupt"]

_NOTE = (
    update(objects)
    .where(objects.c.id == bindparam("wanted"), objects.c.storage == bindparam("seen_in"))
    .where(objects.c.key == bindparam("seen_at"))
    .values(verified=bindparam("at"), verdict=bindparam("word"))
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`storage` and `key` are where the object's blob was looked for."""

    bucket: BucketId
    object: ObjectId
    storage: str
    key: str
    word: Word


def note(database: Database, verdicts: Sequence[Verdict]) -> None:
    """They are kept, a transaction for each bucket. One that a power failure takes is found again."""
    for bucket, mine in groupby(sorted(verdicts, key=_bucket), key=_bucket):
        with database.write(bucket, durable=False) as tx:
            rows = [
                {
                    "wanted": each.object,
                    "seen_in": each.storage,
                    "seen_at": each.key,
                    "at": tx.now,
                    "word": each.word,
                }
                for each in mine
            ]
            tx.execute(_NOTE, rows)


def _bucket(verdict: Verdict) -> BucketId:
    return verdict.bucket
