"""Why an object is alive, or what let it go: every reference that keeps it, and what the collector wrote of it."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, literal_column, select

from . import guards, tree, uids
from .database import AnyRow, Query, Transaction
from .errors import NotFound
from .model import OPERATOR, Instant, NodeId, ObjectId, Path, moment
from .objects import has_digest
from .paths import parse, text
from .references import Registry
from .schema import buckets, holds, names, nodes, objects, renditions, trash, versions
from .schema_services import gc_log


@dataclass(frozen=True, slots=True)
class Event:
    at: Instant
    event: str
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`references` are sentences without a subject: "file /files/a.txt". Condemned bytes may go after `until`."""

    bucket: str
    uid: str
    digest: str
    size: int
    state: str
    references: tuple[str, ...]
    events: tuple[Event, ...]
    until: Instant | None = None


def explain(tx: Transaction, registry: Registry, about: str) -> list[Explanation]:
    """What is known of a path's content, or of what was deleted there, of a file's or an object's uid, or of a digest.

    Raises NotFound.
    """
    found = [_of_row(tx, registry, row) for row in tx.execute(_objects().where(_wanted(tx, about)))]
    found += _gone(tx, about, {each.uid for each in found})
    if not found:
        raise NotFound(about, "is no path, object or digest that is or was known here")
    return found


def _objects() -> Query:
    columns = (objects.c.id, objects.c.uid, objects.c.digest, objects.c.size, objects.c.state, objects.c.condemned)
    bucket = (buckets.c.name, buckets.c.retention, buckets.c.id.label("bucket"))
    return select(*columns, *bucket).join(buckets, buckets.c.id == objects.c.bucket)


def _wanted(tx: Transaction, about: str) -> ColumnElement[bool]:
    if about.startswith("/"):
        return objects.c.id.in_(_at(tx, parse(about)))
    if uids.is_uid(about):
        return (objects.c.uid == about) | objects.c.id.in_(select(nodes.c.object).where(nodes.c.uid == about))
    return has_digest(objects, about.lower())


def _at(tx: Transaction, path: Path) -> list[ObjectId]:
    """What is at the path, or else everything that was deleted there and is still in the trash. Raises NotFound."""
    node = guards.Situation(tx, OPERATOR).node(path)
    if node:
        return [] if node.object is None else [node.object]
    deleted = list(_deleted(tx, path))
    if not deleted:
        raise NotFound(path, "is not there, and not in the trash; a digest or a uid is known for longer")
    return deleted


def _deleted(tx: Transaction, path: Path) -> Iterator[ObjectId]:
    entries = select(trash.c.node, trash.c.path).join(buckets, buckets.c.id == trash.c.bucket)
    for top, was in tx.execute(entries.where(buckets.c.name == path[0])):
        if path[: len(was)] == tuple(was):
            found = _below(tx, top, path[len(was) :])
            if found is not None:
                yield found


def _below(tx: Transaction, top: NodeId, path: Path) -> ObjectId | None:
    node: NodeId | None = top
    for name in path:
        node = tx.scalar(select(names.c.node).where(names.c.parent == node, names.c.name == name))
    return tx.scalar(select(nodes.c.object).where(nodes.c.id == node))


def _of_row(tx: Transaction, registry: Registry, row: AnyRow) -> Explanation:
    references = (*_of_nodes(tx, row.id), *_of_versions(tx, row.id), *_others(tx, registry, row))
    until = None if row.condemned is None else Instant(row.condemned + row.retention)
    events = _events(tx, gc_log.c.object_uid == row.uid)
    return Explanation(row.name, row.uid, row.digest, row.size, row.state, references, events, until)


def _of_nodes(tx: Transaction, wanted: ObjectId) -> Iterator[str]:
    for node in tx.execute(select(nodes.c.id).where(nodes.c.object == wanted)).scalars():
        yield f"file {_where(tx, node)}"


def _of_versions(tx: Transaction, wanted: ObjectId) -> Iterator[str]:
    for node, uid in tx.execute(select(versions.c.node, versions.c.uid).where(versions.c.object == wanted)):
        yield f"version {uid} of {_where(tx, node)}"


def _others(tx: Transaction, registry: Registry, row: AnyRow) -> Iterator[str]:
    presets = select(renditions.c.preset).where(renditions.c.object == row.id)
    yield from (f"rendition {preset}" for preset in tx.execute(presets).scalars())
    held = select(holds.c.why, holds.c.until).where(holds.c.object == row.id, holds.c.until > tx.now)
    yield from (f"hold until {_time(until)}: {why}" for why, until in tx.execute(held))
    for rule in registry.hosts.get(row.bucket, ()):
        if rule.referenced(tx, [row.id]):
            yield f"host table {rule.name}"


def _where(tx: Transaction, node: NodeId) -> str:
    """The node's path, or where it was when it went to the trash."""
    path, top = tree.climb(tx, node)
    entry = tx.execute(select(trash.c.uid, trash.c.path, trash.c.until).where(trash.c.node == top)).first()
    if entry is None:
        return text(tree.path_of(tx, node) or ())
    until = "" if entry.until is None else f" until {_time(entry.until)}"
    return f"{text((*entry.path, *path))} in the trash{until} (`davstore trash restore {entry.uid}`)"


def _time(at: int) -> str:
    return f"{moment(Instant(at)):%Y-%m-%d %H:%M:%S} UTC"


def _events(tx: Transaction, which: ColumnElement[bool]) -> tuple[Event, ...]:
    rows = tx.execute(select(gc_log.c.at, gc_log.c.event, gc_log.c.reason).where(which).order_by(gc_log.c.id))
    return tuple(Event(row.at, row.event, row.reason or "") for row in rows)


def _gone(tx: Transaction, about: str, known: Container[str]) -> Iterator[Explanation]:
    """Objects that only the collector's log still knows."""
    if about.startswith("/"):
        return
    which = gc_log.c.object_uid == about if uids.is_uid(about) else gc_log.c.digest == about.lower()
    last = select(gc_log.c.bucket, gc_log.c.object_uid, gc_log.c.digest, gc_log.c.size).where(
        which, gc_log.c.event == literal_column("'purged'")
    )
    for row in tx.execute(last):
        if row.object_uid not in known:
            events = _events(tx, gc_log.c.object_uid == row.object_uid)
            yield Explanation(row.bucket, row.object_uid, row.digest, row.size, "gone", (), events)
