"""Scrub: stored bytes are read and hashed, and the verdict is kept with the object, for uploads to repair (I1, I2)."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import or_, select

from . import verdicts
from .contents import Contents
from .database import AnyRow, Database
from .errors import Corrupt, NotFound, StorageUnavailable
from .model import Digest
from .schema import objects
from .tempo import FLAT_OUT, Tempo
from .verdicts import Verdict

BLOCK = 1 << 20
PAGE = 200
AT_ONCE, LATEST = 200, 1.0
"""Verdicts that share a transaction, and seconds that one waits for others."""
SEEN = tuple(objects.c[name] for name in ("id", "bucket", "digest", "size", "storage", "key"))
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
    with closing(_Notes(database)) as notes:
        for row in _due(database, older_than):
            try:
                verdict = _confirmed(database, contents, row, tempo)
            except StorageUnavailable as refusal:
                failed.add(str(refusal))
                continue
            if verdict is None:
                continue
            notes.add(verdict)
            verified, size = verified + 1, size + row.size
            if verdict.word != "ok":
                (lost if verdict.word == "lost" else corrupt).append(row.digest)
    return Scrubbed(verified, size, tuple(lost), tuple(corrupt), tuple(sorted(failed)))


def judge(database: Database, contents: Contents, seen: AnyRow) -> None:
    """The blob of the row (SEEN) was read, and the verdict is kept. Raises StorageUnavailable."""
    verdicts.note(database, [_judged(contents, seen, FLAT_OUT)])


def _confirmed(database: Database, contents: Contents, seen: AnyRow, tempo: Tempo) -> Verdict | None:
    """What is found of the object's blob, wherever that has moved meanwhile; None where the object is gone.

    Raises StorageUnavailable.
    """
    while True:
        verdict = _judged(contents, seen, tempo)
        if verdict.word == "ok":
            return verdict
        with database.read() as tx:
            now = tx.execute(select(*SEEN).where(objects.c.id == seen.id)).first()
        if now is None:
            return None
        if (now.storage, now.key) == (seen.storage, seen.key):
            return verdict
        seen = now


def _judged(contents: Contents, seen: AnyRow, tempo: Tempo) -> Verdict:
    found = digest(contents, seen.storage, seen.key, tempo)
    word = "lost" if found is None else "ok" if found == seen.digest else "corrupt"
    return Verdict(seen.bucket, seen.id, seen.storage, seen.key, word)


class _Notes:
    """Verdicts that are kept together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Verdict] = []
        self._first = 0.0

    def add(self, verdict: Verdict) -> None:
        self._first = self._first if self._waiting else time.monotonic()
        self._waiting.append(verdict)
        if len(self._waiting) >= AT_ONCE or time.monotonic() - self._first > LATEST:
            self.close()

    def close(self) -> None:
        """All that were added are kept."""
        waiting, self._waiting = self._waiting, []
        verdicts.note(self._database, waiting)


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
