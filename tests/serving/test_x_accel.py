"""X-Accel: nginx sends the bytes, and nobody but nginx hears of it."""

import hashlib
import http.client
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from tests.parts.nginx import SECRET, Nginx
from tests.parts.server import PASSWORD, USER, basic
from tests.serving.drive import HOST, Drive, ask
from tests.serving.rows import FILES, FILM, VIDEO

INTERNAL = ("x-accel", "x-davstore", "x-sendfile", "x-amz")
TRICKS = (
    {"X-Davstore-Accel": "yes"},
    {"X-Davstore-Accel": SECRET[:-1]},
    {"X-Davstore-Accel": ""},
    {"X-Sendfile-Type": "X-Accel-Redirect", "X-Accel-Mapping": "/=/-/blobs/"},
    {"X-Accel-Redirect": "/-/blobs/local/", "X-Davstore-Url": "http://127.0.0.1/", "X-Davstore-Range": "bytes=0-1"},
    {"X-Accel-Buffering": "no", "X-Accel-Expires": "9", "X-Accel-Limit-Rate": "1"},
)
ALLOWED = {"Authorization": basic(USER, PASSWORD)}
FILM_PATH = f"/local/{FILM.url}"


@pytest.fixture
def blob(drive: Drive) -> Path:
    """The film's bytes on the disk."""
    return next(drive.blobs.glob(f"local/*/*/{FILM.etag.strip(chr(34))}.*"))


def test_nginx_is_told_where_the_bytes_are_and_gets_none(drive: Drive, blob: Path) -> None:
    answer = ask(f"{drive.server.url}{FILM_PATH}", sent={"X-Davstore-Accel": SECRET})

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["x-accel-redirect"] == f"/-/blobs/local/{blob.relative_to(drive.blobs)}"


def test_the_bytes_are_those_that_nginx_finds(drive: Drive, blob: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / blob.relative_to(drive.blobs)
    other.parent.mkdir(parents=True)
    other.write_bytes(VIDEO[::-1])

    with Nginx(tmp_path / "nginx", drive.server.port, tmp_path / "other") as nginx:
        assert ask(f"{nginx.url}{FILM_PATH}").body == VIDEO[::-1]
        assert ask(f"{nginx.url}{FILM_PATH}", sent={"Range": "bytes=5-9"}).body == VIDEO[::-1][5:10]


@pytest.mark.parametrize("sent", TRICKS, ids=repr)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("mode", ["stream", "x-accel"])
def test_no_client_sees_an_internal_header_whatever_it_sends(
    drive: Drive, mode: str, method: str, sent: dict[str, str]
) -> None:
    for bucket in drive.buckets:
        for file in FILES:
            url = f"http://127.0.0.1:{drive.port(mode)}/{bucket}/{file.url}"
            for more in ({}, {"Range": "bytes=0-1"}, {"If-Range": '"x"'}, {"If-None-Match": file.etag}):
                answer = ask(url, method, {**sent, **more})

                assert not [name for name in answer.headers if name.startswith(INTERNAL)]
                assert answer.status != 200 or int(answer.headers["content-length"]) == len(file.content)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/-/s3",
            "/-/s3/",
            "/-/s3?x=1",
            "/%2d/s3",
            "/-/blobs/",
            "/-/blobs/local/",
            "/-/blobs/none/x",
            "/-/blobs/../s3",
        ),
        *("/-/blobs/local/{key}", "/%2D/blobs/local/{key}", "//-/blobs//local/{key}", "/-/./blobs/local/{key}"),
        *("/x/../-/blobs/local/{key}", "/-/blobs/local/.davstore-storage", "/-/blobs/local/../davstore.db"),
        *("/-/blobs/local../davstore.db", "/-/blobs/local/%2e%2e/davstore.db"),
    ],
)
def test_no_client_gets_to_an_internal_location(drive: Drive, blob: Path, target: str) -> None:
    answer = ask(drive.nginx.url + target.format(key=blob.relative_to(drive.blobs)), sent=TRICKS[4])

    assert answer.status in {400, 404}
    assert len(answer.body) < 1000


@contextmanager
def hidden(blob: Path) -> Iterator[None]:
    aside = blob.with_suffix(".aside")
    blob.rename(aside)
    try:
        yield
    finally:
        aside.rename(blob)


def test_what_nginx_cannot_read_comes_from_the_server(drive: Drive, tmp_path: Path) -> None:
    """As where davstore's blobs are on a disk that nginx does not see, or may not read."""
    with Nginx(tmp_path / "nginx", drive.server.port, tmp_path / "nowhere") as nginx:
        for sent in ({}, {"Range": "bytes=5-9"}, {"Want-Repr-Digest": "sha-256=1"}):
            assert ask(f"{nginx.url}{FILM_PATH}", sent=sent) == ask(f"{drive.server.url}{FILM_PATH}", sent=sent)


def test_a_storage_that_nginx_does_not_know_is_served_all_the_same(drive: Drive, tmp_path: Path) -> None:
    changes = {"location /-/blobs/local/": "location /-/blobs/unknown/"}

    with Nginx(tmp_path / "nginx", drive.server.port, drive.blobs, changes) as nginx:
        assert ask(f"{nginx.url}{FILM_PATH}") == ask(f"{drive.server.url}{FILM_PATH}")


def test_with_another_secret_the_server_streams(drive: Drive, tmp_path: Path) -> None:
    with Nginx(tmp_path / "nginx", drive.server.port, tmp_path / "nowhere", {SECRET: "a-secret-of-others"}) as nginx:
        assert ask(f"{nginx.url}{FILM_PATH}").body == VIDEO


@contextmanager
def storage_that_says(answer: bytes, heard: list[bytes] | None = None) -> Iterator[dict[str, str]]:
    """An S3 server with one answer to everything, and what leads nginx there. `heard` gets the lines of requests."""

    class Said(StreamRequestHandler):
        def handle(self) -> None:
            while (line := self.rfile.readline()) not in {b"\r\n", b""}:
                if heard is not None:
                    heard.append(line)
            self.wfile.write(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Said) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield {"proxy_pass $s3_url;": f"proxy_pass http://127.0.0.1:{server.server_address[1]};"}
        server.shutdown()


@pytest.mark.parametrize("status", [302, 304, 307, 400, 403, 404, 409, 410, 412, 416, 429, 500, 503, 599])
def test_what_the_storage_does_not_give_nginx_comes_from_the_server(drive: Drive, tmp_path: Path, status: int) -> None:
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:9/\r\nETag: x\r\n\r\n".encode()
    with (
        storage_that_says(answer) as changes,
        Nginx(tmp_path / "nginx", drive.server.port, drive.blobs, changes) as nginx,
    ):
        for sent in ({}, {"Range": "bytes=5-9"}):
            assert ask(f"{nginx.url}/s3/{FILM.url}", sent=sent) == ask(f"{drive.server.url}/s3/{FILM.url}", sent=sent)


def test_the_storage_hears_of_the_client_nothing_but_the_range(drive: Drive, tmp_path: Path) -> None:
    sent = {
        "Cookie": "a=b",
        "X-Forwarded-For": "192.0.2.1",
        "User-Agent": "me",
        "If-Range": FILM.etag,
        "X-Amz-Acl": "x",
    }
    sent |= {"Authorization": basic(USER, PASSWORD), "X-Amz-Acl": "x", "Range": "bytes=5-9, 7-8"}
    heard: list[bytes] = []
    answer = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 5-9/99\r\n\r\n12345"

    with (
        storage_that_says(answer, heard) as changes,
        Nginx(tmp_path / "nginx", drive.server.port, drive.blobs, changes) as nginx,
    ):
        assert ask(f"{nginx.url}/s3/{FILM.url}", sent=sent).body == b"12345"

    fields = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in heard[1:]}
    assert fields.keys() == {b"host", b"range"}
    assert fields[b"range"] == b"bytes=5-9"


def test_a_storage_that_breaks_off_is_never_a_short_file(drive: Drive, tmp_path: Path) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(VIDEO)}\r\n\r\n".encode() + VIDEO[:-1]
    with (
        storage_that_says(answer) as changes,
        Nginx(tmp_path / "nginx", drive.server.port, drive.blobs, changes) as nginx,
        pytest.raises((http.client.HTTPException, ConnectionError)),
    ):
        ask(f"{nginx.url}/s3/{FILM.url}")


def test_a_storage_that_has_less_than_it_was_given_is_never_a_short_file(drive: Drive) -> None:
    """nginx and redirected clients would take the storage at its word."""
    drive.server.expect_log("its blob has another size")
    content = b"short" * 400_000
    assert drive.server.request("PUT", "/s3/short.bin", content).status == 201
    digest = hashlib.sha256(content).hexdigest()
    listing = drive.seaweedfs.client.list_objects_v2(Bucket=drive.environ["AWS_S3_BUCKET"], Prefix="main/s3/")
    (key,) = [key for each in listing.get("Contents", []) if digest in (key := each.get("Key", ""))]
    drive.seaweedfs.client.put_object(Bucket=drive.environ["AWS_S3_BUCKET"], Key=key, Body=content[:-9])

    for port, sent in ((drive.nginx.port, {}), (drive.server.port, {"User-Agent": "curl/7.88.1"})):
        answer = ask(f"http://127.0.0.1:{port}/s3/short.bin", sent={**sent, **ALLOWED}, host=f"{HOST}:{port}")
        assert answer.status == 500
    assert drive.server.request("DELETE", "/s3/short.bin").status == 204


@pytest.mark.parametrize("mode", ["stream", "x-accel"])
def test_a_storage_that_is_down_is_a_503_and_all_others_go_on(drive: Drive, mode: str) -> None:
    drive.server.expect_log("the server (does not answer|answered)")
    port = drive.port(mode)

    drive.seaweedfs.stop()
    try:
        down = ask(f"http://127.0.0.1:{port}/s3/{FILM.url}")
        others = [ask(f"http://127.0.0.1:{port}/{bucket}/{FILM.url}").body for bucket in ("local", "rows", "inline")]
    finally:
        drive.seaweedfs.start()

    assert down.status == 503
    assert int(down.headers["retry-after"]) > 0
    assert others == [VIDEO, VIDEO, VIDEO]
    limit = time.monotonic() + 30
    while ask(f"http://127.0.0.1:{port}/s3/{FILM.url}").body != VIDEO:
        assert time.monotonic() < limit, "it is up again, and nobody notices"
        time.sleep(0.1)


@pytest.mark.parametrize("mode", ["stream", "x-accel"])
def test_a_blob_that_is_gone_is_an_error_and_no_file(drive: Drive, blob: Path, mode: str) -> None:
    drive.server.expect_log("its blob is missing")

    with hidden(blob):
        answer = ask(f"http://127.0.0.1:{drive.port(mode)}{FILM_PATH}")

    assert answer.status == 500
    assert not {"etag", "content-disposition", "accept-ranges"} & answer.headers.keys()


@pytest.mark.parametrize("mode", ["stream", "x-accel"])
@pytest.mark.parametrize("sent", [{}, {"Range": f"bytes={len(VIDEO) - 9}-"}], ids=["whole", "range"])
def test_a_blob_that_is_cut_off_is_never_a_short_file(
    drive: Drive, blob: Path, mode: str, sent: dict[str, str]
) -> None:
    drive.server.expect_log("its blob has another size")
    size = blob.stat().st_size
    copy = blob.with_suffix(".copy")
    shutil.copy2(blob, copy)
    os.truncate(blob, size // 2)
    try:
        answer = ask(f"http://127.0.0.1:{drive.port(mode)}{FILM_PATH}", sent=sent)
    finally:
        copy.replace(blob)
    assert answer.status == 500
