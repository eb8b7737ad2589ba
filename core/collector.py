"""Collect and purge: what no reference rule finds is condemned, and after the retention handed to the outbox.

    live, touched ── no reference ──► condemned ── retention over, proved again ──► its key in the outbox, the row gone
      ▲    └── a reference ──► live      │
      └─── an identical upload, or a reference found

Each batch is one transaction under the bucket's writer lock: nothing can gain or lose a reference between the question
and the verdict. Safety rests on that and on foreign keys; grace and retention are there for people (I8, I10). A dry run
asks the same questions of snapshots, and writes nothing. No batch waits for the disk: a verdict that is lost with the
power is made again, and the claim without which no blob is deleted (`deliveries`) is on disk after all before it.

`touched` says since when an object is worth a look. While a hold keeps it, that lies ahead: at the hold's end. How far
the looks have come stands in the bucket's row (`progress`), so that an object that is kept is not written to.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass
from functools import partial

from sqlalchemy import Column, delete, func, insert, literal, select, text, tuple_, update
from sqlalchemy.exc import IntegrityError

from . import buckets, history, progress
from .batches import among
from .database import Database, Query, Transaction
from .errors import Refusal
from .model import FOREVER, Bucket, Instant, ObjectId
from .references import Registry
from .schema import holds, objects, purges, renditions
from .tempo import FLAT_OUT, Tempo

SMALLEST, LARGEST = 20, 8000
PAGE = 500
FIRST = 5000
"""Objects for each second that the first batch may take: few, until it is known how long they take."""
BREAKER_FROM = 1000


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


@dataclass(frozen=True, slots=True)
class Collector:
    database: Database
    registry: Registry
    tempo: Tempo = FLAT_OUT
    breaker: float = 0.5

    def collect(
        self, grace: int, retention: int | None = None, *, dry_run: bool = False, force: bool = False
    ) -> Collected:
        """Objects touched longer than `grace` nanoseconds ago are cleared or condemned; no bucket stops another.

        `retention` is of use to a dry run: where it is zero, what would be condemned would be purged as well.
        """
        return self._each_bucket(lambda bucket: self._collect(bucket, grace, retention, dry_run=dry_run, force=force))

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
            except IntegrityError as error:
                total += Collected(refused=(f"{bucket.name}: a row that no rule knows refers to it ({error.orig})",))
        return total

    def _check_rules(self, bucket: Bucket) -> None:
        with self.database.read() as tx:
            unknown = self.registry.unknown(tx, bucket)
        if unknown:
            raise Quarantined(", ".join(unknown), "this process was not told of the rule; add it to the configuration")

    def _collect(self, bucket: Bucket, grace: int, retention: int | None, *, dry_run: bool, force: bool) -> Collected:
        with self.database.read() as tx:
            cutoff = Instant(tx.now - grace)
        if not force and self.registry.hosts.get(bucket.id):
            self._check_breaker(bucket, self._examine(bucket, cutoff, retention, dry_run=True))
        return self._examine(bucket, cutoff, retention, dry_run=dry_run)

    def _examine(self, bucket: Bucket, cutoff: Instant, retention: int | None, *, dry_run: bool) -> Collected:
        decide = self._condemn
        if dry_run:
            decide = partial(self._would_condemn, purge=not _kept_for(bucket, retention))
        if not dry_run:
            self._begin(bucket)
        with self.database.read() as tx:
            start = progress.reached(tx, bucket)
        decide = partial(decide, bucket=bucket)
        return self._in_batches(bucket, objects.c.touched, lambda _: cutoff, decide, dry_run=dry_run, start=start)

    def _begin(self, bucket: Bucket) -> None:
        """Where it is time to look at every object, those that an older program cleared are touched again."""
        with self.database.write(bucket.id, durable=False) as tx:
            cleared = progress.begin(tx, bucket)
        while cleared:
            with self.database.write(bucket.id, durable=False) as tx:
                page = select(objects.c.id).where(objects.c.bucket == bucket.id, objects.c.touched.is_(None))
                page = page.where(objects.c.condemned.is_(None)).limit(PAGE)
                cleared = tx.execute(update(objects).where(objects.c.id.in_(page)).values(touched=0)).rowcount
            self.tempo.between()

    def _check_breaker(self, bucket: Bucket, would: Collected) -> None:
        if would.condemned <= BREAKER_FROM * self.breaker:
            return
        with self.database.read() as tx:
            stored = tx.scalar(select(func.count()).where(objects.c.bucket == bucket.id))
        if stored > BREAKER_FROM and would.condemned > stored * self.breaker:
            reason = f"{would.condemned} of {stored} objects would be condemned; run with --force if that is right"
            raise Quarantined("the breaker", reason)

    def _purge(self, bucket: Bucket, retention: int | None, *, dry_run: bool) -> Collected:
        kept_for = _kept_for(bucket, retention)
        decide = partial(self._would_let_go if dry_run else self._let_go, bucket=bucket)
        return self._in_batches(bucket, objects.c.condemned, lambda now: now - kept_for, decide, dry_run=dry_run)

    def _in_batches(
        self,
        bucket: Bucket,
        since: Column[int],
        cutoff: Callable[[Instant], int],
        decide: Callable[[Transaction, Sequence[ObjectId]], Collected],
        *,
        dry_run: bool,
        start: int = progress.START,
    ) -> Collected:
        """Decides on objects whose `since` lies between, oldest first, a transaction for each batch."""
        total, limit, after = Collected(), max(SMALLEST, int(FIRST * self.tempo.longest)), (start, FOREVER)
        while True:
            with self._transaction(bucket, dry_run=dry_run) as tx:
                started = time.monotonic()
                rows = tx.execute(_batch(bucket, since, cutoff(tx.now), after, limit)).all()
                if rows:
                    total += decide(tx, [row.id for row in rows])
                if since is objects.c.touched and not dry_run:
                    progress.advance(tx, bucket, rows[-1].since - 1 if len(rows) == limit else cutoff(tx.now))
            if len(rows) < limit:
                return total
            after = (rows[-1].since, rows[-1].id)
            limit = _paced(limit, self.tempo.longest, time.monotonic() - started)
            self.tempo.between()

    def _transaction(self, bucket: Bucket, *, dry_run: bool) -> AbstractContextManager[Transaction]:
        return self.database.read() if dry_run else self.database.write(bucket.id, durable=False)

    def _condemn(self, tx: Transaction, batch: Sequence[ObjectId], *, bucket: Bucket) -> Collected:
        kept, gone = self._parted(tx, bucket, batch)
        _end_holds(tx, batch)
        _look_later(tx, kept)
        verdict = {"state": "condemned", "condemned": tx.now}
        tx.execute(update(objects).where(among(tx, objects.c.id, gone)).values(**verdict))
        history.record(tx, bucket, gone, "condemned", "no reference was found")
        return Collected(examined=len(batch), condemned=len(gone))

    def _would_condemn(self, tx: Transaction, batch: Sequence[ObjectId], *, bucket: Bucket, purge: bool) -> Collected:
        _, gone = self._parted(tx, bucket, batch)
        would = Collected(examined=len(batch), condemned=len(gone))
        return would + Collected(purged=len(gone), purged_bytes=_size(tx, gone)) if purge else would

    def _let_go(self, tx: Transaction, batch: Sequence[ObjectId], *, bucket: Bucket) -> Collected:
        kept, gone = self._parted(tx, bucket, batch)
        _end_holds(tx, batch)
        _revive(tx, bucket, kept, "a reference was found")
        return Collected(revived=len(kept)) + _forget_or_revive(tx, bucket, gone)

    def _would_let_go(self, tx: Transaction, batch: Sequence[ObjectId], *, bucket: Bucket) -> Collected:
        kept, gone = self._parted(tx, bucket, batch)
        return Collected(revived=len(kept), purged=len(gone), purged_bytes=_size(tx, gone))

    def _parted(
        self, tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId]
    ) -> tuple[list[ObjectId], list[ObjectId]]:
        """Those that a rule finds a reference to, and those that none does."""
        found: set[ObjectId] = set()
        for rule in self.registry.rules(bucket):
            found |= rule.referenced(tx, batch)
        return [each for each in batch if each in found], [each for each in batch if each not in found]


class Quarantined(Refusal):
    """The bucket is left alone until somebody decides."""


def _kept_for(bucket: Bucket, retention: int | None) -> int:
    return bucket.retention if retention is None else retention


def _batch(bucket: Bucket, since: Column[int], cutoff: int, after: tuple[int, int], limit: int) -> Query:
    """Live objects by the time that they were touched, or condemned ones by when that was."""
    wanted = select(objects.c.id, since.label("since")).where(objects.c.bucket == bucket.id, since <= cutoff)
    if since is objects.c.touched:
        wanted = wanted.where(objects.c.condemned.is_(None))
    return wanted.where(tuple_(since, objects.c.id) > after).order_by(since, objects.c.id).limit(limit)


def _paced(limit: int, longest: float, spent: float) -> int:
    """How many objects the next batch takes, so that it takes `longest` seconds."""
    return max(SMALLEST, min(LARGEST, 2 * limit, int(limit * longest / max(spent, 0.001))))


def _size(tx: Transaction, batch: Sequence[ObjectId]) -> int:
    return int(tx.scalar(select(func.coalesce(func.sum(objects.c.size), 0)).where(among(tx, objects.c.id, batch))))


def _end_holds(tx: Transaction, batch: Sequence[ObjectId]) -> None:
    tx.execute(delete(holds).where(among(tx, holds.c.object, batch), holds.c.until <= tx.now))


def _look_later(tx: Transaction, batch: Sequence[ObjectId]) -> None:
    """Something refers to them: the next look is due when a reference is dropped, or their last hold ends."""
    held = select(holds.c.object).where(among(tx, holds.c.object, batch))
    last_hold = select(func.max(holds.c.until)).where(holds.c.object == objects.c.id).scalar_subquery()
    tx.execute(update(objects).where(objects.c.id.in_(held)).values(touched=last_hold))


def _revive(tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId], reason: str) -> None:
    if batch:
        tx.execute(update(objects).where(among(tx, objects.c.id, batch)).values(state="live", condemned=None))
        _look_later(tx, batch)
        history.record(tx, bucket, batch, "revived", reason)


def _forget_or_revive(tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId]) -> Collected:
    """What a foreign key keeps is found by halves: all others of the batch go."""
    size = _size(tx, batch)
    try:
        with tx.connection.begin_nested():
            _forget(tx, bucket, batch)
        return Collected(purged=len(batch), purged_bytes=size)
    except IntegrityError:
        if len(batch) == 1:
            _revive(tx, bucket, batch, "a row that no rule knows refers to it")
            return Collected(revived=1)
    half = len(batch) // 2
    return _forget_or_revive(tx, bucket, batch[:half]) + _forget_or_revive(tx, bucket, batch[half:])


def _forget(tx: Transaction, bucket: Bucket, batch: Sequence[ObjectId]) -> None:
    """The rows go and their blobs' keys enter the outbox; renditions made of them are worth a look."""
    if tx.dialect == "postgresql":
        tx.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    these = among(tx, objects.c.id, batch)
    derived = select(renditions.c.object).where(among(tx, renditions.c.source, batch))
    tx.execute(update(objects).where(objects.c.id.in_(derived)).values(touched=tx.now))
    history.record(tx, bucket, batch, "purged", "condemned longer than the retention, and still without a reference")
    keys = select(objects.c.storage, objects.c.key, literal(tx.now, purges.c.due.type)).where(these)
    tx.execute(insert(purges).from_select(["storage", "key", "due"], keys))
    tx.execute(delete(objects).where(these))
