"""The members of a collection page by page: as nodes, or as columns, which cost little however many they are.

A page is one short transaction; what it tells besides the rows (properties, locks, pictures) is of the same moment.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, case, cast, func, literal_column, or_, select

from . import guards, locks, pictures, properties, reach, tree
from .database import Database, Transaction
from .model import (
    Access,
    Caller,
    Digest,
    Instant,
    Kind,
    Lock,
    Node,
    NodeId,
    Path,
    PropertyName,
    Removal,
    Version,
    Visibility,
)
from .pictures import Picture
from .prepared import Prepared
from .schema import dead_properties, names, nodes, objects

SHOWN = frozenset({Kind.COLLECTION, Kind.FILE})
"""The kinds that listings show; the others are for POSIX."""
MOST_XML = 1 << 20
"""Characters of dead properties after which a page ends early."""


@dataclass(frozen=True, slots=True)
class Members:
    """Nodes below one path, as columns: `size[n]` is the size of the one called `name[n]`.

    Columns are as Node's attributes. Those that nobody asked for are empty, and so is `access` where nothing in the
    bucket says anything of it.
    """

    at: Path
    """The collection's, as stored; the root has the name ""."""
    name: Sequence[str]
    kind: Sequence[str]
    id: Sequence[NodeId] = ()
    uid: Sequence[str] = ()
    size: Sequence[int] = ()
    media_type: Sequence[str] = ()
    created: Sequence[Instant] = ()
    modified: Sequence[Instant] = ()
    mode: Sequence[int] = ()
    expires: Sequence[Instant | None] = ()
    object_uid: Sequence[str | None] = ()
    digest: Sequence[Digest | None] = ()
    etag: Sequence[str] = ()
    access: Sequence[Access | None] = ()
    past: Sequence[Removal | Version | None] = ()
    locks: Mapping[NodeId, tuple[Lock, ...]] | None = None
    properties: Mapping[NodeId, Mapping[PropertyName, str]] | None = None
    """Dead ones."""
    pictures: Mapping[NodeId, Picture] | None = None

    def __len__(self) -> int:
        return len(self.name)

    def path(self, n: int) -> Path:
        return (*self.at, self.name[n]) if self.name[n] else self.at


def of_nodes(
    members: Sequence[Node],
    *,
    locks: Mapping[NodeId, tuple[Lock, ...]] | None = None,
    properties: Mapping[NodeId, Mapping[PropertyName, str]] | None = None,
    pictures: Mapping[NodeId, Picture] | None = None,
) -> Members:
    """The same as columns: one node, or some that lie in one collection."""
    return Members(
        members[0].path[:-1],
        name=[node.name for node in members],
        kind=[node.kind for node in members],
        id=[node.id for node in members],
        uid=[node.uid for node in members],
        size=[node.size for node in members],
        media_type=[node.media_type for node in members],
        created=[node.created for node in members],
        modified=[node.modified for node in members],
        mode=[node.mode for node in members],
        expires=[node.expires for node in members],
        object_uid=[node.object_uid or None for node in members],
        digest=[node.content.digest if node.content else None for node in members],
        etag=[node.etag for node in members],
        access=[node.access for node in members],
        past=[node.past for node in members],
        locks=locks,
        properties=properties,
        pictures=pictures,
    )


def of_collection(
    database: Database, caller: Caller, collection: Node, wanted: frozenset[str], limit: int
) -> Iterator[Members]:
    """What the caller may see of a collection that is a row, in the order of the names' bytes: columns, and `locks`,
    `properties` and `pictures`, as far as they are wanted."""
    page = _Page(caller, collection, wanted)
    after: str | None = ""
    while after is not None:
        with database.read() as tx:
            members, after = page.read(tx, after, limit)
        if members:
            yield members


def nodes_of_collection(database: Database, caller: Caller, collection: Node, limit: int) -> Iterator[list[Node]]:
    """The same as nodes, of every kind; of the root the buckets, at once."""
    if not collection.path:
        with database.read() as tx:
            roots = tree.roots(tx)
        if roots:
            yield roots
        return
    after: str | None = None
    while True:
        with database.read() as tx:
            page = tree.children(tx, collection.id, collection.path, after, limit)
        if page:
            yield reach.readable(page, collection, caller)
        if len(page) < limit:
            return
        after = page[-1].name


_ETAG = case(
    (nodes.c.object.is_(None), cast(nodes.c.uid, Text) + literal_column("'-'") + cast(nodes.c.seq, Text)),
    else_=objects.c.digest,
)
_XML = select(func.sum(func.length(dead_properties.c.xml))).where(dead_properties.c.node == nodes.c.id)
_OF_NODE: Mapping[str, ColumnElement[Any]] = {
    **{name: nodes.c[name] for name in ("id", "size", "media_type", "created", "modified", "mode", "expires")},
    **{name: nodes.c[name] for name in ("owner", "visibility", "is_local")},
    "uid": cast(nodes.c.uid, Text),
    "xml": _XML.correlate(nodes).scalar_subquery(),
}
_OF_OBJECT: Mapping[str, ColumnElement[Any]] = {
    "object_uid": cast(objects.c.uid, Text),
    "digest": objects.c.digest,
    "etag": _ETAG,
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "locks": ("id",),
    "properties": ("id", "xml"),
    "pictures": ("id", "media_type"),
    "access": ("owner", "visibility", "is_local"),
}
"""The columns that further reads begin with."""
_INTERNAL = frozenset(("xml", "owner", "visibility", "is_local"))


class _Page:
    """A question about the members of one collection."""

    def __init__(self, caller: Caller, of: Node, wanted: frozenset[str]) -> None:
        self._caller = caller
        self._of = of
        self._wanted = wanted if of.access is None else wanted | {"access"}
        needed = {field for each in self._wanted for field in _NEEDED.get(each, (each,))}
        self._fields = ("name", "kind", *sorted(needed & (_OF_NODE.keys() | _OF_OBJECT.keys())))

    def read(self, tx: Transaction, after: str, limit: int) -> tuple[Members | None, str | None]:
        """The members after that name, None where there are none to see; and the name to go on after."""
        rows = tx.rows(_statement(self._fields), {"above": self._of.id, "after": after, "most": limit})
        if not rows:
            return None, None
        fitting = self._fitting(rows)
        last = fitting[-1][0]
        columns = dict(zip(self._fields, zip(*fitting, strict=True), strict=True))
        access: Sequence[Access] = ()
        if self._of.access:
            access = _accesses(self._of.access, columns)
            columns, access = self._visible(self._of.access, columns, access)
        told = {field: column for field, column in columns.items() if field not in _INTERNAL}
        ids, types = columns.get("id", ()), columns.get("media_type", ())
        members = Members(
            self._of.path,
            **told,
            access=access,
            locks=self._locks(tx, ids, columns["name"]),
            properties=self._properties(tx, columns.get("xml", ()), fitting[0][0], last),
            pictures=self._pictures(tx, ids, types),
        )
        is_whole = len(rows) < limit and len(fitting) == len(rows)
        return members if len(members) else None, None if is_whole else last

    def _fitting(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """The first rows, as many as one may hold the dead properties of."""
        if "xml" not in self._fields:
            return rows
        at, total = self._fields.index("xml"), 0
        for n, row in enumerate(rows):
            total += row[at] or 0
            if total > MOST_XML and n:
                return rows[:n]
        return rows

    def _visible(
        self, above: Access, columns: dict[str, tuple[Any, ...]], access: Sequence[Access]
    ) -> tuple[dict[str, tuple[Any, ...]], Sequence[Access]]:
        seen = [n for n, each in enumerate(access) if each is above or each.readable(self._caller)]
        if len(seen) == len(access):
            return columns, access
        chosen = {field: tuple(column[n] for n in seen) for field, column in columns.items()}
        return chosen, [access[n] for n in seen]

    def _locks(
        self, tx: Transaction, ids: Sequence[NodeId], called: Sequence[str]
    ) -> Mapping[NodeId, tuple[Lock, ...]] | None:
        if "locks" not in self._wanted or locks.are_none(tx):
            return None
        paths = {node: (*self._of.path, name) for node, name in zip(ids, called, strict=True)}
        return guards.locks_of_members(tx, self._caller, self._of.path, paths)

    def _properties(
        self, tx: Transaction, lengths: Sequence[int | None], first: str, last: str
    ) -> Mapping[NodeId, Mapping[PropertyName, str]] | None:
        return properties.of_members(tx, self._of.id, first, last) if any(lengths) else None

    def _pictures(
        self, tx: Transaction, ids: Sequence[NodeId], types: Sequence[str]
    ) -> Mapping[NodeId, Picture] | None:
        if "pictures" not in self._wanted:
            return None
        shown = [node for node, kind in zip(ids, types, strict=True) if kind.startswith("image/")]
        return pictures.of(tx, shown) if shown else None


def _accesses(above: Access, columns: Mapping[str, Sequence[Any]]) -> list[Access]:
    """What each member comes to; most say nothing of their own."""
    said: Iterator[tuple[str, str, Visibility | None, bool | None]] = zip(
        *(columns[field] for field in ("kind", "owner", "visibility", "is_local")), strict=True
    )
    return [
        above.of(Kind(kind), owner, visibility, is_local)
        if owner or visibility is not None or is_local is not None
        else above
        for kind, owner, visibility, is_local in said
    ]


@lru_cache
def _statement(fields: tuple[str, ...]) -> Prepared:
    source = names.join(nodes, nodes.c.id == names.c.node)
    if not _OF_OBJECT.keys().isdisjoint(fields):
        source = source.outerjoin(objects, objects.c.id == nodes.c.object)
    columns = {"name": names.c.name, "kind": nodes.c.kind, **_OF_NODE, **_OF_OBJECT}
    page = (
        select(*(columns[field].label(field) for field in fields))
        .select_from(source)
        .where(names.c.parent == bindparam("above"), names.c.name > bindparam("after", type_=names.c.name.type))
        .where(or_(*(nodes.c.kind == kind.value for kind in sorted(SHOWN))))
    )
    return Prepared(page.order_by(names.c.name).limit(bindparam("most")))
