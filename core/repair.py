"""What `fsck --repair` does about findings: only what cannot lose anything. It never removes a name or a blob.

recount   a bucket's counters are counted anew
unlock    a lock on something in the trash goes
judge     a blob that is missing or wrong is read once more, and its object told: an upload of the same content then
          repairs it for every file that has it
sweep     orphan blobs older than a day enter the outbox of deletions, due a week later
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, func, select, update

from . import buckets, scrubbing
from .contents import Contents
from .database import Database, Transaction
from .errors import StorageUnavailable
from .model import Findings, Kind, NodeId, Problem
from .schema import buckets as bucket_rows
from .schema import locks, nodes, objects, trash
from .sweeping import sweep
from .tree import below


@dataclass(frozen=True, slots=True)
class Step:
    action: Literal["recount", "unlock", "judge", "sweep"]
    subject: str
    """A bucket's name, a lock's token, a blob's key; nothing for a sweep."""
    detail: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`left` are the problems that only people can solve."""

    steps: tuple[Step, ...]
    left: tuple[Problem, ...]


def plan(database: Database, contents: Contents, findings: Findings) -> Plan:
    """What could be done about the findings. Nothing is changed."""
    with database.read() as tx:
        found = [(problem, _step(tx, problem)) for problem in findings.problems]
    steps = dict.fromkeys(step for _, step in found if step)
    left = [problem for problem, step in found if step is None]
    swept = _sweep(database, contents) if any(blob.kind == "orphan" for blob in findings.reclaimable) else ()
    return Plan((*steps, *swept), tuple(left))


def repair(database: Database, contents: Contents, plan: Plan) -> None:
    """Each step is done if it is still called for, in a transaction of its own."""
    for step in plan.steps:
        match step.action:
            case "recount":
                _recount(database, step.subject)
            case "unlock":
                _unlock(database, step.subject)
            case "judge":
                _judge(database, contents, step.subject)
            case "sweep":
                sweep(database, contents)


def _step(tx: Transaction, problem: Problem) -> Step | None:
    match problem.kind:
        case "counter":
            return Step("recount", problem.subject, "count its files and bytes anew")
        case "I5":
            return Step("unlock", problem.subject, "remove the lock, which guards something in the trash")
        case "I1" | "I2" if tx.scalar(select(objects.c.id).where(objects.c.key == problem.subject)):
            return Step("judge", problem.subject, "read it again, and note it as lost or corrupt if it is")
        case _:
            return None


def _sweep(database: Database, contents: Contents) -> Iterator[Step]:
    would = sweep(database, contents, dry_run=True)
    if would.orphans:
        yield Step("sweep", "", f"post {would.orphans} orphan blobs of {would.orphan_bytes} bytes, due in a week")


def _recount(database: Database, name: str) -> None:
    with database.read() as tx:
        bucket = buckets.find(tx, name)
    if bucket is None:
        return
    with database.write(bucket.id) as tx:
        files = select(func.count(), func.coalesce(func.sum(nodes.c.size), 0))
        count, size = tx.execute(files.where(nodes.c.bucket == bucket.id, nodes.c.kind == Kind.FILE)).one()
        tx.execute(update(bucket_rows).where(bucket_rows.c.id == bucket.id).values(files=count, bytes=int(size)))


def _unlock(database: Database, token: str) -> None:
    with database.read() as tx:
        node: NodeId | None = tx.scalar(select(locks.c.node).where(locks.c.token == token))
        home = tx.scalar(select(nodes.c.bucket).where(nodes.c.id == node))
    if home is None:
        return
    with database.write(home) as tx:
        removed = select(below(select(trash.c.node.label("id"))).c.id)
        tx.execute(delete(locks).where(locks.c.token == token, locks.c.node.in_(removed)))


def _judge(database: Database, contents: Contents, key: str) -> None:
    with database.read() as tx:
        row = tx.execute(select(*scrubbing.SEEN).where(objects.c.key == key)).first()
    if row is not None:
        try:
            scrubbing.judge(database, contents, row)
        except StorageUnavailable:
            return
