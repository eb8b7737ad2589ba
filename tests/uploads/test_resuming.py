"""Uploads that break off, whose server dies, or which go on at another server."""

import hashlib
import os
import threading
import time
from collections.abc import Callable

import pytest

from tests.parts.scale import soak
from tests.parts.server import DavServer
from tests.survival.drive import Drive, fsck
from tests.uploads.client import TusClient

pytestmark = pytest.mark.slow

DATA = os.urandom(24 << 20)
STRIDE = 8 << 20
"""What the design says that a crash may cost at most."""


def digest(server: DavServer, path: str) -> str:
    with Drive(server.port) as drive:
        return drive.digest(path)


def moved_on(client: TusClient, where: str, last: int) -> int:
    """The new offset, once the server has noticed that the connection is gone."""
    limit = time.monotonic() + 30
    while (offset := client.offset(where)) <= last:
        assert time.monotonic() < limit
        time.sleep(0.02)
    return offset


def test_an_upload_that_breaks_off_again_and_again_ends_as_the_file(server: DavServer):
    client = TusClient(server.port)
    where = client.create(len(DATA), {"path": "/files/large"})

    offsets = [0]
    while client.send(where, DATA, most=5 << 20) == 0:
        offsets.append(moved_on(client, where, offsets[-1]))

    assert len(offsets) > 4
    assert digest(server, "/files/large") == hashlib.sha256(DATA).hexdigest()
    assert not list(server.data.rglob("upload.*"))


@pytest.mark.parametrize("n", range(soak(1, 10)))
def test_an_upload_goes_on_after_kill_9(serve: Callable[..., DavServer], n: int):
    server = serve()
    client = TusClient(server.port)
    where = client.create(len(DATA), {"path": "/files/large"})
    sending = threading.Thread(target=client.send, args=(where, DATA, 20 << 20))
    sending.start()
    while client.offset(where) < STRIDE:
        pass
    seen = client.offset(where)
    server.kill9()
    sending.join()

    server.__enter__()
    assert seen <= client.offset(where) <= len(DATA)
    assert client.send(where, DATA) == 204

    assert digest(server, "/files/large") == hashlib.sha256(DATA).hexdigest()
    server.terminate()
    fsck(server.data, None, "--deep")


def test_an_upload_goes_on_at_another_server_on_the_same_data(serve: Callable[..., DavServer]):
    first, second = serve(), serve()
    where = TusClient(first.port).create(len(DATA), {"path": "/files/large"})
    TusClient(first.port).send(where, DATA, most=10 << 20)

    assert TusClient(second.port).offset(where) >= STRIDE
    assert TusClient(second.port).send(where, DATA) == 204

    assert digest(first, "/files/large") == hashlib.sha256(DATA).hexdigest()


def test_two_requests_do_not_send_the_same_upload_at_once(server: DavServer):
    client = TusClient(server.port)
    where = client.create(len(DATA), {"path": "/files/large"})
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(client.send(where, DATA))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 409, 423, 0}
    assert digest(server, "/files/large") == hashlib.sha256(DATA).hexdigest()
