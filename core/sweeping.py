"""Sweep: blobs that no row names. They are waste, never harm, so there is no hurry: they are due a week later."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select

from .blobs import Blob, BlobStore
from .contents import Contents
from .database import Database
from .errors import Refusal
from .model import SECOND
from .schema import objects, purges
from .tempo import FLAT_OUT, Tempo

YOUNG = 24 * 3600 * SECOND
DUE = 7 * 24 * 3600 * SECOND
BATCH = 500


@dataclass(frozen=True, slots=True)
class Swept:
    orphans: int = 0
    orphan_bytes: int = 0
    failed: tuple[str, ...] = ()
    """Storages whose listing did not complete: nothing was swept there."""


def sweep(database: Database, contents: Contents, *, dry_run: bool = False, tempo: Tempo = FLAT_OUT) -> Swept:
    """Orphan blobs older than a day have a row in the outbox."""
    orphans: list[Blob] = []
    failed: list[str] = []
    for name, store in contents.stores.items():
        try:
            found = _orphans(database, store, tempo)
        except Refusal as refusal:
            failed.append(f"{name}: {refusal}")
            continue
        if not dry_run:
            _post(database, name, found)
        orphans += found
    return Swept(len(orphans), sum(blob.size for blob in orphans), tuple(failed))


def _orphans(database: Database, store: BlobStore, tempo: Tempo) -> list[Blob]:
    """The rows are read when the listing is complete: a publisher's intent came before its blob, and an object's row in
    the same transaction that took the intent back. Keys are fresh at every publish, so an orphan stays one."""
    listed: list[Blob] = []
    for blob in store.blobs():
        listed.append(blob)
        tempo.between()
    with database.read() as tx:
        known = set(tx.execute(select(objects.c.key).where(objects.c.storage == store.name)).scalars())
        known |= set(tx.execute(select(purges.c.key).where(purges.c.storage == store.name)).scalars())
        return [blob for blob in listed if blob.key not in known and blob.modified < tx.now - YOUNG]


def _post(database: Database, storage: str, orphans: Sequence[Blob]) -> None:
    for start in range(0, len(orphans), BATCH):
        with database.write() as tx:
            keys = [blob.key for blob in orphans[start : start + BATCH]]
            posted = set(
                tx.execute(select(purges.c.key).where(purges.c.storage == storage, purges.c.key.in_(keys))).scalars()
            )
            rows = [{"storage": storage, "key": key, "due": tx.now + DUE} for key in keys if key not in posted]
            if rows:
                tx.execute(insert(purges), rows)
