"""Request bodies, as the application reads them: `wsgi.input`.

A body ends only where its framing says so. If the client, the network or the server ends it earlier, every further
read raises IncompleteBody; an application that reads to the end has the whole body or an exception.
"""

from collections.abc import Iterator
from time import monotonic

from httptools import HttpParserError, HttpRequestParser

from davstore.wire import Wire

PIECE = 1 << 20
DRAIN_PIECE = 64 * 1024
WHOLE_MAX = 16 << 20
CHUNK_LINE_MAX = 4096
TRAILERS_MAX = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_OPENING = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
_FILLER = memoryview(bytes(64 * 1024))


class IncompleteBody(ConnectionError):
    """The body ended before its framing said so, or was not well framed. Nothing of it may be taken for complete."""

    status = "400 Bad Request"


class BodyTimedOut(IncompleteBody):
    """No byte came for as long as the limits allow."""

    status = "408 Request Timeout"


class Body:
    """A file-like, forward-only reader in bounded memory.

    `runs` gives the sizes of the stretches of data on the wire: one for a Content-Length, one per chunk otherwise.
    """

    __slots__ = ("_expects_continue", "_failure", "_left", "_runs", "_wire", "is_finished", "length")

    def __init__(self, wire: Wire, length: int | None, expects_continue: bool = False) -> None:
        self._wire = wire
        self._runs: Iterator[int] = chunk_sizes(wire) if length is None else iter((length,))
        self._left = 0
        self._failure: IncompleteBody | None = None
        self._expects_continue = expects_continue
        self.length = length
        self.is_finished = length == 0

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, fewer only at the end; without a size the whole rest of a small body.

        Raises IncompleteBody.
        """
        if size is None or size < 0:
            return self._read_whole()
        pieces: list[bytes] = []
        while size > 0 and (self._left or self._next_run()):
            pieces.append(self._piece(min(size, self._left, PIECE)))
            size -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """As `read`, into a buffer: it is filled, but at the end of the body."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and (self._left or self._next_run()):
            try:
                got = self._wire.receive_into(view[done : done + self._left])
            except (EOFError, OSError) as error:
                raise self._fail(error) from error
            self._took(got)
            done += got
        return done

    def readline(self, size: int | None = -1) -> bytes:
        limit = WHOLE_MAX if size is None or size < 0 else size
        line = bytearray()
        while len(line) < limit and not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    @property
    def is_broken(self) -> bool:
        """It ended before its end."""
        return self._failure is not None

    @property
    def awaits_continue(self) -> bool:
        """The client may be holding the body back, and may or may not send it after a final answer."""
        return self._expects_continue and not self.is_at_hand

    @property
    def is_at_hand(self) -> bool:
        """All of the rest has been received."""
        return self.length is not None and self._unread() <= self._wire.pending

    def no_longer_invite(self) -> None:
        """The answer has begun, and an interim one would be read as part of it."""
        self._expects_continue = False

    def can_drain(self, limit: int) -> bool:
        """The rest is worth reading to keep the connection. Of a chunked body this shows only on the way."""
        return self._failure is None and not self.awaits_continue and (self.length is None or self._unread() <= limit)

    def drain(self, limit: int, seconds: float) -> bool:
        """The rest is read and dropped. False when it is more than `limit` bytes, or does not come in time."""
        patience, self._wire.patience = self._wire.patience, seconds / 4
        deadline = monotonic() + seconds
        try:
            while limit > 0 and not self.is_finished and monotonic() < deadline:
                limit -= len(self.read(min(limit, self._left or limit, DRAIN_PIECE)))
                if not self._left:
                    self._next_run()
        except IncompleteBody:
            return False
        finally:
            self._wire.patience = patience
        return self.is_finished

    def _read_whole(self) -> bytes:
        whole = self.read(WHOLE_MAX)
        if not self.is_finished and (self._left or self._next_run()):
            raise OSError(f"a body of more than {WHOLE_MAX} bytes must be read in pieces")
        return whole

    def _unread(self) -> int:
        if self.is_finished:
            return 0
        return self._left or self.length or 0

    def _piece(self, size: int) -> bytes:
        try:
            piece = self._wire.receive(size)
        except (EOFError, OSError) as error:
            raise self._fail(error) from error
        self._took(len(piece))
        return piece

    def _took(self, size: int) -> None:
        self._left -= size
        if not self._left and self.length is not None:
            self.is_finished = True

    def _next_run(self) -> int:
        if self._failure is not None:
            raise self._failure
        if self.is_finished:
            return 0
        try:
            if self._expects_continue:
                self._invite()
            self._left = next(self._runs, 0)
        except (EOFError, OSError, HttpParserError) as error:
            raise self._fail(error) from error
        self.is_finished = not self._left
        return self._left

    def _invite(self) -> None:
        """RFC 9110, 10.1.1: needless once content has come."""
        self._expects_continue = False
        if not self._wire.pending:
            self._wire.send(CONTINUE)

    def _fail(self, error: Exception) -> IncompleteBody:
        failure = BodyTimedOut("the body stalled") if isinstance(error, BlockingIOError) else IncompleteBody(str(error))
        self._failure = failure
        self._left = 0
        return failure


class _Chunk:
    """What llhttp says of the chunk lines it is fed."""

    is_open = False
    is_last = False

    def on_chunk_header(self) -> None:
        self.is_open = True

    def on_message_complete(self) -> None:
        self.is_last = True


def chunk_sizes(wire: Wire) -> Iterator[int]:
    """The size of each chunk, whose data the caller takes off the wire before it asks for the next (RFC 9112, 7.1).

    llhttp judges each line. It only counts the data, so it is fed as many other bytes. Trailers are checked, and
    dropped.
    """
    chunk = _Chunk()
    parser = HttpRequestParser(chunk)
    parser.feed_data(_OPENING)
    while size := _chunk_size(parser, chunk, wire.line(CHUNK_LINE_MAX)):
        yield size
        for start in range(0, size, len(_FILLER)):
            parser.feed_data(_FILLER[: size - start])
        parser.feed_data(wire.line(2))
    budget = TRAILERS_MAX
    while not chunk.is_last:
        line = wire.line(CHUNK_LINE_MAX)
        budget -= len(line)
        if budget < 0:
            raise HttpParserError("too many trailers")
        parser.feed_data(line)


def _chunk_size(parser: HttpRequestParser, chunk: _Chunk, line: bytes) -> int:
    chunk.is_open = False
    parser.feed_data(line)
    if not chunk.is_open:
        raise HttpParserError("a chunk line without an end")
    return int(line.rstrip(b"\r\n").split(b";", 1)[0], 16)
