"""The background jobs of a store, as its settings have them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from . import uploads
from .contents import Contents
from .database import Database
from .garbage import run
from .jobs import Job
from .links import renew
from .quantities import nanoseconds
from .references import Registry
from .renditions import Renditions
from .scrubbing import scrub
from .settings import Settings
from .sweeping import sweep
from .tempo import Tempo

SCRUBBING = timedelta(days=1)
"""How often what is due to be read again is looked for, at least."""
RENEWING = timedelta(minutes=10)
"""How often kept links are looked after."""


CATCHING_UP = timedelta(hours=1)
"""How often pictures are looked for that came without asking for their renditions."""


@dataclass(frozen=True, slots=True)
class Background:
    database: Database
    contents: Contents
    registry: Registry
    renditions: Renditions
    settings: Settings

    def jobs(self) -> list[Job]:
        """All that are switched on."""
        return [*self.collecting(), *self.drawing()]

    def collecting(self) -> Iterator[Job]:
        """What renews links, lets bytes go and watches over others, in the order in which it runs when all is due."""
        if self.contents.presigners:
            yield Job("links", nanoseconds(RENEWING), self._renew, at_start=True)
        chosen = self.settings.collector
        if not chosen.enabled:
            return
        yield Job("collect", nanoseconds(chosen.interval), self._collect)
        yield Job("uploads", nanoseconds(CATCHING_UP), self._expire_uploads)
        if chosen.sweep is not None:
            yield Job("sweep", nanoseconds(chosen.sweep), self._sweep)
        if chosen.scrub is not None:
            age = nanoseconds(chosen.scrub)
            yield Job("scrub", min(age, nanoseconds(SCRUBBING)), lambda tempo: self._scrub(age, tempo))

    def drawing(self) -> Iterator[Job]:
        """What makes renditions. It needs no rests: the process that decodes yields to all others."""
        if self.settings.renditions.enabled:
            every = 0 if self.renditions.are_wanted() else nanoseconds(CATCHING_UP)
            yield Job("renditions", every, self._draw, rest=0)

    def _draw(self, tempo: Tempo) -> list[str]:
        failed = [] if self.renditions.are_wanted() else self.renditions.want_missing(tempo)
        return [*failed, *self.renditions.work(tempo)]

    def _expire_uploads(self, tempo: Tempo) -> list[str]:
        uploads.expire(self.database, self.contents, tempo)
        return []

    def _renew(self, tempo: Tempo) -> tuple[str, ...]:
        return renew(self.database, self.contents, nanoseconds(self.settings.links.ttl), tempo).failed

    def _collect(self, tempo: Tempo) -> list[str]:
        chosen = self.settings.collector
        done = run(
            self.database,
            self.contents,
            self.registry,
            grace=nanoseconds(chosen.grace),
            remember=None if chosen.log is None else nanoseconds(chosen.log),
            breaker=chosen.breaker,
            tempo=tempo,
        )
        failed = [f"{done.failed} deletions failed; see `davstore gc status`"] if done.failed else []
        return [*done.refused, *failed]

    def _sweep(self, tempo: Tempo) -> tuple[str, ...]:
        return sweep(self.database, self.contents, tempo=tempo).failed

    def _scrub(self, age: int, tempo: Tempo) -> list[str]:
        found = scrub(self.database, self.contents, age, tempo)
        bad = len(found.lost) + len(found.corrupt)
        return [*([f"{bad} contents are lost or corrupt; see `davstore fsck`"] if bad else ()), *found.failed]
