"""Collect and purge: what no reference rule finds is condemned, and after the retention handed to the outbox.

    live, touched ── no reference ──► condemned ── retention over, proved again ──► its key in the outbox, the row gone
      ▲    └── a reference ──► live      │
      └─── an identical upload, or a reference found

Each batch is one transaction under the bucket's writer lock: nothing can gain or lose a reference between the question
and the verdict. Safety rests on that and on foreign keys; grace and retention are there for people (I8, I10).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial

from sqlalchemy import Column, and_, delete, func, insert, literal, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from . import buckets, history
from .database import Database, Query, Transaction
from .errors import Refusal
from .model import SECOND, Bucket, Instant, ObjectId
from .references import Registry
from .schema import holds, objects, purges, renditions
from .tempo import FLAT_OUT, Tempo

SMALLEST, FIRST, LARGEST = 50, 500, 8000
AGAIN = 30 * 24 * 3600 * SECOND
"""Every object is examined at least so often, in nanoseconds, so that a forgotten touch leaks nothing for ever."""
BREAKER_FROM = 1000
BREAKER_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run did, or would do; `refused` says for which buckets it did nothing, and why."""

    examined: int = 0
    condemned: int = 0
    revived: int = 0
    purged: int = 0
    purged_bytes: int = 0
    refused: tuple[str, ...] = ()

    def __add__(self, other: "Collected") -> "Collected":
        return Collected(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(slots=True)
class _Pace:
    """How many objects the next batch takes: as many as `longest` seconds allow."""

    longest: float
    size: int = FIRST
    started: float = field(default_factory=time.monotonic)

    def next(self) -> int:
        self.started = time.monotonic()
        return self.size

    def took(self) -> None:
        spent = max(time.monotonic() - self.started, 0.001)
        self.size = max(SMALLEST, min(LARGEST, 2 * self.size, int(self.size * self.longest / spent)))


@dataclass(frozen=True, slots=True)
class Collector:
    database: Database
    registry: Registry
    tempo: Tempo = FLAT_OUT

    def collect(self, grace: int, *, dry_run: bool = False, force: bool = False) -> Collected:
        """Objects touched longer than `grace` nanoseconds ago are cleared or condemned; no bucket stops another."""
        return self._each_bucket(lambda bucket: self._collect(bucket, grace, dry_run=dry_run, force=force))

    def purge(self, retention: int | None = None, *, dry_run: bool = False) -> Collected:
        """What was condemned longer ago than the bucket's retention, or this one, is handed to the outbox."""
        return self._each_bucket(lambda bucket: self._purge(bucket, retention, dry_run=dry_run))

    def _each_bucket(self, work: Callable[[Bucket], Collected]) -> Collected:
        with self.database.read() as tx:
            every = buckets.every(tx)
        total = Collected()
        for bucket in every:
            try:
                self._check_rules(bucket)
                total += work(bucket)
            except Refusal as refusal:
                total += Collected(refused=(f"{bucket.name}: {refusal}",))
        return total

    def _check_rules(self, bucket: Bucket) -> None:
        with self.database.read() as tx:
            unknown = self.registry.unknown(tx, bucket)
        if unknown:
            raise Quarantined(", ".join(unknown), "this process was not told of the rule; add it to the configuration")

    def _collect(self, bucket: Bucket, grace: int, *, dry_run: bool, force: bool) -> Collected:
        with self.database.write(bucket.id) as tx:
            _end_holds(tx, bucket)
            cutoff = Instant(tx.now - grace)
        if not dry_run and not force and self.registry.hosts.get(bucket.id):
            self._check_breaker(bucket, self._examine(bucket, cutoff, dry_run=True))
        return self._examine(bucket, cutoff, dry_run=dry_run)

    def _examine(self, bucket: Bucket, cutoff: Instant, *, dry_run: bool) -> Collected:
        decide = partial(self._decide, bucket=bucket, dry_run=dry_run)
        touched = self._in_batches(bucket, objects.c.touched, lambda _: cutoff, decide)
        return touched + self._in_batches(bucket, objects.c.examined, lambda now: now - AGAIN, decide)

    def _check_breaker(self, bucket: Bucket, would: Collected) -> None:
        with self.database.read() as tx:
            stored = tx.scalar(select(func.count()).where(objects.c.bucket == bucket.id))
        if stored > BREAKER_FROM and would.condemned > stored * BREAKER_SHARE:
            reason = f"{would.condemned} of {stored} objects would be condemned; run with --force if that is right"
            raise Quarantined("the breaker", reason)

    def _in_batches(
        self,
        bucket: Bucket,
        since: Column[int],
        cutoff: Callable[[Instant], int],
        decide: Callable[[Transaction, Sequence[ObjectId]], Collected],
    ) -> Collected:
        """Decides on objects whose `since` lies before the cutoff, oldest first, a transaction for each batch."""
        total, pace, after = Collected(), _Pace(self.tempo.longest), (-1, -1)
        while True:
            limit = pace.next()
            with self.database.write(bucket.id) as tx:
                rows = tx.execute(_batch(bucket, since, cutoff(tx.now), after, limit)).all()
                total += decide(tx, [row.id for row in rows])
            pace.took()
            self.tempo.between()
            if len(rows) < limit:
                return total
            after = (rows[-1].since, rows[-1].id)

    def _decide(self, tx: Transaction, batch: Sequence[ObjectId], *, bucket: Bucket, dry_run: bool) -> Collected:
        kept = self._referenced(tx, bucket, batch)
        gone = [wanted for wanted in batch if wanted not in kept]
        if not dry_run and batch:
            looked = {"touched": None, "examined": tx.now}
            tx.execute(update(objects).where(objects.c.id.in_(kept)).values(**looked))
            tx.execute(
                update(objects).where(objects.c.id.in_(gone)).values(**looked, state="condemned", condemned=tx.now)
            )
            history.record(tx, bucket, gone, "condemned", "no reference was found")
        return Collected(examined=len(batch), condemned=len(gone))

    def _referenced(self, tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId]) -> set[ObjectId]:
        found: set[ObjectId] = set()
        for rule in self.registry.rules(bucket) if batch else ():
            found |= rule.referenced(tx, batch)
        return found

    def _purge(self, bucket: Bucket, retention: int | None, *, dry_run: bool) -> Collected:
        kept_for = bucket.retention if retention is None else retention
        decide = partial(self._let_go, bucket=bucket, dry_run=dry_run)
        return self._in_batches(bucket, objects.c.condemned, lambda now: now - kept_for, decide)

    def _let_go(self, tx: Transaction, batch: Sequence[ObjectId], *, bucket: Bucket, dry_run: bool) -> Collected:
        kept = self._referenced(tx, bucket, batch)
        gone = [wanted for wanted in batch if wanted not in kept]
        size = tx.scalar(select(func.coalesce(func.sum(objects.c.size), 0)).where(objects.c.id.in_(gone)))
        would = Collected(revived=len(kept), purged=len(gone), purged_bytes=int(size))
        if dry_run:
            return would
        _revive(tx, bucket, list(kept), "a reference was found")
        try:
            with tx.connection.begin_nested():
                _forget(tx, bucket, gone)
        except IntegrityError:
            return Collected(revived=len(kept)) + self._let_go_one_by_one(tx, bucket, gone)
        return would

    def _let_go_one_by_one(self, tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId]) -> Collected:
        total = Collected()
        for wanted in batch:
            size = tx.scalar(select(objects.c.size).where(objects.c.id == wanted))
            try:
                with tx.connection.begin_nested():
                    _forget(tx, bucket, [wanted])
                total += Collected(purged=1, purged_bytes=size)
            except IntegrityError:
                _revive(tx, bucket, [wanted], "a row that no rule knows refers to it")
                total += Collected(revived=1)
        return total


class Quarantined(Refusal):
    """The bucket is left alone until somebody decides."""


def _end_holds(tx: Transaction, bucket: Bucket) -> None:
    """Holds that are over go, and what they held is worth a look."""
    over = and_(holds.c.until <= tx.now, holds.c.object == objects.c.id, objects.c.bucket == bucket.id)
    ended = list(tx.execute(select(holds.c.id, holds.c.object).where(over)))
    if ended:
        tx.execute(delete(holds).where(holds.c.id.in_([row.id for row in ended])))
        tx.execute(update(objects).where(objects.c.id.in_([row.object for row in ended])).values(touched=tx.now))


def _batch(bucket: Bucket, since: Column[int], cutoff: int, after: tuple[int, int], limit: int) -> Query:
    """Live objects by the time that they were touched or examined, or condemned ones by when that was."""
    state = "condemned" if since is objects.c.condemned else "live"
    wanted = select(objects.c.id, since.label("since")).where(
        objects.c.bucket == bucket.id, objects.c.state == state, since <= cutoff
    )
    return wanted.where(tuple_(since, objects.c.id) > after).order_by(since, objects.c.id).limit(limit)


def _revive(tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId], reason: str) -> None:
    if batch:
        alive = {"state": "live", "condemned": None, "touched": None, "examined": tx.now}
        tx.execute(update(objects).where(objects.c.id.in_(batch)).values(**alive))
        history.record(tx, bucket, batch, "revived", reason)


def _forget(tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId]) -> None:
    """The rows go and their blobs' keys enter the outbox; renditions made of them are worth a look."""
    if not batch:
        return
    derived = select(renditions.c.object).where(renditions.c.source.in_(batch))
    tx.execute(update(objects).where(objects.c.id.in_(derived)).values(touched=tx.now))
    history.record(tx, bucket, batch, "purged", "condemned longer than the retention, and still without a reference")
    keys = select(objects.c.storage, objects.c.key, literal(tx.now, purges.c.due.type)).where(objects.c.id.in_(batch))
    tx.execute(insert(purges).from_select(["storage", "key", "due"], keys))
    tx.execute(delete(objects).where(objects.c.id.in_(batch)))
