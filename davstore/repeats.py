"""Repeats: answers as they went out, given again to the very same request while they hold.

They cost neither a thread nor the application. What makes an answer hold is the application's word: it says so by
`environ[KEEP](holds)`, before it starts the answer, and `holds` is asked each time. None outlives the second that its
Date names, so what the mere passing of time changes is at most that late.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from time import time

KEEP = "davstore.keep"
"""Where the environ of a request that may come again has the function to be told `holds`."""
METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PROPFIND"))
"""Those that change nothing."""
LARGEST_REQUEST = 8 << 10
LARGEST_ANSWER = 2 << 20
ALL = 8 << 20
"""Bytes of all requests and answers that are kept."""
GATHERED_AT_ONCE = 4
"""Streamed answers of which a copy is made at one time."""

Holds = Callable[[], bool]
Asked = tuple[bytes, str]
"""A request, its head and body as they came, and the address that it came from."""


@dataclass(frozen=True, slots=True)
class _Repeat:
    second: int
    answer: bytes
    holds: Holds


class Repeats:
    """What one process was asked and has answered within this second. Threads share it."""

    def __init__(self) -> None:
        self._kept: dict[Asked, _Repeat] = {}
        self._size = 0
        self._second = 0
        self._turn = Lock()
        self._gathering = BoundedSemaphore(GATHERED_AT_ONCE)

    def gather(self) -> bool:
        """A streamed answer may be copied; `gathered` says that it has been."""
        return self._gathering.acquire(blocking=False)

    def gathered(self) -> None:
        self._gathering.release()

    def find(self, asked: Asked) -> bytes | None:
        """The whole answer, if it holds."""
        kept = self._kept.get(asked)
        return kept.answer if kept and kept.second == int(time()) and kept.holds() else None

    def keep(self, asked: Asked, second: int, answer: bytes, holds: Holds) -> None:
        """An answer that was made in that second of the epoch is found until it is over, unless it is too large."""
        size = len(asked[0]) + len(answer)
        if len(asked[0]) > LARGEST_REQUEST or len(answer) > LARGEST_ANSWER or second != int(time()):
            return
        with self._turn:
            if second != self._second or self._size + size > ALL:
                self._clear()
                self._second = second
            self._kept[asked] = _Repeat(second, answer, holds)
            self._size += size

    def forget(self) -> None:
        """What can no longer be given takes no memory."""
        with self._turn:
            if self._kept and int(time()) != self._second:
                self._clear()

    def _clear(self) -> None:
        self._kept = {}
        self._size = 0
