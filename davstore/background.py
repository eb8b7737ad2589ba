"""The process beside the workers: it runs the store's background jobs as they fall due, until SIGTERM."""

import logging
import signal
import threading
from collections.abc import Callable

from core.errors import Refusal, StorageUnavailable
from core.jobs import Wait
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
    """Returns soon after SIGTERM: between two batches of whatever job runs.

    A collection may take long, so renditions are made in a thread of their own: their decoding is in another process.
    """
    ending, ended = Ending(), threading.Event()
    store = _opened(open_store, ending)
    if store is None:
        return
    drawing = threading.Thread(target=_repeat, args=(store.run_due_renditions, ended.wait), name="renditions")
    drawing.start()
    try:
        _start(store)
        _repeat(store.run_due_jobs, lambda seconds: ending.wait(seconds) or not drawing.is_alive())
    finally:
        ended.set()
        drawing.join()
        store.close()


def _opened(open_store: Callable[[], Store], ending: Ending) -> Store | None:
    """None if the process is to end before what the store needs is there."""
    while True:
        try:
            return open_store()
        except StorageUnavailable as refusal:
            log.warning("background jobs wait: %s", refusal)
        if ending.wait(RETRY):
            return None


def _start(store: Store) -> None:
    try:
        store.start_jobs()
    except Refusal as refusal:
        log.warning("background jobs may start late: %s", refusal)


def _repeat(run_due: Callable[[Wait], float], wait: Wait) -> None:
    while not wait(min(_due(run_due, wait), LONGEST_WAIT)):
        pass


def _due(run_due: Callable[[Wait], float], wait: Wait) -> float:
    """What was due has run. How many seconds there are until something is due again."""
    try:
        return run_due(wait)
    except Refusal as refusal:
        log.warning("background jobs wait: %s", refusal)
        return RETRY
