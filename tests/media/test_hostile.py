"""Hostile pictures: none crashes, hangs, or gets past its limits, and the next picture is made as if nothing was."""

import os
import resource
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import pytest

from core.orders import Limits, Wanted
from core.presets import Preset
from core.renderer import Crashed, Renderer
from core.renditions import NoRendition, Rendition
from core.store import Store
from tests.media import hostile
from tests.media.conftest import OpenStore
from tests.parts import images, stores
from tests.parts.scale import soak
from tests.parts.server import DavServer

pytestmark = pytest.mark.slow

MEMORY = 512 << 20
SECONDS = 4
Opened = Callable[[bytes], AbstractContextManager[BinaryIO]]
WANTED = [Wanted(Preset("contain", 600, 600, 90), each) for each in ("avif", "webp", "jpeg")]


@pytest.fixture
def renderer(tmp_path: Path) -> Iterator[Renderer]:
    renderer = Renderer(Limits(MEMORY, SECONDS, hostile.PIXELS), tmp_path)
    yield renderer
    renderer.close()


def test_no_hostile_picture_crashes_hangs_or_passes_its_limits(renderer: Renderer):
    good, answers = images.photo("JPEG", (96, 64)), {}

    for name, (_, data) in hostile.corpus().items():
        before = time.monotonic()
        answers[name] = renderer.render(BytesIO(data), WANTED)
        assert time.monotonic() - before < SECONDS * 10, name
        assert renderer.render(BytesIO(good), WANTED).reason is None, f"after {name}"

    assert {name for name, answer in answers.items() if answer.reason is None} == hostile.SHOWN
    assert "pixels" in str(answers["a bomb of 50,000 px sides"].reason)
    assert "pixels" in str(answers["a GIF of 65,535 px sides"].reason)
    assert "pixels" in str(answers["a JPEG that lies about its size"].reason)
    assert "SVG" in str(answers["a recursive SVG"].reason)
    assert _peak(renderer) < MEMORY


@contextmanager
def in_a_file(data: bytes) -> Generator[BinaryIO]:
    with TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield cast(BinaryIO, file)


def _peak(renderer: Renderer) -> int:
    """Address space that the process had at most, in bytes."""
    process = renderer._process  # pyright: ignore[reportPrivateUsage]
    assert process
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmPeak"))


def test_pictures_with_damaged_bytes_do_no_harm(renderer: Renderer):
    for seed in range(soak(150, 10_000)):
        kind = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF")[seed % 6]
        renderer.render(BytesIO(hostile.damaged(kind, seed)), WANTED[2:])

    assert renderer.render(BytesIO(images.picture()), WANTED).reason is None


def test_a_picture_that_takes_too_much_memory_has_no_rendition(tmp_path: Path):
    renderer = Renderer(Limits(256 << 20, SECONDS, 10**9), tmp_path)
    huge = hostile.png(20_000, 20_000, hostile.zeros(400 << 20))

    answer = renderer.render(BytesIO(huge), WANTED)

    assert "memory" in str(answer.reason)
    assert renderer.render(BytesIO(images.picture()), WANTED).reason is None
    renderer.close()


def test_a_picture_that_takes_too_much_time_has_no_rendition(tmp_path: Path):
    renderer = Renderer(Limits(2 << 30, 1, 10**9), tmp_path)
    slow = hostile.png(25_000, 25_000, hostile.zeros(626 << 20))

    answer = renderer.render(BytesIO(slow), [Wanted(Preset("contain", 8000, 8000, 90), "avif")])

    assert answer.reason == "it takes more than 1 s to decode"
    assert renderer.render(BytesIO(images.picture()), WANTED).reason is None
    renderer.close()


def test_the_process_has_limits_that_it_cannot_lift(renderer: Renderer):
    renderer.render(BytesIO(images.picture()), WANTED)
    process = renderer._process  # pyright: ignore[reportPrivateUsage]
    assert process

    limits = {name: resource.prlimit(process.pid, name) for name in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE)}
    environment = Path(f"/proc/{process.pid}/environ").read_text()

    assert limits == {resource.RLIMIT_AS: (MEMORY, MEMORY), resource.RLIMIT_FSIZE: (0, 0)}
    assert "DAVSTORE" not in environment
    assert "PASSWORD" not in environment


@pytest.mark.parametrize("opened", [BytesIO, in_a_file], ids=["while it is copied", "while it is decoded"])
def test_a_process_that_is_killed_is_replaced(renderer: Renderer, opened: Opened):
    renderer.render(BytesIO(images.picture()), WANTED)
    process = renderer._process  # pyright: ignore[reportPrivateUsage]
    assert process

    def kill() -> None:
        if process.poll() is None:
            process.kill()
            process.wait()

    slow = images.photo("WEBP", (3000, 2000))
    os.kill(process.pid, signal.SIGSTOP)
    with opened(slow) as picture, pytest.raises(Crashed, match="ended with -9"):
        renderer.render(picture, WANTED, waiting=kill)

    assert renderer.render(BytesIO(slow), WANTED).reason is None


def test_a_picture_that_ends_the_process_twice_is_left_alone(open_store: OpenStore):
    store = open_store()
    ann = store.namespace(stores.ANN)
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(80, 60)))
    rendered: list[int] = []

    def die(*_: object) -> None:
        rendered.append(1)
        raise Crashed("the process", "ended with -11")

    store.renditions.prompt.render = die  # pyright: ignore[reportAttributeAccessIssue]

    answers = [store.renditions.get(ann.node(("files", "a.jpg"))) for _ in range(2)]

    assert answers == [NoRendition("the process that decodes it ended 2 times")] * 2
    assert len(rendered) == 2


def test_a_claim_whose_owner_died_ends_by_itself(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("core.renditions.LEASE", 300_000_000)
    store = open_store()
    ann = store.namespace(stores.ANN)
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(80, 60)))

    def end(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr("core.pictures.give_back", lambda *_, **__: None)
    with monkeypatch.context() as dying:
        dying.setattr(Renderer, "render", end)
        with pytest.raises(SystemExit):
            store.renditions.get(ann.node(("files", "a.jpg")))

    assert isinstance(store.renditions.get(ann.node(("files", "a.jpg"))), Rendition)


def test_a_server_takes_hostile_pictures_and_goes_on(serve: Callable[..., DavServer]):
    server = serve(
        environ={
            "DAVSTORE_BUCKETS__MEDIA__THUMBNAILS": "true",
            "DAVSTORE_RENDITIONS__MAX_PIXELS": str(hostile.PIXELS),
            "DAVSTORE_RENDITIONS__TIMEOUT": f"{SECONDS}s",
        }
    )
    corpus = hostile.corpus()
    pids = server.pids

    for name, data in corpus.values():
        assert server.request("PUT", f"/media/{name}", data).status == 201
    assert server.request("PUT", "/media/good.png", images.picture("PNG")).status == 201

    limit = time.monotonic() + 120
    while b">64<" not in _sizes(server, "good.png"):
        assert time.monotonic() < limit
        time.sleep(0.2)
    assert set(pids) <= set(server.pids)
    assert b"by-file-media-id" in _sizes(server, "good.png")
    assert b"by-file-media-id" not in _sizes(server, "bomb.png")
    assert b">50000<" in _sizes(server, "bomb.png")


def _sizes(server: DavServer, name: str) -> bytes:
    return server.request("PROPFIND", f"/media/{name}", headers={"Depth": "0"}).body


def test_everything_of_the_corpus_is_stored_as_it_came(store: Store):
    ann = store.namespace(stores.ANN)
    for name, data in hostile.corpus().values():
        stores.put(ann, ("media", name), data)
        assert stores.content(ann, ("media", name)) == data
