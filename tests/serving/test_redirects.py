"""Redirects: who is sent to the storage, where to, and for how long (docs/serving.md has the table of clients)."""

import calendar
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.parts.nginx import SECRET, Nginx
from tests.parts.server import DavServer
from tests.serving.drive import HOST, PRESIGN_TTL, Answer, Drive, ask
from tests.serving.rows import FILM, HTML, VIDEO

RCLONE, CURL = "rclone/v1.75.2", "curl/7.88.1"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
OURS = f"http://{HOST}/files/page.html"
FOLLOW = [
    *(RCLONE, CURL, "Lavf/59.27.100", "VLC/3.0.20 LibVLC/3.0.20", "libmpv", "mpv 0.35.1", CHROME),
    CHROME.replace("Chrome", "HeadlessChrome"),
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) {WEBKIT} Version/17.5 Safari/605.1.15",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} CriOS/126.0 Mobile/15E148",
]
STAY = [
    *("", "Microsoft-WebDAV-MiniRedir/10.0.19045", "davfs2/1.6.1 neon/0.32.2", "cadaver/0.24 neon/0.32.2"),
    *("gvfs/1.50.3", "WebDAVFS/3.0.0 (03008000) Darwin/23.5.0 (x86_64)", "DAVx5/4.4-ose okhttp/4.12.0"),
    *("LibreOffice 7.4.7.2 denylistedbackend/7.88.1", "Microsoft Office Word 2014", "python-requests/2.32.3"),
    *("Cyberduck/8.9.0 (Linux/6.1) (x86_64)", "WinSCP/6.3.4 neon/0.32.5", "libcurl-agent/1.0", "my curl/1"),
    "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Konqueror/5.0 Safari/537.36 KIO/5.103",
    "Mozilla/5.0 (Linux) mirall/3.7.3git (Nextcloud, debian-6.1.0)",
    CHROME.replace("Chrome", "obsidian/1.6.7 Chrome").replace(" Safari", " Electron/30.1.2 Safari"),
    "Mozilla/5.0 (compatible; archive.org_bot) Chrome/100",
]


def get(drive: Drive, sent: Mapping[str, str], path: str = f"/s3/{FILM.url}", host: str = HOST) -> Answer:
    """A GET by the name `host`, while the storage is known by an address."""
    return ask(f"{drive.server.url}{path}", sent=sent, host=f"{host}:{drive.server.port}")


def put(drive: Drive, path: str, content: bytes) -> None:
    assert drive.server.request("PUT", path, content).status in {201, 204}


@pytest.mark.parametrize("agent", FOLLOW)
def test_who_follows_is_redirected(drive: Drive, agent: str) -> None:
    answer = get(drive, {"User-Agent": agent})

    assert answer.status == 307
    assert ask(answer.headers["location"]).body == VIDEO


@pytest.mark.parametrize("agent", STAY)
def test_who_may_not_follow_gets_the_bytes(drive: Drive, agent: str) -> None:
    answer = get(drive, {"User-Agent": agent})

    assert (answer.status, answer.body) == (200, VIDEO)


def test_http_1_0_knows_no_307(drive: Drive) -> None:
    request = f"GET /s3/{FILM.url} HTTP/1.0\r\nHost: {HOST}\r\nUser-Agent: {CURL}\r\n\r\n"

    with socket.create_connection(("127.0.0.1", drive.server.port)) as connection:
        connection.sendall(request.encode())
        head = connection.recv(1 << 16)

    assert head.startswith(b"HTTP/1.1 302 Found\r\n")


@pytest.mark.parametrize("agent", [CURL, "", "Microsoft-WebDAV-MiniRedir/10.0.19045"])
def test_always_means_everybody(drive: Drive, agent: str) -> None:
    assert get(drive, {"User-Agent": agent}, f"/brief/{FILM.url}").status == 307


@pytest.mark.parametrize("bucket", ["s3", "brief"])
@pytest.mark.parametrize(
    "sent",
    [
        *({"If-None-Match": '"x"'}, {"If-Match": "*"}, {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:36 GMT"}),
        *({"If-Unmodified-Since": "Sun, 06 Nov 2094 08:49:36 GMT"}, {"If": '(Not ["x"])'}),
        *({"If-Range": FILM.etag, "Range": "bytes=0-9"}, {"If-Range": '"x"', "Range": "bytes=0-9"}),
        *({"Range": "bytes=0-1,4-5"}, {"Range": "bytes=5-2"}, {"Want-Repr-Digest": "sha-256=1"}),
    ],
    ids=repr,
)
def test_what_the_storage_would_answer_otherwise_is_never_redirected(
    drive: Drive, bucket: str, sent: dict[str, str]
) -> None:
    answer = get(drive, {"User-Agent": CURL, **sent}, f"/{bucket}/{FILM.url}")

    assert answer.status in {200, 206}
    assert "location" not in answer.headers


@pytest.mark.parametrize("bucket", ["s3", "brief"])
def test_head_is_never_redirected(drive: Drive, bucket: str) -> None:
    answer = ask(f"{drive.server.url}/{bucket}/{FILM.url}", "HEAD", {"User-Agent": CURL}, host=HOST)

    assert (answer.status, answer.headers["content-length"]) == (200, str(len(VIDEO)))


def test_what_a_browser_could_run_is_never_redirected(drive: Drive) -> None:
    """The storage would send no sandbox along."""
    answer = get(drive, {"User-Agent": CHROME}, f"/brief/{HTML.url}")

    assert answer.status == 200
    assert "sandbox" in answer.headers["content-security-policy"]


def test_small_files_are_not_redirected(drive: Drive) -> None:
    put(drive, "/s3/small.bin", bytes((1 << 20) - 1))
    put(drive, "/s3/large.bin", bytes(1 << 20))

    assert get(drive, {"User-Agent": CURL}, "/s3/small.bin").status == 200
    assert get(drive, {"User-Agent": CURL}, "/s3/large.bin").status == 307


@pytest.mark.parametrize("bucket", ["s3", "brief"])
def test_nobody_is_sent_to_the_host_that_was_asked(drive: Drive, bucket: str) -> None:
    """rclone sends its password on to another port of the same host name."""
    path = f"/{bucket}/{FILM.url}"
    forwarded = {"User-Agent": RCLONE, "X-Forwarded-Host": "127.0.0.1"}

    assert get(drive, {"User-Agent": RCLONE}, path, host="127.0.0.1").status == 200
    assert get(drive, forwarded, path, host="gateway.internal").status == 200
    assert get(drive, {"User-Agent": RCLONE}, path, host="gateway.internal").status == 307


@pytest.mark.parametrize("bucket", ["s3", "brief"])
def test_nobody_is_sent_from_https_to_http(drive: Drive, bucket: str) -> None:
    for said in ({"X-Forwarded-Proto": "https"}, {"Forwarded": "proto=https;host=dav.example"}):
        assert get(drive, {"User-Agent": CURL, **said}, f"/{bucket}/{FILM.url}").status == 200
    assert get(drive, {"User-Agent": CURL, "X-Forwarded-Proto": "http"}, f"/{bucket}/{FILM.url}").status == 307


@pytest.mark.parametrize(
    ("sent", "is_redirected"),
    [
        ({"Sec-Fetch-Mode": "navigate"}, True),
        ({"Sec-Fetch-Mode": "navigate", "Referer": OURS}, True),
        ({"Sec-Fetch-Mode": "no-cors", "Referer": "https://app.example/"}, True),
        ({"Sec-Fetch-Mode": "no-cors", "Referer": "https://app.example/", "Range": "bytes=0-"}, True),
        ({"Sec-Fetch-Mode": "no-cors", "Referer": OURS}, False),
        ({"Sec-Fetch-Mode": "no-cors"}, False),
        ({"Sec-Fetch-Mode": "cors", "Referer": "https://app.example/"}, False),
        ({"Sec-Fetch-Mode": "same-origin", "Referer": OURS}, False),
        # Over plain http browsers tell less
        ({"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}, True),
        ({"Accept": "text/html,*/*;q=0.8", "Referer": OURS}, True),
        ({"Accept": "image/avif,image/webp,*/*;q=0.8", "Referer": "http://app.example/"}, True),
        ({"Accept": "image/avif,image/webp,*/*;q=0.8", "Referer": OURS}, False),
        ({"Accept": "image/avif,image/webp,*/*;q=0.8"}, False),
        ({"Accept": "*/*", "Range": "bytes=0-"}, False),
    ],
    ids=repr,
)
def test_a_browser_is_sent_where_it_may_read(drive: Drive, sent: dict[str, str], is_redirected: bool) -> None:
    """Our own pages may show what is ours alone, and a script's request would fail at another origin."""
    answer = get(drive, {"User-Agent": CHROME, **sent})

    assert (answer.status == 307) == is_redirected


def test_the_redirect_of_a_path_is_asked_for_each_time(drive: Drive) -> None:
    """The path may have another content a moment later."""
    put(drive, "/s3/changing.bin", VIDEO)
    first = get(drive, {"User-Agent": CURL}, "/s3/changing.bin")
    put(drive, "/s3/changing.bin", VIDEO[::-1])
    second = get(drive, {"User-Agent": CURL}, "/s3/changing.bin")

    assert first.headers["cache-control"] == "private, no-cache"
    assert ask(first.headers["location"]).body == VIDEO
    assert ask(second.headers["location"]).body == VIDEO[::-1]


def test_every_gateway_gives_the_same_url(drive: Drive, tmp_path: Path) -> None:
    options = ("--config", str(drive.server.data.parent / "davstore.toml"))
    with DavServer(drive.server.data, *options, environ=drive.environ) as other:
        urls = [
            ask(f"{server.url}/s3/{FILM.url}", sent={"User-Agent": CURL}, host=HOST).headers["location"]
            for server in (drive.server, other, drive.server, other)
        ]

    assert len(set(urls)) == 1 or urls[0] == urls[1] or urls[2] == urls[3], "but for one that is new by the clock"


def test_the_url_lives_for_the_ttl_from_a_rounded_time_on(drive: Drive) -> None:
    asked = parse_qs(urlsplit(get(drive, {"User-Agent": CURL}).headers["location"]).query)

    signed = calendar.timegm(time.strptime(asked["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ"))
    assert asked["X-Amz-Expires"] == ["900"]
    assert signed % 450 == 0
    assert 0 <= time.time() - signed < 460


@pytest.fixture
def document(drive: Drive) -> Iterator[str]:
    """A collection that everybody may read, for now, on a storage whose URLs die soon."""
    assert drive.server.request("MKCOL", "/brief/document").status == 201
    rule(drive, "public")
    put(drive, "/brief/document/secret.bin", b"secret")
    yield "/brief/document/secret.bin"
    assert drive.server.request("DELETE", "/brief/document").status == 204


def rule(drive: Drive, visibility: str) -> None:
    own = f"<S:visibility xmlns:S='urn:davstore:'>{visibility}</S:visibility>"
    body = f"<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop>{own}</D:prop></D:set></D:propertyupdate>"
    answer = drive.server.request("PROPPATCH", "/brief/document", body.encode())
    assert b"200 OK" in answer.body


def by_id(drive: Drive, path: str) -> str:
    found = drive.server.request("PROPFIND", path, headers={"Depth": "0"}).body.decode()
    match = re.search(r"object-uid[^>]*>([0-9a-f-]{36})<", found)
    assert match
    return f"/assets/by-id/{match[1]}"


def opened_in_time(drive: Drive, paths: Sequence[str]) -> list[str]:
    """URLs that gave the secret. They live for half of their time at least; who was slower asks anew."""
    while True:
        since = time.monotonic()
        urls = [get(drive, {"User-Agent": CURL}, path).headers["location"] for path in paths]
        given = [ask(url).body for url in urls]
        if time.monotonic() - since < PRESIGN_TTL / 2 - 0.1:
            assert given == [b"secret"] * len(paths)
            return urls


def test_who_may_read_no_more_gets_no_url_and_the_old_one_dies(drive: Drive, document: str) -> None:
    """As far as the storage keeps time, which it tells by seconds."""
    paths = (document, by_id(drive, document))
    urls = opened_in_time(drive, paths)
    given = time.monotonic()

    rule(drive, "private")
    for path in paths:
        refused = get(drive, {"User-Agent": CURL}, path)
        assert refused.status in {401, 404}
        assert "location" not in refused.headers
    while time.monotonic() < given + PRESIGN_TTL + 1 and any(ask(url).status == 200 for url in urls):
        time.sleep(0.2)

    assert [ask(url).status for url in urls] == [403, 403]
    assert b"secret" not in ask(urls[0]).body


def test_the_redirect_of_an_immutable_address_is_kept_for_less_than_the_url_lives(drive: Drive, document: str) -> None:
    path, asked = by_id(drive, document), time.time()
    told = get(drive, {"User-Agent": CURL}, path)
    signed = parse_qs(urlsplit(told.headers["location"]).query)["X-Amz-Date"][0]
    left = calendar.timegm(time.strptime(signed, "%Y%m%dT%H%M%SZ")) + PRESIGN_TTL - asked

    match = re.fullmatch(r"private, max-age=(\d+)", told.headers["cache-control"])

    assert match
    assert int(match[1]) < left


def test_the_url_opens_this_blob_to_readers_and_nothing_else(drive: Drive) -> None:
    url = get(drive, {"User-Agent": CURL}).headers["location"]

    assert ask(re.sub(r"X-Amz-Expires=\d+", "X-Amz-Expires=9000", url)).status == 403
    assert ask(url.replace("video%2Fmp4", "text%2Fhtml")).status == 403
    assert ask(re.sub(r"/main/s3/", "/main/local/", url)).status == 403
    assert ask(url, "DELETE").status == 403
    assert ask(url, "PUT").status == 403


def test_no_log_has_a_presigned_url(drive: Drive, tmp_path: Path) -> None:
    """Not even nginx's, where the storage does not answer."""
    gone = {"proxy_pass $s3_url;": "proxy_pass http://127.0.0.1:9/$s3_url;"}
    with Nginx(tmp_path / "nginx", drive.server.port, drive.blobs, gone) as nginx:
        assert ask(f"{nginx.url}/s3/{FILM.url}").body == VIDEO
        assert ask(f"{nginx.url}/s3/{FILM.url}", sent={"Range": "bytes=5-9"}).body == VIDEO[5:10]
        logs = nginx.log_text()
    ask(f"{drive.nginx.url}/s3/{FILM.url}")
    get(drive, {"User-Agent": CURL})

    assert "GET /s3/" in logs
    for text in (logs, drive.nginx.log_text(), drive.server.log_text()):
        assert not re.search("X-Amz|Signature|" + SECRET, text, re.IGNORECASE)
