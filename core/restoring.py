"""A store made from a backup, in an empty database and empty storages.

The bytes come first and the rows after them, in one transaction: whatever ends a restore early leaves a database
without buckets, in which it can be begun again.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, cast

from sqlalchemy import JSON, UUID, Connection, MetaData, Table, event, func, insert, inspect, select, text, update

from . import migrations, snapshots, storages
from .archives import BLOCK, Archive, blob_name
from .backup import Progress
from .blobs import BlobStore
from .blobs.database import insert_inline
from .database import Database, Transaction
from .errors import Corrupt, NotFound, Unusable
from .model import INLINE, Digest
from .schema import buckets, objects
from .settings import Settings
from .snapshots import Row, Snapshot
from .staging import Staging

BATCH = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Restored:
    """`lost` contents have rows and no bytes: an upload of the same content repairs them."""

    snapshot: Snapshot
    lost: list[Digest]


def restore(settings: Settings, archive: Archive, name: str | None, progress: Progress, *, partial: bool) -> Restored:
    """The database and the storages of these settings are what the store was at the snapshot (None: the newest).

    `partial`: contents that the archive has lost are left out. Raises Unusable where the installation is not empty or
    lacks a storage, NotFound for a snapshot, Corrupt for a content, StorageUnavailable, StorageFull.
    """
    snapshot = snapshots.read(archive, name)
    database = Database(settings.database.url, settings.database.durability)
    try:
        with database.read() as tx:
            _require_empty(tx, database)
        migrations.upgrade(database, snapshot.revision)
        stores = storages.opened(database, settings)
        _require_storages(snapshot, stores)
        source = _Source(archive, snapshot, partial)
        _publish(source, stores, settings.database.durability == "fsync", progress)
        with database.write() as tx:
            _require_empty(tx, database)
            _insert(tx, source)
        migrations.upgrade(database)
        return Restored(snapshot, sorted(source.lost))
    finally:
        database.close()


def _require_empty(tx: Transaction, database: Database) -> None:
    if inspect(tx.connection).has_table(buckets.name) and tx.scalar(select(func.count()).select_from(buckets)):
        where = database.url.render_as_string()
        raise Unusable(where, "holds a davstore already; restore into an empty data directory or database")


def _require_storages(snapshot: Snapshot, stores: dict[str, BlobStore]) -> None:
    unknown = [name for name in snapshot.storages if name not in stores]
    if unknown:
        raise Unusable(unknown[0], f"had contents at the time of the backup; configure [storages.{unknown[0]}]")


class _Source:
    """A snapshot's rows and contents."""

    def __init__(self, archive: Archive, snapshot: Snapshot, partial: bool) -> None:
        self.archive = archive
        self.snapshot = snapshot
        self.lost = set(snapshot.missing)
        self._partial = partial

    def rows(self, table: str) -> Iterator[Row]:
        return snapshots.rows(self.archive, self.snapshot.name, table)

    def blocks(self, digest: Digest) -> Iterator[bytes]:
        """The content, which is whole and right if the iteration ends. Raises Corrupt."""
        seen = hashlib.sha256()
        try:
            with self.archive.open(blob_name(digest)) as file:
                while block := file.read(BLOCK):
                    seen.update(block)
                    yield block
        except NotFound:
            raise Corrupt(digest, "is missing in the archive; --partial restores all others") from None
        if seen.hexdigest() != digest:
            raise Corrupt(digest, "is damaged in the archive; --partial restores all others")

    def lose(self, damage: Corrupt, digest: Digest) -> None:
        """Raises the damage unless a part is better than nothing."""
        if not self._partial:
            raise damage
        self.lost.add(digest)


def _publish(source: _Source, stores: dict[str, BlobStore], durable: bool, progress: Progress) -> None:
    stagings = {name: Staging(store.staging, durable) for name, store in stores.items()}
    done = 0
    for row in source.rows(objects.name):
        digest, name = Digest(str(row["digest"])), str(row["storage"])
        if name != INLINE and digest not in source.lost:
            with stagings[name].draft(0, None) as draft:
                try:
                    for block in source.blocks(digest):
                        draft.write(block)
                except Corrupt as damage:
                    source.lose(damage, digest)
                else:
                    stores[name].publish(str(row["key"]), draft.seal())
        done += cast("int", row["size"])
        progress(done, max(done, source.snapshot.bytes))


def _insert(tx: Transaction, source: _Source) -> None:
    tables = _reflected(tx.connection)
    for name in source.snapshot.tables:
        for batch in _batches(source.rows(name)):
            tx.execute(insert(tables[name]), batch)
        if tx.dialect == "postgresql" and "id" in tables[name].c:
            _number_on(tx, name)
    for row in source.rows(objects.name):
        if row["storage"] == INLINE:
            _insert_inline(tx, source, row)
    for lost in _batches(sorted(source.lost)):
        gone = update(objects).where(objects.c.digest.in_(lost))
        tx.execute(gone.values(verdict="lost", verified=tx.now))


def _insert_inline(tx: Transaction, source: _Source, row: Row) -> None:
    digest = Digest(str(row["digest"]))
    if digest in source.lost:
        return
    try:
        insert_inline(tx, str(row["key"]), b"".join(source.blocks(digest)))
    except Corrupt as damage:
        source.lose(damage, digest)


def _reflected(connection: Connection) -> dict[str, Table]:
    """The tables as they were at the snapshot's revision, which is the database's now."""
    then = MetaData()

    @event.listens_for(then, "column_reflect")
    def _plain(_inspector: object, _table: object, column: dict[str, Any]) -> None:
        if isinstance(column["type"], UUID):
            column["type"] = UUID(as_uuid=False)
        if isinstance(column["type"], JSON):
            column["type"] = JSON(none_as_null=True)

    then.reflect(connection)
    return dict(then.tables)


def _number_on(tx: Transaction, table: str) -> None:
    """New rows are numbered after those that came with their numbers."""
    last = text(f"SELECT setval(pg_get_serial_sequence(:name, 'id'), max(id)) FROM \"{table}\" HAVING max(id) > 0")
    tx.execute(last, {"name": f'"{table}"'})


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
