"""One run of everything that lets bytes go, in the order in which they do, and the state of it all."""

from dataclasses import dataclass

from sqlalchemy import func, select

from . import history
from .collector import Collected, Collector
from .contents import Contents
from .database import Database, Transaction
from .deliveries import deliver
from .expiry import expire
from .mentions import LetGo, let_go
from .model import Instant
from .prospects import foresee
from .references import Registry
from .schema import buckets, objects, purges
from .tempo import FLAT_OUT, Tempo

DEAD = 10
"""Attempts after which a deletion counts as a dead letter. It is tried once a day all the same."""

GENERATIONS = 10
"""How often a run without a grace goes on with the renditions of what it purged."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did. `failed` deletions stay in the outbox; `refused` buckets were left alone, with the reason.

    What is `left` for the next run is what a host's open transaction may come to refer to.
    """

    examined: int
    condemned: int
    revived: int
    purged: int
    purged_bytes: int
    left: int
    failed: int
    deleted: int
    trash_expired: int
    versions_expired: int
    files_expired: int
    media_trashed: int
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """A deletion that failed: `attempts` of 10 or more make it a dead letter."""

    storage: str
    key: str
    attempts: int
    due: Instant
    error: str

    @property
    def is_dead(self) -> bool:
        return self.attempts >= DEAD


@dataclass(frozen=True, slots=True)
class BucketState:
    bucket: str
    live: int
    touched: int
    condemned: int
    condemned_bytes: int


@dataclass(frozen=True, slots=True)
class State:
    buckets: tuple[BucketState, ...]
    pending: int
    """Deletions in the outbox, the intents of uploads that are under way among them."""
    failing: tuple[Letter, ...]


def run(
    database: Database,
    contents: Contents,
    registry: Registry,
    *,
    grace: int,
    retention: int | None = None,
    dry_run: bool = False,
    force: bool = False,
    remember: int | None = None,
    breaker: float = 0.5,
    tempo: Tempo = FLAT_OUT,
) -> Run:
    """Expires, collects, purges and carries out what is due; a dry run decides alike and changes nothing. Media that no
    document mentions are beyond what it sees.

    `grace` and `retention` are nanoseconds; zero is safe. `force` overrules the `breaker`. Events older than
    `remember` are forgotten.
    """
    ahead = Collected()
    if dry_run:
        expired, ahead = foresee(database, registry, retention, grace=grace)
    else:
        expired = expire(database, tempo)
    media = LetGo() if dry_run else let_go(database, contents, tempo)
    collector = Collector(database, registry, tempo, breaker)
    total = ahead + _collect(collector, grace, retention, dry_run=dry_run, force=force)
    delivered = None if dry_run else deliver(database, contents, tempo)
    if remember is not None and not dry_run:
        history.forget(database, remember, tempo)
    return Run(
        examined=total.examined,
        condemned=total.condemned,
        revived=total.revived,
        purged=total.purged,
        purged_bytes=total.purged_bytes,
        left=total.left,
        failed=delivered.failed if delivered else 0,
        deleted=delivered.deleted if delivered else 0,
        trash_expired=expired.trash,
        versions_expired=expired.versions,
        files_expired=expired.files,
        media_trashed=media.trashed,
        refused=tuple(sorted({*total.refused, *media.left})),
    )


def _collect(collector: Collector, grace: int, retention: int | None, *, dry_run: bool, force: bool) -> Collected:
    """Collects and purges until nothing that was let go by it can go as well."""
    total = Collected()
    for _ in range(GENERATIONS):
        done: Collected = collector.collect(grace, retention, dry_run=dry_run, force=force)
        done += collector.purge(retention, dry_run=dry_run)
        total += done
        if not done.released or grace:
            break
    return total


def state(tx: Transaction) -> State:
    """What waits for the next runs, and every deletion whose last attempt failed."""
    is_condemned = objects.c.state == "condemned"
    counted = (
        func.count(objects.c.id).filter(objects.c.state == "live").label("live"),
        func.count(objects.c.id).filter(~is_condemned, objects.c.touched > buckets.c.collected).label("touched"),
        func.count(objects.c.id).filter(is_condemned).label("condemned"),
        func.coalesce(func.sum(objects.c.size).filter(is_condemned), 0).label("size"),
    )
    grouped = select(buckets.c.name, *counted).outerjoin(objects, objects.c.bucket == buckets.c.id)
    rows = tx.execute(grouped.group_by(buckets.c.name).order_by(buckets.c.name))
    states = tuple(BucketState(row.name, row.live, row.touched, row.condemned, int(row.size)) for row in rows)
    failing = select(purges).where(purges.c.error.is_not(None)).order_by(purges.c.attempts.desc(), purges.c.id)
    letters = tuple(Letter(row.storage, row.key, row.attempts, row.due, row.error) for row in tx.execute(failing))
    return State(states, tx.scalar(select(func.count()).select_from(purges)), letters)
