"""The selector: it accepts newcomers, and goes on with the conversations whose client has sent something."""

import errno
import logging
import os
import select
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from cheroot.connections import ConnectionManager

from davstore.conversation import Conversation, Step

if TYPE_CHECKING:
    from davstore.connection import Server

log = logging.getLogger(__name__)

ACCEPTED_AT_ONCE = 8
PARTING_STEP = 0.05
BRISK_SECONDS = 0.0001
"""Clients that come back within this time are not slept for: going to sleep and waking up would take as long."""
OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Watched:
    """Descriptors that epoll watches, and what each stands for. Any thread may add one, the selector's takes away."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._whose: dict[int, Any] = {}

    @property
    def connections(self) -> list[tuple[int, Any]]:
        return list(self._whose.items())

    def register(self, fd: int, whose: Any) -> None:
        self._whose[fd] = whose
        self._epoll.register(fd, select.EPOLLIN)

    def unregister(self, fd: int) -> None:
        self._epoll.unregister(fd)
        del self._whose[fd]

    def ready(self, seconds: float) -> list[Any]:
        """Whose client has sent something, as soon as there are some."""
        return [self._whose[fd] for fd, _ in self._epoll.poll(seconds)]

    def close(self) -> None:
        self._epoll.close()


class Selector(ConnectionManager):
    """cheroot's, over conversations that wait for their client, each until its own deadline.

    A conversation stays registered while it waits, and while its requests are answered without a thread.
    """

    _selector: Any

    def __init__(self, server: "Server") -> None:
        super().__init__(server)
        self._selector.close()
        self._selector = Watched()
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_brisk = False
        # It is registered as the server is, so the loop takes waking up for a connection that another process got.
        for fd in (server.socket.fileno(), self._waker):
            self._selector.register(fd, server)

    @property
    def is_stopping(self) -> bool:
        return self._stop_requested

    def leave(self) -> None:
        if not self._stop_requested:
            self._stop_requested = True
            os.eventfd_write(self._waker, 1)

    def stop(self) -> None:
        self.leave()
        super().stop()

    def close(self) -> None:
        super().close()
        os.close(self._waker)

    def accept_last(self) -> None:
        """Once the loop has ended: to close the socket would reset those who wait to be accepted."""
        self.server.socket.setblocking(False)
        while (conn := self._accept()) is not None:
            self._begin(conn)
        for fd in (self.server.socket.fileno(), self._waker):
            self._selector.unregister(fd)

    def part(self, seconds: float) -> None:
        """Clients that are between two requests learn from an answer that the connection ends, as far as they ask soon.

        A proxy that sends a request while its connection is being closed cannot know whether it was heard. Some of them
        a thread stays with for a moment.
        """
        end = monotonic() + seconds
        while (self._idle() or self.server.requests.busy) and (left := end - monotonic()) > 0:
            for conn in self._selector.ready(min(left, PARTING_STEP)):
                self._go_on(conn)

    def close_idle(self) -> None:
        """Nothing waits for its client any more. Requests that have just come are answered."""
        for fd, conn in self._idle():
            self._selector.unregister(fd)
            if conn.receive() is Step.ANSWER:
                self.server.requests.put(conn)
            else:
                conn.close()

    def _idle(self) -> list[tuple[int, Conversation]]:
        return [(fd, conn) for fd, conn in self._selector.connections if conn is not self.server]

    def put(self, conn: Conversation) -> None:
        self._selector.register(conn.socket.fileno(), conn)

    def _run(self, expiration_interval: float) -> None:
        expiry = monotonic() + expiration_interval
        while not self._stop_requested:
            for conn in self._ready(expiration_interval):
                if conn is self.server:
                    self._welcome()
                else:
                    self._go_on(conn)
            if (now := monotonic()) > expiry:
                self._expire(now)
                expiry = now + expiration_interval

    def _ready(self, seconds: float) -> list[Any]:
        """What there is to do. While clients are brisk and no thread needs the CPU, looking again beats sleeping."""
        asleep = monotonic()
        while self._is_brisk and not self.server.requests.busy:
            if ready := self._selector.ready(0):
                return ready
            if monotonic() - asleep > BRISK_SECONDS:
                break
            os.sched_yield()
        asleep = monotonic()
        ready = self._selector.ready(seconds)
        self._is_brisk = monotonic() - asleep < BRISK_SECONDS
        return ready

    def _go_on(self, conn: Conversation) -> None:
        step = Step.CLOSE
        try:
            step = conn.receive()
        finally:
            if step is not Step.WAIT:
                self._selector.unregister(conn.socket.fileno())
                self.server.process(conn, step)

    def _expire(self, threshold: float) -> None:
        self.server.repeats.forget()
        for fd, conn in [entry for entry in self._idle() if entry[1].deadline < threshold]:
            if conn.expire() is not Step.WAIT:
                self._selector.unregister(fd)
                conn.close()

    def _welcome(self) -> None:
        """Several at a time, so that newcomers need not wait between all that are busy."""
        for _ in range(ACCEPTED_AT_ONCE):
            conn = self._accept()
            if conn is None:
                return
            self._begin(conn)

    def _begin(self, conn: Conversation) -> None:
        if (step := conn.receive()) is Step.WAIT:
            self.put(conn)
        else:
            self.server.process(conn, step)

    def _accept(self) -> Conversation | None:
        try:
            sock, address = self.server.socket.accept()
        except OSError as error:
            if error.errno in OUT_OF_FILES:
                log.warning("no connection can be accepted: %s", error)
                sleep(0.05)
            return None
        try:
            conversation = Conversation(self.server, sock)
        except OSError:
            sock.close()
            return None
        conversation.introduce({**self.server.environ, "REMOTE_ADDR": address[0], "REMOTE_PORT": str(address[1])})
        return conversation
