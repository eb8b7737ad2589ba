"""Real clients and a file on S3: who follows the redirect gets the right bytes from the storage, all others from us."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread

import pytest
from PIL import Image

from tests.clients.cadaver import cadaver
from tests.clients.davfs import mounted
from tests.clients.gio import Gio
from tests.clients.programs import run
from tests.clients.rclone import Rclone
from tests.parts.nginx import Nginx
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.tools import tool
from tests.serving.chromium import Chromium
from tests.serving.drive import Drive

DATA = Random(7).randbytes((2 << 20) + 5)
WIDTH, HEIGHT = 700, 600
PATIENCE = 30.0
Front = tuple[DavServer, Nginx]


@pytest.fixture(scope="module")
def front(drive: Drive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The server through an nginx that logs what each client was answered."""
    with drive.front(tmp_path_factory.mktemp("front") / "nginx") as front:
        yield front


@pytest.fixture
def name(front: Front, request: pytest.FixtureRequest) -> str:
    """A file of the test's own in bucket `files`, whose storage goes by another name than the server."""
    name = f"{request.node.name}.bin"
    put(front, name, DATA)
    return name


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Somebody else's web server, at another host name than ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Requests are nobody's business."""


def put(front: Front, name: str, content: bytes) -> None:
    assert front[0].request("PUT", f"/files/{name}", content).status == 201


def answered(front: Front, name: str) -> set[str]:
    """The statuses of GETs of the file, but of those that asked for a password. nginx logs an answer after its end."""
    limit, found = time.monotonic() + PATIENCE, set[str]()
    while not found and time.monotonic() < limit:
        lines = [line for line in front[1].log_text().splitlines() if f'"GET /files/{name} ' in line]
        found = {line.split('" ')[1].split()[0] for line in lines} - {"401"}
    return found


def test_curl_follows(front: Front, name: str, tmp_path: Path) -> None:
    url = f"{front[0].url}/files/{name}"
    curl = (tool("curl"), "--silent", "--show-error", "--fail", "--user", f"{USER}:{PASSWORD}")

    run(*curl, "--location", "--output", tmp_path / "whole", url)
    run(*curl, "--location", "--range", "1048000-1049000", "--output", tmp_path / "part", url)

    assert (tmp_path / "whole").read_bytes() == DATA
    assert (tmp_path / "part").read_bytes() == DATA[1048000:1049001]
    assert answered(front, name) == {"307"}


def test_curl_resumes_a_download(front: Front, name: str, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(DATA[:1_000_000])

    run(tool("curl"), "-sSfL", "--continue-at", "-", "-o", tmp_path / "part", f"{front[0].url}/files/{name}")

    assert (tmp_path / "part").read_bytes() == DATA
    assert answered(front, name) == {"307"}


def test_rclone_follows(front: Front, name: str, tmp_path: Path) -> None:
    rclone = Rclone(front[0], "other")

    rclone("copyto", f":webdav:{name}", tmp_path / "whole")
    part = rclone("cat", f":webdav:{name}", "--offset", "5", "--count", "7", "--dump", "headers")

    assert (tmp_path / "whole").read_bytes() == DATA
    assert answered(front, name) == {"307"}
    to_storage = [block for block in part.split("HTTP REQUEST") if "X-Amz-Signature" in block.partition("HTTP/1.1")[0]]
    assert to_storage
    assert not any("Authorization" in block.partition("HTTP RESPONSE")[0] for block in to_storage)


def test_a_browser_follows_to_a_download(front: Front, name: str, tmp_path: Path) -> None:
    with Chromium(tmp_path / "browser") as browser:
        browser.open(f"{front[0].url}/files/{name}")

        assert browser.downloaded(name) == DATA
    assert answered(front, name) == {"307"}


def test_a_browser_follows_to_a_picture_in_anothers_page(front: Front, tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.frombytes("RGB", (WIDTH, HEIGHT), Random(3).randbytes(WIDTH * HEIGHT * 3)).save(picture, "PNG")
    put(front, "shown.png", picture.getvalue())
    (tmp_path / "page.html").write_text(f"<img id=shown src='{front[0].url}/files/shown.png'>")

    with site(tmp_path) as url, Chromium(tmp_path / "browser") as browser:
        tab = browser.open(f"{url}/page.html")

        assert browser.width(tab, "#shown") == WIDTH
    assert len(picture.getvalue()) > 1 << 20
    assert answered(front, "shown.png") == {"307"}


def test_a_picture_in_a_page_of_ours_is_shown(front: Front, tmp_path: Path) -> None:
    """Its sandbox lets nothing in but what is ours."""
    picture = io.BytesIO()
    Image.frombytes("RGB", (WIDTH, HEIGHT), Random(4).randbytes(WIDTH * HEIGHT * 3)).save(picture, "PNG")
    put(front, "ours.png", picture.getvalue())
    put(front, "page.html", b"<img id=shown src=ours.png>")

    with Chromium(tmp_path / "browser") as browser:
        tab = browser.open(f"{front[0].url}/files/page.html")

        assert browser.width(tab, "#shown") == WIDTH
    assert answered(front, "ours.png") == {"200"}


def test_davfs2_is_proxied(front: Front, name: str) -> None:
    with mounted(front[0]) as folder:
        assert (folder / name).read_bytes() == DATA
    assert answered(front, name) == {"200"}


def test_cadaver_is_proxied(front: Front, name: str, tmp_path: Path) -> None:
    cadaver(front[0], f"get {name} {tmp_path / 'back'}")

    assert (tmp_path / "back").read_bytes() == DATA
    assert answered(front, name) == {"200"}


def test_gio_is_proxied(front: Front, name: str, tmp_path: Path) -> None:
    with Gio(front[0]) as gio:
        gio("copy", gio.url(name), str(tmp_path / "back"))

    assert (tmp_path / "back").read_bytes() == DATA
    assert answered(front, name) == {"200"}
