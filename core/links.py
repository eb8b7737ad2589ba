"""Links: URLs that open a blob to whoever has them, until they expire.

They are signed as they are asked for, or beforehand: for host applications that read them from the table `links`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, insert, literal, not_, select

from .batches import among
from .blobs import Presigner
from .contents import Contents
from .database import Database
from .errors import Refusal
from .model import SECOND, Instant, ObjectId
from .schema import buckets, nodes, objects
from .schema_services import links
from .tempo import FLAT_OUT, Tempo

MARGIN = 3600 * SECOND
"""A kept link that has less than this left is renewed; nanoseconds."""
BATCH = 500
UNTOLD = "application/octet-stream"
HARMLESS = re.compile(r"(?:(?:image|audio|video)/[\w.-]+|application/pdf|text/plain)(?:\s*;.*)?", re.IGNORECASE)
"""Types in which no browser finds scripts; a kept link tells no others, since the storage sends no sandbox along."""


@dataclass(frozen=True, slots=True)
class Link:
    """`renewed` is when another URL comes in its place."""

    url: str
    expires: Instant
    renewed: Instant


@dataclass(frozen=True, slots=True)
class Renewed:
    signed: int
    dropped: int
    failed: tuple[str, ...]


class _Due(NamedTuple):
    object: ObjectId
    key: str
    media_type: str | None
    now: Instant


Row = dict[str, Any]


def sign(store: Presigner, key: str, ttl: int, now: Instant, media_type: str, disposition: str) -> Link:
    """The blob's link, with at least half of `ttl` (nanoseconds) left.

    The time of signing is rounded down to half of it, so whoever asks within one half, anywhere, gets the same URL.
    """
    seconds = ttl // SECOND
    half = max(seconds // 2, 1) * SECOND
    at = Instant(now - now % half)
    url = store.presigned(key, seconds=seconds, signed_at=at, media_type=media_type, disposition=disposition)
    return Link(url, Instant(at + seconds * SECOND), Instant(at + half))


def renew(database: Database, contents: Contents, ttl: int, tempo: Tempo = FLAT_OUT) -> Renewed:
    """Buckets with `presign` "stored" have a link for each live content on a storage that can sign, and no others do.

    Each lives for the margin at least. One that cannot be signed stops no other.
    """
    dropped = _drop(database, list(contents.presigners), tempo)
    signed = 0
    failed: dict[str, None] = {}
    for store in contents.presigners.values():
        after = 0
        while due := _due(database, store.name, after):
            signed += _keep(database, _signed(store, due, ttl, failed))
            after = due[-1].object
            tempo.between()
    return Renewed(signed, dropped, tuple(failed))


def _wanted(storages: Sequence[str]) -> ColumnElement[bool]:
    keeping = select(buckets.c.id).where(buckets.c.presign == "stored")
    return and_(objects.c.bucket.in_(keeping), objects.c.state == "live", objects.c.storage.in_(storages))


def _drop(database: Database, storages: Sequence[str], tempo: Tempo) -> int:
    """Links that are not wanted any more are gone; so many were."""
    unwanted = select(links.c.object).join(objects).where(not_(_wanted(storages))).limit(BATCH)
    dropped = 0
    while True:
        with database.read() as tx:
            found = list(tx.execute(unwanted).scalars())
        if not found:
            return dropped
        with database.write() as tx:
            dropped += tx.execute(delete(links).where(among(tx, links.c.object, found))).rowcount
        tempo.between()


def _due(database: Database, storage: str, after: int) -> list[_Due]:
    """Contents whose link is missing, leads to another place, or is about to expire."""
    lasting = and_(links.c.storage == objects.c.storage, links.c.key == objects.c.key)
    kind = select(func.max(nodes.c.media_type)).where(nodes.c.object == objects.c.id).scalar_subquery()
    with database.read() as tx:
        due = (
            select(objects.c.id, objects.c.key, kind, literal(tx.now))
            .outerjoin(links, and_(links.c.object == objects.c.id, lasting, links.c.expires >= tx.now + MARGIN))
            .where(_wanted([storage]), objects.c.id > after, links.c.object.is_(None))
            .order_by(objects.c.id)
            .limit(BATCH)
        )
        return [_Due(*row) for row in tx.execute(due)]


def _signed(store: Presigner, due: Sequence[_Due], ttl: int, failed: dict[str, None]) -> dict[ObjectId, Row]:
    rows: dict[ObjectId, Row] = {}
    for one in due:
        kind = one.media_type if HARMLESS.fullmatch(one.media_type or "") else UNTOLD
        try:
            link = sign(store, one.key, ttl, one.now, kind or UNTOLD, "inline")
        except Refusal as refusal:
            failed[str(refusal)] = None
            continue
        rows[one.object] = {
            "object": one.object,
            "storage": store.name,
            "key": one.key,
            "url": link.url,
            "signed": one.now,
            "expires": link.expires,
        }
    return rows


def _keep(database: Database, rows: Mapping[ObjectId, Row]) -> int:
    """Objects that went meanwhile get no link; those that are there stay until this is committed."""
    there = select(objects.c.id)
    with database.write() as tx:
        found = tx.execute(there.where(among(tx, objects.c.id, rows)).with_for_update(read=True, key_share=True))
        kept = [rows[one] for one in found.scalars()]
        tx.execute(delete(links).where(among(tx, links.c.object, rows)))
        if kept:
            tx.execute(insert(links), kept)
        return len(kept)
