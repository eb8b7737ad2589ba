"""PostgreSQL restarted, away, cut off and failed over, under load: nothing acknowledged is lost, nothing read is wrong,
and it works again by itself."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.parts.cutting import Cutter
from tests.parts.postgresql import Cluster
from tests.parts.scale import soak
from tests.parts.server import DavServer
from tests.scaleout.load import Load
from tests.survival.drive import Drive, fsck

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AROUND = soak(40, 1_000)
STRIKES = soak(5, 100)
AWAY = soak(1, 10)
"""Seconds."""
WHAT_CLIENTS_SEE = {200, 201, 503}
"""docs/scale-out.md: the answer, or 503 with Retry-After; else a broken connection."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cutter(cluster: Cluster) -> Iterator[Cutter]:
    with Cutter(cluster.port) as cutter:
        yield cutter


@pytest.fixture
def server(cluster: Cluster, cutter: Cutter, tmp_path: Path) -> Iterator[DavServer]:
    url = make_url(cluster.url(cluster.create())).set(port=cutter.port).render_as_string(hide_password=False)
    environ = {"DAVSTORE_DATABASE__URL": url}
    with DavServer(tmp_path / "data", "--workers", "2", environ=environ) as server:
        server.expect_log("the database", "background jobs wait", "failed")
        yield server
        fsck(server.data, environ, "--deep")


def cut_again_and_again(cluster: Cluster, cutter: Cutter) -> None:
    for _ in range(STRIKES):
        cutter.cut_all()
        time.sleep(0.2)


def cut_in_the_middle_of_commits(cluster: Cluster, cutter: Cutter) -> None:
    for n in range(STRIKES):
        (cutter.cut_after if n % 2 else cutter.cut_before)(lambda sent: b"COMMIT\0" in sent)
        time.sleep(0.2)


def restart(cluster: Cluster, cutter: Cutter) -> None:
    cluster.stop()
    cluster.start()


def go_away(cluster: Cluster, cutter: Cutter) -> None:
    cluster.stop()
    time.sleep(AWAY)
    cluster.start()


def kill(cluster: Cluster, cutter: Cutter) -> None:
    """As the machine's end would: PostgreSQL recovers from its log."""
    cluster.kill9()
    cluster.start()


@pytest.fixture
def standby(cluster: Cluster) -> Iterator[Cluster]:
    with cluster.standby(synchronous=True) as standby:
        yield standby


@pytest.fixture
def of_two(cluster: Cluster, standby: Cluster, tmp_path: Path) -> Iterator[DavServer]:
    """A server that knows both machines, as docs/scale-out.md says."""
    name = cluster.create()
    hosts = "&".join(f"host=127.0.0.1:{each.port}" for each in (cluster, standby))
    url = f"postgresql+psycopg://postgres@/{name}?{hosts}&target_session_attrs=read-write"
    environ = {"DAVSTORE_DATABASE__URL": url}
    with DavServer(tmp_path / "data", "--workers", "2", environ=environ) as server:
        server.expect_log("the database", "background jobs wait", "failed")
        yield server
        fsck(server.data, environ, "--deep")


def test_a_standby_that_is_promoted_takes_over_under_load(of_two: DavServer, cluster: Cluster, standby: Cluster):
    def fail_over() -> None:
        cluster.kill9()
        standby.promote()

    try:
        outlive(of_two, fail_over, "fail_over")
    finally:
        cluster.start()


@pytest.mark.parametrize("strike", [cut_again_and_again, cut_in_the_middle_of_commits, restart, go_away, kill])
def test_it_is_outlived_under_load(
    server: DavServer, cluster: Cluster, cutter: Cutter, strike: Callable[[Cluster, Cutter], None]
):
    outlive(server, lambda: strike(cluster, cutter), strike.__name__)


def outlive(server: DavServer, strike: Callable[[], None], name: str) -> None:
    pids = set(server.pids)
    with Load(server.port) as load:
        load.wait_for(AROUND)
        strike()
        ended = time.monotonic()
        load.wait_for(1)
        recovered = time.monotonic() - ended
        load.wait_for(AROUND)

    with Drive(server.port) as drive:
        lost = [path for path, digest in load.written.items() if drive.digest(path) != digest]
    figures = f"{dict(load.statuses)}, {load.broken} broken off, {recovered:.1f} s to recover"
    print(f"{name}: {figures}, {len(lost)} lost, {len(load.wrong)} wrong")
    assert (lost, load.wrong) == ([], [])
    assert set(load.statuses) <= WHAT_CLIENTS_SEE
    assert load.unretried == 0
    assert pids <= set(server.pids), "a process was restarted"
