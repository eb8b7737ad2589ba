"""Objects for a host application in the same process: bytes that its own tables refer to, and no path leads to.

    photo = store.objects.put_object("profiles", data, "image/png")
    connection.execute("UPDATE profile SET photo_uid = %s …", photo.uid)      # the host's own transaction
    store.objects.touch_object(old_uid)                                       # once that is committed

What is put is held for an hour: time enough for the host to commit a row that refers to it. If it never does, the
object goes by itself. The host's column is an indexed foreign key to objects.uid and stands in
`[[buckets.NAME.references]]`, so nothing is let go while a row refers to it (docs/host-application.md).
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from sqlalchemy import delete, func, select, update

from . import buckets, crossing, media, objects
from .blobs.local import LocalBlobs
from .contents import Contents
from .database import AnyRow, Database, Query, Transaction
from .errors import InvalidSetting, NotFound, StorageUnavailable
from .links import sign
from .model import SECOND, Digest, Instant, instant
from .quantities import nanoseconds
from .references import Registry
from .schema import buckets as bucket_rows
from .schema import holds
from .schema import objects as object_rows
from .uids import is_uid

HAND_OVER = 3600 * SECOND
"""How long a host has to refer to what it put, in nanoseconds."""
HELD = "put by the host application"
TEMPORARY = "temporary"
MEDIA_TYPE = "content-type"
BLOCK = 256 * 1024

Source = bytes | BinaryIO


@dataclass(frozen=True, slots=True)
class StoredObject:
    """`metadata` is the host's own, as the first put of this content into the bucket gave it, with its media type.

    `expires` is until when a temporary object can be read for sure, None for one that was not put as such.
    """

    uid: str
    bucket: str
    digest: Digest
    size: int
    media_type: str
    metadata: Mapping[str, object]
    created: Instant
    expires: Instant | None


@dataclass(frozen=True, slots=True)
class HostObjects:
    """The functions that a host application has. Whether a caller may read is the host's to decide."""

    database: Database
    contents: Contents
    registry: Registry

    def put_object(
        self,
        bucket: str,
        source: Source,
        media_type: str,
        metadata: Mapping[str, object] | None = None,
        expires: datetime | None = None,
    ) -> StoredObject:
        """The bytes are stored, durably and once for the bucket; held for an hour, or until `expires`, an aware time.

        Raises NotFound for the bucket, TooLarge, UnsupportedMediaType, StorageUnavailable, InvalidSetting.
        """
        until = None if expires is None else _aware(expires)
        with self.database.read() as tx:
            home = buckets.get(tx, bucket)
        with self.contents.draft(home) as draft:
            shutil.copyfileobj(BytesIO(source) if isinstance(source, bytes) else source, draft, BLOCK)
            content = draft.seal()
            media.admit(home, (bucket,), media_type, content.size)
            media.admit_bytes(home, (bucket,), media_type, content)

            def attempt() -> str:
                blob = self.contents.publish(home, content)
                with self.database.write(home.id) as tx:
                    made = objects.adopt(tx, home, content, blob).id
                    untold = (object_rows.c.id == made) & object_rows.c.metadata.is_(None)
                    told = {**(metadata or {}), MEDIA_TYPE: media_type}
                    tx.execute(update(object_rows).where(untold).values(metadata=told))
                    length = HAND_OVER if until is None else max(0, until - tx.now)
                    objects.hold(tx, made, length, HELD if until is None else TEMPORARY)
                    return str(tx.scalar(select(object_rows.c.uid).where(object_rows.c.id == made)))

            uid = crossing.with_bytes(attempt)
        found = self.get_object(uid)
        if found is None:
            raise StorageUnavailable(uid, "expired while it was put")
        return found

    def get_object(self, uid: str) -> StoredObject | None:
        """None where there is none, where it was let go, and where it was temporary and its time is over."""
        row = self._live(uid)
        if row is None:
            return None
        told, kind = _metadata(row), _media_type(row)
        return StoredObject(row.uid, row.name, row.digest, row.size, kind, told, row.created, row.expires)

    def _live(self, uid: str) -> AnyRow | None:
        with self.database.read() as tx:
            row = _row(tx, uid)
            return None if row is None or self._is_let_go(tx, row) or self._is_over(tx, row) else row

    def _is_let_go(self, tx: Transaction, row: AnyRow) -> bool:
        """Whether it is condemned, and nothing has come to refer to it since: else it is revived by the next run."""
        return row.state != "live" and not self._is_referred_to(tx, row)

    def _is_over(self, tx: Transaction, row: AnyRow) -> bool:
        """Whether it was temporary, its time has passed, and nothing else has come to refer to it."""
        if row.expires is None or row.expires > tx.now:
            return False
        return not self._is_referred_to(tx, row)

    def _is_referred_to(self, tx: Transaction, row: AnyRow) -> bool:
        return any(rule.referenced(tx, [row.id]) for rule in self.registry.rules(buckets.get(tx, row.name)))

    def get_object_data(self, uid: str) -> BinaryIO:
        """A seekable reader of the bytes. Raises NotFound, Corrupt, StorageUnavailable."""
        return self.contents.open_object(self._required(uid).id)

    def get_object_bytes(self, uid: str) -> bytes:
        """All of the bytes. Raises as `get_object_data` does."""
        with self.get_object_data(uid) as reader:
            return reader.read()

    def get_object_url(self, uid: str, max_age: timedelta = timedelta(minutes=15)) -> str:
        """Where a browser gets the bytes: a signed URL that lasts at least half of `max_age` where the storage can
        sign, else the server's path for them, which asks who reads. Raises NotFound, StorageUnavailable."""
        row = self._required(uid)
        signer = self.contents.presigners.get(row.storage)
        if signer is None:
            return f"/assets/by-id/{uid}"
        with self.database.read() as tx:
            now = tx.now
        return sign(signer, row.key, nanoseconds(max_age), now, _media_type(row), "inline").url

    def get_object_path(self, uid: str) -> Path | None:
        """The blob's file, to be read and never written; None where the storage has no files. Raises NotFound."""
        row = self._required(uid)
        store = self.contents.stores.get(row.storage)
        return store.root / row.key if isinstance(store, LocalBlobs) else None

    def touch_object(self, uid: str) -> bool:
        """The collector looks at it again: call it when a row of yours does not refer to it any more. False: no such
        object."""
        return self._change(uid, drop_holds=False)

    def del_object(self, uid: str) -> bool:
        """The host wants it no longer: its holds end, and it goes unless something refers to it. False: no such."""
        return self._change(uid, drop_holds=True)

    def _change(self, uid: str, *, drop_holds: bool) -> bool:
        with self.database.read() as tx:
            row = _row(tx, uid)
        if row is None:
            return False
        with self.database.write(row.bucket) as tx:
            if drop_holds:
                tx.execute(delete(holds).where(holds.c.object == row.id, holds.c.why.in_((HELD, TEMPORARY))))
            objects.touch(tx, row.id)
        return True

    def _required(self, uid: str) -> AnyRow:
        row = self._live(uid)
        if row is None:
            raise NotFound(uid, "is no object, or its time is over")
        return row


_EXPIRES = select(func.max(holds.c.until)).where(holds.c.object == object_rows.c.id, holds.c.why == TEMPORARY)
_ROW: Query = select(object_rows, bucket_rows.c.name, _EXPIRES.scalar_subquery().label("expires")).join(bucket_rows)


def _row(tx: Transaction, uid: str) -> AnyRow | None:
    return tx.execute(_ROW.where(object_rows.c.uid == uid)).first() if is_uid(uid) else None


def _media_type(row: AnyRow) -> str:
    return str(_metadata(row).get(MEDIA_TYPE, media.UNKNOWN))


def _metadata(row: AnyRow) -> Mapping[str, object]:
    return cast("Mapping[str, object]", row.metadata or {})


def _aware(moment: datetime) -> Instant:
    if moment.tzinfo is None:
        raise InvalidSetting("expires", f"{moment.isoformat()} has no time zone; give an aware time")
    return instant(moment)
