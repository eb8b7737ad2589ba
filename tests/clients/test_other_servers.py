"""`davstore.wsgi:application` under a server that is not ours."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.rclone import Rclone
from tests.clients.trees import contents, odd_names
from tests.parts.server import DavServer

pytestmark = pytest.mark.slow

WSGIREF = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from davstore.wsgi import application

class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True

make_server("127.0.0.1", int(sys.argv[1]), application, Threads).serve_forever()
"""


class Foreign(DavServer):
    """The standard library's server: HTTP/1.0, no chunks, and its own `wsgi.file_wrapper`."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, environ={"DAVSTORE_DATA": str(data)})
        self.command = [*self.command[:3], sys.executable, "-W", "error", "-c", WSGIREF, str(self.port)]

    def terminate(self) -> None:
        """It knows no orderly end."""
        self.kill9()


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[DavServer]:
    with DavServer(tmp_path / "data"):
        pass
    with Foreign(tmp_path / "data") as server:
        yield server


def test_a_file_is_put_got_listed_and_removed(foreign: DavServer) -> None:
    assert foreign.request("PUT", "/files/report%3F.txt", b"report").status == 201
    assert foreign.request("PUT", "/files/large", b"x" * 3_000_000).status == 201

    got = foreign.request("GET", "/files/report%3F.txt")
    assert (got.status, got.body) == (200, b"report")
    assert foreign.request("GET", "/files/large", headers={"Range": "bytes=2999998-"}).body == b"xx"
    listed = foreign.request("PROPFIND", "/files/", headers={"Depth": "1"})
    assert listed.status == 207
    assert b"<D:href>/files/report%3F.txt</D:href>" in listed.body
    assert foreign.request("DELETE", "/files/large").status == 204
    assert foreign.request("GET", "/files/large").status == 404
    assert foreign.request("GET", "/files/report%3F.txt", user=None).status == 401


def test_rclone_copies_there_and_back(foreign: DavServer, tmp_path: Path) -> None:
    odd_names(tmp_path / "source")
    rclone = Rclone(foreign)

    rclone.copy(tmp_path / "source", "there")
    rclone("copy", ":webdav:there", tmp_path / "back")

    assert contents(tmp_path / "back") == contents(tmp_path / "source")
