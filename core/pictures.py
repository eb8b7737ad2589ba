"""Rows of pictures: what is known of contents as pictures, whose renditions are wanted, and who makes them now.

A claim keeps two processes from making the same thing. It saves work and proves nothing (I10): what both make is kept
once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, insert, or_, select, update

from .batches import among
from .database import Transaction
from .model import SECOND, Bucket, BucketId, NodeId, ObjectId
from .schema import nodes, objects, pictures

LONGEST_CLAIM = 3600 * SECOND
"""One that ends later was made while the database's clock was wrong."""
_KNOWN = select(pictures.c.object).where(pictures.c.object == bindparam("object"))


@dataclass(frozen=True, slots=True)
class Picture:
    """`width` and `height` are pixels, as displayed; `reason` says why there is no rendition of it, whatever preset."""

    width: int | None
    height: int | None
    reason: str | None

    @property
    def has_renditions(self) -> bool:
        """False also where nobody has looked at it yet."""
        return self.width is not None and self.reason is None


def want(tx: Transaction, bucket: Bucket, content: ObjectId, media_type: str, size: int) -> None:
    """The bucket's renditions of a picture that just came will be made, unless they are or cannot be."""
    if not size or not media_type.startswith("image/") or not (bucket.thumbnails or bucket.presets):
        return
    if tx.execute(_KNOWN, {"object": content}).first() is None:
        tx.execute(insert(pictures).values(object=content, wanted=tx.now))


def of(tx: Transaction, wanted: Sequence[NodeId]) -> dict[NodeId, Picture]:
    """What is known of those files that are pictures."""
    known = select(nodes.c.id, pictures.c.width, pictures.c.height, pictures.c.reason).join(
        pictures, pictures.c.object == nodes.c.object
    )
    return {row[0]: Picture(*row[1:]) for row in tx.execute(known.where(among(tx, nodes.c.id, wanted)))}


def get(tx: Transaction, content: ObjectId) -> Picture | None:
    row = tx.execute(select(pictures).where(pictures.c.object == content)).first()
    return Picture(row.width, row.height, row.reason) if row else None


def attempts(tx: Transaction, content: ObjectId) -> int:
    """How often making its renditions ended with the process that did."""
    return tx.scalar(select(pictures.c.attempts).where(pictures.c.object == content)) or 0


def claim(tx: Transaction, content: ObjectId, nanoseconds: int) -> bool:
    """Whether its renditions are ours to make, for so long. False while somebody else's claim lasts."""
    row = tx.execute(select(_is_free(tx).label("free")).where(pictures.c.object == content)).first()
    if row is None:
        tx.execute(insert(pictures).values(object=content, claimed=tx.now + nanoseconds))
        return True
    if not row.free:
        return False
    _set(tx, content, claimed=tx.now + nanoseconds)
    return True


def claim_wanted(tx: Transaction, bucket: BucketId, limit: int, nanoseconds: int) -> list[ObjectId]:
    """Those of the bucket that have waited longest and that nobody is at, claimed."""
    waiting = (
        select(pictures.c.object)
        .join(objects, objects.c.id == pictures.c.object)
        .where(pictures.c.wanted.is_not(None), _is_free(tx), objects.c.bucket == bucket)
        .order_by(pictures.c.wanted, pictures.c.object)
        .limit(limit)
    )
    found: list[ObjectId] = list(tx.execute(waiting).scalars())
    tx.execute(update(pictures).where(among(tx, pictures.c.object, found)).values(claimed=tx.now + nanoseconds))
    return found


def renew(tx: Transaction, contents: Sequence[ObjectId], nanoseconds: int) -> None:
    """The claims on those of them that are not finished last for so long from now."""
    claimed = among(tx, pictures.c.object, contents) & pictures.c.claimed.is_not(None)
    tx.execute(update(pictures).where(claimed).values(claimed=tx.now + nanoseconds))


def next_bucket(tx: Transaction) -> BucketId | None:
    """The bucket of the picture that has waited longest and that nobody is at."""
    waiting = select(objects.c.bucket).join(pictures, pictures.c.object == objects.c.id)
    return tx.scalar(waiting.where(pictures.c.wanted.is_not(None), _is_free(tx)).order_by(pictures.c.wanted).limit(1))


def _is_free(tx: Transaction) -> ColumnElement[bool]:
    claimed = pictures.c.claimed
    return or_(claimed.is_(None), claimed <= tx.now, claimed > tx.now + LONGEST_CLAIM)


def finish(tx: Transaction, content: ObjectId, picture: Picture, *, everything: bool) -> None:
    """What was learnt of it is known. With `everything`, or where nothing can be made, nothing is wanted of it more."""
    values: dict[str, object] = {"reason": picture.reason, "claimed": None, "attempts": 0}
    if picture.width is not None:
        values |= {"width": picture.width, "height": picture.height}
    if everything or picture.reason is not None:
        values["wanted"] = None
    _set(tx, content, **values)


def give_back(tx: Transaction, content: ObjectId, *, failed: bool) -> None:
    """Somebody may try again; `failed` counts."""
    _set(tx, content, claimed=None, attempts=pictures.c.attempts + (1 if failed else 0))


def _set(tx: Transaction, content: ObjectId, **values: object) -> None:
    tx.execute(update(pictures).where(pictures.c.object == content).values(**values))


def want_missing(tx: Transaction, bucket: Bucket, after: NodeId, limit: int) -> NodeId | None:
    """Of a page of the bucket's files, those pictures are wanted that nothing is known of. The page's last, or None."""
    page = (
        select(nodes.c.id, nodes.c.object, nodes.c.media_type)
        .where(nodes.c.bucket == bucket.id, nodes.c.id > after, nodes.c.size > 0)
        .order_by(nodes.c.id)
        .limit(limit)
    )
    rows = tx.execute(page).all()
    shown = {row.object for row in rows if row.media_type.startswith("image/")}
    known = set(tx.execute(select(pictures.c.object).where(among(tx, pictures.c.object, shown))).scalars())
    for content in sorted(shown - known):
        tx.execute(insert(pictures).values(object=content, wanted=tx.now))
    return rows[-1].id if len(rows) == limit else None
