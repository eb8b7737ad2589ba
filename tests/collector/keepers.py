"""Those who keep a store, each in a thread: they let go, look for waste, read, verify and move what others are using.

All of them work without any grace, again and again. `acknowledged` counts what was purged, found, read, verified or
moved, and `refused` has whatever they found wrong: nothing is.
"""

import time
from itertools import cycle

from core.moving import Moved
from core.objects import blob_key
from core.store import Store
from tests.collector.journals import Actor

PAUSE = 0.005
REST = 0.2
"""Seconds between two looks at everything, which leave the others some time."""


class Keeper(Actor):
    def __init__(self, store: Store, until: float) -> None:
        super().__init__(until)
        self._store = store


class Collecting(Keeper):
    def _step(self) -> None:
        done = self._store.collect_garbage(grace=0, retention=0)
        self.journal.acknowledged += done.purged
        self.journal.refused += [*done.refused, *([f"{done.failed} deletions failed"] if done.failed else [])]
        time.sleep(PAUSE)


class Sweeping(Keeper):
    """Waste that nobody else makes is among what it looks for."""

    def _step(self) -> None:
        self._litter()
        done = self._store.sweep()
        self.journal.acknowledged += done.orphans
        self.journal.refused += done.failed
        time.sleep(REST)

    def _litter(self) -> None:
        """A blob without an intent, as no publisher leaves it."""
        contents = self._store.contents
        with contents.transit("local") as draft:
            draft.write(b"waste")
            sealed = draft.seal()
            contents.store("local").publish(blob_key(self._store.buckets()[0], sealed.digest), sealed)


class Scrubbing(Keeper):
    def _step(self) -> None:
        done = self._store.scrub()
        self.journal.acknowledged += done.verified
        self.journal.refused += [*done.failed, *(f"{digest} is lost or corrupt" for digest in done.lost + done.corrupt)]
        time.sleep(REST)


class Verifying(Keeper):
    """While everybody writes."""

    def _step(self) -> None:
        self.journal.refused += map(str, self._store.verify(deep=True).problems)
        self.journal.acknowledged += 1
        time.sleep(REST)


class Moving(Keeper):
    """To the second storage and back; the old blobs are due at once."""

    def __init__(self, store: Store, until: float) -> None:
        super().__init__(store, until)
        self._ways = cycle([("local", "annex"), ("annex", "local")])

    def _step(self) -> None:
        source, target = next(self._ways)
        done = self._store.move_blobs(source, target, _ignore, keep=0)
        self.journal.acknowledged += done.moved
        self.journal.refused += done.failed
        time.sleep(REST)


def _ignore(_: Moved) -> None:
    pass
