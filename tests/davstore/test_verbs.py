"""The methods as clients use them: the rows of the compatibility checklist by their ids, in process.

A: discovery and authentication. U: PUT, MKCOL, DELETE. M: COPY and MOVE. N: names and robustness.
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from core.store import Store
from tests.davstore.client import Answer, Dav

LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
EVERYTHING = {
    *("OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PROPFIND", "PROPPATCH"),
    *("MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),
}


def send(
    dav: Dav,
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    chunked: bool = False,
) -> Answer:
    framing = {"Content-Length": "", "Transfer-Encoding": "chunked"} if chunked else {}
    return dav(method, target, body, **framing, **(headers or {}))


def put(dav: Dav, target: str, body: bytes = b"content", **headers: str) -> Answer:
    return dav("PUT", target, body, **headers)


def content(dav: Dav, target: str) -> bytes | int:
    """The bytes that are there, or the status that says why not."""
    answer = send(dav, "GET", target)
    return answer.body if answer.status == 200 else answer.status


def members(dav: Dav, target: str) -> set[str]:
    return set(dav.propfind(target, "{DAV:}resourcetype", depth="1").hrefs) - {target}


def relocate(dav: Dav, method: str, source: str, destination: str, **headers: str) -> int:
    return send(dav, method, source, headers={"Destination": destination, **headers}).status


def locked(dav: Dav, target: str) -> str:
    answer = send(dav, "LOCK", target, LOCK, {"Depth": "infinity"})
    assert answer.status in {200, 201}
    return str(answer.header("Lock-Token")).strip("<>")


def words(header: str | None) -> set[str]:
    return {word.strip() for word in (header or "").split(",")}


# Discovery


@pytest.mark.parametrize("target", ["/files/", "/files", "/", "*", "/files/not-there", "/nowhere/at/all"])
def test_a01_a06_a08_options_advertises_class_1_2_3_wherever_it_is_asked(dav: Dav, target: str):
    answer = send(dav, "OPTIONS", target)

    assert answer.status == 200
    assert words(answer.header("DAV")) == {"1", "2", "3"}
    assert answer.header("Content-Length") == "0"


def test_a02_options_names_dav_as_the_authoring_protocol(dav: Dav):
    assert send(dav, "OPTIONS", "/files/").header("MS-Author-Via") == "DAV"


def test_a03_a04_options_of_a_file_and_of_a_collection_allow_all_methods(dav: Dav):
    put(dav, "/files/a")

    for target in ("/files/a", "/files/"):
        answer = send(dav, "OPTIONS", target)

        assert words(answer.header("Allow")) == EVERYTHING
        assert answer.header("Accept-Ranges") == "bytes"


def test_a07_the_root_lists_the_buckets(dav: Dav):
    assert members(dav, "/") == {"/files/"}


@pytest.mark.parametrize("method", ["POST", "TRACE", "SEARCH", "REPORT", "PATCH"])
def test_a17_a_known_method_that_is_not_offered_is_405_with_allow(dav: Dav, method: str):
    answer = send(dav, method, "/files/", b"<x/>")

    assert answer.status == 405
    assert words(answer.header("Allow")) == EVERYTHING


def test_a17_an_unknown_method_is_501(dav: Dav):
    assert send(dav, "BREW", "/files/pot").status == 501


def test_a_405_allows_everything_but_the_refused_method(dav: Dav):
    answer = put(dav, "/files/name/")

    assert answer.status == 405
    assert words(answer.header("Allow")) == EVERYTHING - {"PUT"}


@pytest.mark.parametrize("target", ["/api/v1/x", "/assets/by-id/x", "/o/r/x/y", "/metrics", "/-/other/files", "/API"])
def test_reserved_prefixes_are_no_part_of_the_tree(dav: Dav, target: str):
    """Where something answers that is only read, MKCOL is a method that it lacks."""
    assert send(dav, "GET", target).status == 404
    assert send(dav, "MKCOL", target).status == (405 if target.startswith(("/assets/", "/o/")) else 404)


def test_health_and_readiness_need_no_credentials(alone: Dav):
    assert send(alone, "GET", "/healthz").body == b"ok\n"
    assert send(alone, "GET", "/-/ready").status == 200
    assert send(alone, "GET", "/files/").status == 401


# PUT


def test_u01_put_of_a_new_file_is_201_with_its_validators(dav: Dav):
    answer = put(dav, "/files/new.txt", b"hello")

    assert answer.status == 201
    assert answer.header("ETag") == f'"{hashlib.sha256(b"hello").hexdigest()}"'
    assert answer.header("Last-Modified") == send(dav, "HEAD", "/files/new.txt").header("Last-Modified")
    assert content(dav, "/files/new.txt") == b"hello"


def test_u02_put_over_a_file_is_204_with_another_etag(dav: Dav):
    first = put(dav, "/files/a", b"one")

    second = put(dav, "/files/a", b"two")

    assert second.status == 204
    assert second.header("ETag") != first.header("ETag")
    assert content(dav, "/files/a") == b"two"


def test_u03_u04_an_empty_put_makes_an_empty_file_with_and_without_a_length(dav: Dav):
    assert put(dav, "/files/zero", b"", Content_Length="0").status == 201
    assert put(dav, "/files/none", b"").status == 201
    assert content(dav, "/files/zero") == content(dav, "/files/none") == b""


def test_u06_a_chunked_body_is_stored(dav: Dav):
    answer = send(dav, "PUT", "/files/a", b"x" * 1_000_000, {"X-Expected-Entity-Length": "1000000"}, chunked=True)

    assert answer.status == 201
    assert content(dav, "/files/a") == b"x" * 1_000_000


def test_u07_a_body_that_ends_early_leaves_what_was_there(dav: Dav):
    put(dav, "/files/old", b"old")
    before = send(dav, "HEAD", "/files/old").headers

    assert put(dav, "/files/old", b"half", Content_Length="8").status == 400
    assert put(dav, "/files/new", b"half", Content_Length="8").status == 400
    assert send(dav, "HEAD", "/files/old").headers == before
    assert content(dav, "/files/new") == 404


class Unread:
    """A body that nobody may read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


REFUSED_EARLY: list[tuple[str, dict[str, str], int]] = [
    ("/files/taken", {"If-None-Match": "*"}, 412),
    ("/files/taken", {"If-Match": '"x"'}, 412),
    ("/files/taken", {"If": "(<DAV:no-lock>)"}, 412),
    ("/files/absent", {"If-Match": "*"}, 412),
    ("/files/locked", {}, 423),
    ("/files/no/parent", {}, 409),
    ("/files/collection", {}, 405),
    ("/files/taken/below", {}, 409),
    ("/files/taken", {"Content-Range": "bytes 0-1/5"}, 400),
    ("/files/taken", {"Content-Encoding": "gzip"}, 415),
    ("/files/huge", {"Content-Length": str(1 << 60)}, 507),
    (
        "/files/huge",
        {"Transfer-Encoding": "chunked", "Content-Length": "", "X-Expected-Entity-Length": str(1 << 60)},
        507,
    ),
]


@pytest.mark.parametrize(("target", "headers", "status"), REFUSED_EARLY)
def test_u09_what_can_be_refused_is_refused_before_the_body_is_read(
    dav: Dav, admin: Dav, target: str, headers: dict[str, str], status: int
):
    put(dav, "/files/taken", b"kept")
    send(dav, "MKCOL", "/files/collection")
    locked(admin, "/files/locked")

    unread = replace(dav, environ={"wsgi.input": Unread()})
    answer = send(unread, "PUT", target, headers={"Content-Length": "5"} | headers)

    assert answer.status == status
    assert content(dav, "/files/taken") == b"kept"


def test_u11_a_partial_put_changes_nothing_even_if_it_is_complete(dav: Dav):
    put(dav, "/files/a", b"12345")

    assert put(dav, "/files/a", b"67890", Content_Range="bytes 0-4/5").status == 400
    assert content(dav, "/files/a") == b"12345"


def test_u12_put_below_a_missing_parent_is_409(dav: Dav):
    assert put(dav, "/files/no/parent").status == 409
    assert put(dav, "/nobucket/file").status == 409


@pytest.mark.parametrize("target", ["/files/dir", "/files/dir/", "/files/new/", "/files", "/files/", "/"])
def test_u13_put_on_a_collections_url_is_405(dav: Dav, target: str):
    send(dav, "MKCOL", "/files/dir")

    assert put(dav, target).status == 405
    assert members(dav, "/files/") == {"/files/dir/"}


def test_u14_u16_entity_tags_guard_a_put(dav: Dav):
    current = str(put(dav, "/files/a", b"1").header("ETag"))

    assert put(dav, "/files/a", b"2", If_None_Match="*").status == 412
    assert put(dav, "/files/b", b"2", If_None_Match="*").status == 201
    assert put(dav, "/files/a", b"2", If_Match='"stale"').status == 412
    assert put(dav, "/files/c", b"2", If_Match="*").status == 412
    assert put(dav, "/files/a", b"2", If_Match=current).status == 204
    assert content(dav, "/files/c") == 404


def test_u17_an_entity_tag_that_lost_its_quotes_still_counts(dav: Dav):
    current = str(put(dav, "/files/a", b"1").header("ETag")).strip('"')

    assert put(dav, "/files/a", b"2", If_Match=current).status == 204


@pytest.mark.parametrize(
    ("sent", "date"),
    [
        ("784111777", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("784111777.9", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("0", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("-1", "Wed, 31 Dec 1969 23:59:59 GMT"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "MKCOL"])
def test_u18_x_oc_mtime_sets_the_modification_time(dav: Dav, method: str, sent: str, date: str):
    answer = send(dav, method, "/files/a", headers={"X-OC-Mtime": sent})

    assert answer.header("X-OC-MTime") == "accepted"
    listing = send(dav, "PROPFIND", "/files/a", headers={"Depth": "0"}).body.decode()
    assert f"<D:getlastmodified>{date}</D:getlastmodified>" in listing


@pytest.mark.parametrize("sent", ["garbage", "nan", "inf", "-inf", "1e99", "9" * 400, ""])
def test_u18_an_x_oc_mtime_that_is_no_time_is_ignored(dav: Dav, sent: str):
    answer = put(dav, "/files/a", X_OC_Mtime=sent)

    assert answer.status == 201
    assert answer.header("X-OC-MTime") is None


def digest_headers(body: bytes) -> dict[str, str]:
    """RFC 9530, sections 2 and 3; RFC 3230; RFC 1864; the ownCloud chunking documents."""

    def b64(name: str) -> str:
        return base64.b64encode(hashlib.new(name, body).digest()).decode()

    return {
        "Repr-Digest": f"sha-256=:{b64('sha256')}:",
        "Content-Digest": f"sha-512=:{b64('sha512')}:, unknown=:AAAA:",
        "Digest": f"SHA={b64('sha1')},md5={b64('md5')},SHA-256={b64('sha256')}",
        "Content-MD5": b64("md5"),
        "OC-Checksum": f"SHA1:{hashlib.sha1(body).hexdigest()} ADLER32:{zlib.adler32(body):08x}",
    }


@pytest.mark.parametrize("header", digest_headers(b""))
def test_u19_u21_a_body_is_stored_only_with_the_digest_that_was_announced(dav: Dav, header: str):
    put(dav, "/files/a", b"old")

    wrong = send(dav, "PUT", "/files/a", b"other", {header: digest_headers(b"content")[header]})
    missing = send(dav, "PUT", "/files/b", b"other", {header: digest_headers(b"content")[header]})

    assert wrong.status == missing.status == 400
    assert content(dav, "/files/a") == b"old"
    assert content(dav, "/files/b") == 404
    assert send(dav, "PUT", "/files/a", b"content", {header: digest_headers(b"content")[header]}).status == 204


@pytest.mark.parametrize("value", ["sha-256=:!!!:", "sha-256=:AAAA:", "sha-256=AAA"])
def test_a_digest_that_cannot_be_right_is_refused(dav: Dav, value: str):
    assert put(dav, "/files/a", Repr_Digest=value).status == 400


@pytest.mark.parametrize("value", ["!!!", "AAAA", "\x80"])
def test_a_content_md5_that_cannot_be_right_is_refused(dav: Dav, value: str):
    assert put(dav, "/files/a", Content_MD5=value).status == 400


def test_a_digest_that_we_do_not_know_is_ignored(dav: Dav):
    assert put(dav, "/files/a", Repr_Digest="crc32c=:AAAA:", OC_Checksum="CRC32:1").status == 201


def test_u26_u28_headers_that_mean_nothing_to_a_put_are_ignored(dav: Dav):
    assert put(dav, "/files/a", Overwrite="F", Translate="f", Depth="0").status == 201
    assert put(dav, "/files/a", Overwrite="F", Translate="f").status == 204


# MKCOL and DELETE


@pytest.mark.parametrize("target", ["/files/d", "/files/d/"])
def test_u29_mkcol_is_201(dav: Dav, target: str):
    assert send(dav, "MKCOL", target, headers={"Content-Length": "0"}).status == 201
    assert members(dav, "/files/") == {"/files/d/"}


def test_u31_u33_mkcol_makes_no_parents(dav: Dav):
    assert send(dav, "MKCOL", "/files/a/b").status == 409
    assert members(dav, "/files/") == set()


@pytest.mark.parametrize("chunked", [False, True])
def test_u32_mkcol_with_a_body_is_415(dav: Dav, chunked: bool):
    assert send(dav, "MKCOL", "/files/a", b"<mkcol/>", chunked=chunked).status == 415
    assert members(dav, "/files/") == set()


@pytest.mark.parametrize("target", ["/files/dir", "/files/file", "/files/", "/files"])
def test_mkcol_on_what_is_there_is_405(dav: Dav, target: str):
    put(dav, "/files/file")
    send(dav, "MKCOL", "/files/dir")

    assert send(dav, "MKCOL", target).status == 405


def test_mkcol_obeys_conditions(dav: Dav):
    assert send(dav, "MKCOL", "/files/a", headers={"If-Match": "*"}).status == 412
    assert members(dav, "/files/") == set()


@pytest.mark.parametrize(("target", "depth"), [("/files/d", None), ("/files/d/", None), ("/files/d", "infinity")])
def test_u34_delete_takes_a_collection_with_all_that_is_in_it(dav: Dav, target: str, depth: str | None):
    send(dav, "MKCOL", "/files/d")
    put(dav, "/files/d/a")

    assert send(dav, "DELETE", target, headers={"Depth": depth} if depth else {}).status == 204
    assert content(dav, "/files/d/a") == 404
    assert members(dav, "/files/") == set()


@pytest.mark.parametrize("depth", ["0", "1", "2", "deep"])
def test_a_shallow_delete_of_a_collection_is_refused(dav: Dav, depth: str):
    send(dav, "MKCOL", "/files/d")

    assert send(dav, "DELETE", "/files/d", headers={"Depth": depth}).status == 400
    assert members(dav, "/files/") == {"/files/d/"}


def test_u36_a_locked_member_keeps_its_collection(dav: Dav, admin: Dav):
    send(dav, "MKCOL", "/files/d")
    put(dav, "/files/d/a")
    put(dav, "/files/d/b")
    locked(admin, "/files/d/b")

    answer = send(dav, "DELETE", "/files/d")

    assert answer.status in {207, 423}
    assert b"/files/d/b" in answer.body
    assert members(dav, "/files/d/") == {"/files/d/a", "/files/d/b"}


def test_u37_delete_with_the_token_takes_the_lock_along(admin: Dav):
    token = locked(admin, "/files/a")

    assert send(admin, "DELETE", "/files/a", headers={"If": f"(<{token}>)"}).status == 204
    assert put(admin, "/files/a").status == 201


@pytest.mark.parametrize("method", ["DELETE", "GET", "PUT"])
def test_u38_a_fragment_in_the_request_is_refused(dav: Dav, method: str):
    put(dav, "/files/a")

    assert send(dav, method, "/files/a#part").status == 400
    assert content(dav, "/files/a") == b"content"


@pytest.mark.parametrize("target", ["/", "/files"])
def test_buckets_are_not_deleted_by_clients(dav: Dav, target: str):
    assert send(dav, "DELETE", target).status == 403


def test_a_bucket_is_not_made_by_clients(dav: Dav):
    assert send(dav, "MKCOL", "/another").status == 403


# COPY and MOVE


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_m01_a_new_destination_is_201_without_a_body(dav: Dav, method: str):
    put(dav, "/files/a")

    answer = send(dav, method, "/files/a", headers={"Destination": "http://dav.example/files/b"})

    assert (answer.status, answer.body) == (201, b"")
    assert content(dav, "/files/b") == b"content"
    assert content(dav, "/files/a") == (b"content" if method == "COPY" else 404)


@pytest.mark.parametrize("overwrite", [{}, {"Overwrite": "T"}, {"Overwrite": " t "}])
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_m02_m04_a_taken_destination_is_replaced(dav: Dav, method: str, overwrite: dict[str, str]):
    put(dav, "/files/a", b"new")
    put(dav, "/files/b", b"old")

    assert relocate(dav, method, "/files/a", "/files/b", **overwrite) == 204
    assert content(dav, "/files/b") == b"new"


@pytest.mark.parametrize("overwrite", ["F", "f", " F "])
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_m03_m04_overwrite_f_keeps_both(dav: Dav, method: str, overwrite: str):
    put(dav, "/files/a", b"new")
    put(dav, "/files/b", b"old")

    assert relocate(dav, method, "/files/a", "/files/b", Overwrite=overwrite) == 412
    assert (content(dav, "/files/a"), content(dav, "/files/b")) == (b"new", b"old")


def test_an_overwrite_that_is_neither_is_refused(dav: Dav):
    put(dav, "/files/a")

    assert relocate(dav, "MOVE", "/files/a", "/files/b", Overwrite="maybe") == 400


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("make", [lambda dav: put(dav, "/files/a"), lambda dav: send(dav, "MKCOL", "/files/a")])
def test_m13_a_slash_at_the_destinations_end_says_nothing(dav: Dav, make: Callable[[Dav], Answer], slash: str):
    make(dav)

    assert relocate(dav, "MOVE", "/files/a", f"/files/b{slash}") == 201
    assert {name.rstrip("/") for name in members(dav, "/files/")} == {"/files/b"}


def test_m14_a_collection_moves_without_its_slash(dav: Dav):
    send(dav, "MKCOL", "/files/a")
    put(dav, "/files/a/x")

    assert relocate(dav, "MOVE", "/files/a", "/files/b") == 201
    assert content(dav, "/files/b/x") == b"content"
    assert members(dav, "/files/") == {"/files/b/"}


FORBIDDEN = [
    ("/files/d", "/files/d"),
    ("/files/d/", "/files/d"),
    ("/files/d", "/files/d/e/f"),
    ("/files/d/e", "/files/d"),
    ("/files/d/x", "/files/d/x"),
]


@pytest.mark.parametrize(("source", "destination"), FORBIDDEN)
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_m16_m18_nothing_goes_onto_itself_into_itself_or_onto_its_ancestor(
    dav: Dav, method: str, source: str, destination: str
):
    for target in ("/files/d", "/files/d/e"):
        send(dav, "MKCOL", target)
    put(dav, "/files/d/x")

    assert relocate(dav, method, source, destination) == 403
    assert members(dav, "/files/d/") == {"/files/d/e/", "/files/d/x"}
    assert content(dav, "/files/d/x") == b"content"


@pytest.mark.parametrize("make", [lambda dav: put(dav, "/files/Foo"), lambda dav: send(dav, "MKCOL", "/files/Foo")])
def test_m17_a_rename_may_change_case_alone(dav: Dav, make: Callable[[Dav], Answer]):
    make(dav)

    assert relocate(dav, "MOVE", "/files/Foo", "/files/foo") == 201
    assert {name.rstrip("/") for name in members(dav, "/files/")} == {"/files/foo"}


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_m19_what_is_missing_is_400_409_or_404(dav: Dav, method: str):
    put(dav, "/files/a")

    assert send(dav, method, "/files/a").status == 400
    assert relocate(dav, method, "/files/a", "/files/no/b") == 409
    assert relocate(dav, method, "/files/a", "/nobucket/b") == 409
    assert relocate(dav, method, "/files/no", "/files/b") == 404


@pytest.mark.parametrize(
    ("depth", "copied"), [({"Depth": "0"}, set[str]()), ({"Depth": "Infinity"}, {"/files/b/x"}), ({}, {"/files/b/x"})]
)
def test_m21_m22_copy_takes_the_members_unless_the_depth_is_0(dav: Dav, depth: dict[str, str], copied: set[str]):
    send(dav, "MKCOL", "/files/a")
    put(dav, "/files/a/x")

    assert relocate(dav, "COPY", "/files/a", "/files/b", **depth) == 201
    assert members(dav, "/files/b/") == copied
    assert members(dav, "/files/a/") == {"/files/a/x"}


@pytest.mark.parametrize(("method", "depth"), [("COPY", "1"), ("MOVE", "0"), ("MOVE", "1")])
def test_a_depth_that_the_method_does_not_have_is_refused(dav: Dav, method: str, depth: str):
    send(dav, "MKCOL", "/files/a")

    assert relocate(dav, method, "/files/a", "/files/b", Depth=depth) == 400
    assert members(dav, "/files/") == {"/files/a/"}


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_m24_x_oc_mtime_is_honoured(dav: Dav, method: str):
    put(dav, "/files/a")

    answer = send(dav, method, "/files/a", headers={"Destination": "/files/b", "X-OC-Mtime": "784111777"})

    assert answer.header("X-OC-MTime") == "accepted"
    assert send(dav, "HEAD", "/files/b").header("Last-Modified") == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_the_modification_time_goes_along(dav: Dav, method: str):
    put(dav, "/files/a", X_OC_Mtime="784111777")
    relocate(dav, method, "/files/a", "/files/b")

    assert send(dav, "HEAD", "/files/b").header("Last-Modified") == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_m26_a_lock_does_not_move_with_its_file(admin: Dav, bob: Dav):
    put(admin, "/files/a")
    token = locked(admin, "/files/a")

    assert relocate(admin, "MOVE", "/files/a", "/files/b", If=f"(<{token}>)") == 201
    assert put(bob, "/files/b").status == 204
    assert send(admin, "UNLOCK", "/files/b", headers={"Lock-Token": f"<{token}>"}).status in {204, 409}


@pytest.mark.parametrize("tag", ["", "</files/b> ", "<http://dav.example/files/b> "])
def test_m27_a_file_moves_over_a_locked_one_with_its_token(admin: Dav, tag: str):
    put(admin, "/files/a", b"new")
    put(admin, "/files/b", b"old")
    token = locked(admin, "/files/b")

    assert relocate(admin, "MOVE", "/files/a", "/files/b", If=f"{tag}(<{token}>)") == 204
    assert content(admin, "/files/b") == b"new"


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_m28_nothing_moves_over_a_locked_file_without_its_token(admin: Dav, bob: Dav, method: str):
    put(admin, "/files/a", b"new")
    put(admin, "/files/b", b"old")
    locked(admin, "/files/b")

    answer = send(bob, method, "/files/a", headers={"Destination": "/files/b"})

    assert answer.status == 423
    assert b"<D:lock-token-submitted><D:href>/files/b</D:href></D:lock-token-submitted>" in answer.body
    assert (content(admin, "/files/a"), content(admin, "/files/b")) == (b"new", b"old")


def test_m29_a_file_is_saved_by_moving_it_out_of_a_temporary_collection(dav: Dav):
    put(dav, "/files/doc", b"old")
    send(dav, "MKCOL", "/files/doc.sb-1234-abcd/")
    put(dav, "/files/doc.sb-1234-abcd/doc", b"new")

    assert relocate(dav, "MOVE", "/files/doc.sb-1234-abcd/doc", "/files/doc") == 204
    assert send(dav, "DELETE", "/files/doc.sb-1234-abcd/").status == 204
    assert content(dav, "/files/doc") == b"new"


# Names and robustness


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ("/files/%c3%bc", "/files/%C3%BC"),
        ("/files/%7e", "/files/~"),
        ("/files/%61", "/files/a"),
        ("/files/u%CC%88", "/files/%C3%BC"),
        ("/files/a", "//files//a"),
        ("/files/a", "/files/./a"),
        ("/files/a", "/./files/a"),
    ],
)
def test_n01_n02_n08_spellings_of_one_name_are_one_file(dav: Dav, made: str, asked: str):
    put(dav, made)

    assert content(dav, asked) == b"content"
    assert put(dav, asked).status == 204
    assert len(members(dav, "/files/")) == 1


RESERVED = [*"?#%;&+=@:,!$'()*[]{}^`|<>\"\\~"]


@pytest.mark.parametrize("character", RESERVED)
def test_n03_names_with_reserved_characters_make_the_round_trip(dav: Dav, character: str):
    escaped = "".join(f"%{byte:02X}" for byte in f"a{character}b".encode())
    put(dav, f"/files/{escaped}")

    assert content(dav, f"/files/{escaped}") == b"content"
    (listed,) = members(dav, "/files/")
    assert content(dav, listed) == b"content"
    assert relocate(dav, "MOVE", listed, f"/files/{escaped}-moved") == 201
    (listed,) = members(dav, "/files/")
    assert content(dav, f"/files/{escaped}-moved") == b"content"
    assert send(dav, "DELETE", listed).status == 204
    assert members(dav, "/files/") == set()


ODD = ["CON", "a:b", "trailing.", "._x", ".DS_Store", "~$x.docx", ".~lock.x%23", "Thumbs.db", "trailing%20"]
SCRIPTS = ["%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80", "%D7%A9%D7%9C%D7%95%D7%9D", "%E6%BC%A2%E5%AD%97", "%F0%A0%AE%B7"]


@pytest.mark.parametrize("name", [*ODD, *SCRIPTS])
def test_n04_n09_n11_odd_names_are_names_like_any_other(dav: Dav, name: str):
    assert put(dav, f"/files/{name}").status == 201
    assert put(dav, f"/files/{name}", b"again").status == 204
    assert relocate(dav, "MOVE", f"/files/{name}", "/files/plain") == 201
    assert content(dav, "/files/plain") == b"again"


BAD = ["/files/%00", "/files/a%01b", "/files/%0a", "/files/%7f", "/files/%ff", "/files/%ed%a0%80", "/files/%FC"]
CLIMBING = ["/files/..", "/files/../x", "/../files", "/files/%2e%2e/x", "/files/a/..%2fb"]


@pytest.mark.parametrize("target", [*BAD, *CLIMBING])
def test_n06_n12_what_is_no_path_is_400_to_every_method_and_as_destination(dav: Dav, target: str):
    put(dav, "/files/a")

    for method in EVERYTHING:
        assert send(dav, method, target, headers={"Destination": "/files/b"}).status == 400
    assert relocate(dav, "MOVE", "/files/a", target) == 400
    assert content(dav, "/files/a") == b"content"


def test_n07_a_name_has_255_bytes_and_no_more(dav: Dav):
    assert put(dav, "/files/" + "%C3%BC" * 127 + "x").status == 201
    assert put(dav, "/files/" + "%C3%BC" * 128).status == 414
    assert put(dav, "/files/" + "x" * 256).status == 414
    assert send(dav, "GET", "/files/" + "/".join(["x" * 200] * 30)).status == 414


def test_n16_a_request_without_a_host_is_answered(dav: Dav):
    put(dav, "/files/a")

    assert relocate(dav, "MOVE", "/files/a", "/files/b") == 201
    assert relocate(replace(dav, environ={"HTTP_HOST": ""}), "COPY", "/files/b", "http://dav.example/files/c") == 201


def test_n22_headers_of_other_protocols_make_no_difference(dav: Dav):
    headers = {"Translate": "f", "X-Unknown": "yes", "Cache-Control": "no-store", "If-None-Match": "JoplinIgnore-12345"}

    assert send(dav, "PUT", "/files/a", b"x", headers).status == 201
    assert send(dav, "PUT", "/files/a", b"y", headers).status == 204
    assert send(dav, "MKCOL", "/files/d", headers=headers).status == 201
    assert send(dav, "DELETE", "/files/a", headers=headers).status == 204


def test_a_write_leaves_its_store_as_one_user_left_it(dav: Dav, opened: Store):
    put(dav, "/files/a", b"same")
    put(dav, "/files/b", b"same")

    (usage,) = opened.usage()

    assert (usage.files, usage.logical_bytes, usage.unique_bytes) == (2, 8, 4)
