"""An S3 server that fails under load: no wrong or short body counts as whole, nothing acknowledged is lost."""

import hashlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from core.storage_settings import S3Storage
from tests.parts.blobs import MIB, sample
from tests.parts.faults import FaultyS3
from tests.parts.nginx import SECRET, Nginx
from tests.parts.scale import soak
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import DavServer

FAULTS = ["down", "hang", "slow", "503", "corrupt", "truncated", "stall", "expired"]
TO_NGINX = ["truncated", "hang", "down", "slow", "503", "expired"][: soak(2, 6)]
"""It takes a storage at its word, and waits until the test's patience is over where that stalls."""
TO_TWO = ["hang", *FAULTS][: soak(1, 9)]
CALM, FAULT, SILENCE = soak(5, 50) / 10, soak(15, 200) / 10, 2.0
"""Seconds; the last is the server's patience."""
CLIENTS = 4
SIZES = (3_000, 300_000, 3 * MIB)
RECOVERY = 60.0
EXPECTED = r"s3main|davstore\.conversation: GET|job scrub: "
RESTARTED = r"^Traceback|holds no storage|the process beside the workers"
"""The jobs' process may look for the marker between a worker's first intent and blob; then it is started anew."""

Kind = Literal["s3", "local"]


@dataclass
class Load:
    """Clients that put and get on two storages, and what became of each request."""

    server: DavServer
    port: int
    """Of what clients see."""
    statuses: dict[Kind, Counter[str]] = field(default_factory=lambda: {"s3": Counter(), "local": Counter()})
    acknowledged: dict[str, bytes] = field(default_factory=dict[str, bytes])
    wrong: list[str] = field(default_factory=list[str])
    succeeded: list[float] = field(default_factory=list[float])
    """When a write to S3 did."""
    _ending: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        n = 0
        while not self._ending.is_set():
            n += 1
            kind: Kind = "local" if n % 3 == 0 else "s3"
            bucket = "files" if kind == "local" else "media"
            path = f"/{bucket}/{number}-{n}"
            data = sample(SIZES[n % len(SIZES)], path.encode())
            self._count(kind, self.put(path, data))
            known = [known for known in list(self.acknowledged) if known.startswith(f"/{bucket}/")]
            if known:
                self._count(kind, self.get(known[n % len(known)]))

    def _count(self, kind: Kind, outcome: str) -> None:
        self.statuses[kind][outcome] += 1

    def put(self, path: str, data: bytes) -> str:
        try:
            status = self._front.request("PUT", path, data).status
        except (OSError, http.client.HTTPException):
            return "PUT broken"
        if status == 201:
            self.acknowledged[path] = hashlib.sha256(data).digest()
            if path.startswith("/media/"):
                self.succeeded.append(time.monotonic())
        return f"PUT {status}"

    def get_in_time(self, path: str) -> str:
        """Each worker finds out for itself that a storage is back: until then it answers 503."""
        limit = time.monotonic() + RECOVERY
        while (outcome := self.get(path)) == "GET 503" and time.monotonic() < limit:
            time.sleep(0.2)
        return outcome

    def get(self, path: str) -> str:
        """Whatever counts as a whole answer has the right bytes."""
        try:
            answer = self._front.request("GET", path)
        except (OSError, http.client.HTTPException):
            return "GET broken"
        if answer.status == 200 and hashlib.sha256(answer.body).digest() != self.acknowledged[path]:
            self.wrong.append(path)
        if answer.status == 503 and "Retry-After" not in answer.headers:
            self.wrong.append(f"{path}: 503 without Retry-After")
        return f"GET {answer.status}"

    @property
    def _front(self) -> DavServer:
        front = copy(self.server)
        front.port = self.port
        return front

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self.run, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def proxy(seaweedfs: SeaweedFS) -> Iterator[FaultyS3]:
    with FaultyS3(seaweedfs.endpoint) as proxy:
        yield proxy


@pytest.fixture
def config(proxy: FaultyS3, s3_storage: S3Storage, tmp_path: Path) -> Path:
    config = tmp_path / "davstore.toml"
    config.write_text(
        f"""
[server]
delivery = "x-accel"
accel_secret = "{SECRET}"
[storages.s3main]
type = "s3"
bucket = "{s3_storage.bucket}"
endpoint = "{proxy.endpoint}"
region = "{s3_storage.region}"
connect_timeout = "1s"
read_timeout = "2s"
retries = 1
[buckets.media]
storage = "s3main"
[buckets.files]
inline_below = "0"
"""
    )
    return config


@pytest.fixture
def server(serve: Callable[..., DavServer], config: Path, seaweedfs: SeaweedFS) -> DavServer:
    return serve("--config", str(config), environ=seaweedfs.environ)


def settled(server: DavServer, workers: int) -> list[int]:
    """The server's processes, once that of the jobs is there as well."""
    limit = time.monotonic() + server.patience
    while len(server.pids) < workers + 2 and time.monotonic() < limit:
        time.sleep(0.02)
    return server.pids


def until(is_so: Callable[[], bool], at_least: float = 0) -> None:
    """Waits so many seconds, and until it is so, but not for ever."""
    time.sleep(at_least)
    limit = time.monotonic() + RECOVERY
    while not is_so() and time.monotonic() < limit:
        time.sleep(0.05)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_server_costs_answers_and_nothing_else(server: DavServer, proxy: FaultyS3, fault: str) -> None:
    outlive(server, server.port, proxy, fault)


@pytest.mark.parametrize("fault", TO_NGINX)
def test_nor_does_it_cost_more_where_nginx_asks_it(
    server: DavServer, proxy: FaultyS3, fault: str, tmp_path: Path
) -> None:
    brief = {"proxy_read_timeout 10s;": "proxy_read_timeout 2s;"}
    with Nginx(tmp_path / "nginx", server.port, server.data / "blobs", brief) as nginx:
        outlive(server, nginx.port, proxy, fault)
        assert "GET /media/" in nginx.log_text()


@pytest.mark.parametrize("fault", TO_TWO)
def test_nor_does_it_where_workers_share_the_load(
    serve: Callable[..., DavServer], config: Path, seaweedfs: SeaweedFS, proxy: FaultyS3, fault: str
) -> None:
    server = serve("--config", str(config), "--workers", "2", environ=seaweedfs.environ)
    outlive(server, server.port, proxy, fault, workers=2)


def outlive(server: DavServer, port: int, proxy: FaultyS3, fault: str, workers: int = 1) -> None:
    """No answer is wrong, nothing acknowledged is lost, and what is elsewhere is not touched."""
    server.expect_log(EXPECTED)
    pids = settled(server, workers)
    with Load(server, port) as load:
        until(lambda: len(load.succeeded) > 1, CALM)
        proxy.fault = fault
        until(lambda: proxy.struck > 1, FAULT + SILENCE if fault in {"hang", "stall"} else FAULT)
        steady = server.request("PUT", "/files/steady", b"local"), server.request("GET", "/files/steady")
        proxy.fault, over = "", time.monotonic()
        until(lambda: any(at > over for at in load.succeeded))
        recovered = min((at - over for at in load.succeeded if at > over), default=RECOVERY)
        time.sleep(CALM)

    lost = [path for path in load.acknowledged if load.get_in_time(path) != "GET 200"]
    figures = {kind: dict(sorted(found.items())) for kind, found in load.statuses.items()}
    way = f"{workers} workers" if port == server.port else "nginx"
    print(f"{fault}, {way}: {figures}, struck {proxy.struck}, {len(load.acknowledged)} acknowledged, {recovered:.1f} s")
    assert proxy.struck > 0
    assert (lost, load.wrong) == ([], [])
    assert recovered < RECOVERY
    assert [answer.status for answer in steady] == [201, 200]
    assert set(load.statuses["local"]) <= {"GET 200", "PUT 201"}
    assert set(load.statuses["s3"]) <= {"GET 200", "GET 500", "GET 503", "GET broken", "PUT 201", "PUT 503"}
    assert server.pids == pids


@pytest.mark.parametrize("fault", ["down", "expired"])
def test_a_server_starts_without_a_storage_and_uses_it_once_it_is_back(
    config: Path, serve: Callable[..., DavServer], proxy: FaultyS3, seaweedfs: SeaweedFS, fault: str
) -> None:
    proxy.fault = fault
    server = serve("--config", str(config), environ=seaweedfs.environ)
    server.expect_log(EXPECTED, RESTARTED)

    assert server.request("PUT", "/files/a", b"x").status == 201
    refused = server.request("PUT", "/media/a", b"x" * 100_000)
    assert (refused.status, refused.headers["Retry-After"] is not None) == (503, True)
    proxy.fault = ""

    assert server.request("PUT", "/media/a", b"x" * 100_000).status == 201
    assert server.request("GET", "/media/a").body == b"x" * 100_000
