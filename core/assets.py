"""Files and contents by their ids, for a caller who can reach them by some path: an id alone gives nothing (I9)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

from sqlalchemy import ColumnElement, false, or_, select, update

from . import buckets, media, reach, uids
from .contents import Contents
from .database import AnyRow, Database, Transaction
from .errors import Forbidden, NotFound, Refusal, Unauthenticated
from .model import Access, Caller, Descriptor, Instant, Kind, Node, NodeId
from .references import Registry
from .schema import aliases, nodes, objects, renditions

MOST = 1000
"""Names of one content that are looked at to find that all of them are public."""
ALIAS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,34}[A-Za-z0-9])?", re.ASCII)
"""What clients may choose for an id."""
HEAD = 8192
"""Bytes that show a content's type."""
UNKNOWN = "nothing has this id"
HOST = "\0"
"""The owner of what a host application's rows refer to; no user has this name."""


@dataclass(frozen=True, slots=True)
class Content:
    """A content as a file without a place in the tree."""

    node: Node
    is_public: bool
    """Everything that shows it is public."""


@dataclass(frozen=True, slots=True)
class Assets:
    database: Database
    contents: Contents
    registry: Registry
    caller: Caller

    def file(self, id_: str) -> Node:
        """The file of that uid or alias, at the first of its paths that the caller may read.

        Raises NotFound, and Unauthenticated or Forbidden where the caller may read none of them.
        """
        with self.database.read() as tx:
            shown = list(reach.showings(tx, identified(id_)))
            readable = [showing for showing in shown if showing.access.readable(self.caller)]
            if not readable:
                raise self._refusal(id_, is_there=bool(shown))
            return reach.nodes_of(tx, readable[:1])[0]

    def content(self, uid: str) -> Content:
        """A content that some path shows, or a rendition of one. Raises as `file` does.

        What a host application's rows refer to is shown by its bucket's visibility as well.
        """
        with self.database.read() as tx:
            row = _object(tx, uid)
            accesses = self._accesses(tx, row)
            first = list(islice(accesses, MOST))
            if not any(access.readable(self.caller) for access in chain(first, accesses)):
                raise self._refusal(uid, is_there=bool(first))
        is_public = len(first) < MOST and all(access.is_public for access in first)
        return Content(self._as_file(row), is_public)

    def _accesses(self, tx: Transaction, row: AnyRow) -> Iterator[Access]:
        bucket = buckets.by_id(tx, row.bucket)
        if any(rule.referenced(tx, [row.id]) for rule in self.registry.hosts.get(bucket.id, ())):
            yield Access(bucket.visibility, HOST, in_document=True)
        sources = select(renditions.c.source).where(renditions.c.object == row.id)
        shown = reach.showings(tx, or_(nodes.c.object == row.id, nodes.c.object.in_(sources)))
        yield from (showing.access for showing in shown)

    def _refusal(self, id_: str, *, is_there: bool) -> Refusal:
        if not is_there:
            return NotFound(id_, UNKNOWN)
        if not self.caller.name:
            return Unauthenticated(id_, "sign in to read it")
        return Forbidden(id_, "you may not read it")

    def _as_file(self, row: AnyRow) -> Node:
        """With the type that its bytes show, since it may go by many names. Raises Corrupt, StorageUnavailable."""
        made = Instant(row.created)
        content = Descriptor(row.digest, row.size, row.storage, row.key)
        identity = (NodeId(0), row.uid, row.bucket, (row.uid,), Kind.FILE)
        node = Node(*identity, row.size, "", made, made, 0, row.id, row.uid, content)
        return replace(node, media_type=row.media_type or self._shown(node))

    def _shown(self, node: Node) -> str:
        """Kept with the object, so that its bytes are read for that once."""
        with self.contents.open(node) as reader:
            shown = media.shown(reader.read(HEAD))
        with self.database.write(node.bucket, durable=False) as tx:
            tx.execute(update(objects).where(objects.c.id == node.object).values(media_type=shown))
        return shown


def identified(id_: str) -> ColumnElement[bool]:
    """Of `nodes`: the file goes by this uid or alias."""
    if not ALIAS.fullmatch(id_):
        return false()
    named = nodes.c.id.in_(select(aliases.c.node).where(aliases.c.alias == id_))
    return (nodes.c.kind == Kind.FILE) & (named | (nodes.c.uid == id_) if uids.is_uid(id_) else named)


def _object(tx: Transaction, uid: str) -> AnyRow:
    """Raises NotFound."""
    row = tx.execute(select(objects).where(objects.c.uid == uid)).first() if uids.is_uid(uid) else None
    if row is None:
        raise NotFound(uid, UNKNOWN)
    return row
