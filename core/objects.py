"""Object rows: one content, kept once per bucket, and where its bytes lie (I2, I3)."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, func, insert, or_, select, update

from . import history, outbox, uids
from .blobs.database import inline_size, insert_inline, is_empty_inline
from .database import Transaction
from .model import EMPTY, INLINE, SECOND, Bucket, BucketId, Descriptor, Digest, ObjectId
from .prepared import Prepared
from .schema import digests, holds, objects
from .staging import Sealed

_BORN = ("uid", "bucket", "digest", "dedup_key", "size", "storage", "key", "created", "touched")
_INSERT = Prepared(insert(objects).values({name: bindparam(name) for name in _BORN}).returning(objects.c.id))
_OF_DIGEST = Prepared(
    select(objects.c.id, objects.c.uid, objects.c.storage, objects.c.key, objects.c.verdict, objects.c.state).where(
        objects.c.bucket == bindparam("bucket"), objects.c.dedup_key == bindparam("digest")
    )
)
_TOUCH = Prepared(update(objects).where(objects.c.id == bindparam("wanted")).values(touched=bindparam("at")))
_RENEW = Prepared(
    update(objects)
    .where(objects.c.id == bindparam("wanted"), or_(objects.c.verdict.is_(None), objects.c.verdict == "ok"))
    .values(touched=bindparam("at"), state="live", condemned=None)
)
_RENEW_EMPTY = Prepared(
    update(objects)
    .where(
        objects.c.bucket == bindparam("of"),
        objects.c.dedup_key == bindparam("digest"),
        objects.c.state == "live",
        or_(objects.c.verdict.is_(None), objects.c.verdict == "ok"),
        objects.c.storage == INLINE,
        is_empty_inline(objects.c.key),
    )
    .values(touched=bindparam("at"))
    .returning(objects.c.id, objects.c.uid, objects.c.key)
)
LINGERING = 7 * 24 * 3600 * SECOND
"""How long a healthy blob stays that has become inline, for those who read it: no signed URL lives longer."""


class BlobNeeded(Exception):
    """The content's bytes must be published first: no healthy object has them, or their intent was taken meanwhile."""


def known(tx: Transaction, bucket: Bucket, digest: Digest) -> "Known | None":
    """The bucket's object of this content that is believed healthy: if its blob is there, an upload needs no bytes."""
    row = _of_digest(tx, bucket, digest)
    return row if row is not None and _healthy(row) else None


class Adopted(NamedTuple):
    """An object that vouches for a content."""

    id: ObjectId
    uid: str
    content: Descriptor


def adopt(tx: Transaction, bucket: Bucket, content: Sealed, blob: Descriptor | None) -> Adopted:
    """The bucket's object of this content, inserted, touched, revived or repaired as need be.

    `blob` is where the content was published; None where it was thought known or is to be inline. Raises BlobNeeded.
    """
    row = _of_digest(tx, bucket, content.digest)
    if row is not None and row.state == "condemned":
        history.record(tx, bucket, [row.id], "revived", "the same content came again")
    if row is not None and _healthy(row) and _is_kept(tx, bucket, content, blob, row):
        if blob is not None:
            outbox.give_up(tx, blob.storage, blob.key)
        if tx.count(_RENEW, {"wanted": row.id, "at": tx.now}) != 1:
            raise BlobNeeded
        return Adopted(row.id, row.uid, Descriptor(content.digest, content.size, row.storage, row.key))
    vouched = _vouched(tx, bucket, content, blob)
    if row is not None:
        outbox.post(tx, row.storage, row.key, LINGERING if _healthy(row) else 0)
        repaired = {
            "storage": vouched.storage,
            "key": vouched.key,
            "verdict": None,
            "verified": None,
            "touched": tx.now,
            "state": "live",
            "condemned": None,
        }
        tx.execute(update(objects).where(objects.c.id == row.id).values(**repaired))
        return Adopted(row.id, row.uid, vouched)
    return _insert(tx, bucket, content, vouched)


def empty(tx: Transaction, bucket: Bucket) -> Adopted:
    """The bucket's object of no bytes. Mostly it is there, and one statement is enough to adopt it."""
    row = tx.first(_RENEW_EMPTY, {"of": bucket.id, "digest": EMPTY, "at": tx.now}) if bucket.dedup else None
    if row is None:
        return adopt(tx, bucket, Sealed(EMPTY, 0, b"", None, {}), None)
    known, uid, key = row
    return Adopted(known, uid, Descriptor(EMPTY, 0, INLINE, key))


def _insert(tx: Transaction, bucket: Bucket, content: Sealed, blob: Descriptor) -> Adopted:
    uid = uids.fresh()
    made = {
        "uid": uid,
        "bucket": bucket.id,
        "digest": content.digest,
        "dedup_key": content.digest if bucket.dedup else None,
        "size": content.size,
        "storage": blob.storage,
        "key": blob.key,
        "created": tx.now,
        "touched": tx.now,
    }
    ((made_id,),) = tx.rows(_INSERT, made)
    others = {name: value for name, value in content.digests.items() if name in {"sha1", "md5"}}
    if others:
        tx.execute(insert(digests).values(object=made_id, **others))
    return Adopted(made_id, uid, blob)


def _vouched(tx: Transaction, bucket: Bucket, content: Sealed, blob: Descriptor | None) -> Descriptor:
    if blob is not None:
        if not outbox.take_back(tx, blob.storage, blob.key):
            raise BlobNeeded
        return blob
    if not is_inline(bucket, content) or content.data is None:
        raise BlobNeeded
    key = inline_key(bucket)
    insert_inline(tx, key, content.data)
    return Descriptor(content.digest, content.size, INLINE, key)


def _is_kept(tx: Transaction, bucket: Bucket, content: Sealed, blob: Descriptor | None, row: "Known") -> bool:
    """Whether the object has its bytes. A blob was asked for before the transaction, outside of which no storage is;
    a content that is to be inline was not, and where its object has a blob elsewhere, its bytes come inline as well."""
    if blob is not None or content.data is None or not is_inline(bucket, content):
        return True
    return row.storage == INLINE and inline_size(tx, row.key) == content.size


def is_inline(bucket: Bucket, content: Sealed) -> bool:
    """Whether the committing transaction itself stores the bytes. The empty content always is."""
    return content.size < bucket.inline_below or content.size == 0


def blob_key(bucket: Bucket, digest: Digest) -> str:
    """A key that no blob ever had."""
    return f"{bucket.name}/{digest[:2]}/{digest[2:4]}/{digest}.{uids.fresh()}"


def inline_key(bucket: Bucket) -> str:
    """As `blob_key`, in the order in which they are made, so that the indexes of such keys grow at their ends."""
    return f"{bucket.name}/{uids.fresh()}"


def _of_digest(tx: Transaction, bucket: Bucket, digest: Digest) -> "Known | None":
    row = tx.first(_OF_DIGEST, {"bucket": bucket.id, "digest": digest}) if bucket.dedup else None
    return None if row is None else Known(*row)


class Known(NamedTuple):
    """An object as an upload of its content finds it."""

    id: ObjectId
    uid: str
    storage: str
    key: str
    verdict: str | None
    state: str


def _healthy(row: Known) -> bool:
    return row.verdict not in {"lost", "corrupt"}


def touch(tx: Transaction, wanted: ObjectId) -> None:
    """A reference was dropped: worth a look by the collector."""
    tx.count(_TOUCH, {"wanted": wanted, "at": tx.now})


def revive(tx: Transaction, bucket: Bucket, wanted: ObjectId, reason: str) -> None:
    """The object is live, whatever it was, and worth a look in case that nothing comes to refer to it."""
    condemned = select(objects.c.id).where(objects.c.id == wanted, objects.c.state == "condemned")
    history.record(tx, bucket, list(tx.execute(condemned).scalars()), "revived", reason)
    tx.execute(update(objects).where(objects.c.id == wanted).values(state="live", condemned=None, touched=tx.now))


def located(tx: Transaction, wanted: ObjectId) -> Descriptor | None:
    """Where the bytes are now: they may have moved or been repaired since a row was read."""
    row = tx.execute(
        select(objects.c.digest, objects.c.size, objects.c.storage, objects.c.key).where(objects.c.id == wanted)
    ).first()
    return Descriptor(*row) if row else None


class Judged(NamedTuple):
    bucket: BucketId
    verdict: str | None


def judged(tx: Transaction, wanted: ObjectId) -> Judged | None:
    """Whose the object is, and what was last found of its blob."""
    row = tx.execute(select(objects.c.bucket, objects.c.verdict).where(objects.c.id == wanted)).first()
    return Judged(*row) if row else None


def counterpart(tx: Transaction, wanted: ObjectId, bucket: BucketId) -> ObjectId:
    """The live object of the same content in another bucket. Raises BlobNeeded where there is none."""
    theirs = objects.alias("theirs")
    same = (
        select(func.min(theirs.c.id))
        .join(objects, has_digest(theirs, objects.c.digest))
        .where(objects.c.id == wanted, theirs.c.bucket == bucket, is_sound(theirs))
    )
    found = tx.scalar(same)
    if found is None:
        raise BlobNeeded
    return found


def has_digest(rows: FromClause, digest: ColumnElement[Any] | str) -> ColumnElement[bool]:
    """Whether these are the bytes, by the two indexes that there are: of shared contents, and of those kept apart."""
    return or_(rows.c.dedup_key == digest, and_(rows.c.dedup_key.is_(None), rows.c.digest == digest))


def is_sound(rows: FromClause) -> ColumnElement[bool]:
    """Live, and not known to have lost its bytes."""
    return and_(rows.c.state == "live", or_(rows.c.verdict.is_(None), rows.c.verdict == "ok"))


def hold(tx: Transaction, wanted: ObjectId, nanoseconds: int, why: str) -> None:
    """A reference with an end."""
    tx.execute(insert(holds).values(object=wanted, until=tx.now + nanoseconds, why=why))
