"""`/-/trash/`: deleted files and collections as members, which MOVE and COPY bring back and DELETE ends."""

import re
from urllib.parse import quote, unquote

import pytest

from core.model import Caller
from core.policy import BucketPolicy
from core.store import Store
from tests.davstore.client import D, Dav, set_property

S = "{urn:davstore:}"
TRASH = "/-/trash/files/"
STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.[0-9a-f]{8}"
LOCK = (
    "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>"
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
RESOURCETYPE = f"{D}resourcetype"


def members(dav: Dav, target: str) -> list[str]:
    """The hrefs of a collection's members, in the order in which they are told."""
    return [href for href in dav.propfind(target, RESOURCETYPE, depth="1").hrefs if href != target]


def entry(dav: Dav, bucket: str = "files") -> str:
    """The href of the only entry."""
    (only,) = members(dav, f"/-/trash/{bucket}/")
    return only


def properties(dav: Dav, target: str) -> dict[str, str]:
    found = dav.propfind(target).properties(target)
    return {tag: element.text for tag, element in found.items()}


def relocate(dav: Dav, method: str, source: str, destination: str, **headers: str) -> int:
    return dav(method, source, destination=destination, **headers).status


@pytest.fixture
def tree(dav: Dav) -> Dav:
    """A collection with two files, one of them a level down."""
    dav.make("/files/photos")
    dav.make("/files/photos/2026")
    dav.put("/files/photos/a.jpg", b"first")
    dav.put("/files/photos/2026/b.jpg", b"second")
    return dav


def test_the_trash_lists_the_buckets(dav: Dav, opened: Store):
    opened.create_bucket("media", BucketPolicy())

    assert members(dav, "/-/trash/") == ["/-/trash/files/", "/-/trash/media/"]


def test_the_trash_leads_a_browser_nowhere_up(dav: Dav):
    assert b'rel="up"' not in dav("GET", "/-/trash/").body
    assert b'href="/-/trash/" rel="up"' in dav("GET", TRASH).body


def test_the_root_does_not_list_the_trash(dav: Dav):
    assert members(dav, "/") == ["/files/"]


def test_an_empty_trash_has_no_members(dav: Dav):
    assert dav.propfind(TRASH, depth="1").hrefs == [TRASH]


def test_a_deleted_file_is_a_member_under_its_name_with_a_stamp(dav: Dav):
    dav.put("/files/report.pdf", b"content")

    dav("DELETE", "/files/report.pdf")

    assert re.fullmatch(rf"{TRASH}report\.{STAMP}\.pdf", entry(dav))
    assert dav("GET", entry(dav)).body == b"content"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".bashrc", rf"\.bashrc\.{STAMP}"),
        ("Makefile", rf"Makefile\.{STAMP}"),
        ("archive.tar.gz", rf"archive\.tar\.{STAMP}\.gz"),
        ("ends.", rf"ends\.\.{STAMP}"),
        ("50% of it? #1.txt", rf"50% of it\? #1\.{STAMP}\.txt"),
        ("2026-11-21T23-59-59Z.0badcafe.txt", rf"2026-11-21T23-59-59Z\.0badcafe\.{STAMP}\.txt"),
        ("é" * 127, rf"é+\.{STAMP}"),
        ("n" * 251 + ".txt", rf"n+\.{STAMP}\.txt"),
    ],
)
def test_every_name_leads_back_to_its_entry(dav: Dav, name: str, expected: str):
    target = "/files/" + quote(name)
    dav.put(target, b"content")

    dav("DELETE", target)

    shown = unquote(entry(dav)).removeprefix(TRASH)
    assert re.fullmatch(expected, shown)
    assert len(shown.encode()) <= 255
    assert dav("GET", entry(dav)).body == b"content"
    assert relocate(dav, "MOVE", entry(dav), target) == 201
    assert dav("GET", target).body == b"content"


def test_a_collection_keeps_the_dots_of_its_name_before_the_stamp(dav: Dav):
    dav.make("/files/v1.2")

    dav("DELETE", "/files/v1.2")

    assert re.fullmatch(rf"{TRASH}v1\.2\.{STAMP}/", entry(dav))


def test_files_of_one_name_are_entries_of_their_own_newest_first(dav: Dav):
    for content in (b"one", b"two", b"three"):
        dav.put("/files/same.txt", content)
        dav("DELETE", "/files/same.txt")

    assert [dav("GET", href).body for href in members(dav, TRASH)] == [b"three", b"two", b"one"]


def test_a_name_stays_when_others_come_and_go(dav: Dav):
    dav.put("/files/same.txt", b"one")
    dav("DELETE", "/files/same.txt")
    first = entry(dav)
    dav.put("/files/same.txt", b"two")
    dav("DELETE", "/files/same.txt")

    assert first in members(dav, TRASH)
    dav("DELETE", next(href for href in members(dav, TRASH) if href != first))
    assert members(dav, TRASH) == [first]


def test_more_entries_than_a_page_holds_are_all_listed_once(opened: Store, dav: Dav):
    for number in range(7):
        dav.put(f"/files/{number}", b"")
        dav("DELETE", f"/files/{number}")
    from davstore import views

    view = views.of(opened.namespace(Caller()), ("-", "trash"))
    assert view
    bucket = view.node(("-", "trash", "files"))

    names = [[node.name[0] for node in page] for page in view.children_of(bucket, 3)]

    assert names == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


def test_an_entry_tells_where_it_was_who_deleted_it_and_how_long_it_stays(admin: Dav, bob: Dav):
    admin.make("/files/a & b")
    admin.put("/files/a%20&%20b/report.pdf")

    bob("DELETE", "/files/a%20&%20b/report.pdf")

    told = properties(admin, entry(admin))
    assert told[f"{S}original-path"] == "/files/a & b/report.pdf"
    assert told[f"{S}deleted-by"] == "bob"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told[f"{S}deleted-at"])
    assert told[f"{S}until"] > told[f"{S}deleted-at"]
    named = admin.propfind(entry(admin), f"{S}deleted-by").properties(entry(admin))
    assert named[f"{S}deleted-by"].text == "bob"


def test_what_was_not_deleted_tells_nothing_of_the_kind(dav: Dav):
    dav.put("/files/here")

    missing = dav.propfind("/files/here", f"{S}original-path", f"{S}deleted-by")

    assert set(missing.properties("/files/here", "HTTP/1.1 404 Not Found")) == {f"{S}original-path", f"{S}deleted-by"}
    assert f"{S}original-path" not in properties(dav, "/files/here")


def test_a_deleted_collection_can_be_browsed_and_its_files_read(tree: Dav):
    tree("DELETE", "/files/photos")

    top = entry(tree)
    assert sorted(members(tree, top)) == [f"{top}2026/", f"{top}a.jpg"]
    assert members(tree, f"{top}2026/") == [f"{top}2026/b.jpg"]
    assert tree("GET", f"{top}2026/b.jpg").body == b"second"
    page = tree("GET", top)
    assert page.status == 200
    assert b"a.jpg" in page.body


def test_the_trash_serves_like_the_tree_does(dav: Dav):
    put = dav.put("/files/a.txt", b"0123456789")
    dav("DELETE", "/files/a.txt")
    target = entry(dav)

    whole, part = dav("GET", target), dav("GET", target, range="bytes=2-4")

    assert whole.header("ETag") == put.header("ETag")
    assert whole.header("Last-Modified") == put.header("Last-Modified")
    assert (part.status, part.body, part.header("Content-Range")) == (206, b"234", "bytes 2-4/10")
    assert dav("GET", target, if_none_match=str(put.header("ETag"))).status == 304
    assert dav("GET", target, range="bytes=10-").status == 416
    assert dav("HEAD", target).header("Content-Length") == "10"


def test_an_entry_moved_back_is_the_same_asset_with_all_that_it_had(dav: Dav):
    dav.put("/files/a.txt", b"old")
    dav.put("/files/a.txt", b"new")
    dav("PROPPATCH", "/files/a.txt", set_property("<x:color xmlns:x='x:'>blue</x:color>"))
    before = properties(dav, "/files/a.txt")
    dav("DELETE", "/files/a.txt")

    assert relocate(dav, "MOVE", entry(dav), "/files/a.txt") == 201

    after = properties(dav, "/files/a.txt")
    assert after[f"{S}uid"] == before[f"{S}uid"]
    assert after["{x:}color"] == "blue"
    assert after[f"{D}getlastmodified"] == before[f"{D}getlastmodified"]
    (version,) = members(dav, "/-/versions/files/a.txt/")
    assert dav("GET", version).body == b"old"
    assert members(dav, TRASH) == []


def test_a_collection_comes_back_with_all_that_is_in_it(tree: Dav):
    uid = properties(tree, "/files/photos/")[f"{S}uid"]
    tree("DELETE", "/files/photos")

    assert relocate(tree, "MOVE", entry(tree), "/files/again/") == 201

    assert tree("GET", "/files/again/2026/b.jpg").body == b"second"
    assert properties(tree, "/files/again/")[f"{S}uid"] == uid


def test_copying_an_entry_leaves_it_where_it_is(tree: Dav):
    tree("DELETE", "/files/photos")
    top = entry(tree)

    assert relocate(tree, "COPY", top, "/files/copy") == 201

    assert tree("GET", "/files/copy/a.jpg").body == b"first"
    assert tree("GET", f"{top}a.jpg").body == b"first"
    assert properties(tree, "/files/copy/")[f"{S}uid"] != properties(tree, top)[f"{S}uid"]


def test_a_shallow_copy_brings_the_collection_alone(tree: Dav):
    tree("DELETE", "/files/photos")

    assert relocate(tree, "COPY", entry(tree), "/files/copy", depth="0") == 201

    assert members(tree, "/files/copy/") == []


def test_a_member_of_a_deleted_collection_comes_back_alone(tree: Dav):
    uid = properties(tree, "/files/photos/2026/b.jpg")[f"{S}uid"]
    tree("DELETE", "/files/photos")
    top = entry(tree)

    assert relocate(tree, "MOVE", f"{top}2026/b.jpg", "/files/b.jpg") == 201

    assert properties(tree, "/files/b.jpg")[f"{S}uid"] == uid
    assert members(tree, f"{top}2026/") == []
    assert relocate(tree, "COPY", f"{top}a.jpg", "/files/a.jpg") == 201
    assert members(tree, "/files/") == ["/files/a.jpg", "/files/b.jpg"]
    assert relocate(tree, "MOVE", f"{top}2026", "/files/2026") == 201
    assert members(tree, top) == [f"{top}a.jpg"]


def test_what_a_restored_file_takes_the_place_of_goes_to_the_trash(dav: Dav):
    dav.put("/files/a.txt", b"old")
    uid = properties(dav, "/files/a.txt")[f"{S}uid"]
    dav("DELETE", "/files/a.txt")
    dav.put("/files/a.txt", b"other")
    old = entry(dav)

    assert relocate(dav, "MOVE", old, "/files/a.txt", overwrite="F") == 412
    assert dav("GET", "/files/a.txt").body == b"other"
    assert relocate(dav, "MOVE", old, "/files/a.txt") == 204

    assert dav("GET", "/files/a.txt").body == b"old"
    assert properties(dav, "/files/a.txt")[f"{S}uid"] == uid
    assert dav("GET", entry(dav)).body == b"other"


def test_a_copy_over_a_file_makes_what_it_had_a_version(dav: Dav):
    dav.put("/files/a.txt", b"old")
    dav("DELETE", "/files/a.txt")
    dav.put("/files/a.txt", b"other")

    assert relocate(dav, "COPY", entry(dav), "/files/a.txt") == 204

    assert dav("GET", "/files/a.txt").body == b"old"
    (version,) = members(dav, "/-/versions/files/a.txt/")
    assert dav("GET", version).body == b"other"


def test_restoring_needs_the_collection_that_shall_hold_it(tree: Dav):
    tree("DELETE", "/files/photos/a.jpg")

    assert relocate(tree, "MOVE", entry(tree), "/files/nowhere/a.jpg") == 409
    assert relocate(tree, "MOVE", entry(tree), "/nowhere/a.jpg") == 409
    assert relocate(tree, "MOVE", entry(tree), "/a.jpg") == 403
    assert tree("GET", entry(tree)).body == b"first"


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_locks_at_the_destination_hold_for_what_comes_back_too(dav: Dav, method: str):
    dav.make("/files/locked")
    dav.put("/files/locked/a.txt", b"old")
    dav("DELETE", "/files/locked/a.txt")
    token = str(dav("LOCK", "/files/locked/", LOCK).header("Lock-Token"))
    old = entry(dav)

    assert relocate(dav, method, old, "/files/locked/a.txt") == 423
    assert members(dav, "/files/locked/") == []
    tagged = f"<http://dav.example/files/locked/> ({token})"
    assert relocate(dav, method, old, "/files/locked/a.txt", **{"if": tagged}) == 201


def test_conditions_look_at_the_entry(dav: Dav):
    dav.put("/files/a.txt", b"old")
    dav("DELETE", "/files/a.txt")
    target = entry(dav)
    etag = str(dav("HEAD", target).header("ETag"))

    assert dav("DELETE", target, if_match='"other"').status == 412
    assert relocate(dav, "MOVE", target, "/files/a.txt", if_match='"other"') == 412
    assert dav("PROPFIND", target, depth="0", **{"if": '(["other"])'}).status == 412
    assert dav("GET", target, **{"if": f"([{etag}])"}).status == 200
    assert relocate(dav, "MOVE", target, "/files/a.txt", if_match=etag) == 201


def test_deleting_an_entry_is_final_and_makes_room(opened: Store, dav: Dav):
    dav.put("/files/a.bin", b"x" * 1000)
    dav("DELETE", "/files/a.bin")
    assert opened.usage()[0].logical_bytes == 1000

    assert dav("DELETE", entry(dav)).status == 204

    assert members(dav, TRASH) == []
    assert opened.usage()[0].logical_bytes == 0
    assert opened.collect_garbage(grace=0, retention=0).purged == 1


def test_a_member_of_a_deleted_collection_can_be_ended_alone(opened: Store, tree: Dav):
    tree("DELETE", "/files/photos")
    top = entry(tree)

    assert tree("DELETE", f"{top}2026/").status == 204

    assert members(tree, top) == [f"{top}a.jpg"]
    assert opened.usage()[0].logical_bytes == len(b"first")
    assert opened.usage()[0].files == 1


@pytest.mark.parametrize("target", ["/-/trash/", "/-/trash/files/"])
def test_the_lists_themselves_are_not_deleted_nor_taken_out(tree: Dav, target: str):
    tree("DELETE", "/files/photos")

    assert tree("DELETE", target).status == 403
    assert relocate(tree, "MOVE", target, "/files/x") == 403
    assert relocate(tree, "COPY", target, "/files/x") == 403
    assert len(members(tree, TRASH)) == 1


@pytest.mark.parametrize("method", ["PUT", "MKCOL", "LOCK", "PROPPATCH", "UNLOCK"])
def test_nothing_is_written_in_the_trash(tree: Dav, method: str):
    tree("DELETE", "/files/photos")
    top = entry(tree)

    for target in (top, f"{top}a.jpg", f"{top}new", f"{TRASH}new", "/-/trash/new"):
        assert tree(method, target, b"body").status == 403
    assert sorted(members(tree, top)) == [f"{top}2026/", f"{top}a.jpg"]


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_nothing_is_moved_or_copied_into_the_trash(tree: Dav, method: str):
    tree("DELETE", "/files/photos/a.jpg")

    assert relocate(tree, method, "/files/photos", f"{TRASH}photos") == 403
    assert relocate(tree, method, entry(tree), f"{TRASH}other.jpg") == 403
    assert relocate(tree, method, entry(tree), f"{entry(tree)}/other.jpg") == 403
    assert tree("GET", "/files/photos/2026/b.jpg").body == b"second"


@pytest.mark.parametrize(
    "target",
    [
        "/-/trash/nowhere/",
        f"{TRASH}a.jpg",
        f"{TRASH}a.2026-11-21T23-59-59Z.0badcafe.jpg",
        f"{TRASH}a.2026-99-99T23-59-59Z.0badcafe.jpg",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PROPFIND", "DELETE"])
def test_what_is_not_in_the_trash_is_not_found(dav: Dav, method: str, target: str):
    assert dav(method, target, depth="0" if method == "PROPFIND" else "infinity").status == 404
    assert relocate(dav, "MOVE", target, "/files/x") == 404


def test_another_name_with_the_same_stamp_is_not_found(dav: Dav):
    dav.put("/files/a.txt")
    dav("DELETE", "/files/a.txt")

    assert dav("GET", entry(dav).replace("/a.", "/b.")).status == 404
    assert dav("GET", entry(dav) + "/below").status == 404


def test_an_entry_comes_back_to_another_bucket_with_its_versions(opened: Store, dav: Dav):
    opened.create_bucket("media", BucketPolicy())
    big = b"x" * 100_000
    dav.put("/files/a.bin", b"old")
    dav.put("/files/a.bin", big)
    dav("DELETE", "/files/a.bin")

    assert relocate(dav, "COPY", entry(dav), "/media/copy.bin") == 201
    assert relocate(dav, "MOVE", entry(dav), "/media/a.bin") == 201

    assert dav("GET", "/media/copy.bin").body == big
    assert dav("GET", "/media/a.bin").body == big
    (version,) = members(dav, "/-/versions/media/a.bin/")
    assert dav("GET", version).body == b"old"
    files, media = opened.usage()
    assert (files.files, files.logical_bytes) == (0, 0)
    assert (media.files, media.logical_bytes) == (2, 200_000)


def test_bringing_back_writes_no_bytes(opened: Store, dav: Dav):
    dav.put("/files/a.bin", b"x" * 100_000)
    dav("DELETE", "/files/a.bin")
    before = opened.usage()[0].unique_bytes

    relocate(dav, "COPY", entry(dav), "/files/copy.bin")

    assert opened.usage()[0].unique_bytes == before == 100_000


def test_a_reader_of_the_tree_neither_reads_the_trash_nor_changes_it(opened: Store, dav: Dav):
    from core.settings import Server
    from davstore.app import application

    dav.put("/files/a.txt", b"old")
    dav("DELETE", "/files/a.txt")
    reader = Dav(application(opened, opened.settings.model_copy(update={"server": Server(anonymous="read")})))

    target = entry(dav)

    assert reader("GET", target).status == 401
    assert reader("DELETE", target).status == 401
    assert relocate(reader, "MOVE", target, "/files/a.txt") == 401
    assert entry(dav) == target


def test_strangers_see_no_trash(alone: Dav):
    assert alone("PROPFIND", TRASH, depth="1").status == 401


def test_a_name_in_another_unicode_form_is_found(dav: Dav):
    dav.make("/files/caf%C3%A9")
    dav.put("/files/caf%C3%A9/%C3%BC.txt", b"content")
    dav("DELETE", "/files/caf%C3%A9")

    decomposed = entry(dav).replace("%C3%A9", "e%CC%81")

    assert decomposed != entry(dav)
    assert dav("GET", f"{decomposed}u%CC%88.txt").body == b"content"
