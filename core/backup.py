"""A consistent copy of a store, taken while it serves: the rows of one moment, then the bytes that they name.

While a backup runs, the outbox of deletions rests: what a row of the snapshot names stays readable until it is copied.
That rest is a lease, which saves work and proves nothing (I10): every content is hashed as it is copied, and one that
cannot be read is reported and left out of the manifest, never passed over.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, cast

from sqlalchemy import Table, delete, func, insert, select, update

from . import snapshots, uids
from .archives import Archive, blob_name
from .contents import Contents
from .database import Database, Transaction
from .errors import Corrupt, NotFound, Unusable
from .migrations import current
from .model import SECOND, Digest, Instant, ObjectId, moment
from .outbox import BACKUP, is_resting
from .schema import objects
from .schema_services import jobs, metadata
from .snapshots import Row, Snapshot

LEASE = 600 * SECOND
RENEWAL = 60.0
"""Seconds."""
PAGE = 1000
LEFT_OUT = frozenset(("purges", "blob_data", "storages", "jobs", "locks", "drafts", "uploads", "links"))
"""What belongs to the running store, or is bytes: the archive has those as blobs."""

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with bytes done, and bytes in all."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup that was taken: `copied` of its contents were not in the archive yet."""

    snapshot: Snapshot
    copied: int
    copied_bytes: int


def back_up(database: Database, contents: Contents, archive: Archive, progress: Progress) -> Saved:
    """The archive has one more snapshot.

    Raises Unusable while another backup runs, StorageUnavailable, StorageFull: then the archive has no such snapshot,
    and what was copied so far serves the next one.
    """
    with _Rest(database) as rest:
        rows = _save_rows(database, archive, rest)
        copies = _Copies(contents, archive, rows.bytes, progress, rest)
        for row in snapshots.rows(archive, rows.name, objects.name):
            copies.take(row)
        _save_manifest(archive, rows, copies)
        snapshot = Snapshot(
            rows.name,
            snapshots.FORMAT,
            rows.revision,
            rows.taken,
            len(copies.held),
            copies.bytes,
            rows.tables,
            sorted(copies.storages),
            sorted(copies.missing),
        )
        snapshots.finish(archive, snapshot)
        return Saved(snapshot, copies.copied, copies.copied_bytes)


def kept_tables() -> list[Table]:
    """What a snapshot has of the database, parents first."""
    return [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]


@dataclass(slots=True)
class _Rows:
    """The rows of a snapshot, in the archive; `sums` are the files' digests, `bytes` what the objects amount to."""

    name: str
    revision: str
    taken: Instant
    bytes: int
    tables: dict[str, int] = field(default_factory=dict[str, int])
    sums: dict[str, str] = field(default_factory=dict[str, str])


def _save_rows(database: Database, archive: Archive, rest: "_Rest") -> _Rows:
    """One transaction, as long as it takes: the one exception to I6's pages, since the rows must be of one moment."""
    with database.read() as tx:
        name = f"{moment(tx.now):%Y-%m-%dT%H-%M-%S.%fZ}-{uids.fresh()[-4:]}"
        size = tx.scalar(select(func.coalesce(func.sum(objects.c.size), 0)))
        saved = _Rows(name, current(tx) or "", tx.now, int(size))
        for table in kept_tables():
            file = snapshots.table_file(name, table.name)
            columns = [column.name for column in table.columns]
            saved.tables[table.name], saved.sums[file] = snapshots.save_rows(
                archive, file, columns, _all(tx, table, rest)
            )
    return saved


def _all(tx: Transaction, table: Table, rest: "_Rest") -> Iterator[tuple[object, ...]]:
    for page in tx.connection.execution_options(yield_per=PAGE).execute(select(table)).partitions():
        rest.keep()
        yield from map(tuple, page)


def _save_manifest(archive: Archive, rows: _Rows, copies: "_Copies") -> None:
    with TemporaryFile() as manifest:
        for file, digest in rows.sums.items():
            manifest.write(f"{digest}  {file}\n".encode())
        for held in sorted(copies.held):
            digest = Digest(held.hex())
            manifest.write(f"{digest}  {blob_name(digest)}\n".encode())
        snapshots.add(archive, f"{snapshots.folder(rows.name)}/SHA256SUMS", manifest)


class _Copies:
    """The contents that the archive holds, and gets."""

    def __init__(self, contents: Contents, archive: Archive, total: int, progress: Progress, rest: "_Rest") -> None:
        self.held: set[bytes] = set()
        self.missing: set[Digest] = set()
        self.storages: set[str] = set()
        self.bytes = self.copied = self.copied_bytes = 0
        self._contents = contents
        self._archive = archive
        self._present = {name.rpartition("/")[2]: size for name, size in rest.during(archive.files("blobs/"))}
        self._seen, self._total = 0, total
        self._progress = progress
        self._rest = rest

    def take(self, row: Row) -> None:
        """The archive holds the object's content, or it is known to be missing. Raises StorageUnavailable."""
        digest, size = Digest(str(row["digest"])), cast("int", row["size"])
        self.storages.add(str(row["storage"]))
        if bytes.fromhex(digest) not in self.held and self._brought(digest, size, row):
            self.held.add(bytes.fromhex(digest))
            self.missing.discard(digest)
            self.bytes += size
        self._seen += size
        self._progress(self._seen, self._total)

    def _brought(self, digest: Digest, size: int, row: Row) -> bool:
        if self._present.get(digest) == size:
            return True
        try:
            with self._open(row) as source:
                self._archive.add(blob_name(digest), cast("BinaryIO", _Checked(source, digest, self._rest.keep)))
        except (Corrupt, NotFound):
            self.missing.add(digest)
            return False
        self.copied += 1
        self.copied_bytes += size
        return True

    def _open(self, row: Row) -> BinaryIO:
        try:
            return self._contents.store(str(row["storage"])).open(str(row["key"]))
        except NotFound:
            return self._contents.open_object(ObjectId(cast("int", row["id"])))


class _Checked:
    """A reader that ends only where its bytes hash to the digest (I1); else it raises Corrupt."""

    def __init__(self, source: BinaryIO, digest: Digest, between: Callable[[], None]) -> None:
        self._source = source
        self._digest = digest
        self._between = between
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(size)
        self._hash.update(block)
        self._between()
        if (not block or size < 0) and self._hash.hexdigest() != self._digest:
            raise Corrupt(self._digest, "its blob holds other bytes")
        return block


class _Rest:
    """While it is held, no blob is deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder = uids.fresh()
        self._renewed = time.monotonic()

    def __enter__(self) -> Self:
        with self._database.write() as tx:
            if is_resting(tx):
                raise Unusable("a backup", "runs already, or died less than ten minutes ago; wait for its end")
            tx.execute(delete(jobs).where(jobs.c.name == BACKUP))
            tx.execute(insert(jobs).values(name=BACKUP, holder=self._holder, lease=tx.now + LEASE))
        return self

    def keep(self) -> None:
        """Called at least every few minutes."""
        if time.monotonic() - self._renewed > RENEWAL:
            with self._database.write() as tx:
                mine = (jobs.c.name == BACKUP) & (jobs.c.holder == self._holder)
                tx.execute(update(jobs).where(mine).values(lease=tx.now + LEASE))
            self._renewed = time.monotonic()

    def during(self, items: Iterable[T]) -> Iterator[T]:
        """The items, however long it takes to get them."""
        for item in items:
            self.keep()
            yield item

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._database.write() as tx:
            tx.execute(delete(jobs).where(jobs.c.name == BACKUP, jobs.c.holder == self._holder))
