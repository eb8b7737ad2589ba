"""The process beside the workers: it runs the store's background jobs as they fall due, until SIGTERM."""

import logging
import signal
from collections.abc import Callable

from core.errors import Refusal
from core.store import Store

log = logging.getLogger(__name__)

RETRY = 10.0
"""Seconds after which a store that refused is asked again."""
LONGEST_WAIT = 60.0


class Ending:
    """SIGTERM, which must be blocked, as something that can be waited for."""

    def __init__(self) -> None:
        self._asked = False

    def wait(self, seconds: float) -> bool:
        """True as soon as the process is to end, and from then on at once."""
        heard = None if self._asked else signal.sigtimedwait({signal.SIGTERM}, seconds)
        # A process that was stopped and continued may hear a signal that is none.
        self._asked = self._asked or (heard is not None and heard.si_signo == signal.SIGTERM)
        return self._asked


def run(open_store: Callable[[], Store]) -> None:
    """Returns soon after SIGTERM: between two batches of whatever job runs."""
    ending = Ending()
    store = open_store()
    try:
        _start(store)
        while not ending.wait(min(_run_due(store, ending), LONGEST_WAIT)):
            pass
    finally:
        store.close()


def _start(store: Store) -> None:
    try:
        store.start_jobs()
    except Refusal as refusal:
        log.warning("background jobs may start late: %s", refusal)


def _run_due(store: Store, ending: Ending) -> float:
    """How many seconds there are until something is due again."""
    try:
        return store.run_due_jobs(ending.wait)
    except Refusal as refusal:
        log.warning("background jobs wait: %s", refusal)
        return RETRY
