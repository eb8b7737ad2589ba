"""What keeps a server that does not answer from taking all threads: who would only wait for it is refused at once."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from ..errors import StorageUnavailable

FAILURES = 3
"""So many requests in a row without an answer, and the storage counts as away."""
PAUSE = 2.0
"""Seconds between the end of one attempt and the next while it is away."""
AT_ONCE = 128
"""How many may wait for one storage at the same time: a quarter of a worker's threads."""


class Breaker:
    """One for each storage of a process. It is told how each request ended; the first answer lets all pass again."""

    def __init__(self, storage: str, clock: Callable[[], float] = monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = Lock()
        self._waiting = 0
        self._failures = 0
        self._next_attempt = 0.0
        self._is_attempted = False

    @contextmanager
    def passing(self, *, goes_on: bool = False) -> Generator[None]:
        """Around whatever waits for the server. What `goes_on` was let in before and is never refused.

        Raises StorageUnavailable, without waiting, where nobody should wait.
        """
        is_attempt = False if goes_on else self._admitted()
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                if is_attempt:
                    self._is_attempted = False

    def answered(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        """The server was silent, or the connection was not made or ended."""
        with self._lock:
            self._failures += 1
            self._next_attempt = self._clock() + PAUSE

    def _admitted(self) -> bool:
        """Whether it goes as the one that finds out if the server is back."""
        with self._lock:
            if self._failures >= FAILURES:
                if self._is_attempted or self._clock() < self._next_attempt:
                    raise StorageUnavailable(self._storage, "the server does not answer; it is asked again soon")
                self._is_attempted = True
                return True
            if self._waiting >= AT_ONCE:
                raise StorageUnavailable(self._storage, f"{AT_ONCE} requests wait for it already")
            return False
