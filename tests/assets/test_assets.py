"""The routes of assets and resources: who may read what by its id (upstreams 5.8), and how it comes."""

import io
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from core.contents import Contents
from core.model import Caller
from core.policy import BucketPolicy
from core.schema import metadata, objects, renditions
from core.settings import Server
from core.storage_settings import S3Storage
from core.store import Store
from davstore.app import application
from tests.api.conftest import attach
from tests.assets.conftest import document, ruled, told
from tests.davstore.client import Dav
from tests.parts import stores
from tests.parts.seaweedfs import SeaweedFS

DOC = "/files/doc"
A_TXT = f"{DOC}/a.txt"
METHODS = ("GET", "HEAD")
TEXT = b"some text"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
ROUTES = (
    "/assets/by-id/{object}",
    "/assets/by-file-media-id/{node}",
    "/o/r/{node}/a.txt",
    "/o/r/{node}",
    "/file/attachments/{node}/a.txt",
    "/file/attachments/{node}",
    "/file/resources/{node}/whatever.png",
)
MATRIX = {
    "public": {"nobody": 200, "bob": 200, "alice": 200, "admin": 200},
    "protected": {"nobody": 401, "bob": 200, "alice": 200, "admin": 200},
    "private": {"nobody": 401, "bob": 403, "alice": 200, "admin": 403},
}
"""Of a document of alice's; a server that lets nobody in particular in answers 401 to nobody."""


def addresses(dav: Dav, target: str) -> list[str]:
    """Of a file, on every route."""
    ids = {"object": told(dav, target, "object-uid"), "node": told(dav, target, "uid")}
    return [route.format(**ids) for route in ROUTES]


@pytest.mark.parametrize("visibility", MATRIX)
@pytest.mark.parametrize("lets_nobody_in", [True, False])
def test_p13_m10_an_id_gives_what_its_path_gives_and_no_more(
    to_readers: Mapping[str, Dav], to_users: Mapping[str, Dav], visibility: str, lets_nobody_in: bool
) -> None:
    alice = to_readers["alice"]
    document(alice, DOC, visibility)
    alice.put(f"{DOC}/a.txt", TEXT)
    people = to_readers if lets_nobody_in else to_users
    expected = MATRIX[visibility] | ({} if lets_nobody_in else {"nobody": 401})
    every = [(who, method, address) for who in expected for method in METHODS for address in addresses(alice, A_TXT)]

    answers = {(who, method, address): people[who](method, address) for who, method, address in every}

    assert {cell: answer.status for cell, answer in answers.items()} == {cell: expected[cell[0]] for cell in every}
    given = {cell: answer for cell, answer in answers.items() if answer.status == 200}
    assert all(answer.body == (TEXT if method == "GET" else b"") for (_, method, _), answer in given.items())
    assert {answer.body == TEXT for cell, answer in answers.items() if cell not in given} <= {False}
    is_public = visibility == "public" and lets_nobody_in
    assert {cell: answer.header("Cache-Control") for cell, answer in given.items()} == {
        cell: caching(cell[2], is_public) for cell in given
    }


def caching(address: str, is_public: bool) -> str:
    """Of design section 7 and the matrix: a content never changes, what a path shows does."""
    if is_public and address.startswith("/assets/by-id/"):
        return "public, max-age=31536000, immutable"
    return "public, no-cache" if is_public else "private, no-cache"


def test_p01_m07_an_asset_is_kept_for_a_year_in_seconds_and_asked_for_by_its_tag(alice: Dav, nobody: Dav) -> None:
    document(alice, DOC, "public")
    alice.put(f"{DOC}/a.txt", TEXT)

    for address in addresses(alice, f"{DOC}/a.txt"):
        answer = nobody("GET", address)

        assert answer.header("ETag") == f'"{sha256(TEXT).hexdigest()}"'
        is_content = address.startswith("/assets/by-id/")
        assert answer.header("Cache-Control") == (
            "public, max-age=31536000, immutable" if is_content else "public, no-cache"
        )
        again = nobody("GET", address, if_none_match=str(answer.header("ETag")))
        assert (again.status, again.body) == (304, b"")


def test_m06_every_asset_comes_in_ranges(alice: Dav) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.pdf", bytes(range(100)), content_type="application/pdf")

    for address in addresses(alice, f"{DOC}/a.pdf"):
        answer = alice("GET", address, range="bytes=10-19")

        assert (answer.status, answer.body) == (206, bytes(range(10, 20)))
        assert answer.header("Content-Range") == "bytes 10-19/100"
        assert alice("GET", address, range="bytes=100-").status == 416


def test_m11_a_name_in_any_script_is_told(alice: Dav) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/%E5%86%99%E7%9C%9F.txt", TEXT)
    uid = told(alice, f"{DOC}/%E5%86%99%E7%9C%9F.txt", "uid")

    answer = alice("GET", f"/file/attachments/{uid}/other.txt")

    assert answer.header("Content-Disposition") == "inline; filename*=UTF-8''%E5%86%99%E7%9C%9F.txt"


def test_m16_a_file_named_index_is_a_file(alice: Dav) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/index.html", b"<p>text")
    uid = told(alice, f"{DOC}/index.html", "uid")

    assert alice("GET", f"/file/attachments/{uid}/index.html").body == b"<p>text"


@pytest.mark.parametrize("name", ["x.svg", "x.html", "x.xml", "x.js", "x.mjs"])
def test_what_a_browser_could_run_is_for_saving_and_has_no_origin(alice: Dav, name: str) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/{name}", SVG)
    uid = told(alice, f"{DOC}/{name}", "uid")

    answer = alice("GET", f"/file/resources/{uid}/{name}")

    assert str(answer.header("Content-Disposition")).startswith("attachment;")
    assert str(answer.header("Content-Security-Policy")).startswith("sandbox;")
    assert answer.header("X-Content-Type-Options") == "nosniff"


def test_p11_no_asset_tells_where_its_bytes_lie(alice: Dav, opened: Store) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.bin", b"x" * 100_000)
    node = opened.namespace(Caller("alice")).node(("files", "doc", "a.bin"))
    assert node.content

    for address in addresses(alice, f"{DOC}/a.bin"):
        headers = str(alice("GET", address).headers).lower()

        assert node.content.key not in headers
        assert not {"x-amz", "x-accel-redirect", "location"} & set(alice("GET", address).headers)


def test_p16_the_same_bytes_may_have_two_types(alice: Dav) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.txt", TEXT)
    alice.put(f"{DOC}/a.css", TEXT)

    first, second = told(alice, f"{DOC}/a.txt", "uid"), told(alice, f"{DOC}/a.css", "uid")

    assert told(alice, f"{DOC}/a.txt", "object-uid") == told(alice, f"{DOC}/a.css", "object-uid")
    assert alice("GET", f"/file/attachments/{first}").header("Content-Type") == "text/plain"
    assert alice("GET", f"/file/attachments/{second}").header("Content-Type") == "text/css"


def test_an_object_is_shown_by_any_node_that_the_caller_can_reach(alice: Dav, bob: Dav, nobody: Dav) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.txt", TEXT)
    by_id = f"/assets/by-id/{told(alice, f'{DOC}/a.txt', 'object-uid')}"
    assert bob("GET", by_id).status == 403

    bob.put("/files/mine.txt", TEXT)

    assert bob("GET", by_id).body == TEXT
    document(alice, "/files/shown", "public")
    alice.put("/files/shown/a.txt", TEXT)
    assert nobody("GET", by_id).header("Cache-Control") == "private, no-cache", "the private document shows it too"


def test_an_object_in_a_thousand_hidden_places_is_found_in_the_one_that_is_not(
    alice: Dav, bob: Dav, opened: Store
) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.txt", TEXT)
    namespace = opened.namespace(Caller("alice"))
    for level in range(8):
        namespace.copy(("files", "doc"), ("files", f"doc{level}"))
        namespace.move(("files", f"doc{level}"), ("files", "doc", f"doc{level}"))
    by_id = f"/assets/by-id/{told(alice, f'{DOC}/a.txt', 'object-uid')}"
    assert bob("GET", by_id).status == 403

    document(alice, "/files/shown", "public")
    alice.put("/files/shown/a.txt", TEXT)

    assert bob("GET", by_id).body == TEXT


def test_p08_what_lies_in_the_trash_has_no_address_until_it_is_back(alice: Dav) -> None:
    document(alice, DOC)
    alice.make(f"{DOC}/inner")
    alice.put(f"{DOC}/inner/a.txt", TEXT)
    every = addresses(alice, f"{DOC}/inner/a.txt")
    assert alice("DELETE", f"{DOC}/inner/").status == 204

    assert [alice("GET", address).status for address in every] == [404] * len(every)

    [entry] = [href for href in alice.propfind("/-/trash/files/", "{DAV:}getetag", depth="1").hrefs if "inner" in href]
    assert alice("MOVE", entry, destination=f"{DOC}/inner/").status == 201
    assert [alice("GET", address).body for address in every] == [TEXT] * len(every)


def test_a_change_of_visibility_holds_at_once(alice: Dav, bob: Dav) -> None:
    document(alice, DOC, "public")
    alice.put(f"{DOC}/a.txt", TEXT)
    every = addresses(alice, f"{DOC}/a.txt")
    assert [bob("GET", address).status for address in every] == [200] * len(every)

    assert ruled(alice, DOC, "private") == 200

    assert [bob("GET", address).status for address in every] == [403] * len(every)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PROPFIND", "MOVE", "PATCH", "BREW"])
def test_assets_are_only_read(alice: Dav, method: str) -> None:
    answer = alice(method, "/assets/by-id/x")

    assert answer.status == 405
    assert answer.header("Allow") == "GET, HEAD, OPTIONS"
    assert alice("OPTIONS", "/assets/by-id/x").header("Allow") == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "target",
    [
        "/assets",
        "/assets/",
        "/assets/by-id",
        "/assets/by-id/x",
        "/assets/by-id/00000000-0000-7000-8000-000000000000",
        "/assets/by-id/00000000-0000-7000-8000-000000000000/x",
        "/assets/by-file-media-id/%00x",
        "/assets/by-file-media-id/../../files/a",
        "/o/r",
        "/o/r/%F0%9F%98%80/x",
        "/file/attachments/x/y/z",
        "/file/users/x",
    ],
)
def test_what_is_no_address_of_an_asset_is_refused(alice: Dav, target: str) -> None:
    answer = alice("GET", target)

    assert answer.status in {400, 404}
    assert answer.header("Content-Type") == "application/problem+json"


def test_p07_a_file_that_expires_is_read_until_then(alice: Dav) -> None:
    alice.put("/files/a.txt", TEXT)
    expires = (
        "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><S:expires xmlns:S='urn:davstore:'>4102444800</S:expires>"
    )
    assert alice("PROPPATCH", "/files/a.txt", expires + "</D:prop></D:set></D:propertyupdate>").status == 207

    assert [alice("GET", address).body for address in addresses(alice, "/files/a.txt")] == [TEXT] * len(ROUTES)


def picture(width: int, height: int) -> bytes:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


THUMBNAILS = (
    "/assets/by-file-media-id/{uid}/thumbnail",
    "/file/attachments/{uid}/a.png?thumbnail=true",
    "/file/resources/{uid}/a.png?thumbnail=1",
    "/o/r/{uid}/a.png?thumbnail=1",
)


SMALL = (
    *THUMBNAILS,
    "/assets/by-file-media-id/{uid}/thumbnail?preset=small",
    "/assets/by-file-media-id/{uid}?w=64",
    "/file/attachments/{uid}?w=64&h=64&fit=cover",
    "/file/resources/{uid}/a.png?preset=cover",
    "/o/r/{uid}?h=64",
)
WITH_NO_DOCUMENT = {"nobody": 401, "bob": 403, "alice": 200, "admin": 200}


def pictured(alice: Dav, opened: Store, visibility: str) -> dict[str, bytes]:
    """A picture of alice's in a document, or in none: its addresses, those of its renditions too, and what is there."""
    if visibility == "none":
        made = attach(alice, picture(90, 60), filename="a.png")
        path = f"/files/attachments/alice/{made['filename']}"
    else:
        path = f"{document(alice, DOC, visibility)}/a.png"
        alice.put(path, picture(90, 60))
    uid = str(told(alice, path, "uid"))
    every = [*addresses(alice, path), *(route.format(uid=uid) for route in SMALL)]
    there = {address: alice("GET", address).body for address in every}
    with opened.database.read() as tx:
        uids = tx.execute(select(objects.c.uid).join(renditions, renditions.c.object == objects.c.id)).scalars()
        by_id = [f"/assets/by-id/{each}" for each in uids]
    assert by_id
    return there | {address: alice("GET", address).body for address in by_id}


@pytest.mark.slow
@pytest.mark.parametrize("lets_nobody_in", [True, False])
@pytest.mark.parametrize("visibility", [*MATRIX, "none"])
def test_a_picture_and_what_is_made_of_it_are_shown_to_the_same_people_whatever_the_request_says(
    to_readers: Mapping[str, Dav],
    to_users: Mapping[str, Dav],
    opened: Store,
    visibility: str,
    lets_nobody_in: bool,
) -> None:
    there = pictured(to_readers["alice"], opened, visibility)
    people = to_readers if lets_nobody_in else to_users
    expected = MATRIX.get(visibility, WITH_NO_DOCUMENT) | ({} if lets_nobody_in else {"nobody": 401})
    headers = [
        {},
        {"range": "bytes=0-3"},
        {"if_none_match": "*"},
        {"if_match": '"other"'},
        {"if_modified_since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ]
    cells = [(who, method, at) for who in expected for method in METHODS for at in there]

    answers = {cell: people[cell[0]](cell[1], cell[2]) for cell in cells}

    assert {cell: answer.status for cell, answer in answers.items()} == {cell: expected[cell[0]] for cell in cells}
    for (who, method, at), answer in answers.items():
        if expected[who] == 200:
            assert answer.body == (there[at] if method == "GET" else b""), at
        else:
            asked = [people[who](method, at, **each).status for each in headers]
            tagged = people[who](method, at, if_none_match=f'"{sha256(there[at]).hexdigest()}"').status
            assert [*asked, tagged] == [expected[who]] * 6, (who, method, at)


def test_m08_who_may_not_read_and_who_has_it_already_make_nobody_open_a_blob(
    alice: Dav, bob: Dav, nobody: Dav, monkeypatch: pytest.MonkeyPatch
) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.bin", b"x" * 200_000)
    every = addresses(alice, f"{DOC}/a.bin")
    tag = f'"{sha256(b"x" * 200_000).hexdigest()}"'
    assert {alice("GET", address).header("ETag") for address in every} == {tag}

    def fail(*_: object) -> None:
        raise AssertionError("a blob was opened")

    monkeypatch.setattr(Contents, "open", fail)
    monkeypatch.setattr(Contents, "open_object", fail)

    for address in every:
        for method in METHODS:
            assert bob(method, address).status == 403
            assert nobody(method, address).status == 401
            assert alice(method, address, if_none_match=tag).status == 304
            assert alice(method, address, if_match='"other"').status == 412
        assert alice("HEAD", address).status == 200


@pytest.mark.slow
def test_a_preset_of_the_configuration_has_an_address(alice: Dav, opened: Store) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.png", picture(1200, 800))
    uid = told(alice, f"{DOC}/a.png", "uid")

    for route in ("/assets/by-file-media-id/{uid}", "/assets/by-file-media-id/{uid}/thumbnail", "/o/r/{uid}/a.png"):
        answer = alice("GET", route.format(uid=uid) + "?preset=small", accept="image/jpeg")
        assert Image.open(io.BytesIO(answer.body)).size == (100, 67)
        refused = alice("GET", route.format(uid=uid) + "?preset=hero")
        assert refused.status == 400
        assert b"there are cover, small, thumbnail" in refused.body
        assert alice("GET", route.format(uid=uid) + "?preset=small&w=64").status == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "accept", "expected"),
    [
        ("a.b.png", "image/jpeg", "a.b.jpg"),
        ("a.jpeg", "image/jpeg", "a.jpeg"),
        ("a.JPG", "image/webp", "a.webp"),
        ("a.png", "image/avif", "a.avif"),
    ],
)
def test_a_rendition_is_saved_under_a_name_of_its_format(alice: Dav, name: str, accept: str, expected: str) -> None:
    alice.put(f"/files/{name}", picture(90, 60))

    answer = alice("GET", f"/o/r/{told(alice, f'/files/{name}', 'uid')}?thumbnail=1", accept=accept)

    assert answer.header("Content-Disposition") == f"inline; filename*=UTF-8''{expected}"


@pytest.fixture
def on_s3(database_url: str, s3_storage: S3Storage, tmp_path: Path) -> Iterator[Store]:
    policy = BucketPolicy(storage="s3", inline_below=0, presign="stored")
    store = stores.opened(database_url, tmp_path / "s3", storages={"s3": s3_storage}, files=policy)
    yield store
    store.close()


def test_p11_no_asset_tells_where_in_s3_its_bytes_lie(on_s3: Store, s3_storage: S3Storage) -> None:
    """Not even of a file so large that clients who follow redirects get one."""
    settings = on_s3.settings.model_copy(update={"server": Server(anonymous="write")})
    dav = Dav(application(on_s3, settings))
    dav.put("/files/a.png", picture(90, 60) + bytes(s3_storage.redirect_min))
    uid = str(told(dav, "/files/a.png", "uid"))

    for address in (*addresses(dav, "/files/a.png"), *(route.format(uid=uid) for route in SMALL)):
        for method in METHODS:
            answer = dav(method, address)
            headers = str(answer.headers).lower()

            assert answer.status == 200, address
            assert not {"x-amz", "signature", "location"} & set(re.findall("[a-z-]+", headers)), headers
            assert "x-amz" not in headers


def test_m19_no_secret_of_a_storage_is_in_the_database(on_s3: Store, seaweedfs: SeaweedFS) -> None:
    """Memos kept the keys of S3 in the rows of attachments; the URLs that we keep name the key, never its secret."""
    stores.put(on_s3.namespace(stores.ANN), ("files", "a.bin"), b"x" * 100_000)
    on_s3.run_due_jobs(lambda _: False)
    secret = seaweedfs.environ["AWS_SECRET_ACCESS_KEY"]

    with on_s3.database.read() as tx:
        rows = {table.name: str(tx.execute(select(table)).all()) for table in metadata.sorted_tables}

    assert "a.bin" in rows["names"]
    assert "http" in rows["links"]
    assert [name for name, text in rows.items() if secret in text] == []


@pytest.mark.slow
def test_m09_a_thumbnail_has_at_most_600_pixels_and_the_rights_of_its_original(
    alice: Dav, bob: Dav, nobody: Dav
) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.png", picture(1200, 800))
    uid = told(alice, f"{DOC}/a.png", "uid")

    for route in THUMBNAILS:
        answer = alice("GET", route.format(uid=uid), accept="image/jpeg")

        assert answer.status == 200
        assert Image.open(io.BytesIO(answer.body)).size == (600, 400)
        assert answer.header("Content-Type") == "image/jpeg"
        assert answer.header("Vary") == "Accept"
        assert answer.header("Cache-Control") == "private, no-cache"
        assert answer.header("ETag") == f'"{sha256(answer.body).hexdigest()}"'
        assert bob("GET", route.format(uid=uid)).status == 403
        assert nobody("HEAD", route.format(uid=uid)).status == 401
    small = alice("GET", f"/file/attachments/{uid}/a.png?w=100&h=100&fit=cover", accept="image/jpeg")
    assert Image.open(io.BytesIO(small.body)).size == (100, 100)
    assert alice("GET", f"/file/attachments/{uid}/a.png?w=101").status == 400


@pytest.mark.parametrize(("name", "content"), [("a.txt", TEXT), ("a.svg", SVG)])
def test_what_has_no_rendition_says_so(alice: Dav, name: str, content: bytes) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/{name}", content)

    answer = alice("GET", f"/assets/by-file-media-id/{told(alice, f'{DOC}/{name}', 'uid')}/thumbnail")

    assert answer.status == 404
    assert b"NO_RENDITION" in answer.body


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.bin", picture(1, 1), "image/png"),
        ("a.png", TEXT, "text/plain"),
        ("a.txt", SVG, "image/svg+xml"),
        ("a.html", b"<!-- x --><html>", "text/plain"),
        ("a.txt", b"\x00\x01\xff", "application/octet-stream"),
        ("a.txt", b"", "application/octet-stream"),
    ],
)
def test_by_id_the_type_is_what_the_bytes_show(alice: Dav, name: str, content: bytes, expected: str) -> None:
    alice.put(f"/files/{name}", content)

    answer = alice("GET", f"/assets/by-id/{told(alice, f'/files/{name}', 'object-uid')}")

    assert answer.header("Content-Type") == expected
    assert answer.body == content
