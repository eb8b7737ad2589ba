"""Lines that a log would have a thousand times in an outage."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

SECONDS = 10.0
MOST = 100
"""Different reasons that are remembered."""


class Outages:
    """Lets each reason be said once in SECONDS."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._said: dict[str, tuple[float, int]] = {}

    def left_out(self, reason: str) -> int | None:
        """How often it was not said since it was said last; None where it is not to be said now."""
        now = self._clock()
        with self._lock:
            since, count = self._said.pop(reason, (float("-inf"), 0))
            is_due = now - since >= SECONDS
            self._said[reason] = (now, 0) if is_due else (since, count + 1)
            while len(self._said) > MOST:
                del self._said[next(iter(self._said))]
        return count if is_due else None
