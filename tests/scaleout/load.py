"""Clients that write and read through the front without a pause, and know what was acknowledged."""

import hashlib
import http.client
import threading
import time
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.survival.drive import Drive

CLIENTS = 6
SMALL, LARGE = b"%d of %d ", bytes(range(256)) * 1200
CREATED, OK, UNAVAILABLE = 201, 200, 503


class Load:
    """While it is entered, every client puts a new file and reads one of its own, over and over.

    `written` are the acknowledged files by their digest, `statuses` all answers, `broken` requests that had none.
    """

    def __init__(self, port: int, top: str = "/files", pause: float = 0.01) -> None:
        self.written: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        self.wrong: list[str] = []
        self.unretried = 0
        """Answers of 503 that did not say when to try again."""
        self._port = port
        self._top = top
        self._pause = pause
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, patience: float = 60.0) -> None:
        """So many more files are acknowledged."""
        wanted, limit = len(self.written) + more, time.monotonic() + patience
        while len(self.written) < wanted:
            assert time.monotonic() < limit, f"no progress: {self.statuses}, {self.broken} broken"
            time.sleep(0.02)

    @property
    def failed(self) -> int:
        return self.broken + sum(count for status, count in self.statuses.items() if status not in (CREATED, OK))

    def _work(self, client: int) -> None:
        n = 0
        while not self._ending.is_set():
            with Drive(self._port) as drive, suppress(http.client.HTTPException, OSError):
                while not self._ending.wait(self._pause):
                    n += 1
                    self._step(drive, client, n)
                return
            self.broken += 1

    def _step(self, drive: Drive, client: int, n: int) -> None:
        path, data = f"{self._top}/{client}-{n}", SMALL % (n, client) + (LARGE if n % 4 == 0 else b"")
        answer = drive.ask("PUT", path, data)
        status = answer.status
        self.statuses[status] += 1
        self.unretried += status == UNAVAILABLE and "Retry-After" not in answer.headers
        if status == CREATED:
            self.written[path] = hashlib.sha256(data).hexdigest()
            read = drive.ask("GET", path)
            self.statuses[read.status] += 1
            if read.status == OK and read.body != data:
                self.wrong.append(path)
        elif status == UNAVAILABLE:
            self._ending.wait(0.2)
