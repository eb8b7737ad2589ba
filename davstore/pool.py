"""The thread pool: as many threads as there are requests at once, within bounds.

It has the protocol that cheroot's server expects of its `requests`.
"""

import logging
from queue import Empty, SimpleQueue
from threading import Condition, Event, Thread, current_thread, get_ident
from time import monotonic, sleep
from typing import TYPE_CHECKING

from davstore.conversation import Conversation

if TYPE_CHECKING:
    from davstore.connection import Server

log = logging.getLogger(__name__)

STUCK_SECONDS = 0.005


class ThreadPool:
    """Conversations with a request to answer, and the threads that answer.

    The pool grows by all that wait as soon as every thread is busy and none got done within STUCK_SECONDS, so that
    slow clients hold up nobody and a burst of quick requests starts no threads. A thread ends when the last
    `spare_seconds` did not need as many.
    """

    def __init__(self, server: "Server", smallest: int, largest: int, spare_seconds: float) -> None:
        self.min = smallest
        self.max = largest
        self._server = server
        self._spare_seconds = spare_seconds
        self._queue: SimpleQueue[Conversation | None] = SimpleQueue()
        self._changed = Condition()
        self._crowded = Event()
        self._threads: set[Thread] = set()
        self._running: dict[int, Conversation] = {}
        self._busy = 0
        self._done = 0
        self._peak = 0
        self._is_stopping = False
        self._grower: Thread | None = None
        self._needed = smallest
        self._window_end = 0.0

    @property
    def busy(self) -> int:
        """How many conversations wait for a thread or have one."""
        return self._busy

    @property
    def size(self) -> int:
        return len(self._threads)

    @property
    def running(self) -> list[Conversation]:
        """Those that have a thread."""
        return list(self._running.values())

    def start(self) -> None:
        for _ in range(self.min):
            self._spawn()
        self._grower = Thread(target=self._grow, name="davstore-pool", daemon=True)
        self._grower.start()

    def put(self, conversation: Conversation) -> None:
        self._queue.put(conversation)
        with self._changed:
            self._busy += 1
            if self._busy > len(self._threads):
                self._crowded.set()

    def wait_idle(self, seconds: float) -> bool:
        """True as soon as nothing is in flight, False when the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)

    def stop(self, timeout: float = 5.0) -> None:
        """What still waits for a thread is closed, and the threads end."""
        self._is_stopping = True
        self._crowded.set()
        self._drop_waiting()
        threads = [*self._threads, self._grower] if self._grower else []
        for _ in threads:
            self._queue.put(None)
        deadline = monotonic() + timeout
        for thread in threads:
            thread.join(max(deadline - monotonic(), 0.0))

    def _grow(self) -> None:
        while self._crowded.wait() and not self._is_stopping:
            self._crowded.clear()
            done = self._done
            sleep(STUCK_SECONDS)
            if done == self._done:
                for _ in range(self._missing):
                    self._spawn()
            if self._missing:
                self._crowded.set()

    @property
    def _missing(self) -> int:
        """How many conversations have no thread, nor one that has yet to begin."""
        return min(self._busy, self.max) - len(self._threads)

    def _spawn(self) -> None:
        thread = Thread(target=self._work, name="davstore-worker", daemon=True)
        with self._changed:
            self._threads.add(thread)
            self._needed = max(self._needed, len(self._threads))
        try:
            thread.start()
        except RuntimeError:
            with self._changed:
                self._threads.discard(thread)
            log.warning("no thread beyond %d can be started", len(self._threads))

    def _drop_waiting(self) -> None:
        while True:
            try:
                conversation = self._queue.get_nowait()
            except Empty:
                return
            if conversation is not None:
                conversation.close()
                self._finished()

    def _work(self) -> None:
        while not self._retires():
            try:
                conversation = self._queue.get(timeout=self._spare_seconds)
            except Empty:
                continue
            if conversation is None:
                break
            self._peak = max(self._peak, len(self._running) + 1)
            self._running[get_ident()] = conversation
            self._serve(conversation)
            self._running.pop(get_ident(), None)
            self._finished()
        with self._changed:
            self._threads.discard(current_thread())

    def _serve(self, conversation: Conversation) -> None:
        """Nothing an application raises, SystemExit included, ends a thread or leaves a connection open."""
        is_kept = False
        try:
            is_kept = conversation.communicate()
        except BaseException:
            log.exception("a conversation broke off")
        if is_kept:
            self._server.put_conn(conversation)
        else:
            conversation.close()

    def _finished(self) -> None:
        with self._changed:
            self._busy -= 1
            self._done += 1
            if not self._busy:
                self._changed.notify_all()

    def _retires(self) -> bool:
        """The calling thread is one more than the busiest moment of the last window needed, and no longer counts."""
        with self._changed:
            now = monotonic()
            if now >= self._window_end:
                self._window_end = now + self._spare_seconds
                self._needed, self._peak = max(self._peak, self.min), self._busy
            if len(self._threads) <= self._needed:
                return False
            self._threads.discard(current_thread())
            return True
