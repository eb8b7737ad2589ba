"""`/-/versions/`: a file's older contents as members, which COPY and MOVE bring back and DELETE ends."""

import re

import pytest

from core.model import Caller
from core.policy import BucketPolicy
from core.store import Store
from tests.davstore.client import Dav
from tests.davstore.test_trash_view import LOCK, RESOURCETYPE, STAMP, D, S, members, properties, relocate

LIST = "/-/versions/files/a.txt/"


@pytest.fixture
def old(dav: Dav) -> str:
    """The href of the only version of /files/a.txt, `old`, which became `present`."""
    dav.put("/files/a.txt", b"old", x_oc_mtime="946684800")
    dav.put("/files/a.txt", b"present")
    (only,) = members(dav, LIST)
    return only


def contents(dav: Dav, target: str = LIST) -> list[bytes]:
    return [dav("GET", href).body for href in members(dav, target)]


def test_a_replaced_content_is_a_member_named_by_its_time(dav: Dav, old: str):
    assert re.fullmatch(rf"{LIST}{STAMP}\.txt", old)
    assert dav("GET", old).body == b"old"


def test_a_version_has_the_length_tag_and_time_of_its_content(dav: Dav, old: str):
    told = properties(dav, old)

    assert told[f"{D}getcontentlength"] == "3"
    assert told[f"{D}getetag"] == dav("GET", old).header("ETag")
    assert told[f"{D}getlastmodified"] == "Sat, 01 Jan 2000 00:00:00 GMT" == dav("GET", old).header("Last-Modified")


def test_a_version_keeps_its_type_and_brings_it_back(dav: Dav):
    dav.put("/files/a", b"old", content_type="text/x-old")
    dav.put("/files/a", b"present", content_type="text/x-new")
    (version,) = members(dav, "/-/versions/files/a/")

    assert properties(dav, version)[f"{D}getcontenttype"] == "text/x-old" == dav("GET", version).header("Content-Type")
    relocate(dav, "COPY", version, "/files/a")
    assert dav("GET", "/files/a").header("Content-Type") == "text/x-old"


def test_a_version_tells_who_wrote_it_and_when_it_was_replaced(admin: Dav, bob: Dav):
    admin.put("/files/a.txt", b"by admin")
    bob.put("/files/a.txt", b"by bob")

    (version,) = members(bob, LIST)

    told = properties(bob, version)
    assert told[f"{S}author"] == "admin"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told[f"{S}replaced"])


def test_versions_come_newest_first(admin: Dav, bob: Dav):
    for number, who in enumerate((admin, bob, admin, bob)):
        who.put("/files/a.txt", b"%d" % number)

    assert contents(admin) == [b"2", b"1", b"0"]


def test_a_version_is_served_like_any_file(dav: Dav, old: str):
    etag = str(dav("HEAD", old).header("ETag"))

    part = dav("GET", old, range="bytes=1-1")

    assert (part.status, part.body, part.header("Content-Range")) == (206, b"l", "bytes 1-1/3")
    assert dav("GET", old, if_none_match=etag).status == 304
    assert dav("GET", old, if_match='"other"').status == 412


def test_clients_can_browse_from_the_top_down_to_a_version(dav: Dav):
    dav.make("/files/sub")
    dav.put("/files/sub/b", b"old")
    dav.put("/files/sub/b", b"present")

    assert members(dav, "/-/versions/") == ["/-/versions/files/"]
    assert members(dav, "/-/versions/files/") == ["/-/versions/files/sub/"]
    assert members(dav, "/-/versions/files/sub/") == ["/-/versions/files/sub/b/"]
    (version,) = members(dav, "/-/versions/files/sub/b/")
    assert re.fullmatch(rf"/-/versions/files/sub/b/{STAMP}", version)
    assert dav("GET", "/-/versions/files/sub/b/").status == 200


def test_a_file_is_shown_as_a_collection_without_a_content(dav: Dav):
    dav.put("/files/a.txt")

    told = dav.propfind(LIST).properties(LIST)

    assert told[RESOURCETYPE].find(f"{D}collection") is not None
    assert f"{D}getcontentlength" not in told
    assert members(dav, LIST) == []


def test_a_version_copied_over_the_file_is_its_content_again_and_the_present_one_a_version(dav: Dav, old: str):
    uid = properties(dav, "/files/a.txt")[f"{S}uid"]

    assert relocate(dav, "COPY", old, "/files/a.txt") == 204

    restored = properties(dav, "/files/a.txt")
    assert dav("GET", "/files/a.txt").body == b"old"
    assert restored[f"{S}uid"] == uid
    assert restored[f"{D}getlastmodified"] == "Sat, 01 Jan 2000 00:00:00 GMT"
    assert contents(dav) == [b"present", b"old"]


def test_a_version_moved_over_the_file_leaves_the_list(dav: Dav, old: str):
    assert relocate(dav, "MOVE", old, "/files/a.txt") == 204

    assert dav("GET", "/files/a.txt").body == b"old"
    assert contents(dav) == [b"present"]


def test_what_was_brought_back_is_kept_when_it_is_replaced_at_once(dav: Dav, old: str):
    relocate(dav, "MOVE", old, "/files/a.txt")

    dav.put("/files/a.txt", b"third")

    assert sorted(contents(dav)) == [b"old", b"present"]


def test_bringing_back_what_is_there_already_makes_no_version(dav: Dav, old: str):
    relocate(dav, "COPY", old, "/files/a.txt")
    relocate(dav, "COPY", old, "/files/a.txt")

    assert contents(dav) == [b"present", b"old"]


def test_a_version_copied_elsewhere_is_a_new_file(dav: Dav, old: str):
    assert relocate(dav, "COPY", old, "/files/b.txt") == 201

    assert dav("GET", "/files/b.txt").body == b"old"
    assert dav("GET", "/files/a.txt").body == b"present"
    assert properties(dav, "/files/b.txt")[f"{S}uid"] != properties(dav, "/files/a.txt")[f"{S}uid"]
    assert contents(dav) == [b"old"]


def test_a_version_moved_elsewhere_is_a_new_file_and_no_version_any_more(dav: Dav, old: str):
    assert relocate(dav, "MOVE", old, "/files/b.txt") == 201

    assert dav("GET", "/files/b.txt").body == b"old"
    assert contents(dav) == []


def test_a_version_takes_the_place_of_a_collection_which_goes_to_the_trash(dav: Dav, old: str):
    dav.make("/files/b")

    assert relocate(dav, "COPY", old, "/files/b", overwrite="F") == 412
    assert relocate(dav, "COPY", old, "/files/b") == 204

    assert dav("GET", "/files/b").body == b"old"
    assert len(members(dav, "/-/trash/files/")) == 1


def test_a_deleted_version_is_gone_for_good(opened: Store, dav: Dav, old: str):
    before = properties(dav, LIST)[f"{D}getetag"]

    assert dav("DELETE", old).status == 204

    assert contents(dav) == []
    assert dav("GET", old).status == 404
    assert dav("DELETE", old).status == 404
    assert opened.collect_garbage(grace=0, retention=0).purged == 1
    assert properties(dav, LIST)[f"{D}getetag"] != before


def test_quota_follows_the_size_of_the_content_that_came_back(opened: Store, dav: Dav, old: str):
    assert opened.usage()[0].logical_bytes == len(b"present")

    relocate(dav, "COPY", old, "/files/a.txt")
    relocate(dav, "COPY", old, "/files/b.txt")

    assert opened.usage()[0].logical_bytes == 2 * len(b"old")
    assert opened.usage()[0].files == 2


def test_a_content_beyond_the_quota_does_not_come_back(opened: Store, dav: Dav):
    opened.create_bucket("small", BucketPolicy(quota=10))
    dav.put("/small/a", b"123456789")
    dav.put("/small/a", b"1")
    dav.put("/small/b", b"12345")
    (version,) = members(dav, "/-/versions/small/a/")

    assert relocate(dav, "COPY", version, "/small/a") == 507

    assert dav("GET", "/small/a").body == b"1"
    assert contents(dav, "/-/versions/small/a/") == [b"123456789"]


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_a_lock_on_the_file_holds_for_its_older_contents_too(dav: Dav, old: str, method: str):
    token = str(dav("LOCK", "/files/a.txt", LOCK).header("Lock-Token"))

    assert relocate(dav, method, old, "/files/a.txt") == 423
    assert contents(dav) == [b"old"]
    assert relocate(dav, method, old, "/files/a.txt", **{"if": f"<http://dav.example/files/a.txt> ({token})"}) == 204


@pytest.mark.parametrize("method", ["PUT", "MKCOL", "LOCK", "PROPPATCH", "UNLOCK"])
def test_nothing_is_written_among_the_versions(dav: Dav, old: str, method: str):
    for target in (old, LIST, f"{LIST}new", "/-/versions/files/new", "/-/versions/new"):
        assert dav(method, target, b"body").status == 403
    assert contents(dav) == [b"old"]


@pytest.mark.parametrize("target", ["/-/versions/", "/-/versions/files/", LIST])
def test_the_lists_themselves_are_not_deleted_nor_taken_out(dav: Dav, old: str, target: str):
    assert dav("DELETE", target).status == 403
    assert relocate(dav, "MOVE", target, "/files/x") == 403
    assert relocate(dav, "COPY", target, "/files/x") == 403
    assert relocate(dav, "COPY", "/files/a.txt", target) == 403
    assert contents(dav) == [b"old"]


@pytest.mark.parametrize(
    "target",
    ["/-/versions/nowhere", "/-/versions/files/nowhere", f"{LIST}2026-11-21T23-59-59Z.0badcafe.txt", f"{LIST}a/b"],
)
def test_what_is_no_version_is_not_found(dav: Dav, old: str, target: str):
    assert dav("GET", target).status == 404
    assert dav("DELETE", target).status == 404
    assert relocate(dav, "COPY", target, "/files/x") == 404


def test_versions_follow_the_file_when_it_moves(dav: Dav, old: str):
    relocate(dav, "MOVE", "/files/a.txt", "/files/b.md")

    (moved,) = members(dav, "/-/versions/files/b.md/")

    assert re.fullmatch(rf"/-/versions/files/b\.md/{STAMP}\.md", moved)
    assert dav("GET", moved).body == b"old"
    assert dav("GET", LIST).status == 404


def test_a_version_goes_to_another_bucket(opened: Store, dav: Dav):
    opened.create_bucket("media", BucketPolicy())
    big = b"x" * 100_000
    dav.put("/files/a.txt", big)
    dav.put("/files/a.txt", b"present")
    (version,) = members(dav, LIST)

    assert relocate(dav, "COPY", version, "/media/copy") == 201
    assert relocate(dav, "MOVE", version, "/media/moved") == 201

    assert dav("GET", "/media/copy").body == dav("GET", "/media/moved").body == big
    assert contents(dav) == []


def test_bringing_back_writes_no_bytes(opened: Store, dav: Dav):
    dav.put("/files/a.txt", b"x" * 100_000)
    dav.put("/files/a.txt", b"y" * 100_000)
    (version,) = members(dav, LIST)

    relocate(dav, "COPY", version, "/files/a.txt")

    assert opened.usage()[0].unique_bytes == 200_000


def test_more_files_than_a_page_holds_are_all_listed_once(opened: Store, dav: Dav):
    from davstore import views

    for number in range(7):
        dav.put(f"/files/{number}", b"")
    view = views.of(opened.namespace(Caller()), ("-", "versions"))
    assert view

    pages = [[node.name for node in page] for page in view.children_of(view.node(("-", "versions", "files")), 3)]

    assert pages == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


def test_strangers_see_no_versions(alone: Dav):
    assert alone("PROPFIND", "/-/versions/", depth="1").status == 401
