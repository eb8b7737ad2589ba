"""A proxy before an S3 server that fails in the ways in which networks and servers do."""

import http.client
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}
BLOCK = 64 << 10
PATIENCE = 20.0
LARGE = 1 << 10
"""What is longer is a content, and no answer in XML."""


class Broken(Exception):
    """The connection ends here."""


class FaultyS3:
    """Passes everything on while `fault` is ""; else what it is called.

    "down" ends connections, "hang" answers nothing for as long as the fault lasts, "slow" answers late, "503" and
    "expired" refuse; "corrupt" changes a bit, "truncated" ends and "stall" stops half way of every content.
    """

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        self.fault = ""
        self.delay = 0.2
        """Seconds that a slow server needs for an answer."""
        self.struck = 0
        self.gets = 0
        self.has_ended = False
        self._server = _Server(("127.0.0.1", 0), self._handler(urlsplit(upstream).netloc))
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.has_ended = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self, upstream: str) -> Callable[..., BaseHTTPRequestHandler]:
        def make(*given: object) -> BaseHTTPRequestHandler:
            return _Passing(self, upstream, *given)

        return make


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that ends is what this server is for."""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def __init__(self, proxy: FaultyS3, upstream: str, *given: object) -> None:
        self._proxy = proxy
        self._upstream = upstream
        super().__init__(*given)  # pyright: ignore[reportArgumentType]

    def _pass(self) -> None:
        fault = self._proxy.fault
        self._proxy.gets += self.command == "GET"
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault in {"down", "hang", "503", "expired", "slow"}:
            self._proxy.struck += 1
        match fault:
            case "down":
                self.close_connection = True
            case "hang":
                self._wait_while("hang")
                self.close_connection = True
            case "503":
                self._refuse(503, "SlowDown")
            case "expired":
                self._refuse(403, "ExpiredToken")
            case _:
                if fault == "slow":
                    time.sleep(self._proxy.delay)
                if fault == "corrupt" and len(body) > LARGE:
                    self._proxy.struck += 1
                    body = body[:-1] + bytes([body[-1] ^ 1])
                with suppress(ConnectionError):
                    self._forward(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - http.server's names

    def _wait_while(self, fault: str) -> None:
        """No longer than whoever asked."""
        limit = time.monotonic() + PATIENCE
        while self._proxy.fault == fault and not self._proxy.has_ended and time.monotonic() < limit:
            time.sleep(0.02)

    def _refuse(self, status: int, code: str) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>so it goes</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _forward(self, body: bytes, fault: str) -> None:
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        try:
            self._answer(answer, fault)
        finally:
            connection.close()

    def _answer(self, answer: http.client.HTTPResponse, fault: str) -> None:
        length = int(answer.headers.get("Content-Length", 0))
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.end_headers()
        spoilt = fault in {"corrupt", "truncated", "stall"} and self.command == "GET" and length > LARGE
        self._proxy.struck += spoilt
        sent = 0
        while block := answer.read(BLOCK):
            if spoilt and sent + len(block) > length // 2:
                if fault in {"truncated", "stall"}:
                    self.wfile.write(block[: max(0, length // 2 - sent)])
                    self._wait_while("stall")
                    self.close_connection = True
                    return
                if sent <= length // 2:
                    at = length // 2 - sent
                    block = block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]
            self.wfile.write(block)
            sent += len(block)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - http.server's name
        """Nobody reads it."""
