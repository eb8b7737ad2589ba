"""The other end of a connection: says exactly the given bytes, reads by RFC 9112, shares no code with the server."""

import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return "close" in self.fields.get("connection", "")


class Peer:
    """A client's socket. Timeouts are errors: nothing here waits for longer than `patience` seconds."""

    def __init__(self, port: int, patience: float = 10.0, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), patience, (source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._early = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_as_far_as_it_goes(self, data: bytes) -> None:
        with suppress(ConnectionError, TimeoutError):
            self._socket.sendall(data)

    def finish_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def ask(self, data: bytes, method: str = "GET") -> Answer:
        self.send(data)
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, complete. EOFError when the connection ends before that."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert head[0].startswith("HTTP/1.1 "), head[0]
        status = int(head[0].split(" ")[1])
        fields: dict[str, str] = {}
        for line in filter(None, head[1:]):
            name, _, value = line.partition(":")
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value.strip()
        return Answer(status, fields, self._body(method, status, fields))

    def read(self, size: int) -> bytes:
        """Exactly so many bytes. EOFError when there are fewer."""
        while len(self._early) < size:
            if not (data := self._socket.recv(1 << 20)):
                raise EOFError(f"the connection ended after {self._early!r}")
            self._early += data
        data, self._early = self._early[:size], self._early[size:]
        return data

    def rest(self) -> bytes:
        """Everything until the server closes in order; ConnectionResetError when it does not."""
        pieces = [self._early]
        self._early = b""
        while data := self._socket.recv(1 << 20):
            pieces.append(data)
        return b"".join(pieces)

    def is_silent(self, seconds: float) -> bool:
        """Nothing comes, not even the end, for so long."""
        return not select.select([self._socket], [], [], seconds)[0]

    def _until(self, end: bytes) -> bytes:
        while end not in self._early:
            if not (data := self._socket.recv(1 << 20)):
                raise EOFError(f"the connection ended after {self._early!r}")
            self._early += data
        size = self._early.index(end) + len(end)
        return self.read(size)

    def _body(self, method: str, status: int, fields: dict[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304) or status < 200:
            return b""
        if fields.get("transfer-encoding") == "chunked":
            return b"".join(iter(self._chunk, b""))
        if "content-length" in fields:
            return self.read(int(fields["content-length"]))
        return self.rest()

    def _chunk(self) -> bytes:
        size = int(self._until(b"\r\n"), 16)
        data = self.read(size)
        assert self.read(2) == b"\r\n"
        return data
