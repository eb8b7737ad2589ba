"""A proxy between a client and a server that cuts a connection at a named moment."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

BLOCK = 1 << 16

Moment = Callable[[bytes], bool]
"""Whether what the client sends now is what was waited for."""


class Cutter:
    """Listens on `port` and passes all on to `server`, until a client sends what `cut_before` or `cut_after` awaits."""

    def __init__(self, server: int) -> None:
        self.server = server
        """The port to which connections go from now on."""
        self._moment: Moment | None = None
        self._delivers = False
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def cut_before(self, moment: Moment) -> None:
        """Once: the server never gets it."""
        self._moment, self._delivers = moment, False

    def cut_after(self, moment: Moment) -> None:
        """Once: the server gets it, the client never gets the answer."""
        self._moment, self._delivers = moment, True

    def cut_all(self) -> None:
        """Every connection that there is ends now."""
        for each in list(self._open):
            _end(each)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self._open):
            _end(each)
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: Callable[..., None], *given: object) -> None:
        self._threads.append(threading.Thread(target=work, args=given, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.server))
                except ConnectionRefusedError:
                    client.close()
                    continue
                self._open |= {client, server}
                muted = threading.Event()
                self._start(self._up, client, server, muted)
                self._start(self._down, client, server, muted)

    def _up(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(BLOCK):
                if self._moment and self._moment(data):
                    self._moment = None
                    self.cuts += 1
                    muted.set()
                    if self._delivers:
                        server.sendall(data)
                        server.settimeout(0.5)
                    else:
                        _end(server)
                    return
                server.sendall(data)
        _end(server)

    def _down(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(BLOCK):
                if muted.is_set():
                    break
                client.sendall(data)
        _end(client)
        _end(server)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
