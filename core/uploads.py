"""Uploads that can be resumed: their bytes come in parts, over days and connections, and survive restarts.

The row says how many bytes are on disk; whatever the file has beyond that is cut off before the next part. So a part
that broke off costs at most a stride, and nothing is ever taken for received that a crash might have taken.
Processes that share the staging directory share the uploads in it.
"""

import fcntl
import hashlib
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import cast

from sqlalchemy import delete, func, insert, select, update

from . import buckets, room, uids
from .contents import Contents
from .database import AnyRow, Database, Transaction
from .errors import (
    IncompleteContent,
    InUse,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    Refusal,
    TooLarge,
    TooMany,
)
from .model import Bucket, Caller, Digest, Instant, Path, moment
from .schema_services import uploads
from .staging import Block, Sealed, sync, translated
from .tempo import FLAT_OUT, Tempo

STRIDE = 8 << 20
"""Bytes after which what came is put on disk and counted."""
BATCH = 100
PREFIX = "upload."
YOUNG = 3600.0
"""Seconds."""
About = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Upload:
    """`about` is what the client said of the content; `node` is the uid of the file that it became, or None."""

    uid: str
    length: int
    offset: int
    about: About
    expires: Instant
    node: str | None

    @property
    def is_whole(self) -> bool:
        return self.offset == self.length


@dataclass(frozen=True, slots=True)
class Uploads:
    """One caller's; nobody else can tell that they exist."""

    database: Database
    contents: Contents
    caller: Caller
    lifetime: int
    """Nanoseconds."""
    most: int
    staged: int | None
    """How many of them may be under way, and how many bytes they may come to."""

    def create(self, home: Path, length: int, about: About, growth: int | None = None) -> Upload:
        """An empty upload bound for the storage of `home`'s bucket, which it makes larger by `growth` bytes, or all.

        Raises NotFound, TooLarge, TooMany, QuotaExceeded, StorageFull.
        """
        with self.database.read() as tx:
            bucket = buckets.get(tx, home[0])
        if bucket.max_size is not None and length > bucket.max_size:
            raise TooLarge(home, f"{length} bytes are more than the {bucket.max_size} that the bucket takes")
        uid = uids.fresh()
        file = self._file(bucket.storage, uid)
        with translated(file.parent):
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            sync(file.parent)
        try:
            with self.database.write() as tx:
                self._admit(tx, bucket, home, length, length if growth is None else growth)
                values = {"bucket": bucket.id, "storage": bucket.storage, "principal": self.caller.name}
                begun = {"length": length, "offset": 0, "about": dict(about), "created": tx.now}
                tx.execute(insert(uploads).values(uid=uid, expires=tx.now + self.lifetime, **values, **begun))
        except Refusal:
            with translated(file.parent):
                file.unlink(missing_ok=True)
            raise
        return self.get(uid)

    def _admit(self, tx: Transaction, bucket: Bucket, home: Path, length: int, growth: int) -> None:
        """What is under way counts as if it were there. Raises TooMany, QuotaExceeded."""
        is_open = uploads.c.node.is_(None) & (uploads.c.expires > tx.now)
        under_way = select(func.count(), func.coalesce(func.sum(uploads.c.length), 0)).where(is_open)
        count, staged = tx.execute(under_way.where(uploads.c.principal == self.caller.name)).one()
        if count >= self.most:
            raise TooMany(home, f"{count} uploads are under way; uploads.most allows no more")
        if self.staged is not None and staged + length > self.staged:
            raise QuotaExceeded(home, f"uploads.staged allows {self.staged} bytes under way, and {staged} are")
        _, promised = tx.execute(under_way.where(uploads.c.bucket == bucket.id)).one()
        room.admit(self.contents, bucket, home, length, growth, int(promised))

    def get(self, uid: str) -> Upload:
        """Raises NotFound, also for those of others."""
        return _upload(self._row(uid))

    @contextmanager
    def part(self, uid: str, offset: int, length: int | None = None) -> Generator["Part"]:
        """Takes the bytes from `offset` on. Without an error they are on disk and counted at the end.

        `length` bytes are announced. Raises NotFound, PreconditionFailed for another offset than it is at, InUse,
        TooLarge.
        """
        row = self._row(uid)
        if row.node is not None:
            raise PreconditionFailed(uid, f"all {row.length} bytes came, and have their file")
        with self._alone(row) as descriptor:
            row = self._row(uid)
            if row.node is not None or row.offset != offset:
                raise PreconditionFailed(uid, f"the upload is at byte {row.offset}, not {offset}")
            if offset + (length or 0) > row.length:
                raise TooLarge(uid, f"{offset} and {length} bytes are more than the {row.length} announced")
            with translated(self._file(row.storage, uid).parent):
                os.ftruncate(descriptor, offset)
            part = Part(self.database, descriptor, self._file(row.storage, uid).parent, row)
            yield part
            part.settle()

    @contextmanager
    def whole(self, uid: str) -> Generator[Sealed]:
        """The content of an upload of which all bytes came, while nobody else changes it. Raises IncompleteContent."""
        row = self._row(uid)
        with self._alone(row):
            row = self._row(uid)
            if row.offset != row.length or row.node is not None:
                raise IncompleteContent(uid, f"has {row.offset} of {row.length} bytes")
            file = self._file(row.storage, uid)
            with translated(file.parent), open(file, "rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            yield Sealed(Digest(digest), row.length, None, file, {"sha256": digest})

    def became(self, uid: str, node: str) -> Upload:
        """The content has its file: the bytes go, and until it expires the upload tells what it became."""
        with self.database.write() as tx:
            tx.execute(update(uploads).where(uploads.c.uid == uid).values(node=node))
        row = self._row(uid)
        self._unlink(row)
        return _upload(row)

    def remove(self, uid: str) -> None:
        """The upload and its bytes are gone; a file that it became stays. Raises NotFound, InUse."""
        row = self._row(uid)
        if row.node is None:
            with self._alone(row):
                self._forget(row)
        else:
            self._forget(row)

    def _forget(self, row: AnyRow) -> None:
        with self.database.write() as tx:
            tx.execute(delete(uploads).where(uploads.c.uid == row.uid))
        self._unlink(row)

    def _row(self, uid: str) -> AnyRow:
        mine = select(uploads).where(uploads.c.uid == uid, uploads.c.principal == self.caller.name)
        with self.database.read() as tx:
            row = tx.execute(mine.where(uploads.c.expires > tx.now)).first() if uids.is_uid(uid) else None
        if row is None:
            raise NotFound(uid, "is no upload, or it has expired")
        return row

    @contextmanager
    def _alone(self, row: AnyRow) -> Generator[int]:
        """The file's descriptor, locked for one process and thread. Raises InUse, NotFound."""
        file = self._file(row.storage, row.uid)
        with translated(file.parent):
            try:
                descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                raise NotFound(row.uid, "its bytes are not here; begin it again") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield descriptor
        except BlockingIOError:
            raise InUse(row.uid, "another request is sending it") from None
        finally:
            os.close(descriptor)

    def _file(self, storage: str, uid: str) -> FilePath:
        return self.contents.store(storage).staging / f"{PREFIX}{uid}"

    def _unlink(self, row: AnyRow) -> None:
        with suppress(FileNotFoundError), translated(self.contents.store(row.storage).staging):
            self._file(row.storage, row.uid).unlink(missing_ok=True)


class Part:
    """What one request brings of an upload."""

    def __init__(self, database: Database, descriptor: int, directory: FilePath, row: AnyRow) -> None:
        self.offset: int = row.offset
        self._database = database
        self._descriptor = descriptor
        self._directory = directory
        self._uid: str = row.uid
        self._length: int = row.length
        self._settled: int = row.offset

    def write(self, block: Block, *, settled: bool = True) -> None:
        """Takes the block; with `settled` what came counts from time to time, though the request may break off later.

        Raises TooLarge before the first byte too many, StorageFull.
        """
        if self.offset + len(block) > self._length:
            raise TooLarge(self._uid, f"more than the {self._length} bytes announced came")
        rest = memoryview(block)
        with translated(self._directory):
            while rest:
                done = os.pwrite(self._descriptor, rest, self.offset)
                rest, self.offset = rest[done:], self.offset + done
        if settled and self.offset - self._settled >= STRIDE:
            self.settle()

    def settle(self) -> None:
        """All that came is on disk, and counts."""
        with translated(self._directory):
            os.fsync(self._descriptor)
        with self._database.write() as tx:
            mine = (uploads.c.uid == self._uid) & (uploads.c.offset == self._settled)
            if tx.execute(update(uploads).where(mine).values(offset=self.offset)).rowcount != 1:
                raise NotFound(self._uid, "was removed meanwhile")
        self._settled = self.offset


def expire(database: Database, contents: Contents, tempo: Tempo = FLAT_OUT) -> int:
    """Uploads whose time is over are gone, with their bytes; so many were. A part that is being sent is refused."""
    gone = 0
    while expired := _expired(database):
        gone += expired
        tempo.between()
    for directory in {store.staging for store in contents.stores.values()}:
        _remove_strays(database, directory)
    return gone


def _expired(database: Database) -> int:
    with database.write() as tx:
        over = select(uploads.c.uid).where(uploads.c.expires <= tx.now).limit(BATCH)
        return tx.execute(delete(uploads).where(uploads.c.uid.in_(over))).rowcount


def _remove_strays(database: Database, directory: FilePath) -> None:
    """Files without a row; one that is young may get its row in a moment."""
    with translated(directory):
        strays = {file.name.removeprefix(PREFIX): file for file in directory.glob(f"{PREFIX}*")}
        with database.read() as tx:
            found = select(uploads.c.uid).where(
                uploads.c.uid.in_(filter(uids.is_uid, strays)), uploads.c.node.is_(None)
            )
            rows = set(tx.execute(found).scalars())
            young = moment(tx.now).timestamp() - YOUNG
        for uid, file in strays.items():
            with suppress(FileNotFoundError):
                if uid not in rows and file.stat().st_mtime < young:
                    file.unlink()


def _upload(row: AnyRow) -> Upload:
    return Upload(row.uid, row.length, row.offset, cast("About", row.about), Instant(row.expires), row.node)
