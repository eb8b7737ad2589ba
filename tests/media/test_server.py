"""Pictures that come over DAV: their thumbnails are there before anybody asks, and listings tell of them."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core.renditions import Renditions
from core.schema import objects, pictures, renditions
from core.store import Store
from tests.parts import images, processes, stores
from tests.parts.scale import soak
from tests.parts.server import DavServer

THUMBNAILS = {"DAVSTORE_BUCKETS__MEDIA__THUMBNAILS": "true"}
KINDS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP")


def properties(server: DavServer, path: str, depth: str = "0") -> str:
    return server.request("PROPFIND", path, headers={"Depth": depth}).body.decode()


def told(name: str, answer: str) -> list[str]:
    return re.findall(f'<S:{name} xmlns:S="urn:davstore:">(.*?)</S:{name}>', answer)


def until(true: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.2)


def test_a_dragged_folder_of_photos_has_thumbnails_without_a_request_for_them(
    serve: Callable[..., DavServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server, count = serve(environ=THUMBNAILS), soak(60, 2_000)
    server.request("MKCOL", "/media/trip/")
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        photo = images.photo(kind, (320, 240), orientation=number % 8 + 1, seed=number)
        assert server.request("PUT", f"/media/trip/{number}.{kind.lower()}", photo).status == 201

    until(lambda: len(told("thumbnail", properties(server, "/media/trip/", "1"))) == count, 60 + count)

    everything = properties(server, "/media/trip/", "1")
    assert sorted(set(told("width", everything))) == ["240", "320"]
    server.terminate()
    store = stores.opened(f"sqlite:///{tmp_path / 'data' / 'davstore.db'}", tmp_path / "data")
    with store.database.read() as tx:
        assert tx.scalar(select(func.count()).select_from(renditions)) == 3 * count
        assert tx.scalar(select(func.count()).where(pictures.c.wanted.is_not(None))) == 0
    monkeypatch.setattr(Renditions, "_rendered", None)
    node = store.namespace(stores.ANN).node(("media", "trip", "0.jpeg"))
    assert store.renditions.get(node, accept="image/webp")
    assert store.verify(deep=True).problems == ()
    store.close()


def test_a_listing_tells_the_size_and_where_the_thumbnail_is(serve: Callable[..., DavServer]):
    server = serve(environ=THUMBNAILS)
    server.request("PUT", "/media/a.jpg", images.photo(size=(80, 60), orientation=6))
    server.request("PUT", "/media/a.txt", b"text")
    server.request("PUT", "/media/broken.jpg", images.photo(size=(80, 60))[:500])

    until(lambda: told("width", properties(server, "/media/a.jpg")) == ["60"], 30)

    picture = properties(server, "/media/a.jpg")
    uid = told("uid", picture)[0]
    assert told("height", picture) == ["80"]
    assert told("thumbnail", picture) == [f'<D:href xmlns:D="DAV:">/assets/by-file-media-id/{uid}/thumbnail</D:href>']
    assert told("thumbnail", properties(server, "/media/a.txt")) == []
    assert told("thumbnail", properties(server, "/media/broken.jpg")) == []
    named = b'<propfind xmlns="DAV:" xmlns:s="urn:davstore:"><prop><s:width/></prop></propfind>'
    assert told("width", server.request("PROPFIND", "/media/a.jpg", named, {"Depth": "0"}).body.decode()) == ["60"]


def test_properties_of_pictures_are_protected(serve: Callable[..., DavServer]):
    server = serve()
    server.request("PUT", "/files/a.jpg", images.picture())
    change = (
        b'<propertyupdate xmlns="DAV:" xmlns:s="urn:davstore:"><set><prop><s:width>1</s:width></prop></set>'
        b"</propertyupdate>"
    )

    answer = server.request("PROPPATCH", "/files/a.jpg", change)

    assert b"cannot-modify-protected-property" in answer.body


def test_the_process_that_decodes_is_nice_and_ends_with_the_server(serve: Callable[..., DavServer]):
    server = serve(environ=THUMBNAILS)
    server.request("PUT", "/media/a.jpg", images.photo(size=(80, 60)))
    until(lambda: bool(told("width", properties(server, "/media/a.jpg"))), 30)

    decoding = [pid for pid in server.pids if "core.rendering" in processes.command(pid)]

    assert len(decoding) == 1
    assert int(Path(f"/proc/{decoding[0]}/stat").read_text().rsplit(")", 1)[1].split()[16]) == 19
    server.terminate()


def test_where_renditions_are_switched_off_none_is_made_before_it_is_asked_for(serve: Callable[..., DavServer]):
    server = serve(environ=THUMBNAILS | {"DAVSTORE_RENDITIONS__ENABLED": "false"})
    server.request("PUT", "/media/a.jpg", images.photo(size=(80, 60)))

    time.sleep(2.5)

    assert told("width", properties(server, "/media/a.jpg")) == []


def test_M1_nothing_is_left_of_a_picture_that_was_deleted_for_good(store: Store):  # noqa: N802
    """Neither of the renditions that its bucket wanted, nor of those that somebody asked for."""
    ann = store.namespace(stores.ANN)
    stores.put(ann, ("media", "a.jpg"), images.photo(size=(700, 500)))
    store.renditions.work()
    store.renditions.get(ann.node(("media", "a.jpg")), "small", "image/webp")
    store.renditions.get(ann.node(("media", "a.jpg")), store.renditions.sized(160, 0))

    ann.delete(("media", "a.jpg"))
    store.recovery(stores.ANN).empty_trash("media")
    for _ in range(2):
        store.collect_garbage(grace=0, retention=0)

    with store.database.read() as tx:
        for table in (objects, renditions, pictures):
            assert tx.scalar(select(func.count()).select_from(table)) == 0
    assert list(store.contents.store("local").blobs()) == []


def test_a_rendition_lives_while_anything_of_its_picture_does(store: Store):
    ann = store.namespace(stores.ANN)
    stores.put(ann, ("media", "a.jpg"), images.photo(size=(80, 60)))
    store.renditions.work()
    ann.delete(("media", "a.jpg"))

    store.collect_garbage(grace=0, retention=0)

    with store.database.read() as tx:
        assert tx.scalar(select(func.count()).select_from(renditions)) == 3


def test_two_servers_that_are_asked_at_once_make_a_rendition_once(serve: Callable[..., DavServer]):
    """Whoever makes one has started the process that decodes; nobody else has."""
    servers = serve(), serve()
    servers[0].request("PUT", "/files/a.jpg", images.photo(size=(2400, 1800)))
    [uid] = told("uid", properties(servers[0], "/files/a.jpg"))

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(each.request, "GET", f"/assets/by-file-media-id/{uid}/thumbnail") for each in servers * 4]
        answers = [each.result() for each in asked]

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    decoding = [pid for each in servers for pid in each.pids if "core.rendering" in processes.command(pid)]
    assert len(decoding) == 1
