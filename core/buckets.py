"""Bucket rows: policy, counters and the change counter that every write moves."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, bindparam, insert, select, update

from . import uids
from .database import Transaction
from .errors import AlreadyExists, InvalidSetting, NotFound, QuotaExceeded
from .model import Bucket, BucketId, Instant, moment
from .policy import BucketPolicy, Versions
from .prepared import Prepared
from .schema import buckets, nodes

WIDTH = len(fields(Bucket))
_LISTS = [n for n, field in enumerate(fields(Bucket)) if field.name in {"types", "presets", "documents"}]


def columns_of(bucket: FromClause, root: FromClause) -> tuple[ColumnElement[Any], ...]:
    """What `read` takes, of a bucket's row and its root node's."""
    return tuple(root.c.id if field.name == "root" else bucket.c[field.name] for field in fields(Bucket))


_BUCKET = select(*columns_of(buckets, nodes)).join(nodes, (nodes.c.bucket == buckets.c.id) & nodes.c.is_root)
_BY_NAME = Prepared(_BUCKET.where(buckets.c.name == bindparam("wanted")))
_ADVANCE = Prepared(
    update(buckets)
    .where(buckets.c.id == bindparam("bucket"))
    .values(
        seq=buckets.c.seq + 1,
        files=buckets.c.files + bindparam("more_files"),
        bytes=buckets.c.bytes + bindparam("more_bytes"),
    )
    .returning(buckets.c.seq, buckets.c.bytes)
)


def find(tx: Transaction, name: str) -> Bucket | None:
    row = tx.first(_BY_NAME, {"wanted": name})
    return read(row) if row else None


def get(tx: Transaction, name: str) -> Bucket:
    """Raises NotFound."""
    bucket = find(tx, name)
    if bucket is None:
        raise NotFound((name,), "there is no such bucket")
    return bucket


def by_id(tx: Transaction, bucket: BucketId) -> Bucket:
    return read(tx.execute(_BUCKET.where(buckets.c.id == bucket)).one())


def every(tx: Transaction) -> list[Bucket]:
    """All buckets in name order."""
    return [read(row) for row in tx.execute(_BUCKET.order_by(buckets.c.name))]


def create(tx: Transaction, name: str, policy: BucketPolicy) -> Bucket:
    """Raises AlreadyExists."""
    if find(tx, name):
        raise AlreadyExists((name,), "there is a bucket of that name")
    row = insert(buckets).values(uid=uids.fresh(), name=name, created=tx.now, **columns(policy)).returning(buckets.c.id)
    bucket = tx.scalar(row)
    tx.execute(
        insert(nodes).values(
            uid=uids.fresh(),
            bucket=bucket,
            is_root=True,
            kind="collection",
            mode=0o755,
            links=0,
            seq=0,
            created=tx.now,
            modified=tx.now,
            changed=tx.now,
        )
    )
    return get(tx, name)


def change(tx: Transaction, name: str, policy: BucketPolicy) -> Bucket:
    """The bucket follows another policy from now on. Raises NotFound."""
    bucket = get(tx, name)
    tx.execute(update(buckets).where(buckets.c.id == bucket.id).values(**columns(policy), thinned=0))
    return get(tx, name)


def columns(policy: BucketPolicy) -> dict[str, Any]:
    """A policy as the row holds it: durations in nanoseconds."""
    return {
        "storage": policy.storage,
        "inline_below": policy.inline_below,
        "max_size": policy.max_size,
        "quota": policy.quota,
        "dedup": policy.dedup,
        "keep_versions": policy.versions.keep,
        "versions_age": _nanoseconds(policy.versions.age),
        "trash": None if policy.trash is None else _nanoseconds(policy.trash),
        "retention": _nanoseconds(policy.retention),
        "expire_after": None if policy.expire_after is None else _nanoseconds(policy.expire_after),
        "visibility": policy.visibility,
        "presign": policy.presign,
        "types": list(policy.types),
        "thumbnails": policy.thumbnails,
        "presets": list(policy.presets),
        "documents": list(policy.documents),
        "media_grace": _nanoseconds(policy.media_grace),
    }


def policy(bucket: Bucket) -> BucketPolicy:
    """The policy that `columns` wrote."""
    return BucketPolicy(
        storage=bucket.storage,
        inline_below=bucket.inline_below,
        max_size=bucket.max_size,
        quota=bucket.quota,
        dedup=bucket.dedup,
        versions=Versions(keep=bucket.keep_versions, age=_duration(bucket.versions_age)),
        trash=None if bucket.trash is None else _duration(bucket.trash),
        retention=_duration(bucket.retention),
        expire_after=None if bucket.expire_after is None else _duration(bucket.expire_after),
        visibility=bucket.visibility,
        presign=bucket.presign,
        types=bucket.types,
        thumbnails=bucket.thumbnails,
        presets=bucket.presets,
        documents=bucket.documents,
        media_grace=_duration(bucket.media_grace),
    )


def _nanoseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000


def _duration(nanoseconds: int) -> timedelta:
    return timedelta(microseconds=nanoseconds // 1000)


def advance(tx: Transaction, bucket: Bucket, files: int = 0, size: int = 0) -> int:
    """The bucket's next `seq`; its counters move by `files` and `size` bytes. Raises QuotaExceeded."""
    moved = {"bucket": bucket.id, "more_files": files, "more_bytes": size}
    ((seq, used),) = tx.rows(_ADVANCE, moved)
    if size > 0 and bucket.quota is not None and used > bucket.quota:
        raise QuotaExceeded((bucket.name,), f"{used} bytes would be used of {bucket.quota}, the trash included")
    return seq


def expiry(tx: Transaction, bucket: Bucket, wanted: Instant | timedelta | None = None) -> Instant | None:
    """When a file that the bucket takes now will go by itself, unless its writer wants another time, or lifetime.

    Raises InvalidSetting for a time that is over: nobody means to have an upload thrown away.
    """
    if isinstance(wanted, timedelta):
        return Instant(tx.now + _nanoseconds(wanted))
    if wanted is not None and wanted <= tx.now:
        raise InvalidSetting("the time when it goes", f"is over: {moment(wanted):%Y-%m-%d %H:%M:%S} UTC")
    if wanted is not None:
        return wanted
    return None if bucket.expire_after is None else Instant(tx.now + bucket.expire_after)


def read(columns: Sequence[Any]) -> Bucket:
    """The bucket in the columns of `columns_of`."""
    values = list(columns)
    for n in _LISTS:
        values[n] = tuple(values[n])
    return Bucket(*values)
