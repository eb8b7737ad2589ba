"""Requests on a kept connection, with as little client in the way as possible."""

import base64
import re
import select
import socket

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
LAST_CHUNK = b"\r\n0\r\n\r\n"
BLOCK = 1 << 18
SILENCE = 1.0
"""Seconds for which a client waits to be asked for a body."""
DONE = range(200, 207)
"""Servers say differently that they did it; 207 says that they did not."""


class Wrong(Exception):
    """A server gave another answer than it should; whoever measures says so in place of a figure."""


class Connection:
    """One client's; every answer must have the status that is expected."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        authorization = f"Authorization: Basic {credentials}\r\n" if user else ""
        self._head = f"Host: 127.0.0.1:{port}\r\n{authorization}"
        self._answered = b""

    def ask(
        self, method: str, path: str, status: int | range, body: bytes = b"", headers: str = "", *, waits: bool = False
    ) -> int:
        """Sends a request and returns the length of its answer's body. Raises Wrong for another status.

        One that `waits` sends its body only if it is asked for it, by 100 Continue or by silence (RFC 9110, 10.1.1).
        """
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{headers}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + (b"" if waits else body))
        answer = self._wanted(body) if waits else self._read_until(b"", b"\r\n\r\n")
        head_bytes, _, rest = answer.partition(b"\r\n\r\n")
        self._answered = head_bytes
        given = int(head_bytes.split(b" ", 2)[1])
        if given not in (status if isinstance(status, range) else {status}):
            raise Wrong(f"{method} {path} was answered {given}, not {status}: {rest[:200]!r}")
        return 0 if method == "HEAD" or given in {204, 304} else self._body(head_bytes, rest)

    def _wanted(self, body: bytes) -> bytes:
        """The beginning of the final answer, for which the body was sent if it was wanted."""
        if select.select([self._socket], [], [], SILENCE)[0]:
            answer = self._read_until(b"", b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 100"):
                return answer
        self._socket.sendall(body)
        return self._read_until(b"", b"\r\n\r\n")

    def header(self, name: str) -> str:
        """A field of the last answer."""
        lines = (line.partition(b":") for line in self._answered.split(b"\r\n"))
        return next((value.strip().decode() for key, _, value in lines if key.decode().lower() == name.lower()), "")

    def close(self) -> None:
        self._socket.close()

    def _body(self, head: bytes, rest: bytes) -> int:
        if CHUNKED.search(head):
            return self._chunks(rest)
        declared = LENGTH.search(head)
        missing = int(declared[1]) - len(rest) if declared else 0
        while missing > 0:
            missing -= len(self._receive())
        return int(declared[1]) if declared else 0

    def _chunks(self, rest: bytes) -> int:
        """Bytes of a chunked body, its framing included. What is not at its end is not looked at."""
        length, last = len(rest), b"\r\n" + rest[-8:]
        while not last.endswith(LAST_CHUNK):
            received = self._receive()
            length, last = length + len(received), (last + received)[-8:]
        return length

    def _read_until(self, received: bytes, end: bytes) -> bytes:
        while end not in received:
            received += self._receive()
        return received

    def _receive(self) -> bytes:
        received = self._socket.recv(BLOCK)
        if not received:
            raise Wrong("the server closed a connection in the middle of an answer")
        return received
