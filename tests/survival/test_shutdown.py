"""SIGTERM ends the server in order: what can finish does, what cannot leaves nothing."""

import os
import signal
import socket
from collections.abc import Callable

import pytest

from tests.parts import processes
from tests.parts.server import DavServer
from tests.survival.drive import CREDENTIALS, Drive, digest, drafts, fsck

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 4000
HALF = len(CONTENT) // 2


def _begun(server: DavServer, path: str) -> socket.socket:
    """An upload of which half was sent, and received at least in part."""
    upload = socket.create_connection(("127.0.0.1", server.port), 30)
    fields = {"Host": "h", "Content-Length": str(len(CONTENT)), **CREDENTIALS}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    upload.sendall(f"PUT {path} HTTP/1.1\r\n{head}\r\n".encode() + CONTENT[:HALF])
    while not drafts(server.data):
        assert server.request("GET", "/healthz", user=None).status == 200
    return upload


def test_an_upload_that_does_not_finish_in_time_is_broken_off_and_leaves_nothing(serve: Callable[..., DavServer]):
    server = serve("--workers", "2", environ={"DAVSTORE_SERVER__DRAIN_GRACE": "1s"})
    with _begun(server, "/files/unfinished") as upload:
        server.terminate()
        answer = _rest(upload)

    assert not answer.startswith(b"HTTP/1.1 2")
    assert not drafts(server.data)
    with Drive(serve(data=server.data).port) as drive:
        assert drive.tree("/") == {"/files": None}
    assert not fsck(server.data)["reclaimable"]


def test_an_upload_that_finishes_in_time_is_acknowledged_and_kept(serve: Callable[..., DavServer]):
    server = serve()
    with _begun(server, "/files/finished") as upload:
        os.kill(server.pid, signal.SIGTERM)
        upload.sendall(CONTENT[HALF:])
        answer = _rest(upload)

    assert answer.startswith(b"HTTP/1.1 201")
    assert processes.ended([server.pid], 10)
    with Drive(serve(data=server.data).port) as drive:
        assert drive.tree("/files") == {"/files/finished": digest(CONTENT)}


def _rest(upload: socket.socket) -> bytes:
    received = b""
    try:
        while data := upload.recv(1 << 16):
            received += data
    except ConnectionError:
        pass
    return received
