"""A real server around a small application, and clients that end with the test."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import pytest

from davstore.connection import Server
from davstore.limits import Limits
from davstore.workers import listen
from tests.connection.peer import Answer, Peer

Application = Callable[..., Iterable[bytes]]


class Site:
    """A server in a thread of this process."""

    def __init__(self, application: Application, limits: Limits | None = None) -> None:
        sock = listen("127.0.0.1", 0)
        self.port: int = sock.getsockname()[1]
        self.server = Server(sock, application, limits)
        self._thread = threading.Thread(target=self.server.serve)
        self._peers = ExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._peers.close()
        self.server.stop(5)
        self._thread.join()

    @property
    def is_serving(self) -> bool:
        return self._thread.is_alive()

    def connect(self, patience: float = 10.0) -> Peer:
        return self._peers.enter_context(Peer(self.port, patience))

    def get(self, path: str = "/") -> Answer:
        with Peer(self.port) as peer:
            return peer.ask(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())


class Recorder:
    """An application that reads the body as told and keeps what it saw."""

    def __init__(self, block: int = 64 * 1024) -> None:
        self.block = block
        self.environ: dict[str, Any] = {}
        self.failures: list[BaseException] = []
        self.sizes: list[int] = []
        self.called, self.done = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.environ = environ
        self.called.set()
        digest, size = hashlib.sha256(), 0
        try:
            while data := environ["wsgi.input"].read(self.block):
                digest.update(data)
                size += len(data)
        except BaseException as error:
            self.failures.append(error)
            raise
        finally:
            self.sizes.append(size)
            self.done.set()
        text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {size} {digest.hexdigest()}".encode("latin-1")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
        return [text]


def echoed(method: str, path: str, body: bytes = b"") -> bytes:
    """What a Recorder answers."""
    return f"{method} {path} {len(body)} {hashlib.sha256(body).hexdigest()}".encode()


@pytest.fixture
def site() -> Iterator[Callable[..., Site]]:
    """Starts servers; they end with the test."""
    with ExitStack() as started:
        yield lambda application, limits=None: started.enter_context(Site(application, limits))


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def echo(recorder: Recorder) -> Iterator[Site]:
    """One server for a whole module, around `recorder`."""
    with Site(recorder) as running:
        yield running
