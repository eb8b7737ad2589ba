"""Making blobs, and asking whether they are there."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import pytest

from core import schema
from core.blobs import BlobStore
from core.blobs.database import DatabaseBlobs
from core.blobs.local import LocalBlobs
from core.blobs.s3 import S3Blobs
from core.database import Database
from core.errors import NotFound
from core.staging import Draft, Staging
from core.storage_settings import S3Storage

KIB, MIB = 1 << 10, 1 << 20
SPILL = 64 * KIB
UID, OTHER_UID = "0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002"


@lru_cache(16)
def sample(size: int, seed: bytes = b"") -> bytes:
    """Bytes that repeat nowhere near a piece's length."""
    return hashlib.shake_128(seed + str(size).encode()).digest(size)


def key_of(data: bytes, bucket: str = "files", uid: str = "") -> str:
    digest = hashlib.sha256(data).hexdigest()
    return f"{bucket}/{digest[:2]}/{digest[2:4]}/{digest}.{uid or uuid4()}"


@contextmanager
def draft_of(store: BlobStore, data: bytes, staging: Path | None = None) -> Iterator[Draft]:
    with Staging(staging or store.staging, durable=False).draft(SPILL, None) as draft:
        for start in range(0, len(data), 256 * KIB):
            draft.write(data[start : start + 256 * KIB])
        yield draft


def publish(store: BlobStore, data: bytes, key: str = "") -> str:
    key = key or key_of(data)
    with draft_of(store, data) as draft:
        store.publish(key, draft.seal())
    return key


def read(store: BlobStore, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


def listed(store: BlobStore) -> dict[str, int]:
    found = [(blob.key, blob.size) for blob in store.blobs()]
    assert len(found) == len(dict(found))
    return dict(found)


def is_absent(store: BlobStore, key: str) -> bool:
    """Whether there is no blob; all ways to ask agree."""
    absent = store.size(key) is None
    assert (key in listed(store)) != absent
    if absent:
        with pytest.raises(NotFound):
            store.open(key)
    return absent


def local_blobs(root: Path, *, new: bool = True, durable: bool = True) -> LocalBlobs:
    store = LocalBlobs("local", root, durable)
    store.claim(UID, new=new)
    return store


def s3_blobs(storage: S3Storage, staging: Path, *, new: bool = True, uid: str = UID) -> S3Blobs:
    store = S3Blobs("s3main", storage, staging)
    store.claim(uid, new=new)
    return store


@contextmanager
def database_blobs(url: str, staging: Path, name: str = "main") -> Iterator[tuple[DatabaseBlobs, Database]]:
    database = Database(url)
    schema.blob_data.create(database.engine)
    yield DatabaseBlobs(name, database, staging), database
    database.close()
