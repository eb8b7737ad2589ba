"""The HTTP server: cheroot's accept loop and selector, with our own conversations and thread pool.

It serves one WSGI application on a socket that already listens, so that several processes can share it. TLS ends in
front of us.
"""

import errno
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable
from time import monotonic, sleep
from typing import Any

from cheroot.connections import ConnectionManager
from cheroot.server import HTTPServer

from davstore.conversation import Conversation, Step
from davstore.limits import Limits
from davstore.pool import ThreadPool
from davstore.responses import FileWrapper

log = logging.getLogger(__name__)

Application = Callable[..., Iterable[bytes]]

EXPIRY_SECONDS = 0.5
ABORT_SECONDS = 2.0
ACCEPTED_AT_ONCE = 8
PARTING_STEP = 0.05
OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Server(HTTPServer):
    """Serves `application` on `bind_socket`, which it owns from now on, until `stop`."""

    ConnectionClass = Conversation
    expiration_interval = EXPIRY_SECONDS

    def __init__(
        self,
        bind_socket: socket.socket,
        application: Application,
        limits: Limits | None = None,
        multiprocess: bool = False,
    ) -> None:
        host, port = bind_socket.getsockname()[:2]
        super().__init__(bind_addr=(host, port), gateway=None)
        self.socket = bind_socket
        self.application = application
        self.limits = limits or Limits()
        self.requests = ThreadPool(
            self, self.limits.threads_min, self.limits.threads_max, self.limits.spare_thread_seconds
        )
        self.environ = _environ(host, port, multiprocess)
        self._interrupt = None
        self._is_closed = self._is_parting = False
        self._connections = Selector(self)

    @property
    def may_stay(self) -> bool:
        """A thread may wait a moment for its client, since there are threads enough."""
        return self.ready and self.requests.busy <= self.requests.min

    def prepare(self) -> None:
        """Connections are accepted from now on. A process that loses the race for one does not block."""
        self.socket.setblocking(False)
        self.requests.start()
        self.ready = True

    def serve(self) -> None:
        """Accept and answer until `leave` or `stop`."""
        if not self._connections.is_stopping:
            self.prepare()
        while not self._connections.is_stopping:
            try:
                self._connections.run(self.expiration_interval)
            except Exception:
                log.exception("the accept loop failed and goes on")

    def leave(self) -> None:
        """`serve` returns soon. Safe in a signal handler."""
        self._connections.leave()

    def stop(self, grace: float = 10.0) -> None:
        """Nothing is accepted, requests in flight had `grace` seconds, the rest was broken off, every thread has ended.

        Whoever is connected already may make one more request. An unfinished upload gets IncompleteBody. To be called
        after `serve` has returned, or from another thread.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._connections.stop()
        self.ready = False
        self._is_parting = True
        self._connections.accept_last()
        self.socket.close()
        self._connections.part(self.limits.parting_seconds)
        self._is_parting = False
        self._connections.close_idle()
        if not self.requests.wait_idle(grace):
            self._break_off()
        self._connections.close()
        self.requests.stop(ABORT_SECONDS)

    def process_conn(self, conn: Conversation) -> None:
        """The selector thread has a conversation to go on with."""
        step = conn.receive()
        if step is Step.ANSWER:
            self.requests.put(conn)
        elif step is Step.WAIT:
            self._connections.put(conn)
        else:
            conn.close()

    def put_conn(self, conn: Conversation) -> None:
        """A thread is done with a conversation that goes on."""
        if self.ready or self._is_parting:
            self._connections.put(conn)
        else:
            conn.close()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(level, msg, exc_info=traceback)

    def _break_off(self) -> None:
        for conversation in self.requests.running:
            conversation.cut()
        if self.requests.wait_idle(ABORT_SECONDS):
            return
        for conversation in self.requests.running:
            conversation.sever()
        if not self.requests.wait_idle(ABORT_SECONDS):
            log.warning("%d requests did not end", self.requests.busy)


class Selector(ConnectionManager):
    """cheroot's accept loop over conversations that wait for their client, each until its own deadline."""

    _selector: Any

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # It is registered as the server is, so the loop takes waking up for a connection that another process got.
        self._selector.register(self._waker, 1, data=server)

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
        while (conversation := self._accept(self.server.socket)) is not None:
            self.server.process_conn(conversation)
        for listening in (self.server.socket.fileno(), self._waker):
            self._selector.unregister(listening)

    def part(self, seconds: float) -> None:
        """Clients that are between two requests learn from an answer that the connection ends, as far as they ask soon.

        A proxy that sends a request while its connection is being closed cannot know whether it was heard.
        """
        end = monotonic() + seconds
        while self._idle() and (left := end - monotonic()) > 0:
            for fd, conn in list(self._selector.select(timeout=min(left, PARTING_STEP))):
                self._selector.unregister(fd)
                self.server.process_conn(conn)

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
        self._selector.register(conn.socket.fileno(), 1, data=conn)

    def _expire(self, threshold: float) -> None:
        now = monotonic()
        for fd, conn in [entry for entry in self._idle() if entry[1].deadline < now]:
            self._selector.unregister(fd)
            if conn.expire() is Step.WAIT:
                self.put(conn)
            else:
                conn.close()

    def _from_server_socket(self, server_socket: socket.socket) -> Conversation | None:
        """The loop asks for one connection at a time, between all that are busy; newcomers would wait too long."""
        for _ in range(ACCEPTED_AT_ONCE - 1):
            conversation = self._accept(server_socket)
            if conversation is None:
                return None
            self.server.process_conn(conversation)
        return self._accept(server_socket)

    def _accept(self, server_socket: socket.socket) -> Conversation | None:
        try:
            sock, address = server_socket.accept()
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


def _environ(host: str, port: int, multiprocess: bool) -> dict[str, Any]:
    """What every request of this server has in its environ (PEP 3333)."""
    return {
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_SOFTWARE": "davstore",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }
