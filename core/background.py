"""The background jobs of a store, as its settings have them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from .contents import Contents
from .database import Database
from .garbage import run
from .jobs import Job
from .quantities import nanoseconds
from .references import Registry
from .scrubbing import scrub
from .settings import Collector
from .sweeping import sweep
from .tempo import Tempo

SCRUBBING = timedelta(days=1)
"""How often what is due to be read again is looked for, at least."""


@dataclass(frozen=True, slots=True)
class Background:
    database: Database
    contents: Contents
    registry: Registry
    settings: Collector

    def jobs(self) -> Iterator[Job]:
        """What is switched on, in the order in which it runs when all is due."""
        if not self.settings.enabled:
            return
        yield Job("collect", nanoseconds(self.settings.interval), self._collect)
        if self.settings.sweep is not None:
            yield Job("sweep", nanoseconds(self.settings.sweep), self._sweep)
        if self.settings.scrub is not None:
            age = nanoseconds(self.settings.scrub)
            yield Job("scrub", min(age, nanoseconds(SCRUBBING)), lambda tempo: self._scrub(age, tempo))

    def _collect(self, tempo: Tempo) -> list[str]:
        grace = nanoseconds(self.settings.grace)
        done = run(self.database, self.contents, self.registry, grace=grace, tempo=tempo)
        failed = [f"{done.failed} deletions failed; see `davstore gc status`"] if done.failed else []
        return [*done.refused, *failed]

    def _sweep(self, tempo: Tempo) -> tuple[str, ...]:
        return sweep(self.database, self.contents, tempo=tempo).failed

    def _scrub(self, age: int, tempo: Tempo) -> list[str]:
        found = scrub(self.database, self.contents, age, tempo)
        bad = len(found.lost) + len(found.corrupt)
        return [*([f"{bad} contents are lost or corrupt; see `davstore fsck`"] if bad else ()), *found.failed]
