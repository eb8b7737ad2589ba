"""Background jobs, each under a lease, so that normally one process among all servers runs it at a time.

A lease saves work and proves nothing (I10): what a job does is safe when two do it at once. Times are the database's;
one that lies further ahead than it can was written while that clock was wrong, and keeps nobody waiting.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert, select, update

from . import uids
from .database import AnyRow, Database, Transaction
from .errors import Refusal
from .model import SECOND, Instant
from .schema_services import jobs
from .tempo import Tempo

log = logging.getLogger(__name__)

LEASE = 60 * SECOND
"""Nanoseconds after which a job whose runner died, or hangs, is anybody's."""
RENEWAL = 15.0
"""Seconds between two renewals of a lease."""
LONGEST = 0.004
"""Seconds that a batch may hold a writer lock while a server wants it too."""
REST = 4.0
"""Seconds of rest for one second of work."""
SPELL = 0.002
"""Seconds of work that are worth a rest."""

Wait = Callable[[float], bool]
"""Waits so many seconds, or until the process is to end: then it says True, and from then on at once."""


@dataclass(frozen=True, slots=True)
class Job:
    """`work` is due `every` so many nanoseconds, and says what it had to leave undone.

    One that is for `at_start` is due as well when a server starts. It rests `rest` seconds for one second of work.
    """

    name: str
    every: int
    work: Callable[[Tempo], Sequence[str]]
    at_start: bool = False
    rest: float = REST


@dataclass(frozen=True, slots=True)
class JobState:
    """`last_run` is when the job ended last, `last_error` what went wrong then, `next_run` when it is due and free."""

    name: str
    running: bool
    last_run: Instant | None
    last_error: str | None
    next_run: Instant | None


class Stopped(Exception):
    """The process is to end, or the lease went to another: the rest is for a later run."""


def start(database: Database, every: Sequence[Job]) -> None:
    """What is for the start is due, unless somebody is at it."""
    names = [job.name for job in every if job.at_start]
    if names:
        with database.write() as tx:
            tx.execute(update(jobs).where(jobs.c.name.in_(names)).values(last_run=None))


def run_due(database: Database, every: Sequence[Job], wait: Wait) -> list[str]:
    """What was due and free has run, one job after the other. Returns the names. One that fails stops no other."""
    ran: list[str] = []
    for job in every:
        turn = _Turn(database, job, wait)
        if not wait(0) and seconds_until_due(database, [job]) == 0 and turn.take():
            turn.run()
            ran.append(job.name)
    return ran


def seconds_until_due(database: Database, every: Sequence[Job]) -> float:
    """0 where one of the jobs is due and nobody runs it."""
    with database.read() as tx:
        known = _rows(tx)
        first = min((_due(tx, known.get(job.name), job) for job in every), default=tx.now)
        return max(first - tx.now, 0) / SECOND


def states(tx: Transaction, every: Sequence[Job]) -> list[JobState]:
    known = _rows(tx)
    return [_state(tx, known.get(job.name), job) for job in every]


def _rows(tx: Transaction) -> dict[str, AnyRow]:
    return {row.name: row for row in tx.execute(select(jobs))}


def _state(tx: Transaction, row: AnyRow | None, job: Job) -> JobState:
    if row is None:
        return JobState(job.name, running=False, last_run=None, last_error=None, next_run=None)
    running = tx.now < _lease(tx, row)
    return JobState(job.name, running, row.last_run, row.last_error, None if running else _due(tx, row, job))


def _due(tx: Transaction, row: AnyRow | None, job: Job) -> Instant:
    """When the job's time has come and no lease is in its way."""
    if row is None:
        return Instant(0)
    if row.last_run is None or row.last_run > tx.now:
        return Instant(_lease(tx, row))
    return Instant(max(_lease(tx, row), row.last_run + job.every))


def _lease(tx: Transaction, row: AnyRow) -> int:
    """Until when somebody has the job, 0 where nobody can."""
    return 0 if row.lease is None or row.lease > tx.now + LEASE else row.lease


@dataclass(slots=True)
class _Turn:
    """One holder's time with a job."""

    database: Database
    job: Job
    wait: Wait
    holder: str = field(default_factory=uids.fresh)
    renewed: float = 0.0
    rested: float = 0.0

    def take(self) -> bool:
        """Whether the job is due and free; then it is ours for the length of a lease."""
        with self.database.write() as tx:
            row = _rows(tx).get(self.job.name)
            if _due(tx, row, self.job) > tx.now:
                return False
            if row is None:
                tx.execute(insert(jobs).values(name=self.job.name))
            held = update(jobs).where(jobs.c.name == self.job.name)
            tx.execute(held.values(holder=self.holder, lease=tx.now + LEASE))
            return True

    def run(self) -> None:
        self.renewed = self.rested = time.monotonic()
        try:
            self._end("; ".join(self.job.work(Tempo(LONGEST, self._between))) or None)
        except Stopped:
            self._give_back()
        except Refusal as refusal:
            self._end(str(refusal))
        except Exception as error:
            log.exception("job %s failed", self.job.name)
            self._end(f"{type(error).__name__}: {error}")

    def _between(self) -> None:
        """Rests, and keeps the lease."""
        worked = time.monotonic() - self.rested
        if worked < SPELL:
            return
        if self.wait(min(worked * self.job.rest, RENEWAL)):
            raise Stopped
        self.rested = time.monotonic()
        if self.rested - self.renewed > RENEWAL:
            self._renew()
            self.renewed = self.rested

    def _renew(self) -> None:
        with self.database.write() as tx:
            mine = (jobs.c.name == self.job.name) & (jobs.c.holder == self.holder)
            if tx.execute(update(jobs).where(mine).values(lease=tx.now + LEASE)).rowcount != 1:
                raise Stopped

    def _end(self, error: str | None) -> None:
        if error is not None:
            log.warning("job %s: %s", self.job.name, error)
        self._give_back(error=error, ended=True)

    def _give_back(self, *, error: str | None = None, ended: bool = False) -> None:
        with self.database.write() as tx:
            mine = (jobs.c.name == self.job.name) & (jobs.c.holder == self.holder)
            tx.execute(update(jobs).where(mine).values(holder=None, lease=None))
            if ended:
                tx.execute(update(jobs).where(jobs.c.name == self.job.name).values(last_run=tx.now, last_error=error))
