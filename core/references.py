"""Reference rules: the queries that find what keeps an object alive. An object that no rule finds may go.

The built-in rules are nodes (those in the trash too), versions, holds and renditions: these count only below an object
that another rule keeps, however many renditions lie between, so that none keeps itself. A host application's table in
the same database adds its own: its column is an indexed foreign key to objects.uid, so the database itself refuses to
delete what a row refers to, and the rule is remembered in the database: a collector that was not told of it leaves the
bucket alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, MetaData, Table, delete, exists, insert, inspect, select, text
from sqlalchemy.engine.interfaces import ReflectedForeignKeyConstraint
from sqlalchemy.exc import NoSuchTableError

from .batches import among
from .database import Query, Transaction
from .errors import Unusable
from .model import Bucket, BucketId, ObjectId
from .policy import Reference
from .schema import holds, nodes, objects, renditions, versions
from .schema_services import reference_rules

KEEPS = ("NO ACTION", "RESTRICT")
"""What a host's foreign key may do when an object goes: refuse."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`column` refers to objects, by id or, where it is a host's, by uid."""

    name: str
    column: Column[Any]
    by_uid: bool = False

    def referenced(self, tx: Transaction, wanted: Sequence[ObjectId]) -> set[ObjectId]:
        """Those of the objects that a row refers to, in one query."""
        return set(tx.execute(self._query(tx, wanted)).scalars())

    def _query(self, tx: Transaction, wanted: Sequence[ObjectId]) -> Query:
        """One row is enough of an object to which a million refer."""
        name = objects.c.uid if self.by_uid else objects.c.id
        row = exists().where(self.column == name)
        if self.column.table is holds:
            row = row.where(holds.c.until > tx.now)
        return select(objects.c.id).where(among(tx, objects.c.id, wanted), row)

    def late(self, bucket: Bucket) -> Query:
        """Condemned objects of the bucket to which a host's row refers: no other rule's rows come without reviving."""
        named = select(objects.c.id).join_from(objects, self.column.table, self.column == objects.c.uid)
        return named.where(objects.c.bucket == bucket.id, objects.c.condemned.is_not(None)).distinct()


@dataclass(frozen=True, slots=True)
class Derived:
    """What was made of an object that one of the `others` keeps, or of something that was made of it."""

    others: tuple[Rule, ...]
    name: str = "renditions"
    column: Column[Any] = renditions.c.object

    def referenced(self, tx: Transaction, wanted: Sequence[ObjectId]) -> set[ObjectId]:
        """As a Rule's."""
        kept: set[ObjectId] = set()
        seen: set[tuple[ObjectId, ObjectId]] = set()
        level = {(each, each) for each in wanted}
        while level:
            seen |= level
            above = self._sources(tx, {source for _, source in level})
            level = {(each, further) for each, source in level for further in above.get(source, ())} - seen
            sources = {source for _, source in level}
            found = {each for rule in self.others if sources for each in rule.referenced(tx, list(sources))}
            kept |= {each for each, source in level if source in found}
            level = {(each, source) for each, source in level if each not in kept}
        return kept

    def _sources(self, tx: Transaction, made: set[ObjectId]) -> dict[ObjectId, list[ObjectId]]:
        """Of what each of these objects was made, where it is a rendition."""
        sources: dict[ObjectId, list[ObjectId]] = {}
        pairs = select(renditions.c.object, renditions.c.source).where(among(tx, renditions.c.object, made))
        for each, source in tx.execute(pairs):
            sources.setdefault(each, []).append(source)
        return sources


BUILT_IN = (
    Rule("nodes", nodes.c.object),
    Rule("versions", versions.c.object),
    Rule("holds", holds.c.object),
)


@dataclass(frozen=True, slots=True)
class Registry:
    """The rules of each bucket, as this process was told of them."""

    hosts: Mapping[BucketId, tuple[Rule, ...]]

    def rules(self, bucket: Bucket) -> tuple[Rule | Derived, ...]:
        derived = self.derived(bucket.id)
        return (*derived.others, derived)

    def derived(self, bucket: BucketId) -> Derived:
        return Derived(BUILT_IN + self.hosts.get(bucket, ()))

    def unknown(self, tx: Transaction, bucket: Bucket) -> list[str]:
        """Rules that the database remembers for the bucket and this process was not told of."""
        kept = tx.execute(select(reference_rules).where(reference_rules.c.bucket == bucket.id))
        known = {rule.name for rule in self.hosts.get(bucket.id, ())}
        return [name for row in kept if (name := f"{row.table}.{row.column}") not in known]


def register(tx: Transaction, bucket: Bucket, references: Sequence[Reference]) -> tuple[Rule, ...]:
    """The bucket's host rules, checked against the database and remembered there. Raises Unusable."""
    rules = tuple(_checked(tx, bucket, reference) for reference in references)
    for reference in references:
        row = {"bucket": bucket.id, "table": reference.table, "column": reference.column}
        same = [reference_rules.c[name] == value for name, value in row.items()]
        if tx.execute(select(reference_rules).where(*same)).first() is None:
            tx.execute(insert(reference_rules).values(**row))
    return rules


def forget(tx: Transaction, bucket: Bucket, table: str, column: str) -> bool:
    """The host's rows keep nothing alive any more. False where the rule was not known."""
    row = (
        (reference_rules.c.bucket == bucket.id)
        & (reference_rules.c.table == table)
        & (reference_rules.c.column == column)
    )
    return tx.execute(delete(reference_rules).where(row)).rowcount == 1


def _checked(tx: Transaction, bucket: Bucket, reference: Reference) -> Rule:
    name = f"{reference.table}.{reference.column}"
    subject = f"buckets.{bucket.name}.references: {name}"
    metadata = MetaData()
    try:
        table = Table(reference.table, metadata, autoload_with=tx.connection, resolve_fks=False)
    except NoSuchTableError:
        raise Unusable(subject, "there is no such table in davstore's database") from None
    if reference.column not in table.c:
        raise Unusable(subject, f"the table has no such column; it has {', '.join(table.c.keys())}")
    inspector = inspect(tx.connection)
    keys = [key for key in inspector.get_foreign_keys(reference.table) if _refers(key, reference.column)]
    if not keys:
        remedy = f"ALTER TABLE {reference.table} ADD FOREIGN KEY ({reference.column}) REFERENCES objects (uid)"
        raise Unusable(subject, f"is no foreign key to objects.uid; add it: {remedy}")
    action = _on_delete(tx, reference, keys[0])
    if action not in KEEPS:
        raise Unusable(subject, f"would go with the object (ON DELETE {action}); make it ON DELETE RESTRICT")
    leading = [index["column_names"][:1] for index in inspector.get_indexes(reference.table)]
    leading += [inspector.get_pk_constraint(reference.table)["constrained_columns"][:1]]
    leading += [unique["column_names"][:1] for unique in inspector.get_unique_constraints(reference.table)]
    if [reference.column] not in leading:
        remedy = f"CREATE INDEX ON {reference.table} ({reference.column})"
        raise Unusable(subject, f"has no index, and every collection would read the whole table; add it: {remedy}")
    return Rule(name, table.c[reference.column], by_uid=True)


def _refers(key: ReflectedForeignKeyConstraint, column: str) -> bool:
    constrained = key["constrained_columns"] == [column]
    return constrained and key["referred_table"] == "objects" and key["referred_columns"] == ["uid"]


def _on_delete(tx: Transaction, reference: Reference, key: ReflectedForeignKeyConstraint) -> str:
    """What happens to the host's row when its object goes. SQLAlchemy does not tell it of every key in SQLite."""
    if tx.dialect == "sqlite":
        asked = text('SELECT on_delete FROM pragma_foreign_key_list(:table) WHERE "from" = :column')
        return str(tx.scalar(asked, {"table": reference.table, "column": reference.column}))
    return str(key.get("options", {}).get("ondelete", KEEPS[0]))
