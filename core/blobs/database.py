"""Blobs as rows: pieces of 1 MiB, each written and read in a short transaction of its own.

Piece 0 is written last, and only when all others are there: without it there is no blob. What an interrupted publish
left behind is replaced when it is repeated, and goes with the key when the outbox of deletions gets to it.
Storages of type db and the inline contents share one table; a row's key begins with its storage's name.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, insert, literal, select

from ..database import Database, Transaction
from ..errors import AlreadyExists, NotFound, Refusal, StorageUnavailable
from ..model import INLINE, Instant
from ..prepared import Prepared
from ..schema import blob_data
from ..staging import Sealed
from .reader import RangedReader
from .store import Blob, Capability, checked

PIECE = 1 << 20
PAGE = 1000
AFTER_SLASH = "0"
UID = 36
"""Characters."""

_length = func.sum(func.length(blob_data.c.data)).label("length")
_all = blob_data.alias("every")
_OPEN = Prepared(
    select(
        blob_data.c.data,
        select(func.sum(func.length(_all.c.data)))
        .where(_all.c.key == blob_data.c.key)
        .scalar_subquery()
        .label("length"),
    ).where(blob_data.c.key == bindparam("wanted"), blob_data.c.n == 0)
)
_INSERT = Prepared(insert(blob_data).values({name: bindparam(name) for name in ("key", "n", "data")}))
_SIZE = Prepared(select(func.min(blob_data.c.n).label("least"), _length).where(blob_data.c.key == bindparam("wanted")))
_PIECES = (
    select(blob_data.c.data)
    .where(blob_data.c.key == bindparam("wanted"), blob_data.c.n.between(bindparam("first"), bindparam("last")))
    .order_by(blob_data.c.n)
)


def insert_inline(tx: Transaction, key: str, data: bytes) -> None:
    """Stores an inline content in the transaction that names it. A DatabaseBlobs of name INLINE reads it."""
    for n, start in enumerate(range(0, max(1, len(data)), PIECE)):
        tx.count(_INSERT, {"key": _row_key(INLINE, key), "n": n, "data": data[start : start + PIECE]})


def inline_size(tx: Transaction, key: str) -> int | None:
    """How long the inline content is; None where there is none."""
    return _size(tx, _row_key(INLINE, key))


def is_empty_inline(key: ColumnElement[str]) -> ColumnElement[bool]:
    """There is an inline content of that key, of no bytes."""
    is_its = blob_data.c.key == literal(_row_key(INLINE, "")).concat(key)
    return exists().where(is_its, blob_data.c.n == 0, func.length(blob_data.c.data) == 0)


class DatabaseBlobs:
    """A storage of type `db`, and the inline contents where `name` is INLINE."""

    type = "db"

    def __init__(self, name: str, database: Database, staging: Path) -> None:
        self.name = name
        self.staging = staging
        self._database = database

    def publish(self, key: str, content: Sealed) -> None:
        last = max(0, content.size - 1) // PIECE
        with content.open() as source:
            for n in (*range(1, last + 1), 0):
                source.seek(n * PIECE)
                if not self._put(key, n, last, source.read(PIECE)):
                    self._refuse_other(key, content)
                    return

    def open(self, key: str) -> io.BufferedReader:
        with self._database.read() as tx:
            row = tx.first(_OPEN, {"wanted": _row_key(self.name, key)})
        if row is None:
            raise NotFound(key)
        data, length = row
        return io.BufferedReader(RangedReader(partial(self._range, key), int(length), PIECE, beginning=data))

    def size(self, key: str) -> int | None:
        with self._database.read() as tx:
            return _size(tx, _row_key(self.name, key))

    def delete(self, key: str) -> None:
        self.delete_all([key])

    def delete_all(self, keys: Sequence[str]) -> dict[str, Refusal]:
        """Many small ones share a transaction. It waits for no disk: what the power takes is claimed and deleted again,
        since the outbox forgets a row later, in the same log."""
        for together in self._few_bytes([_row_key(self.name, key) for key in keys]):
            with self._database.write(durable=False) as tx:
                tx.execute(delete(blob_data).where(blob_data.c.key.in_(together)))
        return {}

    def _few_bytes(self, row_keys: Sequence[str]) -> Iterator[list[str]]:
        """In groups of a piece's length, so that other writers do not wait for long; one that is longer is alone."""
        with self._database.read() as tx:
            sizes = select(blob_data.c.key, _length).where(blob_data.c.key.in_(row_keys)).group_by(blob_data.c.key)
            found = tx.execute(sizes.order_by(_length)).all()
        together: list[str] = []
        length = 0
        for row in found:
            if together and length + int(row.length) > PIECE:
                yield together
                together, length = [], 0
            together.append(row.key)
            length += int(row.length)
        if together:
            yield together

    def blobs(self) -> Iterator[Blob]:
        last = ""
        while page := self._page(last):
            yield from page
            last = page[-1].key

    def check(self) -> Iterator[Capability]:
        yield checked("answers", partial(self.size, ""))

    def claim(self, uid: str, *, new: bool) -> None:
        """The database that names the storage holds its blobs as well: there is no other to take it for."""

    def _put(self, key: str, n: int, last: int, data: bytes) -> bool:
        """Stores piece `n` of 0 to `last`. False where the blob is whole already."""
        row_key = _row_key(self.name, key)
        with self._database.write() as tx:
            if _size(tx, row_key) is not None:
                return False
            tx.execute(
                delete(blob_data).where(blob_data.c.key == row_key, (blob_data.c.n == n) | (blob_data.c.n > last))
            )
            if n == 0 and tx.scalar(select(func.count()).where(blob_data.c.key == row_key)) != last:
                raise StorageUnavailable(key, "was deleted while it was published")
            tx.execute(insert(blob_data), [{"key": row_key, "n": n, "data": data}])
        return True

    def _refuse_other(self, key: str, content: Sealed) -> None:
        with self.open(key) as present:
            if hashlib.file_digest(present, "sha256").hexdigest() != content.digest:
                raise AlreadyExists(key, "holds other bytes")

    def _range(self, key: str, start: int, stop: int) -> bytes:
        first, last = start // PIECE, (stop - 1) // PIECE
        wanted = {"wanted": _row_key(self.name, key), "first": first, "last": last}
        with self._database.read() as tx:
            pieces = tx.execute(_PIECES, wanted).scalars().all()
        if len(pieces) <= last - first:
            raise NotFound(key, "was deleted while it was read")
        return b"".join(pieces)[start - first * PIECE : stop - first * PIECE]

    def _page(self, after: str) -> list[Blob]:
        below, beyond = _row_key(self.name, after), f"{self.name}{AFTER_SLASH}"
        page = (
            select(blob_data.c.key, _length)
            .where(blob_data.c.key > below, blob_data.c.key < beyond)
            .group_by(blob_data.c.key)
            .having(func.min(blob_data.c.n) == 0)
            .order_by(blob_data.c.key)
            .limit(PAGE)
        )
        with self._database.read() as tx:
            rows = tx.execute(page).all()
        prefix = _row_key(self.name, "")
        return [Blob(row.key.removeprefix(prefix), int(row.length), _published(row.key)) for row in rows]


def _row_key(storage: str, key: str) -> str:
    return f"{storage}/{key}"


def _size(tx: Transaction, row_key: str) -> int | None:
    """The sum of the pieces; None without piece 0."""
    least, length = tx.rows(_SIZE, {"wanted": row_key})[0]
    return int(length) if least == 0 else None


def _published(key: str) -> Instant:
    """When the key was made, which the uid at its end says (RFC 9562, section 5.7); 0 where it says nothing."""
    try:
        uid = UUID(key[-UID:])
    except ValueError:
        return Instant(0)
    return Instant((uid.int >> 80) * 1_000_000) if uid.version == 7 else Instant(0)
