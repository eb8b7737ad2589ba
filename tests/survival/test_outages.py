"""A part that goes away refuses what needs it, for as long as it is away; nothing else, and nothing for good."""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.parts import processes
from tests.parts.postgresql import Cluster
from tests.parts.server import Answer, DavServer
from tests.survival.drive import Drive, davstore, digest, fsck

pytestmark = pytest.mark.slow

LARGE = bytes(range(256)) * 1000
WITH_STORAGE = """
[storages.archive]
path = "{path}"
[buckets.old]
storage = "archive"
"""


QUOTA = b'<propfind xmlns="DAV:"><prop><quota-available-bytes/></prop></propfind>'


def _is_unavailable(answer: Answer) -> bool:
    return answer.status == 503 and int(answer.headers["Retry-After"]) > 0


def test_objects_of_a_storage_that_is_configured_no_more_wait_for_it(tmp_path: Path):
    data, config = tmp_path / "data", tmp_path / "davstore.toml"
    config.write_text(WITH_STORAGE.format(path=tmp_path / "archive"))
    with DavServer(data, "--config", str(config)) as server:
        assert server.request("PUT", "/old/large", LARGE).status == 201
        assert server.request("PUT", "/old/small", b"small").status == 201

    with DavServer(data) as server:
        server.expect_log("archive: is not configured here; add it under")
        assert _is_unavailable(server.request("GET", "/old/large"))
        assert _is_unavailable(server.request("PUT", "/old/new", LARGE[1:]))
        assert server.request("PROPFIND", "/old/", headers={"Depth": "1"}).status == 207
        assert _room(server, "/old/") == 0
        assert _room(server, "/") > 0
        assert server.request("GET", "/old/small").body == b"small"
        assert server.request("PUT", "/files/other", LARGE).status == 201
        assert server.request("GET", "/files/other").body == LARGE

    with DavServer(data, "--config", str(config)) as server:
        assert server.request("GET", "/old/large").body == LARGE
        assert server.request("PROPFIND", "/old/new", headers={"Depth": "0"}).status == 404
        fsck(server.data, {"DAVSTORE_CONFIG": str(config)}, "--deep")


def test_a_blob_directory_that_goes_away_while_serving_is_missed_and_welcome_back(server: DavServer):
    server.expect_log("is not storage local any more", "blobs")
    assert server.request("PUT", "/files/large", LARGE).status == 201
    blobs, aside = server.data / "blobs", server.data / "unplugged"

    blobs.rename(aside)
    read, written = server.request("GET", "/files/large"), server.request("PUT", "/files/other", LARGE[1:])
    was_made_anew = blobs.exists()
    aside.rename(blobs)

    assert _is_unavailable(read)
    assert _is_unavailable(written)
    assert not was_made_anew
    assert server.request("GET", "/files/large").body == LARGE
    assert server.request("PUT", "/files/other", LARGE[1:]).status == 201
    fsck(server.data, None, "--deep")


def _room(server: DavServer, path: str) -> int:
    answer = server.request("PROPFIND", path, QUOTA, {"Depth": "0"})
    assert answer.status == 207
    return int(ElementTree.fromstring(answer.body).findtext(".//{DAV:}quota-available-bytes", ""))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_postgresql_may_stop_and_come_back_while_the_server_runs(tmp_path: Path, workers: str):
    with Cluster() as cluster:
        environ = {"DAVSTORE_DATABASE__URL": cluster.url(cluster.create())}
        with DavServer(tmp_path / "data", "--workers", workers, environ=environ) as server:
            server.expect_log("the database")
            _wait_for_every_worker(server)
            _outlives_an_outage(server, cluster)
            fsck(server.data, environ, "--deep")


@pytest.mark.timeout(300)
def test_background_jobs_that_begin_while_postgresql_is_away_wait_for_it(tmp_path: Path):
    with Cluster() as cluster:
        eager = {"DAVSTORE_COLLECTOR__INTERVAL": "1s"}
        environ = eager | {"DAVSTORE_DATABASE__URL": cluster.url(cluster.create())}
        with DavServer(tmp_path / "data", environ=environ) as server:
            server.expect_log("the process beside the workers .* ended", "background jobs .*: the database: ")
            jobs = _jobs_process(server)
            cluster.stop()
            os.kill(jobs, signal.SIGKILL)

            _wait_until(lambda: "jobs wait: the database: " in server.log_text().partition(f"(pid {jobs}) ended")[2])
            waiting = _jobs_process(server)
            cluster.start()

            before = _last_run(server, environ)
            _wait_until(lambda: _last_run(server, environ) != before)
            assert _jobs_process(server) == waiting


def _jobs_process(server: DavServer) -> int:
    """The last child: it starts when the workers serve."""
    _wait_until(lambda: len(processes.children(server.pid)) == 2)
    return max(processes.children(server.pid))


def _last_run(server: DavServer, environ: Mapping[str, str]) -> str | None:
    told = davstore("gc", "status", "--json", "--data", server.data, environ=environ)
    assert told.returncode == 0, told.stderr
    return next(job["last_run"] for job in json.loads(told.stdout)["jobs"] if job["name"] == "collect")


def _wait_until(holds: Callable[[], bool]) -> None:
    """Longer than the lease of a process that was killed lasts."""
    limit = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.05)


def _wait_for_every_worker(server: DavServer) -> None:
    """One of them answers for all before the others have opened the store."""
    _wait_until(lambda: " serves " in server.log_text())


def _outlives_an_outage(server: DavServer, cluster: Cluster) -> None:
    with Drive(server.port) as drive:
        assert drive.ask("PUT", "/files/before", LARGE).status == 201

    cluster.stop()
    assert _is_unavailable(server.request("GET", "/files/before"))
    assert _is_unavailable(server.request("PUT", "/files/meanwhile", LARGE[1:]))
    assert _is_unavailable(server.request("MKCOL", "/files/collection"))
    assert _is_unavailable(server.request("GET", "/-/ready", user=None))
    assert server.request("GET", "/healthz", user=None).status == 200

    cluster.start()
    limit = time.monotonic() + 60
    while server.request("PUT", "/files/after", LARGE[2:]).status != 201:
        assert time.monotonic() < limit, "it does not come back"
    for _ in range(8):
        with Drive(server.port) as drive:
            assert drive.tree("/files") == {"/files/before": digest(LARGE), "/files/after": digest(LARGE[2:])}
