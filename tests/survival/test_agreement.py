"""Processes that serve one store agree: workers of a server, and servers on one data directory."""

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts import processes
from tests.parts.scale import soak
from tests.parts.server import DavServer
from tests.survival.drive import Drive, digest, fsck

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 16
ROUNDS = soak(12, 100)
LARGE = bytes(range(256)) * 1000
LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def environ(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Without background jobs, so that every child of the server is a worker."""
    quiet = {"DAVSTORE_COLLECTOR__ENABLED": "false"}
    if request.param == "sqlite":
        return quiet
    return {**quiet, "DAVSTORE_DATABASE__URL": str(request.getfixturevalue("postgres_url"))}


def test_two_workers_agree(serve: Callable[..., DavServer], environ: Mapping[str, str]):
    server = serve("--workers", "2", environ=environ)

    with ExitStack() as connections:
        drives = [drive for worker in _workers(server) for drive in _clients_of(server, worker, connections)]
        _assert_agreement(drives)

    fsck(server.data, environ, "--deep")


def test_two_servers_on_one_data_directory_agree(tmp_path: Path, serve: Callable[..., DavServer]):
    servers = [serve(data=tmp_path / "data"), serve(data=tmp_path / "data")]

    with ExitStack() as connections:
        drives = [connections.enter_context(Drive(servers[n % 2].port)) for n in range(CLIENTS)]
        _assert_agreement(drives)

    fsck(tmp_path / "data", None, "--deep")


def _workers(server: DavServer) -> list[int]:
    found = sorted(processes.children(server.pid))
    assert len(found) == 2
    return found


def _clients_of(server: DavServer, worker: int, connections: ExitStack) -> list[Drive]:
    """Half of the clients, each on a connection that this worker accepted, since the others sleep meanwhile."""
    others = set(_workers(server)) - {worker}
    drives = [connections.enter_context(Drive(server.port)) for _ in range(CLIENTS // 2)]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        assert {drive.ask("OPTIONS", "/files/").status for drive in drives} == {200}
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)
    return drives


def _assert_agreement(drives: Sequence[Drive]) -> None:
    for number in range(ROUNDS):
        _assert_one_creates(drives, f"/files/raced{number}")
    _assert_one_replaces(drives, "/files/raced0")
    _assert_all_heed_a_lock(drives, "/files/locked")


def _assert_one_creates(drives: Sequence[Drive], path: str) -> None:
    """RFC 9110, section 13.1.2."""
    statuses = _all_at_once(
        drives, lambda drive, n: drive.ask("PUT", path, _content(path, n), {"If-None-Match": "*"}).status
    )

    assert sorted(statuses) == [201] + [412] * (CLIENTS - 1)
    assert {drive.digest(path) for drive in drives} == {digest(_content(path, statuses.index(201)))}


def _assert_one_replaces(drives: Sequence[Drive], path: str) -> None:
    """RFC 9110, section 13.1.1: the lost update does not happen."""
    etag = drives[0].ask("HEAD", path).headers["ETag"]

    statuses = _all_at_once(
        drives, lambda drive, n: drive.ask("PUT", path, _content("again", n), {"If-Match": etag}).status
    )

    assert sorted(statuses) == [204] + [412] * (CLIENTS - 1)


def _assert_all_heed_a_lock(drives: Sequence[Drive], path: str) -> None:
    """RFC 4918, section 7: whoever does not submit the token is refused."""
    granted = _all_at_once(drives, lambda drive, _: drive.ask("LOCK", path, LOCK, {"Depth": "0"}).status)
    assert sorted(granted) == [201] + [423] * (CLIENTS - 1)
    assert set(_all_at_once(drives, lambda drive, n: drive.ask("PUT", path, b"no").status)) == {423}
    assert set(_all_at_once(drives, lambda drive, n: drive.ask("DELETE", path).status)) == {423}


def _content(path: str, n: int) -> bytes:
    """Small ones and large ones, each its own."""
    return f"{path} {n}".encode() + (LARGE if n % 2 else b"")


def _all_at_once(drives: Sequence[Drive], act: Callable[[Drive, int], int]) -> list[int]:
    answers = [0] * len(drives)
    together = threading.Barrier(len(drives))

    def work(n: int) -> None:
        together.wait()
        answers[n] = act(drives[n], n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(drives))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
