"""A conversation: one client's connection, its requests answered one after another.

The selector thread calls `receive` and `expire`, and never waits there; a worker thread calls `communicate`. At no
time do both have it.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any

from core.errors import Refusal
from davstore.bodies import Body, IncompleteBody
from davstore.framing import Refused, Request, is_hopeless, parse
from davstore.repeats import KEEP, LARGEST_REQUEST, METHODS, Asked
from davstore.responses import Response, refusal
from davstore.wire import Wire

if TYPE_CHECKING:
    from socket import socket

    from davstore.connection import Server

log = logging.getLogger(__name__)

BRISK_SECONDS = 0.0005
"""A client that takes longer to ask again is not worth staying awake for."""
LOOKING_SECONDS = 0.00015

_scratch = bytearray(256 * 1024)


class Step(Enum):
    """What the server has to do next with a conversation."""

    WAIT = "register it with the selector"
    ANSWER = "give it to a worker thread"
    CLOSE = "close it"


class Conversation:
    """cheroot's ConnectionClass. `deadline` (monotonic seconds) is heeded while the selector has it."""

    __slots__ = (
        "_address",
        "_body",
        "_environ",
        "_is_brisk",
        "_limits",
        "_linger_left",
        "_request",
        "_rest",
        "_server",
        "_wire",
        "deadline",
        "socket",
    )

    def __init__(self, server: "Server", sock: "socket", makefile: Callable[..., Any] | None = None) -> None:
        self._server = server
        self._limits = server.limits
        self._wire = Wire(sock, server.limits.progress_seconds)
        self._environ: dict[str, Any] = {}
        self._address = ""
        self._rest = b""
        self._request: Request | None = None
        self._body: Body | None = None
        self._linger_left = 0
        self._is_brisk = False
        self.socket = sock
        self.deadline = monotonic() + self._limits.head_seconds

    def introduce(self, environ: dict[str, Any]) -> None:
        """What every request of this connection has in its environ."""
        self._environ = environ
        self._address = environ["REMOTE_ADDR"]

    def receive(self) -> Step:
        """Take in what has come, without waiting."""
        if self._linger_left:
            return self._linger_on()
        was_idle = not self._wire.pending
        try:
            if not self._wire.poll():
                return self._ended()
        except BlockingIOError:
            return Step.WAIT
        except OSError:
            return Step.CLOSE
        if was_idle:
            self.deadline = monotonic() + self._limits.head_seconds
        return self._advance()

    def expire(self) -> Step:
        """The deadline has passed. Whoever has begun a request is told so."""
        if self._linger_left or not (self._wire.pending or self._request):
            return Step.CLOSE
        return self._refuse(Refused("408 Request Timeout", "incomplete request"))

    def communicate(self) -> bool:
        """The request that was received is answered, and those on its heels. False when the connection is over."""
        while self._answer():
            step = self._advance()
            if step is Step.WAIT and self._is_between_requests and self._server.may_stay:
                step = self._stay()
            if step is not Step.ANSWER:
                return step is Step.WAIT
        return self._linger_left > 0

    def cut(self) -> None:
        self._wire.cut()

    def sever(self) -> None:
        self._wire.sever()

    def close(self) -> None:
        self._wire.close()

    @property
    def _is_between_requests(self) -> bool:
        return not (self._linger_left or self._request or self._wire.pending)

    def _stay(self) -> Step:
        """A busy client's next request is cheaper to await here than in the selector."""
        try:
            if not self._awaited():
                return Step.CLOSE
        except BlockingIOError:
            return Step.WAIT
        except OSError:
            return Step.CLOSE
        return self._advance()

    def _awaited(self) -> bool:
        """Something has come, or False at the end. While no other thread has a request, looking again for a client that
        is brisk beats sleeping: its next request finds the CPU awake."""
        if self._is_brisk and self._server.requests.busy == 1:
            with suppress(BlockingIOError):
                return self._wire.watch(LOOKING_SECONDS)
        asleep = monotonic()
        is_open = self._wire.fill(self._limits.stay_seconds)
        self._is_brisk = monotonic() - asleep < BRISK_SECONDS
        return is_open

    def _advance(self) -> Step:
        """See whether what was received is a request that a thread can answer without waiting for a slow client.

        One that was answered before is answered here and now, if the answer still holds.
        """
        if self._request is None and (answer := self._known()):
            return self._repeat(answer)
        try:
            if self._request is None and not self._take_head():
                return Step.WAIT
        except Refused as refused:
            return self._refuse(refused)
        if not self._body or self._body.is_at_hand or not self._is_small(self._body):
            return Step.ANSWER
        self.deadline = monotonic() + self._limits.progress_seconds
        return Step.WAIT

    def _known(self) -> bytes | None:
        """The answer to what has come, taken as one whole request."""
        if self._wire.pending > LARGEST_REQUEST or not self._server.ready:
            return None
        return self._server.repeats.find((self._wire.early(), self._address))

    def _repeat(self, answer: bytes) -> Step:
        """What a slow client does not take at once is left to a thread."""
        self._wire.take(self._wire.pending)
        self.deadline = monotonic() + self._limits.idle_seconds
        try:
            self._rest = self._wire.offer(answer)
        except OSError:
            return Step.CLOSE
        return Step.ANSWER if self._rest else Step.WAIT

    def _take_head(self) -> bool:
        wire = self._wire
        if not wire.pending:
            self.deadline = monotonic() + self._limits.idle_seconds
            return False
        head = wire.head()
        beginning = head or wire.peek(self._limits.head_bytes + 1)
        if len(beginning) > self._limits.head_bytes:
            raise _oversized(beginning[: self._limits.head_bytes])
        if not head:
            if is_hopeless(beginning[:2]):
                raise Refused("400 Bad Request", "not HTTP")
            return False
        self._request = parse(head, self._environ.copy())
        self._body = Body(wire, self._request.length, self._request.expects_continue)
        return True

    def _is_small(self, body: Body) -> bool:
        return body.length is not None and body.length <= self._limits.small_body_bytes and not body.awaits_continue

    def _answer(self) -> bool:
        """The application has answered, or the client has been told why not. True when the connection can go on."""
        if self._rest:
            return self._send_rest()
        request, body = self._request, self._body
        assert request is not None
        assert body is not None
        self._request = self._body = None
        response = Response(request, self._wire, body, self._server)
        request.environ["wsgi.input"] = body
        asked = self._asked(request, body)
        if asked:
            request.environ[KEEP] = response.keep
        try:
            self._run_application(request, response)
            if asked and response.holds and response.keep_alive:
                self._server.repeats.keep(asked, response.second, response.copy, response.holds)
        except Exception as error:
            self._explain(error, request, response, body)
            return False
        finally:
            response.forget()
        return self._settle(response, body)

    def _send_rest(self) -> bool:
        rest, self._rest = self._rest, b""
        try:
            self._wire.send(rest)
        except OSError:
            return False
        return True

    def _asked(self, request: Request, body: Body) -> Asked | None:
        """The whole request, if it is one that may come again."""
        if request.method not in METHODS or body.awaits_continue or not body.is_at_hand:
            return None
        return request.head + self._wire.peek(body.length or 0), self._address

    def _run_application(self, request: Request, response: Response) -> None:
        result = self._server.application(request.environ, response.start)
        try:
            response.deliver(result)
        finally:
            if (close := getattr(result, "close", None)) is not None:
                close()

    def _explain(self, error: Exception, request: Request, response: Response, body: Body) -> None:
        """A half-sent answer is broken off; otherwise there is still room for a status."""
        if self._wire.broken or body.is_broken:
            log.debug("%s: %s", request.target, error)
        elif isinstance(error, Refusal):
            log.error("%s %s failed: %s", request.environ["REQUEST_METHOD"], request.target, error)
        else:
            log.error("%s %s failed", request.environ["REQUEST_METHOD"], request.target, exc_info=error)
        if response.is_whole:
            self._linger()
        elif self._wire.broken or response.is_sent:
            self._wire.abort()
        else:
            status = error.status if isinstance(error, IncompleteBody) else "500 Internal Server Error"
            self._refuse(Refused(status, str(error)))

    def _settle(self, response: Response, body: Body) -> bool:
        if response.keep_alive and (
            body.is_finished or body.drain(self._limits.drain_bytes, self._limits.drain_seconds)
        ):
            return True
        if not body.is_finished or self._wire.pending:
            self._linger()
        return False

    def _ended(self) -> Step:
        """The client has finished sending; if within a request, it may still read."""
        return self._refuse(Refused("400 Bad Request", "incomplete request")) if self._request else Step.CLOSE

    def _refuse(self, refused: Refused) -> Step:
        log.debug("refused: %s", refused)
        self._request = self._body = None
        self._wire.send_now(refusal(refused.status))
        self._linger()
        return Step.WAIT

    def _linger(self) -> None:
        """Closing with unread input would be a reset, which can destroy the answer on its way (RFC 9112, 9.6)."""
        self._wire.half_close()
        self._linger_left = self._limits.linger_bytes
        self.deadline = monotonic() + self._limits.linger_seconds

    def _linger_on(self) -> Step:
        try:
            dropped = self._wire.discard(_scratch)
        except BlockingIOError:
            return Step.WAIT
        except OSError:
            return Step.CLOSE
        self._linger_left = max(self._linger_left - dropped, 0) if dropped else 0
        return Step.WAIT if self._linger_left else Step.CLOSE


def _oversized(head: bytes) -> Refused:
    if b"\n" in head:
        return Refused("431 Request Header Fields Too Large", "too large a head")
    return Refused("414 URI Too Long", "too long a request line")
