"""The application under a WSGI server that is not ours."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.parts import processes
from tests.parts.server import ROOT

pytestmark = pytest.mark.slow

WSGIREF = """
import sys
from wsgiref.simple_server import make_server
from davstore.wsgi import application
make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """That of the standard library's server, which leaves the framing of bodies to the application."""
    port = processes.free_port()
    environ = os.environ | {"PYTHONPATH": str(ROOT), "DAVSTORE_DATA": str(tmp_path / "data")}
    with subprocess.Popen(
        [sys.executable, "-c", WSGIREF, str(port)], env=environ | {"DAVSTORE_SERVER__ANONYMOUS": "write"}
    ) as server:
        try:
            _wait(port, server)
            yield port
        finally:
            server.terminate()


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert server.poll() is None
        try:
            assert request(port, "GET", "/healthz") == (200, b"ok\n")
            return
        except ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


def request(port: int, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_another_server_serves_the_tree_that_the_environment_configures(port: int, tmp_path: Path):
    assert request(port, "PUT", "/files/a", b"x" * 300_000) == (201, b"")
    assert request(port, "GET", "/files/a") == (200, b"x" * 300_000)
    assert request(port, "HEAD", "/files/a") == (200, b"")
    assert request(port, "HEAD", "/files/missing") == (404, b"")
    assert request(port, "PROPFIND", "/files/missing")[0] == 404
    assert request(port, "DELETE", "/files/a") == (204, b"")
    assert (tmp_path / "data" / "davstore.db").exists()
