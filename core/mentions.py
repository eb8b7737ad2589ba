"""The media collector: media files that no document of their collection mentions go to the trash after a while.

For buckets whose policy has `documents`. A collection's documents are those in it, above it and below it; a media file
is looked at where its collection, or the nearest one above that has documents, has some. A mention is an id of the
file or of its object, in whatever URL, or its name. A document that cannot be read mentions everything. Libraries, and
the attachments that no document has, are left alone.
"""

import html
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import unquote

from sqlalchemy import delete, insert, select

from . import buckets, locks, places, relocation
from .batches import among
from .contents import Contents
from .database import AnyRow, Database, Transaction
from .errors import Locked, Refusal
from .guards import UNATTACHED
from .model import ANYTHING, Bucket, Caller, Kind, NodeId, ObjectId, Path
from .paths import within
from .schema import aliases, names, nodes, objects
from .schema_services import unmentioned
from .tempo import FLAT_OUT, Tempo

MEDIA = ("image/", "video/", "audio/", "font/")
LARGEST = 16 << 20
"""Bytes of a document that is read; a larger one mentions everything."""
PAGE, BATCH = 1000, 50
COLLECTOR = Caller("media collector", admin=True)

_uid = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_escaped = re.compile(r"(?:\\u[0-9a-fA-F]{4})+", re.ASCII)


@dataclass(frozen=True, slots=True)
class LetGo:
    """How many media went to the trash, and what was left alone, with the reason."""

    trashed: int = 0
    left: tuple[str, ...] = ()


def let_go(database: Database, contents: Contents, tempo: Tempo = FLAT_OUT) -> LetGo:
    """Media that were mentioned nowhere for their bucket's `media_grace` are in the trash."""
    with database.read() as tx:
        every = [bucket for bucket in buckets.every(tx) if bucket.documents]
    trashed, left = 0, list[str]()
    for bucket in every:
        if bucket.trash is None:
            left.append(f"{bucket.name}: keeps no trash, so its media are left alone")
            continue
        try:
            trashed += _let_go(database, contents, bucket, tempo)
        except Refusal as refusal:
            left.append(f"{bucket.name}: {refusal}")
    return LetGo(trashed, tuple(left))


@dataclass(frozen=True, slots=True)
class _File:
    id: NodeId
    path: Path
    uid: str
    object: ObjectId
    object_uid: str
    aliases: tuple[str, ...]
    size: int
    changed: int


@dataclass(slots=True)
class _Survey:
    """A bucket's documents and media, as a walk found them while the bucket's counter of changes stood at `seq`."""

    seq: int
    documents: list[_File] = field(default_factory=list["_File"])
    media: list[_File] = field(default_factory=list["_File"])


def _let_go(database: Database, contents: Contents, bucket: Bucket, tempo: Tempo) -> int:
    survey = _surveyed(database, bucket, tempo)
    spare = _unmentioned(contents, survey, tempo)
    with database.write(bucket.id) as tx:
        due = _remember(tx, bucket, spare)
    trashed = 0
    for start in range(0, len(due), BATCH):
        tempo.between()
        with database.write(bucket.id) as tx:
            if _documents_changed(tx, bucket, survey):
                return trashed
            trashed += sum(_trash(tx, bucket, media) for media in due[start : start + BATCH])
            survey.seq = buckets.by_id(tx, bucket.id).seq
    return trashed


def _surveyed(database: Database, bucket: Bucket, tempo: Tempo) -> _Survey:
    with database.read() as tx:
        survey = _Survey(buckets.by_id(tx, bucket.id).seq)
    waiting: list[tuple[NodeId, Path, bool]] = [(bucket.root, (bucket.name,), True)]
    while waiting:
        collection, path, is_governed = waiting.pop()
        for row, named in _members(database, collection):
            here = (*path, row.name)
            if row.kind == Kind.COLLECTION:
                is_alone = row.is_local is False or here == (bucket.name, UNATTACHED)
                waiting.append((row.id, here, is_governed and not is_alone))
            elif row.kind == Kind.FILE:
                file = _File(row.id, here, row.uid, row.object, row.object_uid, named, row.size, row.changed)
                if any(fnmatchcase(row.name, pattern) for pattern in bucket.documents):
                    survey.documents.append(file)
                elif is_governed and row.media_type.startswith(MEDIA):
                    survey.media.append(file)
        tempo.between()
    return survey


def _members(database: Database, collection: NodeId) -> Iterator[tuple[AnyRow, tuple[str, ...]]]:
    """Each with the ids that were chosen for it."""
    columns = [nodes.c[name] for name in ("id", "uid", "kind", "object", "size", "media_type", "changed", "is_local")]
    page = (
        select(names.c.name, *columns, objects.c.uid.label("object_uid"))
        .select_from(names.join(nodes, nodes.c.id == names.c.node).outerjoin(objects, objects.c.id == nodes.c.object))
        .where(names.c.parent == collection)
        .order_by(names.c.name)
        .limit(PAGE)
    )
    after = ""
    while True:
        with database.read() as tx:
            rows = tx.execute(page.where(names.c.name > after)).all()
            chosen = _aliases(tx, [row.id for row in rows])
        for row in rows:
            yield row, tuple(chosen.get(row.id, ()))
        if len(rows) < PAGE:
            return
        after = rows[-1].name


def _aliases(tx: Transaction, of: Sequence[NodeId]) -> dict[NodeId, list[str]]:
    found: dict[NodeId, list[str]] = {}
    for row in tx.execute(select(aliases).where(among(tx, aliases.c.node, of))):
        found.setdefault(row.node, []).append(row.alias)
    return found


def _unmentioned(contents: Contents, survey: _Survey, tempo: Tempo) -> list[_File]:
    homes = {document.path[:-1] for document in survey.documents}
    governed = {media.id: home for media in survey.media if (home := _governing(media.path, homes)) is not None}
    spare = {media.id: media for media in survey.media if media.id in governed}
    for document in survey.documents:
        text = _text(contents, document)
        if text is None:
            return []
        uids = set(map(str.lower, _uid.findall(text)))
        place = document.path[:-1]
        for media in list(spare.values()):
            home = governed[media.id]
            is_near = within(place, home) or within(home, place)
            by_name = is_near and unicodedata.normalize("NFC", media.path[-1]) in text
            by_id = media.uid in uids or media.object_uid in uids or any(alias in text for alias in media.aliases)
            if by_name or by_id:
                del spare[media.id]
        tempo.between()
    return list(spare.values())


def _governing(path: Path, homes: set[Path]) -> Path | None:
    """The nearest collection around the path that has documents."""
    return next((path[:depth] for depth in range(len(path) - 1, 0, -1) if path[:depth] in homes), None)


def _text(contents: Contents, document: _File) -> str | None:
    """What the document says, and once more without the escapes of URLs, HTML and JSON; None where it is too large.

    Raises Refusal where its bytes are lost or away.
    """
    if document.size > LARGEST:
        return None
    with contents.open_object(document.object) as file:
        data = file.read()
    is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    said = data.decode("utf-16" if is_wide else "utf-8", "replace")
    plain = _escaped.sub(lambda found: str(json.loads(f'"{found[0]}"')), html.unescape(unquote(said)))
    return unicodedata.normalize("NFC", f"{said}\n{plain}\n{plain.replace(chr(92), '')}")


def _remember(tx: Transaction, bucket: Bucket, spare: Sequence[_File]) -> list[_File]:
    """Since when each has been mentioned nowhere is known. Returns those for which that is long enough ago."""
    known = select(unmentioned.c.node, unmentioned.c.since).join(nodes, nodes.c.id == unmentioned.c.node)
    since: dict[NodeId, int] = {row.node: row.since for row in tx.execute(known.where(nodes.c.bucket == bucket.id))}
    still = {media.id for media in spare}
    tx.execute(delete(unmentioned).where(among(tx, unmentioned.c.node, sorted(since.keys() - still))))
    for media in spare:
        if media.id not in since and _is_there(tx, media):
            tx.execute(insert(unmentioned).values(node=media.id, since=tx.now))
            since[media.id] = tx.now
    cutoff = tx.now - bucket.media_grace
    return [media for media in spare if max(since.get(media.id, tx.now), media.changed) <= cutoff]


def _is_there(tx: Transaction, media: _File) -> bool:
    return tx.scalar(select(nodes.c.id).where(nodes.c.id == media.id)) is not None


def _documents_changed(tx: Transaction, bucket: Bucket, survey: _Survey) -> bool:
    """Whether a mention may have come since the walk: then the next run decides."""
    return buckets.by_id(tx, bucket.id).seq > survey.seq


def _trash(tx: Transaction, bucket: Bucket, media: _File) -> bool:
    place = places.resolve(tx, media.path)
    if place is None or place.node is None or place.node.id != media.id:
        return False
    try:
        locks.require(tx, COLLECTOR, ANYTHING, place, member=True, inside=True)
    except Locked:
        return False
    relocation.remove(tx, place, buckets.advance(tx, bucket), COLLECTOR.name)
    return True
