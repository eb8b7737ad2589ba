"""Attachments by the API: streams in, pages out, and every defect of the upstreams that it must not have."""

import io
import json
import re
import resource
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

import pytest
from sqlalchemy import update

from core.assets import Assets
from core.errors import StorageUnavailable
from core.model import Node, instant
from core.policy import BucketPolicy
from core.schema import nodes
from core.store import Store
from davstore.api.router import ROUTES
from tests.api.conftest import API, attach, call, code, document, told
from tests.assets.conftest import document as folder
from tests.assets.conftest import ruled
from tests.assets.conftest import told as own
from tests.davstore.client import Answer, Dav

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n'
    b"Content-Type: image/png\r\n\r\n%s\r\n%s--b--\r\n"
)
FIELD = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'


def form(dav: Dav, name: bytes, content: bytes, fields: bytes = b"", query: str = "") -> Answer:
    body = FORM % (name, content, fields)
    return dav("POST", f"{API}/attachments{query}", body, content_type='multipart/form-data; boundary="b"')


def test_a_body_becomes_an_attachment_with_all_that_is_told_of_it(alice: Dav) -> None:
    made = attach(alice, b"some text", filename="r%C3%A9sum%C3%A9.txt")

    assert made["filename"] == "résumé.txt"
    assert (made["size"], made["media_type"], made["document"]) == (9, "text/plain", None)
    assert alice("GET", made["url"]).body == b"some text"
    assert told(call(alice, "GET", f"/attachments/{made['id']}")) == made
    assert alice("GET", f"/assets/by-id/{made['object_uid']}").body == b"some text"


def test_a_form_becomes_an_attachment(alice: Dav) -> None:
    made = told(form(alice, b"pictures/a.png", b"x" * 1_000_000, FIELD % (b"id", b"my-id")), 201)

    assert (made["id"], made["filename"], made["media_type"]) == ("my-id", "a.png", "image/png")
    assert alice("GET", "/file/attachments/my-id/a.png").body == b"x" * 1_000_000
    assert alice("GET", "/o/r/my-id/a.png").status == 200


def test_a_truncated_form_leaves_nothing(alice: Dav, opened: Store) -> None:
    before = opened.usage()
    for end in (60, 150, 500):
        body = (FORM % (b"a.png", b"x" * 1000, b""))[:end]
        answer = alice("POST", f"{API}/attachments", body, content_type="multipart/form-data; boundary=b")
        assert code(answer) == (400, "INVALID_REQUEST")

    assert opened.usage() == before


def test_a_chosen_id_is_taken_once(alice: Dav, bob: Dav) -> None:
    assert attach(alice, id="chosen")["id"] == "chosen"

    answer = bob("POST", f"{API}/attachments?filename=b.txt&id=chosen", b"x")

    assert code(answer) == (409, "ALREADY_EXISTS")
    uid = told(call(alice, "GET", "/attachments/chosen"))["uid"]
    assert code(alice("POST", f"{API}/attachments?id={uid}", b"x")) == (409, "ALREADY_EXISTS")
    assert code(alice("POST", f"{API}/attachments?id=-x", b"x")) == (400, "INVALID_REQUEST")


def test_m02_m20_the_same_name_never_overwrites(alice: Dav) -> None:
    made = [attach(alice, content, filename="a.txt") for content in (b"one", b"two", b"three")]

    assert [each["filename"] for each in made] == ["a.txt", "a (2).txt", "a (3).txt"]
    assert [alice("GET", each["url"]).body for each in made] == [b"one", b"two", b"three"]


def test_m20_attachments_that_come_at_once_under_one_name_each_keep_their_content(alice: Dav) -> None:
    contents = [b"content %d" % n for n in range(8)]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda content: attach(alice, content, filename="a.txt"), contents))

    assert len({each["filename"] for each in made}) == 8
    assert [alice("GET", each["url"]).body for each in made] == contents
    assert [alice("GET", quote(each["path"])).body for each in made] == contents


@pytest.mark.parametrize("name", ["x" * 250, "é" * 250, "x" * 246 + ".png", "." + "y" * 249])
def test_a_long_name_is_shortened_and_keeps_its_ending(alice: Dav, name: str) -> None:
    first, second = (attach(alice, filename=quote(name))["filename"] for _ in range(2))

    assert len(first.encode()) <= 255 >= len(second.encode())
    assert first != second
    assert first.endswith(".png") == second.endswith(".png") == name.endswith(".png")


@pytest.mark.parametrize("name", ["a\ufffe", "\uffff", "a\r\nSet-Cookie: b", "a\0b", "../a", "..", "a/b"])
def test_a_name_that_no_address_could_have_is_refused(alice: Dav, name: str) -> None:
    made = attach(alice)

    assert code(alice("POST", f"{API}/attachments?filename={quote(name)}", b"x")) == (400, "INVALID_REQUEST")
    assert code(call(alice, "PATCH", f"/attachments/{made['id']}", {"filename": name})) == (400, "INVALID_REQUEST")
    assert code(call(alice, "POST", "/documents", {"name": name})) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "name", ['a"; x="', "\u202egpj.exe", "\u2028", "<script>.html", " a", "%0d%0aX: y", "\U0010ffff"]
)
def test_whatever_an_attachment_is_called_its_address_gives_it_and_no_header_more(alice: Dav, name: str) -> None:
    made = attach(alice, filename=quote(name))

    answer = alice("GET", made["url"])

    assert (answer.status, answer.body) == (200, b"text")
    assert answer.header("Content-Disposition") in {
        f"{kind}; filename*=UTF-8''{quote(name, safe='')}" for kind in ("inline", "attachment")
    }


@pytest.mark.parametrize(
    ("method", "address", "given", "status", "said"),
    [
        ("GET", "/attachments/unknown", None, 404, "unknown: nothing has this id"),
        ("POST", "/attachments:batchDelete", {"ids": ["unknown"]}, 404, "unknown: nothing has this id"),
        ("POST", "/documents", {"name": "a/b"}, 400, "name: a filename has no slash and no control character"),
        ("POST", "/documents", {"name": ".."}, 400, "name: no file can have this name"),
        ("GET", "/attachments?document=-x", None, 400, "document: an id has 1 to 36 letters, digits and dashes"),
        ("POST", "/attachments?media_type=x", None, 400, "media_type: write a media type as in image/png"),
        ("GET", "/attachments?filename=%01", None, 400, "filename: there are control characters in it"),
        ("PATCH", "/attachments/x", {"size": 1}, 400, "size: Extra inputs are not permitted"),
    ],
)
def test_a_refusal_says_what_is_wrong_in_words(
    alice: Dav, method: str, address: str, given: object, status: int, said: str
) -> None:
    answer = call(alice, method, address, given)

    assert answer.status == status
    assert json.loads(answer.body)["detail"].startswith(said)


def test_a_body_that_is_no_json_by_its_type_is_415_with_its_code(alice: Dav) -> None:
    answer = alice("POST", f"{API}/documents", b'{"name": "a"}', content_type="text/plain")

    assert code(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


SHA256 = b64encode(sha256(b"text").digest()).decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"repr_digest": f"sha-256=:{SHA256}:"}, 201),
        ({"repr_digest": f"sha-256=:{SHA256[::-1][1:]}=:"}, 400),
        ({"content_md5": b64encode(bytes(16)).decode()}, 400),
        ({"content_range": "bytes 0-3/9"}, 400),
        ({"content_encoding": "gzip"}, 415),
        ({"content_encoding": "identity"}, 201),
    ],
)
def test_a_body_that_is_not_the_content_that_it_announces_is_refused(
    alice: Dav, headers: dict[str, str], status: int
) -> None:
    answer = alice("POST", f"{API}/attachments?filename=a.txt", b"text", content_type="text/plain", **headers)

    assert answer.status == status
    assert len(listed(alice)) == (1 if status == 201 else 0)


class Trickle(io.RawIOBase):
    """A body that nobody could hold in memory."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "the whole body at once"
        got = min(size, self.left)
        self.left -= got
        return bytes(got)


@pytest.mark.slow
def test_m04_an_upload_is_never_whole_in_memory(alice: Dav) -> None:
    size = 200 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    alice.environ["wsgi.input"] = Trickle(size)
    answer = alice("POST", f"{API}/attachments?filename=big.bin", content_length=str(size))
    del alice.environ["wsgi.input"]

    assert told(answer, 201)["size"] == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


def listed(dav: Dav, query: str = "") -> list[str]:
    """Names on all pages."""
    names: list[str] = []
    token = ""
    while True:
        page = told(dav("GET", f"{API}/attachments?page_size=3{query}{token}"))
        names += [each["filename"] for each in page["attachments"]]
        if page["next_page_token"] is None:
            return names
        token = f"&page_token={page['next_page_token']}"


def test_m15_pages_come_in_the_order_asked_for(alice: Dav) -> None:
    for name, size in (("c", 3), ("a", 1), ("d", 4), ("b", 2), ("f", 6), ("e", 5), ("g", 7)):
        attach(alice, b"x" * size, filename=f"{name}.txt")

    rising = [f"{name}.txt" for name in "abcdefg"]
    assert listed(alice, "&order_by=filename") == rising
    assert listed(alice, "&order_by=-filename") == rising[::-1]
    assert listed(alice, "&order_by=size") == rising
    assert listed(alice, "&order_by=-size") == rising[::-1]
    assert listed(alice, "&order_by=created") == [f"{name}.txt" for name in "cadbfeg"]
    assert listed(alice) == [f"{name}.txt" for name in "gefbdac"]


def test_m15_an_insertion_while_paging_shifts_nothing(alice: Dav) -> None:
    for name in "abcdef":
        attach(alice, filename=f"{name}.txt")
    first = told(alice("GET", f"{API}/attachments?page_size=3&order_by=filename"))

    attach(alice, filename="aa.txt")
    second = told(
        alice("GET", f"{API}/attachments?page_size=3&order_by=filename&page_token={first['next_page_token']}")
    )

    names = [each["filename"] for page in (first, second) for each in page["attachments"]]
    assert names == ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt", "f.txt"]


def test_a_list_is_filtered_and_nobody_elses(alice: Dav, bob: Dav, nobody: Dav) -> None:
    doc = document(alice)
    attach(alice, filename="Photo.png", document=doc)
    attach(alice, filename="photo.txt")
    attach(bob, filename="photo.gif")

    assert listed(alice, "&filename=PHOTO&order_by=filename") == ["Photo.png", "photo.txt"]
    assert listed(alice, "&media_type=image/*") == ["Photo.png"]
    assert listed(alice, "&media_type=text/plain") == ["photo.txt"]
    assert listed(alice, f"&document={doc}") == ["Photo.png"]
    assert listed(bob) == ["photo.gif"]
    assert code(bob("GET", f"{API}/attachments?document={doc}")) == (403, "FORBIDDEN")
    assert code(nobody("GET", f"{API}/attachments")) == (401, "UNAUTHENTICATED")


def test_what_is_in_the_trash_is_not_listed(alice: Dav) -> None:
    made = attach(alice)
    doc = document(alice)
    attach(alice, filename="b.txt", document=doc)

    assert call(alice, "DELETE", f"/attachments/{made['id']}").status == 204
    assert alice("DELETE", "/files/doc/").status == 204

    assert listed(alice) == []
    assert code(call(alice, "GET", f"/attachments/{made['id']}")) == (404, "RESOURCE_NOT_FOUND")


def test_m13_a_batch_is_deleted_whole_or_not_at_all(alice: Dav, bob: Dav) -> None:
    mine = [attach(alice, filename=f"{n}.txt")["id"] for n in range(3)]
    his = attach(bob)["id"]

    assert code(call(alice, "POST", "/attachments:batchDelete", {"ids": [*mine, his]})) == (403, "FORBIDDEN")
    gone = {"ids": [*mine, "00000000-0000-7000-8000-000000000000"]}
    assert code(call(alice, "POST", "/attachments:batchDelete", gone)) == (404, "RESOURCE_NOT_FOUND")
    assert len(listed(alice)) == 3
    assert call(alice, "POST", "/attachments:batchDelete", {"ids": [*mine, mine[0]]}).status == 204
    assert listed(alice) == []
    assert code(call(alice, "POST", "/attachments:batchDelete", {"ids": ["x"] * 101})) == (400, "INVALID_REQUEST")


def test_an_attachment_is_not_called_what_its_bytes_are_not(alice: Dav, opened: Store) -> None:
    opened.create_bucket("choosy", BucketPolicy(types=("text/*", "image/*")))
    made = attach(alice, b"some text", filename="a.txt", bucket="choosy")

    changed = call(alice, "PATCH", f"/attachments/{made['id']}", {"media_type": "image/png"})

    assert code(changed) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert told(call(alice, "GET", f"/attachments/{made['id']}"))["media_type"] == "text/plain"


def test_an_attachment_has_another_name_and_type(alice: Dav) -> None:
    made, other = attach(alice), attach(alice, filename="b.txt")
    address = f"/attachments/{made['id']}"

    changed = told(call(alice, "PATCH", address, {"filename": "c.bin", "media_type": "image/x-own"}))

    assert (changed["filename"], changed["media_type"]) == ("c.bin", "image/x-own")
    assert {**changed, "filename": "", "media_type": "", "path": "", "url": ""} == {
        **made, "filename": "", "media_type": "", "path": "", "url": ""
    }  # fmt: skip
    assert code(call(alice, "PATCH", address, {"filename": other["filename"]})) == (409, "ALREADY_EXISTS")
    assert code(call(alice, "PATCH", address, {"filename": "a/b"})) == (400, "INVALID_REQUEST")
    assert code(call(alice, "PATCH", address, {})) == (400, "INVALID_REQUEST")


def test_m18_what_a_bucket_does_not_take_has_its_own_code(alice: Dav, opened: Store) -> None:
    opened.create_bucket("pictures", BucketPolicy(types=("image/*",), max_size=1000))

    assert code(alice("POST", f"{API}/attachments?bucket=pictures&filename=a.txt", b"x")) == (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )
    assert code(alice("POST", f"{API}/attachments?bucket=pictures&filename=a.png", b"x" * 1001)) == (
        413,
        "FILE_TOO_LARGE",
    )
    assert code(alice("POST", f"{API}/attachments?bucket=none&filename=a.png", b"x")) == (404, "RESOURCE_NOT_FOUND")


READ = {"nobody": 401, "bob": 403, "alice": 200, "admin": 200}


@pytest.mark.parametrize("lets_nobody_in", [True, False])
@pytest.mark.parametrize("who", READ)
def test_an_attachment_of_no_document_is_its_makers_and_the_administrators(
    to_readers: Mapping[str, Dav], to_users: Mapping[str, Dav], who: str, lets_nobody_in: bool
) -> None:
    alice, dav = to_readers["alice"], (to_readers if lets_nobody_in else to_users)[who]
    made = attach(alice)
    routes = [
        f"/assets/by-id/{made['object_uid']}",
        f"/assets/by-file-media-id/{made['uid']}",
        f"/o/r/{made['uid']}/a.txt",
        f"/file/resources/{made['uid']}/a.txt",
        made["url"],
        f"{API}/attachments/{made['id']}",
    ]

    cells = [(route, method) for route in routes for method in ("GET", "HEAD")]
    statuses = {(route, method): dav(method, route).status for route, method in cells}

    assert statuses == dict.fromkeys(cells, READ[who])
    in_the_tree = 200 if READ[who] == 200 else 404 if lets_nobody_in or who != "nobody" else 401
    assert dav("GET", "/files/attachments/alice/a.txt").status == in_the_tree
    assert (b"a.txt" in dav("GET", "/files/attachments/alice/").body) == (in_the_tree == 200)


MATRIX = {
    "public": {"nobody": 200, "bob": 200, "alice": 200, "admin": 200},
    "protected": {"nobody": 401, "bob": 200, "alice": 200, "admin": 200},
    "private": {"nobody": 401, "bob": 403, "alice": 200, "admin": 403},
}


SHOWING = ("/attachments/{id}", "/attachments?document={doc}", "/documents/{doc}", "/documents/{doc}/attachments")


def test_every_call_that_shows_what_others_have_stands_in_the_matrix() -> None:
    """What is left describes the API, or is the caller's alone."""
    shown = {re.sub("[{<][a-z]+[}>]", "", path).partition("?")[0] for path in SHOWING}
    reading = {re.sub("<[a-z]+>", "", path) for method, path, _ in ROUTES if method == "GET"}

    assert reading - shown == {"/openapi.json", "/auth/app-passwords"}


@pytest.mark.parametrize("lets_nobody_in", [True, False])
@pytest.mark.parametrize("visibility", MATRIX)
def test_the_api_shows_a_documents_attachments_to_its_readers(
    to_readers: Mapping[str, Dav], to_users: Mapping[str, Dav], visibility: str, lets_nobody_in: bool
) -> None:
    people = to_readers if lets_nobody_in else to_users
    doc = document(people["alice"], visibility=visibility)
    made = attach(people["alice"], document=doc)
    expected = MATRIX[visibility] | ({} if lets_nobody_in else {"nobody": 401})
    addresses = [each.format(id=made["id"], doc=doc) for each in SHOWING]
    cells = [(who, method, address) for who in expected for method in ("GET", "HEAD") for address in addresses]

    answers = {cell: people[cell[0]](cell[1], API + cell[2]).status for cell in cells}

    assert answers == {cell: expected[cell[0]] for cell in cells}


@pytest.mark.parametrize("visibility", MATRIX)
def test_only_its_owner_changes_what_a_document_has(to_readers: Mapping[str, Dav], visibility: str) -> None:
    alice = to_readers["alice"]
    doc = document(alice, visibility=visibility)
    made = attach(alice, document=doc)

    for who in ("nobody", "bob"):
        dav = to_readers[who]
        writes = [
            call(dav, "PATCH", f"/attachments/{made['id']}", {"filename": "b"}),
            call(dav, "DELETE", f"/attachments/{made['id']}"),
            call(dav, "POST", "/attachments:batchDelete", {"ids": [made["id"]]}),
            call(dav, "PUT", f"/documents/{doc}/attachments", {"ids": []}),
            call(dav, "PATCH", f"/documents/{doc}", {"visibility": "public"}),
            dav("POST", f"{API}/attachments?document={doc}", b"x"),
        ]
        assert {answer.status for answer in writes} == {401 if who == "nobody" else 403}
    assert told(call(alice, "GET", f"/documents/{doc}/attachments"))["attachments"] == [made]


def test_m12_a_document_is_given_attachments_and_the_rest_is_in_the_trash(alice: Dav, opened: Store) -> None:
    doc, other = document(alice), document(alice, "other")
    first, second = attach(alice, b"1" * 99, document=doc, filename="z"), attach(alice, document=doc, filename="y")
    reused = attach(alice, b"2" * 99, document=other, filename="x")
    loose = attach(alice, b"3" * 99, filename="w")
    stored = opened.usage()[0].unique_bytes

    ids = [loose["id"], reused["id"], first["id"]]
    held = told(call(alice, "PUT", f"/documents/{doc}/attachments", {"ids": ids}))["attachments"]

    assert [each["filename"] for each in held] == ["w", "x", "z"]
    assert told(call(alice, "GET", f"/documents/{doc}/attachments"))["attachments"] == held
    assert held[0]["id"] == loose["id"], "it was nobody's and was moved"
    assert held[1]["id"] != reused["id"], "it is in both"
    assert held[1]["object_uid"] == reused["object_uid"]
    assert held[2] == first
    assert told(call(alice, "GET", f"/documents/{other}/attachments"))["attachments"] == [reused]
    assert opened.usage()[0].unique_bytes == stored
    assert call(alice, "GET", f"/attachments/{second['id']}").status == 404
    [entry] = [href for href in alice.propfind("/-/trash/files/", "{DAV:}getetag", depth="1").hrefs if "/y." in href]
    assert alice("GET", entry).body == b"text"


def test_m17_setting_attachments_changes_no_time(alice: Dav) -> None:
    doc = document(alice)
    made = [attach(alice, document=doc, filename=name) for name in ("a", "b")]

    held = told(call(alice, "PUT", f"/documents/{doc}/attachments", {"ids": [made[1]["id"], made[0]["id"]]}))

    assert held["attachments"] == [made[1], made[0]]


def test_a_library_s_attachment_is_attached_without_a_byte(alice: Dav, opened: Store) -> None:
    library, doc = document(alice, "library"), document(alice)
    assert told(call(alice, "PATCH", f"/documents/{library}", {"is_local": False}))["is_local"] is False
    photo = attach(alice, b"x" * 100_000, document=library, filename="photo.png")
    assert photo["is_local"] is False
    stored = opened.usage()[0].unique_bytes

    [attached] = told(call(alice, "PUT", f"/documents/{doc}/attachments", {"ids": [photo["id"]]}))["attachments"]

    assert attached["is_local"] is True
    assert attached["object_uid"] == photo["object_uid"]
    assert opened.usage()[0].unique_bytes == stored


def test_an_attachment_from_another_bucket_is_attached(alice: Dav, opened: Store) -> None:
    opened.create_bucket("other", BucketPolicy())
    doc = document(alice)
    there = attach(alice, b"x" * 100_000, bucket="other")

    [attached] = told(call(alice, "PUT", f"/documents/{doc}/attachments", {"ids": [there["id"]]}))["attachments"]

    assert attached["sha256"] == there["sha256"]
    assert alice("GET", attached["url"]).body == b"x" * 100_000


def test_nobody_takes_the_place_where_others_attachments_are(alice: Dav, bob: Dav) -> None:
    attach(alice)
    made = attach(bob)

    assert ruled(alice, "/files/attachments", "private") == 403
    assert ruled(alice, "/files/attachments/bob", "private") == 403
    assert alice("MOVE", "/files/attachments/", destination="/files/mine/").status == 403
    assert alice("DELETE", "/files/attachments/bob/").status == 403
    assert bob("GET", made["url"]).status == 200


def test_nobody_takes_the_place_of_attachments_before_there_are_any(alice: Dav, bob: Dav) -> None:
    bob.make("/files/attachments")
    bob.make("/files/attachments/alice")
    folder(bob, "/files/mine")
    bob.make("/files/deep")
    folder(bob, "/files/deep/alice")

    assert ruled(bob, "/files/attachments", "private") == 403
    assert ruled(bob, "/files/attachments/alice", "private") == 403
    for method in ("COPY", "MOVE"):
        assert bob(method, "/files/mine/", destination="/files/attachments/admin/").status == 403
        assert bob(method, "/files/deep/", destination="/files/attachments/").status == 403
    assert attach(alice)["path"] == "/files/attachments/alice/a.txt"


def test_nobody_takes_the_place_of_attachments_out_of_the_trash(alice: Dav, bob: Dav) -> None:
    folder(bob, "/files/mine")
    assert bob("DELETE", "/files/mine/").status == 204
    (entry,) = (href for href in bob.propfind("/-/trash/files/", depth="1").hrefs if "mine" in href)

    assert bob("MOVE", entry, destination="/files/attachments/").status == 403
    assert bob("COPY", entry, destination="/files/attachments/").status == 403
    assert attach(alice)["path"] == "/files/attachments/alice/a.txt"


@pytest.mark.parametrize(("method", "given"), [("DELETE", None), ("PATCH", {"filename": "c.txt"})])
def test_a_file_that_takes_the_place_meanwhile_is_not_what_a_call_by_id_means(
    alice: Dav, monkeypatch: pytest.MonkeyPatch, method: str, given: dict[str, str] | None
) -> None:
    meant = attach(alice, b"meant", filename="a.txt")
    other = attach(alice, b"other", filename="b.txt")
    find = Assets.file

    def overtaken(assets: Assets, id_: str) -> Node:
        monkeypatch.undo()
        found = find(assets, id_)
        assert alice("MOVE", meant["path"], destination="/files/elsewhere.txt").status == 201
        assert alice("MOVE", other["path"], destination=meant["path"]).status == 201
        return found

    monkeypatch.setattr(Assets, "file", overtaken)
    answer = call(alice, method, f"/attachments/{meant['id']}", given)

    assert code(answer) == (404, "RESOURCE_NOT_FOUND")
    assert told(call(alice, "GET", f"/attachments/{other['id']}"))["filename"] == "a.txt"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": "http://dav.example"},
    ],
)
def test_another_sites_page_uses_nobodys_kept_password(alice: Dav, headers: dict[str, str]) -> None:
    answer = alice("POST", f"{API}/attachments?filename=a", b"x", content_type="text/plain", **headers)

    assert code(answer) == (403, "FORBIDDEN")
    assert alice("POST", f"{API}/attachments?filename=a", b"x", origin="http://dav.example").status == 201


@pytest.mark.expects_log("no answer")
def test_m18_a_storage_that_does_not_answer_is_told_and_asked_again(
    alice: Dav, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = attach(alice)

    def fail(*_: object) -> None:
        raise StorageUnavailable("/srv/blobs", "no answer")

    monkeypatch.setattr(Assets, "file", fail)
    answer = call(alice, "GET", f"/attachments/{made['id']}")

    assert code(answer) == (503, "STORAGE_UNAVAILABLE")
    assert answer.header("Retry-After") == "10"
    assert b"/srv" not in answer.body


@pytest.mark.parametrize("order", ["created", "filename", "size"])
def test_whether_there_is_another_page_tells_nothing_of_what_one_may_not_read(alice: Dav, bob: Dav, order: str) -> None:
    alice.make("/files/team")
    team = str(own(alice, "/files/team", "uid"))
    bob.put("/files/team/a salary.txt", b"m")
    folder(alice, "/files/team/payroll")
    alice.put("/files/team/payroll/salary.txt", b"longer")

    address = f"/attachments?document={team}&filename=salary&page_size=1&order_by={order}"
    of_alice, of_bob = (told(call(dav, "GET", address)) for dav in (alice, bob))

    assert of_alice["next_page_token"]
    assert [each["filename"] for each in of_bob["attachments"]] == ["a salary.txt"]
    assert of_bob["next_page_token"] is None


@pytest.mark.parametrize(
    ("order", "value"), [("-created", 10**30), ("size", -(10**30)), ("filename", "\ud800"), ("filename", "a\0")]
)
def test_a_page_token_that_nobody_gave_is_refused(alice: Dav, order: str, value: int | str) -> None:
    token = urlsafe_b64encode(json.dumps([order, value, 1]).encode()).decode().rstrip("=")

    answer = call(alice, "GET", f"/attachments?order_by={order}&page_token={token}")

    assert code(answer) == (404, "RESOURCE_NOT_FOUND")


def test_a_parameter_that_is_not_utf_8_is_refused(alice: Dav) -> None:
    assert code(call(alice, "GET", "/attachments?filename=%ff")) == (400, "INVALID_REQUEST")


def test_a_bucket_takes_out_of_anothers_trash_and_past_only_what_its_policy_says(alice: Dav, opened: Store) -> None:
    opened.create_bucket("pictures", BucketPolicy(types=("image/*",), max_size=1000))
    for content in (b"first", b"second"):
        alice.put("/files/a.txt", content)
    alice.put("/files/b.txt")
    assert alice("DELETE", "/files/b.txt").status == 204
    (removed,) = (href for href in alice.propfind("/-/trash/files/", depth="1").hrefs if "/b" in href)
    past = [href for href in alice.propfind("/-/versions/files/a.txt/", depth="1").hrefs if not href.endswith("a.txt/")]

    assert past
    for source in (removed, past[0]):
        for method in ("COPY", "MOVE"):
            assert alice(method, source, destination="/pictures/a.png").status == 415, (method, source)


@pytest.mark.parametrize("bucket", ["files", "fresh"])
def test_a_document_that_cannot_be_made_leaves_no_collection(alice: Dav, opened: Store, bucket: str) -> None:
    opened.create_bucket("fresh", BucketPolicy())

    answer = call(alice, "POST", "/documents", {"name": "attachments", "bucket": bucket})

    assert code(answer) == (403, "FORBIDDEN")
    assert alice.propfind(f"/{bucket}/attachments").status == 404


class Unasked(io.RawIOBase):
    """A body for which nobody may ask: the client waits for 100 Continue, which the first read sends."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.parametrize(
    ("query", "length", "headers", "refusal"),
    [
        ("filename=a.png", 5 << 20, {}, (413, "FILE_TOO_LARGE")),
        ("", 5 << 20, {"content_type": "multipart/form-data; boundary=b"}, (413, "FILE_TOO_LARGE")),
        ("filename=a.pdf", 100, {}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("", 100, {"content_type": "application/pdf"}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("media_type=application/pdf", 100, {}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("filename=a.png", 900_000, {}, (507, "QUOTA_EXCEEDED")),
        ("filename=a.png&id=taken", 100, {}, (409, "ALREADY_EXISTS")),
    ],
)
def test_what_can_be_refused_is_refused_before_the_body_is_asked_for(
    alice: Dav, opened: Store, query: str, length: int, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    opened.create_bucket("choosy", BucketPolicy(types=("image/*",), max_size=1_000_000, quota=800_000))
    attach(alice, id="taken")
    alice.environ["wsgi.input"] = Unasked()

    answer = alice(
        "POST",
        f"{API}/attachments?bucket=choosy&{query}",
        content_length=str(length),
        expect="100-continue",
        **({"content_type": "application/octet-stream"} | headers),
    )
    del alice.environ["wsgi.input"]

    assert code(answer) == refusal


@pytest.mark.parametrize("name", ["..", ".", "a/b", "é" * 128])
def test_whatever_users_are_called_their_attachments_have_a_place(
    opened: Store, nobody: Dav, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also of those whose names are not given any more."""
    monkeypatch.setattr("core.access._check", lambda *_: None)
    opened.accounts.add(name, "secret")

    made = attach(nobody.signed_in(name, "secret"))

    assert nobody.signed_in(name, "secret")("GET", quote(made["path"])).status == 200
    assert made["path"].startswith("/files/attachments/")


def test_attachments_are_found_by_when_they_were_made(alice: Dav, opened: Store) -> None:
    made = [attach(alice, filename=f"{n}.txt") for n in range(3)]
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    with opened.database.write() as tx:
        for each, day in zip(made, days, strict=True):
            tx.execute(update(nodes).where(nodes.c.uid == each["uid"]).values(created=instant(day)))

    assert listed(alice, "&order_by=created&created_from=2026-01-02T00:00:00Z") == ["1.txt", "2.txt"]
    assert listed(alice, "&created_until=2026-01-02T00:00:00Z") == ["0.txt"]
    assert listed(alice, "&created_from=2026-01-02T01:00:00%2B01:00&created_until=2026-01-02T00:00:00.5Z") == ["1.txt"]
    assert listed(alice, "&created_until=9999-12-31T23:59:59Z&created_from=0001-01-01T00:00:00Z") != []
    for wrong in ("", "0", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00"):
        assert code(call(alice, "GET", f"/attachments?created_from={wrong}")) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("declared", ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "text/javascript"])
def test_p12_a_page_by_declaration_alone_runs_nowhere_and_is_refused_where_pages_are(
    alice: Dav, opened: Store, declared: str
) -> None:
    opened.create_bucket("choosy", BucketPolicy(types=("image/png", "text/plain")))
    page = b"<script>alert(1)</script>"

    for query in ("", "?filename=noext"):
        made = told(alice("POST", f"{API}/attachments{query}", page, content_type=declared), 201)
        for at in (made["url"], f"/assets/by-id/{made['object_uid']}", f"/o/r/{made['uid']}/x.png"):
            answer = alice("GET", at)
            is_saved = str(answer.header("Content-Disposition")).startswith("attachment;")
            is_boxed = str(answer.header("Content-Security-Policy")).startswith("sandbox;")
            assert answer.header("X-Content-Type-Options") == "nosniff"
            assert answer.header("Content-Type") == "text/plain" or (is_saved and is_boxed), at
        sep = "&" if query else "?"
        refused = alice("POST", f"{API}/attachments{query}{sep}bucket=choosy", page, content_type=declared)
        assert code(refused) == (415, "UNSUPPORTED_MEDIA_TYPE")
