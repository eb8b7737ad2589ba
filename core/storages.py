"""The configured storages, opened: each root proves by its marker that it is the one whose blobs the rows name."""

from pathlib import Path

from sqlalchemy import exists, insert, select

from . import uids
from .blobs import BlobStore
from .blobs.database import DatabaseBlobs
from .blobs.local import LocalBlobs
from .database import AnyRow, Database, Transaction
from .errors import Unusable
from .model import INLINE
from .schema import objects, purges, storages
from .settings import Settings
from .storage_settings import DatabaseStorage, LocalStorage, S3Storage, Storage


def opened(database: Database, settings: Settings) -> dict[str, BlobStore]:
    """Blob stores by name, `inline` among them. Raises Unusable."""
    durable = settings.database.durability == "fsync"
    staging = settings.data / "staging"
    made = {name: _made(name, storage, database, staging, durable) for name, storage in settings.storages.items()}
    for store in made.values():
        uid, unused = _registered(database, store)
        store.claim(uid, new=unused)
    return {INLINE: DatabaseBlobs(INLINE, database, staging), **made}


def _made(name: str, storage: Storage, database: Database, staging: Path, durable: bool) -> BlobStore:
    match storage:
        case DatabaseStorage():
            return DatabaseBlobs(name, database, staging)
        case LocalStorage():
            return LocalBlobs(name, storage.path, durable)
        case S3Storage():
            from .blobs.s3 import S3Blobs  # boto3 takes as long to load as all else

            return S3Blobs(name, storage, staging)


def _registered(database: Database, store: BlobStore) -> tuple[str, bool]:
    """The storage's uid, and whether no row ever named a blob there, so that its root may be new.

    The row comes first and the marker after it: a crash between them leaves a storage that is still unused.
    """
    with database.read() as tx:
        row = _row(tx, store.name)
    if row is None:
        with database.write() as tx:
            row = _row(tx, store.name)
            if row is None:
                tx.execute(insert(storages).values(name=store.name, uid=uids.fresh(), type=store.type))
                row = _row(tx, store.name)
    assert row
    if row.type != store.type:
        raise Unusable(
            store.name, f"holds blobs as a storage of type {row.type}; its type cannot change to {store.type}"
        )
    return row.uid, row.unused


def _row(tx: Transaction, name: str) -> AnyRow | None:
    used = exists().where(objects.c.storage == name) | exists().where(purges.c.storage == name)
    return tx.execute(
        select(storages.c.uid, storages.c.type, (~used).label("unused")).where(storages.c.name == name)
    ).first()
