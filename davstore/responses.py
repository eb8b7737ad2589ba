"""Responses: what the application starts and yields, as exact bytes on the wire (RFC 9112, sections 6, 7 and 9)."""

import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from socket import MSG_MORE
from time import time
from types import TracebackType
from typing import Protocol

from davstore.bodies import Body
from davstore.framing import Request
from davstore.limits import Limits
from davstore.repeats import LARGEST_ANSWER, Repeats
from davstore.wire import Wire

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

ONE_SEND = 64 * 1024
KNOWN_NAMES_MAX = 1024
_STATUS = re.compile(r"[2-5][0-9]{2}( [\t -~\x80-\xff]*)?")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_FIELDS = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


class BrokenResponse(Exception):
    """The application yielded more or less than it declared. The client must not take it for complete."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Host(Protocol):
    """The server, as far as an answer depends on it: one that is stopping keeps no connection."""

    limits: Limits
    ready: bool
    repeats: Repeats


class FileWrapper:
    """`wsgi.file_wrapper`: an open file to be sent by the kernel.

    A regular file goes out from `file.offset` (else its position) for `file.length` bytes (else to its end), or as
    many as Content-Length says. Anything else is read in blocks.
    """

    def __init__(self, file: Readable, block_size: int = 256 * 1024) -> None:
        self.file = file
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(self.block_size), b"")

    def close(self) -> None:
        if (close := getattr(self.file, "close", None)) is not None:
            close()

    def span(self) -> tuple[int, int, int] | None:
        """Descriptor, offset and length in bytes, where there is a regular file."""
        try:
            # PEP 3333 asks a file for `read` alone; one without a descriptor is caught below.
            fd = self.file.fileno()  # type: ignore[attr-defined]
        except (AttributeError, io.UnsupportedOperation):
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        offset = getattr(self.file, "offset", None)
        if offset is None:
            # Only files that have a descriptor come here.
            offset = self.file.tell()  # type: ignore[attr-defined]
        length = getattr(self.file, "length", None)
        return fd, offset, max(status.st_size - offset, 0) if length is None else length


class Response:
    """One answer on its way out: `start` is the application's `start_response`, `deliver` takes what it returned.

    `second` is that of its Date, and `holds` what makes it one that may be given again.
    """

    __slots__ = (
        "_body",
        "_closes",
        "_copied",
        "_copy",
        "_excess",
        "_fields",
        "_host",
        "_is_bodiless",
        "_is_chunked",
        "_is_gathered",
        "_left",
        "_request",
        "_status",
        "_wire",
        "holds",
        "is_sent",
        "is_whole",
        "keep_alive",
        "second",
    )

    def __init__(self, request: Request, wire: Wire, body: Body, host: Host) -> None:
        self._request = request
        self._wire = wire
        self._body = body
        self._host = host
        self._status = ""
        self._fields = ""
        self._left: int | None = None
        self._is_bodiless = self._is_chunked = False
        self._excess = 0
        self._copy: list[bytes] = []
        self._copied = 0
        self._is_gathered = False
        self.holds: Callable[[], bool] | None = None
        self.second = 0
        self.is_sent = self.is_whole = False
        self.keep_alive = request.keep_alive

    def start(
        self, status: str, fields: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response. Raises ValueError on a status or field that would not be one on the wire."""
        if exc_info is not None and exc_info[1] is not None and self.is_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._status and exc_info is None:
            raise RuntimeError("start_response was called twice")
        self._left = None
        self._status = _checked_status(status)
        self._fields = self._collect(fields)
        self._is_bodiless = self._request.method == b"HEAD" or status.startswith(("204", "304"))
        return self.write

    def keep(self, holds: Callable[[], bool]) -> None:
        """The application says, before it starts the answer, that it may be given again while `holds()`."""
        self.holds = holds

    def forget(self) -> None:
        """The answer is not kept. Repeating it is harmless."""
        self.holds = None
        self._copy = []
        if self._is_gathered:
            self._host.repeats.gathered()
            self._is_gathered = False

    @property
    def copy(self) -> bytes:
        """All that was sent of an answer to be kept."""
        return b"".join(self._copy)

    def deliver(self, result: Iterable[bytes]) -> None:
        """The whole answer is with the kernel. Raises BrokenResponse when it is not what was declared."""
        if isinstance(result, FileWrapper) and self._status and (span := result.span()):
            self._send_file(*span)
        else:
            self._deliver_blocks(result)
        self._finish()

    def write(self, block: bytes) -> None:
        """PEP 3333's write: the block is with the kernel, never a byte beyond Content-Length."""
        head = b"" if self.is_sent else self._head()
        if self._is_bodiless:
            block = b""
        elif self._left is not None:
            self._excess += max(len(block) - self._left, 0)
            block = block[: self._left]
            self._left -= len(block)
        elif self._is_chunked:
            block = b"%x\r\n%b\r\n" % (len(block), block)
        self._send(head, block)

    def _deliver_blocks(self, result: Iterable[bytes]) -> None:
        if isinstance(result, (list, tuple)) and self._can_be_measured():
            self._left = sum(map(len, result))
        for block in result:
            if block:
                self.write(block)
            if self._excess or (self._is_bodiless and self._status):
                break

    def _can_be_measured(self) -> bool:
        return bool(self._status) and not self.is_sent and self._left is None and not self._is_bodiless

    def _collect(self, fields: list[tuple[str, str]]) -> str:
        lines: list[str] = []
        for name, value in fields:
            lower = _lower_names.get(name) or _lower_name(name)
            if lower in _OWN_FIELDS:
                self._note(lower, value)
            else:
                lines.append(f"{name}: {value}\r\n")
        text = "".join(lines)
        if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
            raise ValueError("a line break or NUL in a response field")
        return text

    def _note(self, lower: str, value: str) -> None:
        """What the application says of the framing is heeded, never copied."""
        if lower == "content-length":
            if not (value.isascii() and value.isdigit()) or self._left not in (None, int(value)):
                raise ValueError(f"bad Content-Length {value!r}")
            self._left = int(value)
        elif lower == "connection":
            self.keep_alive = self.keep_alive and "close" not in value.lower()
        elif lower == "transfer-encoding":
            raise ValueError("the transfer coding is the server's")

    def _head(self) -> bytes:
        if not self._status:
            raise RuntimeError("the application did not call start_response")
        framing = self._frame()
        if not self._host.ready or not self._body.can_drain(self._host.limits.drain_bytes):
            self.keep_alive = False
        self._body.no_longer_invite()
        if not self.keep_alive:
            framing += "Connection: close\r\n"
        elif self._request.is_http10:
            framing += "Connection: keep-alive\r\n"
        self.second = int(time())
        date = _date(self.second)
        head = f"HTTP/1.1 {self._status}\r\nServer: davstore\r\nDate: {date}\r\n{self._fields}{framing}\r\n".encode(
            "latin-1"
        )
        self.is_sent = True
        return head

    def _frame(self) -> str:
        """A length where it is known, else chunks, else (HTTP/1.0) the end of the connection."""
        if self._status.startswith("204"):
            return ""
        if self._left is not None:
            return f"Content-Length: {self._left}\r\n"
        if self._is_bodiless:
            return ""
        if self._request.is_http10:
            self.keep_alive = False
            return ""
        self._is_chunked = True
        return "Transfer-Encoding: chunked\r\n"

    def _send(self, head: bytes, block: bytes) -> None:
        if self.holds:
            self._remember(head, block)
        if len(block) > ONE_SEND:
            if head:
                self._wire.send(head, MSG_MORE)
            self._wire.send(block)
        elif head or block:
            self._wire.send(head + block)

    def _remember(self, head: bytes, block: bytes) -> None:
        """What is streamed is gathered for few clients at one time, since slow ones would hold it for long."""
        if self._is_chunked and not self._is_gathered:
            self._is_gathered = self._host.repeats.gather()
        self._copied += len(head) + len(block)
        if self._copied > LARGEST_ANSWER or self._is_chunked != self._is_gathered:
            self.forget()
        else:
            self._copy += (head, block)

    def _send_file(self, fd: int, offset: int, length: int) -> None:
        declared = length if self._left is None else self._left
        self._left = declared
        head = b"" if self.is_sent else self._head()
        size = min(length, declared)
        if self._is_bodiless:
            self._wire.send(head)
        else:
            self._left -= self._wire.send_file(head, fd, offset, size)

    def _finish(self) -> None:
        if not self.is_sent:
            if not self._is_bodiless and self._left is None:
                self._left = 0
            self._send(self._head(), b"")
        if self._left and not self._is_bodiless:
            raise BrokenResponse(f"{self._left} bytes less than Content-Length")
        if self._is_chunked:
            self._send(b"", b"0\r\n\r\n")
        self.is_whole = True
        if self._excess:
            raise BrokenResponse(f"{self._excess} bytes more than Content-Length")


def refusal(status: str) -> bytes:
    """A complete answer that ends the connection."""
    text = f"{status}\n"
    return (
        f"HTTP/1.1 {status}\r\nServer: davstore\r\nDate: {_date(int(time()))}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
    ).encode("latin-1")


def _checked_status(status: str) -> str:
    if not _STATUS.fullmatch(status):
        raise ValueError(f"bad status {status!r}")
    return status if len(status) > 3 else status + " "


_lower_names: dict[str, str] = {}


def _lower_name(name: str) -> str:
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"bad field name {name!r}")
    if len(_lower_names) < KNOWN_NAMES_MAX:
        _lower_names[name] = name.lower()
    return name.lower()


_dates: dict[int, str] = {}


def _date(now: int) -> str:
    """The Date field's value, made once a second (RFC 9110, 6.6.1)."""
    date = _dates.get(now)
    if date is None:
        _dates.clear()
        date = _dates[now] = formatdate(now, usegmt=True)
    return date
