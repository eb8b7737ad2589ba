"""An S3 server that takes requests and answers none: it costs its own files a bounded time, and others nothing."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from core.storage_settings import S3Storage
from tests.parts.blobs import MIB, sample
from tests.parts.faults import FaultyS3
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import PASSWORD, USER, Answer, DavServer, basic

MOST_THREADS = 512
"""Of a worker."""
BOUND = 13.0
"""Seconds: docs/storages.md, with the default timeouts."""
SLACK = 5.0
"""Seconds for which this machine may be busy with something else: half of what one more attempt would take."""
PROMPT, BACK = 7.0, 30.0
"""Seconds. Who waits for the server does so for ten."""
SMALL, LARGE = sample(100_000), sample(48 * MIB)
REQUEST = f"GET /media/small HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(USER, PASSWORD)}\r\nConnection: close\r\n\r\n"


@pytest.fixture
def proxy(seaweedfs: SeaweedFS) -> Iterator[FaultyS3]:
    with FaultyS3(seaweedfs.endpoint) as proxy:
        yield proxy


def started(serve: Callable[..., DavServer], storage: S3Storage, endpoint: str, folder: Path, *keys: str) -> DavServer:
    """One worker, with a file on each storage; `keys` are more of the one on S3."""
    config = folder / "davstore.toml"
    at = [f'bucket = "{storage.bucket}"', f'endpoint = "{endpoint}"', f'region = "{storage.region}"', *keys]
    buckets = '[buckets.media]\nstorage = "s3main"\n[buckets.files]\ninline_below = "0"\n[collector]\nenabled = false\n'
    config.write_text("\n".join(['[storages.s3main]\ntype = "s3"', *at, buckets]))
    server = serve("--config", str(config))
    server.expect_log("s3main", r"davstore\.conversation: GET")
    for path, data in {"/media/small": SMALL, "/media/large": LARGE, "/files/local": SMALL}.items():
        assert server.request("PUT", path, data).status == 201
    return server


def timed(server: DavServer, path: str) -> tuple[Answer, float]:
    since = time.monotonic()
    answer = server.request("GET", path)
    return answer, time.monotonic() - since


def until(is_so: Callable[[], bool], patience: float) -> float:
    """The seconds that it took."""
    since = time.monotonic()
    while not is_so():
        assert time.monotonic() - since < patience
        time.sleep(0.05)
    return time.monotonic() - since


def test_a_hung_server_keeps_no_thread_from_others_and_is_used_again_by_itself(
    serve: Callable[..., DavServer], s3_storage: S3Storage, seaweedfs: SeaweedFS, tmp_path: Path
) -> None:
    server = started(serve, s3_storage, seaweedfs.endpoint, tmp_path)
    pids = server.pids
    with ExitStack() as hanging:
        hanging.enter_context(seaweedfs.hung())
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(timed, server, "/media/small")
            for _ in range(MOST_THREADS + 30):
                client = hanging.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                client.sendall(REQUEST.encode())
            slowest = 0.0
            while not first.done():
                for path in ("/healthz", "/-/ready", "/files/local", "/media/"):
                    answer, took = timed(server, path)
                    assert answer.status == 200
                    slowest = max(slowest, took)
                time.sleep(0.1)
        refused, waited = first.result()
        with ThreadPoolExecutor(8) as pool:
            later = list(pool.map(lambda _: timed(server, "/media/small"), range(8)))

    recovered = until(lambda: server.request("GET", "/media/small").body == SMALL, BACK)
    lines = [line for line in server.log_text().splitlines() if " ERROR " in line]
    print(f"first {waited:.1f} s, others at most {slowest:.2f} s, recovered in {recovered:.1f} s, {len(lines)} lines")
    assert {answer.status for answer in (refused, *[answer for answer, _ in later])} == {503}
    assert refused.headers["Retry-After"]
    assert waited < BOUND + SLACK
    assert slowest < PROMPT
    assert sorted(took for _, took in later)[-2] < PROMPT, "all but one are refused at once"
    assert len(lines) < 20
    assert server.pids == pids


def test_a_download_that_stalls_breaks_off_within_the_time_of_two_attempts(
    serve: Callable[..., DavServer], s3_storage: S3Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    server = started(serve, s3_storage, proxy.endpoint, tmp_path, 'read_timeout = "8s"')
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(REQUEST.replace("small", "large").encode())
        given = client.recv(1 << 16)
        proxy.fault = "stall"
        since = time.monotonic()
        with suppress(ConnectionResetError):
            while block := client.recv(1 << 16):
                given += block

    took = time.monotonic() - since
    head, _, body = given.partition(b"\r\n\r\n")
    print(f"{head.splitlines()[0]!r}, {len(body)} of {len(LARGE)} bytes, {took:.1f} s")
    assert took < 23, "three would take 24"
    assert head.startswith(b"HTTP/1.1 200 ")
    assert len(body) < len(LARGE)


def test_a_file_whose_beginning_stalls_is_refused_in_time(
    serve: Callable[..., DavServer], s3_storage: S3Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    server = started(serve, s3_storage, proxy.endpoint, tmp_path, 'read_timeout = "3s"')
    proxy.fault = "stall"

    answer, took = timed(server, "/media/small")

    assert (answer.status, answer.headers["Retry-After"] is not None) == (503, True)
    assert took < 8.5, "three attempts would take 9"
    proxy.fault = ""
    until(lambda: server.request("GET", "/media/large").body == LARGE, BACK)
