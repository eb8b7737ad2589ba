"""The wire: one client's socket, with the bytes that came early.

The socket blocks, and the kernel keeps the time (SO_RCVTIMEO, SO_SNDTIMEO): one system call per read, with the
interpreter free meanwhile. A timeout shows as BlockingIOError.
"""

import os
import re
import socket
import struct
from contextlib import suppress
from time import monotonic

from davstore import copying

EARLY = 64 * 1024
FILE_PIECE = 1 << 30
SMALL = 64 * 1024
_BLANK_LINE = re.compile(rb"\n\r?\n")
_ABORT = struct.pack("ii", 1, 0)


class Wire:
    """Bytes to and from one client. Not shared between threads, but for `cut` and `sever`."""

    __slots__ = ("_at", "_buffer", "_is_near", "_scanned", "_socket", "_waits", "broken", "is_cut", "patience")

    def __init__(self, sock: socket.socket, patience: float) -> None:
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(patience))
        self._socket = sock
        self.patience = patience
        self.broken = False
        self.is_cut = False
        self._buffer = b""
        self._at = 0
        self._scanned = 0
        self._waits = 0.0
        self._is_near: bool | None = None

    @property
    def pending(self) -> int:
        """How many bytes were received and not yet taken."""
        return len(self._buffer) - self._at

    def poll(self) -> bool:
        """Receive what is there, without waiting. False at the end of the stream; BlockingIOError if nothing is."""
        return self._keep(self._socket.recv(EARLY, socket.MSG_DONTWAIT))

    def fill(self, seconds: float) -> bool:
        """Receive something within that time. False at the end of the stream; BlockingIOError when nothing came."""
        self._wait_at_most(seconds)
        return self._keep(self._socket.recv(EARLY))

    def watch(self, seconds: float) -> bool:
        """As `fill`, but awake."""
        end = monotonic() + seconds
        while monotonic() < end:
            with suppress(BlockingIOError):
                return self.poll()
        raise BlockingIOError

    def receive(self, size: int) -> bytes:
        """Some of the next `size` bytes, all of them if they come in time. EOFError when the client has finished."""
        if self._at < len(self._buffer):
            return self.take(size)
        if self.is_cut:
            raise EOFError("the server is stopping")
        self._buffer, self._at = b"", 0
        self._wait_at_most(self.patience)
        data = self._socket.recv(size, socket.MSG_WAITALL)
        if not data:
            raise EOFError("the client closed the connection")
        return data

    def receive_into(self, view: memoryview) -> int:
        """As `receive`, into a buffer of the caller's."""
        if self.is_cut or self._at < len(self._buffer):
            data = self.receive(len(view))
            view[: len(data)] = data
            return len(data)
        self._wait_at_most(self.patience)
        size = self._socket.recv_into(view, 0, socket.MSG_WAITALL)
        if not size:
            raise EOFError("the client closed the connection")
        return size

    def take(self, size: int) -> bytes:
        """At most `size` of the bytes that came early."""
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def line(self, limit: int) -> bytes:
        """The next line with its line feed, or the first `limit` bytes of a longer one."""
        while (end := self._buffer.find(b"\n", self._at, self._at + limit)) < 0 and self.pending < limit:
            if self.is_cut or not self.fill(self.patience):
                raise EOFError("the connection ended within a line")
        return self.take(end + 1 - self._at if end >= 0 else limit)

    def head(self) -> bytes:
        """The next request's head up to its blank line, or nothing while it is incomplete.

        Empty lines before it are dropped (RFC 9112, 2.2). Bare line feeds end it too: the parser then refuses it.
        """
        buffer = self._buffer
        while buffer.startswith(b"\r\n", self._at):
            self._at += 2
        end = buffer.find(b"\r\n\r\n", max(self._at, self._scanned - 3)) + 4
        if end < 4:
            blank = _BLANK_LINE.search(buffer, max(self._at, self._scanned - 2))
            if not blank:
                self._scanned = len(buffer)
                return b""
            end = blank.end()
        return self.take(end - self._at)

    def peek(self, size: int) -> bytes:
        """The first bytes that came early; they stay."""
        return self._buffer[self._at : self._at + size]

    def early(self) -> bytes:
        """All that came early; it stays."""
        return self._buffer[self._at :] if self._at else self._buffer

    def discard(self, scratch: bytearray) -> int:
        """Throw away what is there, without waiting; how much it was, 0 at the end of the stream."""
        self._buffer, self._at = b"", 0
        return self._socket.recv_into(scratch, 0, socket.MSG_DONTWAIT)

    def send(self, data: bytes | memoryview, flags: int = 0) -> None:
        """Every byte is with the kernel, however slowly, as long as some move within the patience."""
        try:
            sent = self._socket.send(data, flags)
            while sent < len(data):
                data = memoryview(data)[sent:]
                sent = self._socket.send(data, flags)
        except OSError:
            self.broken = True
            raise

    def offer(self, data: bytes) -> bytes:
        """What the kernel does not take without waiting is given back."""
        try:
            sent = self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return data
        except OSError:
            self.broken = True
            raise
        return b"" if sent == len(data) else data[sent:]

    def send_now(self, data: bytes) -> None:
        """As much as the kernel takes without waiting; what the client does not take is lost."""
        with suppress(OSError):
            self._socket.send(data, socket.MSG_DONTWAIT)

    def send_file(self, head: bytes, fd: int, offset: int, size: int) -> int:
        """The head and `size` bytes of a file from `offset` on are with the kernel; how many of these there were."""
        if self._is_near is None:
            self._is_near = copying.is_near(self._socket)
        piece = copying.borrow() if self._is_near or size <= SMALL else None
        if piece is None:
            self.send(head, socket.MSG_MORE)
            return self._hand_over(fd, offset, size)
        try:
            return self._copy(head, fd, offset, size, piece)
        finally:
            copying.give_back(piece)

    def _copy(self, head: bytes, fd: int, offset: int, size: int, piece: memoryview) -> int:
        done = 0
        while done < size and (got := os.preadv(fd, [piece[: size - done]], offset + done)):
            self._send_both(head, piece[:got])
            head = b""
            done += got
        if head:
            self.send(head)
        return done

    def _send_both(self, head: bytes, data: memoryview) -> None:
        try:
            sent = self._socket.sendmsg([head, data]) if head else self._socket.send(data)
        except OSError:
            self.broken = True
            raise
        if sent < len(head):
            self.send(head[sent:])
        if sent < len(head) + len(data):
            self.send(data[max(sent - len(head), 0) :])

    def _hand_over(self, fd: int, offset: int, size: int) -> int:
        end = offset + size
        while offset < end:
            try:
                sent = os.sendfile(self._socket.fileno(), fd, offset, min(end - offset, FILE_PIECE))
            except OSError:
                self.broken = True
                raise
            if not sent:
                break
            offset += sent
        return size - (end - offset)

    def half_close(self) -> None:
        """Nothing more is sent, and the client can see that."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Whoever waits for the client's bytes gets an error. Safe from any thread."""
        self.is_cut = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def sever(self) -> None:
        """Whoever waits for the client to send or to receive gets an error. Safe from any thread."""
        self.is_cut = True
        self.abort()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Closing will be a reset, so that what the client got cannot pass for complete."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)

    def close(self) -> None:
        self._socket.close()

    def _keep(self, data: bytes) -> bool:
        if self._at == len(self._buffer):
            self._scanned, self._buffer = 0, data
        else:
            self._scanned = max(self._scanned - self._at, 0)
            self._buffer = self._buffer[self._at :] + data
        self._at = 0
        return bool(data)

    def _wait_at_most(self, seconds: float) -> None:
        if seconds != self._waits:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
            self._waits = seconds


def _timeval(seconds: float) -> bytes:
    """For the kernel, to which no time at all would mean forever."""
    return struct.pack("ll", int(seconds), max(int(seconds % 1 * 1_000_000), 1))
