"""Renditions as a store makes, keeps and lets them go: each test with real pictures and the real process."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import BinaryIO

import pytest
from sqlalchemy import func, select, update

from core.errors import InvalidSetting, StorageUnavailable
from core.namespace import Namespace
from core.orders import Answer, Wanted
from core.policy import BucketPolicy
from core.renditions import NoRendition, Rendition
from core.schema import objects, pictures, renditions
from core.store import Store
from tests.media.conftest import OpenStore
from tests.parts import images, stores


def got(store: Store, ann: Namespace, path: tuple[str, ...], preset: str = "thumbnail", accept: str = "") -> Rendition:
    found = store.renditions.get(ann.node(path), preset, accept)
    assert isinstance(found, Rendition), found
    return found


def data_of(ann: Namespace, rendition: Rendition) -> bytes:
    with ann.open(rendition.node) as file:
        return file.read()


def counted(store: Store, table: object) -> int:
    with store.database.read() as tx:
        return tx.scalar(select(func.count()).select_from(table))  # pyright: ignore[reportArgumentType]


def test_a_rendition_is_made_when_it_is_asked_for_and_kept(store: Store, ann: Namespace):
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(800, 400)))

    first = got(store, ann, ("files", "a.jpg"))
    again = got(store, ann, ("files", "a.jpg"))

    assert (first.width, first.height, first.node.media_type) == (600, 300, "image/jpeg")
    assert images.opened(data_of(ann, first)).size == (600, 300)
    assert again == first
    assert first.node.etag == hashlib.sha256(data_of(ann, first)).hexdigest()
    assert first.node.uid == ann.node(("files", "a.jpg")).uid


@pytest.mark.parametrize(
    ("accept", "kind", "media_type"),
    [
        ("image/avif,image/webp,*/*;q=0.8", "AVIF", "image/avif"),
        ("image/webp,image/avif;q=0.5", "WEBP", "image/webp"),
        ("image/*", "JPEG", "image/jpeg"),
        ("image/avif;q=0, text/html", "JPEG", "image/jpeg"),
        ("", "JPEG", "image/jpeg"),
    ],
)
def test_the_format_is_the_best_that_the_client_names(
    store: Store, ann: Namespace, accept: str, kind: str, media_type: str
):
    stores.put(ann, ("files", "a.png"), images.picture("PNG"))

    found = got(store, ann, ("files", "a.png"), accept=accept)

    assert found.node.media_type == media_type
    assert images.opened(data_of(ann, found)).format == kind


def test_what_came_to_a_bucket_with_thumbnails_needs_no_request(store: Store, ann: Namespace):
    for number in range(6):
        stores.put(ann, ("media", f"{number}.jpg"), images.photo(size=(160, 120), seed=number))
    stores.put(ann, ("media", "notes.txt"), b"no picture, and long enough")
    assert store.renditions.are_wanted()

    assert store.renditions.work() == []

    assert not store.renditions.are_wanted()
    assert counted(store, renditions) == 6 * 3
    store.renditions.prompt.render = _never  # pyright: ignore[reportAttributeAccessIssue]
    for number in range(6):
        assert got(store, ann, ("media", f"{number}.jpg"), accept="image/webp").width == 160


def _never(*_: object) -> None:
    raise AssertionError("somebody asked for a rendition to be made")


def test_equal_contents_have_one_rendition_in_a_bucket_and_one_in_another(store: Store, ann: Namespace):
    data = images.photo(size=(160, 120))
    for path in (("files", "a.jpg"), ("files", "b.jpg"), ("media", "c.jpg")):
        stores.put(ann, path, data)

    found = [got(store, ann, path, "small") for path in (("files", "a.jpg"), ("files", "b.jpg"), ("media", "c.jpg"))]

    assert found[0].node.object == found[1].node.object != found[2].node.object
    assert counted(store, renditions) == 2


@pytest.mark.slow
def test_many_who_ask_at_once_have_it_made_once(store: Store, open_store: OpenStore, ann: Namespace):
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(2000, 1500)))
    others = [store, open_store(), open_store()]
    made: list[int] = []
    for each in others:
        _count(each, made)
    found: list[Rendition] = []

    asking = [
        threading.Thread(target=lambda each=each: found.append(got(each, ann, ("files", "a.jpg"))))
        for each in others * 3
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()

    assert len(made) == 1
    assert len(found) == 9
    assert len({each.node.object for each in found}) == 1


@pytest.mark.slow
def test_a_queue_longer_than_a_claim_lets_nobody_make_it_twice(
    store: Store, open_store: OpenStore, ann: Namespace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("core.renditions.LEASE", 100_000_000)
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(80, 60)))
    other, made = open_store(), list[int]()
    for each in (store, other):
        _count(each, made)
    waits = threading.Event()
    monkeypatch.setattr(store.renditions.prompt, "_turn", _Told(waits))

    with store.renditions.prompt.turn(1):
        asking = threading.Thread(target=got, args=(store, ann, ("files", "a.jpg")))
        asking.start()
        assert waits.wait(60)
        time.sleep(0.3)
        got(other, ann, ("files", "a.jpg"))
    asking.join()

    assert made == [1]


class _Told:
    """A lock that tells when a second thread waits for it."""

    def __init__(self, waits: threading.Event) -> None:
        self._lock = threading.RLock()
        self._waits = waits

    def acquire(self, timeout: float = -1) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        self._waits.set()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@pytest.mark.slow
def test_who_waits_too_long_for_a_turn_is_told_to_ask_again(
    store: Store, ann: Namespace, monkeypatch: pytest.MonkeyPatch
):
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(80, 60)))
    monkeypatch.setattr("core.renditions.PATIENCE", 0.2)
    refused: list[StorageUnavailable] = []

    def ask() -> None:
        with pytest.raises(StorageUnavailable, match="has too much to do") as caught:
            store.renditions.get(ann.node(("files", "a.jpg")))
        refused.append(caught.value)

    with store.renditions.prompt.turn(1):
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(30)

    assert len(refused) == 1
    assert got(store, ann, ("files", "a.jpg"))


@pytest.mark.slow
@pytest.mark.parametrize("patient", [True, False])
def test_a_claim_lasts_as_long_as_its_owner_works(
    store: Store, open_store: OpenStore, ann: Namespace, monkeypatch: pytest.MonkeyPatch, patient: bool
):
    """However long one picture takes, and those that were claimed with it."""
    lease = 1_000_000_000
    monkeypatch.setattr("core.renditions.LEASE", lease)
    for number in range(3):
        stores.put(ann, ("media", f"{number}.jpg"), images.photo(size=(80, 60), seed=number))
    other = open_store()
    renderer = store.renditions.patient if patient else store.renditions.prompt
    render, begun, end = renderer.render, threading.Event(), threading.Event()

    def slowly(picture: BinaryIO, wanted: Sequence[Wanted], waiting: Callable[[], None]) -> Answer:
        begun.set()
        while not end.wait(0.05):
            waiting()
        return render(picture, wanted, waiting)

    monkeypatch.setattr(renderer, "render", slowly)
    node = ann.node(("media", "0.jpg"))
    work = store.renditions.work if patient else lambda: store.renditions.get(node)
    working = threading.Thread(target=work)
    working.start()
    assert begun.wait(60)
    first, limit = _claims(other), time.monotonic() + 60
    while min(_claims(other)) <= max(first) + lease and time.monotonic() < limit:
        time.sleep(0.05)
    last = _claims(other)
    end.set()
    working.join()

    assert len(first) == len(last) == (3 if patient else 1)
    assert min(last) > max(first) + lease, "it was renewed, again and again"
    assert counted(store, renditions) == (9 if patient else 1)


def _claims(store: Store) -> Sequence[int]:
    """Until when they last."""
    with store.database.read() as tx:
        claimed = select(pictures.c.claimed).where(pictures.c.claimed.is_not(None))
        return tx.execute(claimed).scalars().all()


def _count(store: Store, made: list[int]) -> None:
    render = store.renditions.prompt.render

    def counting(*arguments: object) -> object:
        made.append(1)
        return render(*arguments)  # pyright: ignore[reportArgumentType]

    store.renditions.prompt.render = counting  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("preset", "size"), [("thumbnail", (600, 150)), ("small", (100, 25)), ("cover", (256, 256))])
def test_presets_have_the_sizes_of_the_upstreams(store: Store, ann: Namespace, preset: str, size: tuple[int, int]):
    """Memos: longest side 600. Penpot: in 100 x 100, and photos of people 256 x 256, cut."""
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(1200, 300)))

    found = got(store, ann, ("files", "a.jpg"), preset)

    assert (found.width, found.height) == size


def test_sizes_are_limited_to_the_configured_steps(store: Store, ann: Namespace):
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(1200, 300)))

    wide = store.renditions.get(ann.node(("files", "a.jpg")), store.renditions.sized(320, 0))

    assert isinstance(wide, Rendition)
    assert (wide.width, wide.height) == (320, 80)
    with pytest.raises(InvalidSetting, match=r"w=321: is made in 64, 100, 160, .* pixels only"):
        store.renditions.sized(321, 0)
    with pytest.raises(InvalidSetting, match="give a width or a height"):
        store.renditions.sized(0, 0)
    with pytest.raises(InvalidSetting, match="cover takes both"):
        store.renditions.sized(320, 0, "cover")


def test_an_unknown_preset_is_refused_with_those_that_there_are(store: Store, ann: Namespace):
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(60, 40)))

    with pytest.raises(InvalidSetting, match="huge: is no preset; there are cover, small, thumbnail"):
        store.renditions.get(ann.node(("files", "a.jpg")), "huge")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is a drawing (SVG), which is shown as it is"),
        ("a.jpg", b"\xff\xd8\xff\xe0 and then nothing", "is broken: Truncated File Read"),
        ("a.txt", b"some text that is no picture", "is no picture"),
        ("a.png", b"", "is no picture"),
    ],
)
def test_what_has_no_rendition_says_why(store: Store, ann: Namespace, name: str, data: bytes, reason: str):
    stores.put(ann, ("files", name), data)

    assert store.renditions.get(ann.node(("files", name))) == NoRendition(reason)


def test_that_there_is_no_rendition_is_found_out_once(store: Store, ann: Namespace):
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(800, 600))[:2000])
    first = store.renditions.get(ann.node(("files", "a.jpg")))
    store.renditions.prompt.render = _never  # pyright: ignore[reportAttributeAccessIssue]

    again = [store.renditions.get(ann.node(("files", "a.jpg")), preset) for preset in ("thumbnail", "small")]

    assert isinstance(first, NoRendition)
    assert "truncated" in first.reason
    assert again == [first, first]


def test_a_rendition_whose_bytes_were_lost_is_made_again(store: Store, ann: Namespace):
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(800, 600)))
    first = got(store, ann, ("files", "a.jpg"))
    with store.database.write() as tx:
        tx.execute(update(objects).where(objects.c.id == first.node.object).values(verdict="lost"))
    assert first.node.content
    store.contents.store("local").delete(first.node.content.key)

    again = got(store, ann, ("files", "a.jpg"))

    assert data_of(ann, again) == data_of(ann, again)
    assert again.node.object == first.node.object
    assert BytesIO(data_of(ann, again)).read(3) == b"\xff\xd8\xff"


def test_pictures_that_were_there_before_the_policy_get_their_thumbnails(store: Store, ann: Namespace):
    stores.put(ann, ("files", "a.jpg"), images.photo(size=(80, 60)))
    stores.put(ann, ("files", "a.txt"), b"some text that is no picture")
    assert not store.renditions.are_wanted()
    store.change_bucket("files", BucketPolicy(thumbnails=True))

    store.renditions.want_missing()
    store.renditions.work()

    assert counted(store, renditions) == 3
    assert counted(store, pictures) == 1
