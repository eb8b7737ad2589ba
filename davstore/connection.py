"""The HTTP server: cheroot's accept loop and selector, with our own conversations and thread pool.

It serves one WSGI application on a socket that already listens, so that several processes can share it. TLS ends in
front of us.
"""

import logging
import socket
import sys
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from cheroot.server import HTTPServer

from davstore.conversation import Conversation, Step
from davstore.limits import Limits
from davstore.pool import ThreadPool
from davstore.repeats import Repeats
from davstore.responses import FileWrapper
from davstore.selector import Selector

log = logging.getLogger(__name__)

Application = Callable[..., Iterable[bytes]]

EXPIRY_SECONDS = 0.5
ABORT_SECONDS = 2.0


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
        self.repeats = Repeats()
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
        end = monotonic() + grace
        self._connections.stop()
        self._is_parting = True
        self.ready = False
        self._connections.accept_last()
        self.socket.close()
        self._connections.part(min(grace, self.limits.parting_seconds))
        self._is_parting = False
        self._connections.close_idle()
        if not self.requests.wait_idle(max(0.0, end - monotonic())):
            self._break_off()
        self._connections.close()
        self.requests.stop(ABORT_SECONDS)

    def process(self, conn: Conversation, step: Step) -> None:
        """The selector has done with a conversation what does not wait."""
        if step is Step.ANSWER:
            self.requests.put(conn)
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
