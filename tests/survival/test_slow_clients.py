"""Slow uploads through the whole application leave room for everybody else."""

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.parts.server import DavServer
from tests.survival.drive import CREDENTIALS, Drive, drafts

pytestmark = pytest.mark.slow

CLIENTS = 200
ANNOUNCED = 10_000_000
PIECE = b"x" * 100
GETS = 31
QUICK = 0.1


def test_200_slow_uploads_leave_an_honest_get_under_100_ms(server: DavServer):
    with Drive(server.port) as drive:
        assert drive.ask("PUT", "/files/honest", b"honest").status == 201
        with _slow_uploads(server):
            spent = min(([_seconds(drive) for _ in range(GETS)] for _ in range(3)), key=statistics.median)

            assert len(drafts(server.data)) == CLIENTS, "not every upload has reached the application"
            assert drive.ask("PUT", "/files/another", b"another").status == 201
        print(f"median {statistics.median(spent) * 1000:.1f} ms, worst {max(spent) * 1000:.1f} ms")
        assert statistics.median(spent) < QUICK

        _wait_until(lambda: not drafts(server.data))
        assert sorted(drive.tree("/files")) == ["/files/another", "/files/honest"]


@contextmanager
def _slow_uploads(server: DavServer) -> Iterator[None]:
    """Bodies that come in small pieces, far beyond the size at which they leave memory."""
    is_over = threading.Event()
    with ExitStack() as sockets:
        uploads = [sockets.enter_context(_begun(server, n)) for n in range(CLIENTS)]
        _wait_until(lambda: len(drafts(server.data)) == CLIENTS)

        def drip() -> None:
            while not is_over.wait(0.25):
                for upload in uploads:
                    upload.sendall(PIECE)

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            yield
        finally:
            is_over.set()
            dripping.join()


def _begun(server: DavServer, number: int) -> socket.socket:
    upload = socket.create_connection(("127.0.0.1", server.port), 30)
    fields = {"Host": "h", "Content-Length": str(ANNOUNCED), **CREDENTIALS}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    upload.sendall(f"PUT /files/slow{number} HTTP/1.1\r\n{head}\r\n".encode() + bytes(300_000))
    return upload


def _seconds(drive: Drive) -> float:
    start = time.monotonic()
    answer = drive.ask("GET", "/files/honest")
    spent = time.monotonic() - start
    assert answer.body == b"honest"
    return spent


def _wait_until(claim: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < limit
        time.sleep(0.05)
