"""Scrub: stored bytes are read and hashed, and the verdict is kept with the object, for uploads to repair (I1, I2)."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import or_, select, update

from .contents import Contents
from .database import AnyRow, Database
from .errors import Corrupt, NotFound, StorageUnavailable
from .model import Digest
from .schema import objects
from .tempo import FLAT_OUT, Tempo

BLOCK = 1 << 20
PAGE = 200
SEEN = (objects.c.id, objects.c.digest, objects.c.size, objects.c.storage, objects.c.key)
"""What a verdict is about: an object, and the blob that it had then."""

OTHER = Digest("")


@dataclass(frozen=True, slots=True)
class Scrubbed:
    verified: int = 0
    verified_bytes: int = 0
    lost: tuple[Digest, ...] = ()
    corrupt: tuple[Digest, ...] = ()
    failed: tuple[str, ...] = ()
    """Storages that did not answer: nothing is said of their blobs."""


def scrub(database: Database, contents: Contents, older_than: int = 0, tempo: Tempo = FLAT_OUT) -> Scrubbed:
    """Every object whose last verdict is more than `older_than` nanoseconds old has a new one."""
    verified, size = 0, 0
    lost: list[Digest] = []
    corrupt: list[Digest] = []
    failed: set[str] = set()
    for row in _due(database, older_than):
        try:
            verdict = judge(database, contents, row, tempo)
        except StorageUnavailable as refusal:
            failed.add(str(refusal))
            continue
        verified, size = verified + 1, size + row.size
        if verdict != "ok":
            (lost if verdict == "lost" else corrupt).append(row.digest)
    return Scrubbed(verified, size, tuple(lost), tuple(corrupt), tuple(sorted(failed)))


def judge(database: Database, contents: Contents, seen: AnyRow, tempo: Tempo = FLAT_OUT) -> str:
    """The blob of the row (SEEN) was read, and the verdict is kept: ok, lost or corrupt. Raises StorageUnavailable."""
    found = digest(contents, seen.storage, seen.key, tempo)
    verdict = "lost" if found is None else "ok" if found == seen.digest else "corrupt"
    _note(database, seen, verdict)
    return verdict


def digest(contents: Contents, storage: str, key: str, tempo: Tempo = FLAT_OUT) -> Digest | None:
    """What the blob's bytes hash to; None where there is none, OTHER where the storage itself finds them wrong.

    Raises StorageUnavailable.
    """
    found = hashlib.sha256()
    try:
        with contents.store(storage).open(key) as blob:
            while block := blob.read(BLOCK):
                found.update(block)
                tempo.between()
    except NotFound:
        return None
    except Corrupt:
        return OTHER
    except OSError as error:
        raise StorageUnavailable(storage, f"{key} cannot be read: {error.strerror}") from error
    return Digest(found.hexdigest())


def _due(database: Database, older_than: int) -> Iterator[AnyRow]:
    last = 0
    with database.read() as tx:
        cutoff = tx.now - older_than
    while True:
        due = or_(objects.c.verified.is_(None), objects.c.verified <= cutoff)
        page = select(*SEEN)
        with database.read() as tx:
            rows = tx.execute(page.where(due, objects.c.id > last).order_by(objects.c.id).limit(PAGE)).all()
        yield from rows
        if len(rows) < PAGE:
            return
        last = rows[-1].id


def _note(database: Database, seen: AnyRow, verdict: str) -> None:
    """The verdict is of the blob that was read: an object that was repaired or moved meanwhile keeps its own."""
    same = (objects.c.id == seen.id) & (objects.c.storage == seen.storage) & (objects.c.key == seen.key)
    with database.write() as tx:
        tx.execute(update(objects).where(same).values(verified=tx.now, verdict=verdict))
