"""Processes that serve one store agree: workers of a server, and servers on one data directory."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts import processes
from tests.parts.server import DavServer
from tests.survival.agreement import assert_agreement
from tests.survival.drive import Drive, fsck

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 16


@pytest.fixture(params=["sqlite", "postgresql"])
def environ(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Without background jobs, so that every child of the server is a worker."""
    quiet = {"DAVSTORE_COLLECTOR__ENABLED": "false", "DAVSTORE_RENDITIONS__ENABLED": "false"}
    if request.param == "sqlite":
        return quiet
    return {**quiet, "DAVSTORE_DATABASE__URL": str(request.getfixturevalue("postgres_url"))}


def test_two_workers_agree(environ: Mapping[str, str], serve: Callable[..., DavServer]):
    server = serve("--workers", "2", environ=environ)

    with ExitStack() as connections:
        drives = [drive for worker in _workers(server) for drive in _clients_of(server, worker, connections)]
        assert_agreement(drives)

    fsck(server.data, environ, "--deep")


def test_two_servers_on_one_data_directory_agree(tmp_path: Path, serve: Callable[..., DavServer]):
    servers = [serve(data=tmp_path / "data"), serve(data=tmp_path / "data")]

    with ExitStack() as connections:
        drives = [connections.enter_context(Drive(servers[n % 2].port)) for n in range(CLIENTS)]
        assert_agreement(drives)

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
