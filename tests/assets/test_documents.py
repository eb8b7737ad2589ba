"""A collection with an owner is a document: who may read and write it, and all below it, in the tree."""

from collections.abc import Mapping

import pytest

from core import buckets
from core.settings import changed
from core.store import Store
from tests.assets.conftest import OWN, document, ruled, told
from tests.davstore.client import Dav, set_property

READERS = {
    "private": {"alice"},
    "protected": {"alice", "bob", "admin"},
    "public": {"alice", "bob", "admin", "nobody"},
}
"""Of a document of alice's (upstreams 5.8)."""
DOC = "/files/doc"


@pytest.mark.parametrize("visibility", READERS)
@pytest.mark.parametrize("who", ["alice", "bob", "admin", "nobody"])
def test_the_tree_shows_a_document_to_its_readers_and_hides_it_from_others(
    alice: Dav, to_readers: Mapping[str, Dav], visibility: str, who: str
) -> None:
    document(alice, DOC, visibility)
    alice.put(f"{DOC}/a.txt", b"text")
    dav = to_readers[who]

    statuses = [
        dav("GET", f"{DOC}/a.txt").status,
        dav("HEAD", f"{DOC}/a.txt").status,
        dav("GET", f"{DOC}/").status,
        dav.propfind(DOC, "{DAV:}getetag").status,
        dav.propfind(f"{DOC}/a.txt", "{DAV:}getetag").status,
    ]

    may = who in READERS[visibility]
    assert statuses == ([200, 200, 200, 207, 207] if may else [404] * 5)
    assert (f"{DOC}/" in dav.propfind("/files/", "{DAV:}getetag", depth="1").hrefs) == may
    assert (b"doc" in dav("GET", "/files/").body) == may


def test_without_a_document_the_drive_is_everybodys(alice: Dav, bob: Dav) -> None:
    alice.put("/files/a.txt", b"text")

    assert bob("GET", "/files/a.txt").body == b"text"
    assert bob("DELETE", "/files/a.txt").status == 204


def test_a_visibility_is_inherited_and_the_nearest_wins(alice: Dav, bob: Dav) -> None:
    document(alice, DOC, "public")
    alice.make(f"{DOC}/inner")
    alice.put(f"{DOC}/inner/a.txt")
    alice.put(f"{DOC}/b.txt")

    assert ruled(alice, f"{DOC}/inner", "private") == 200

    assert told(alice, f"{DOC}/inner/a.txt", "visibility") == "private"
    assert told(alice, f"{DOC}/b.txt", "visibility") == "public"
    assert bob("GET", f"{DOC}/inner/a.txt").status == 404
    assert bob("GET", f"{DOC}/b.txt").status == 200
    assert ruled(alice, f"{DOC}/inner", "inherit") == 200
    assert bob("GET", f"{DOC}/inner/a.txt").status == 200


def test_a_file_of_a_document_may_have_a_visibility_of_its_own(alice: Dav, bob: Dav) -> None:
    document(alice, DOC, "public")
    alice.put(f"{DOC}/a.txt")

    assert ruled(alice, f"{DOC}/a.txt", "private") == 200

    assert bob("GET", f"{DOC}/a.txt").status == 404
    assert f"{DOC}/a.txt" not in bob.propfind(DOC, "{DAV:}getetag", depth="1").hrefs


def test_a_bucket_says_what_its_documents_are_that_say_nothing(alice: Dav, bob: Dav, opened: Store) -> None:
    document(alice, DOC)
    assert ruled(alice, DOC, "inherit") == 200
    alice.put(f"{DOC}/a.txt")
    assert bob("GET", f"{DOC}/a.txt").status == 404

    policy = buckets.policy(next(bucket for bucket in opened.buckets() if bucket.name == "files"))
    opened.change_bucket("files", changed(policy, visibility="protected"))

    assert told(bob, f"{DOC}/a.txt", "visibility") == "protected"


@pytest.mark.parametrize("visibility", ["open", "", "Private"])
def test_other_words_are_no_visibility(alice: Dav, visibility: str) -> None:
    alice.make(DOC)

    assert ruled(alice, DOC, visibility) == 409


def test_only_who_made_a_collection_makes_it_a_document(alice: Dav, bob: Dav, admin: Dav, nobody: Dav) -> None:
    alice.make(DOC)
    alice.put("/files/a.txt")

    assert ruled(bob, DOC, "private") == 403
    assert ruled(alice, "/files", "public") == 403
    assert ruled(alice, "/files/a.txt", "public") == 403
    assert ruled(admin, DOC, "protected") == 200
    assert ruled(alice, DOC, "private") == 403, "it is the administrator's now"


def test_what_somebody_else_owns_is_not_taken_with_its_parent(alice: Dav, bob: Dav) -> None:
    alice.make("/files/shared")
    document(bob, "/files/shared/bobs")

    assert ruled(alice, "/files/shared", "private") == 403
    assert bob("GET", "/files/shared/bobs/").status == 200


WRITES = {
    "PUT": "new",
    "MKCOL": "newer",
    "PROPPATCH": "",
    "LOCK": "a.txt",
    "DELETE": "a.txt",
    "MOVE": "a.txt",
}
LOCK = (
    "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>"
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


def write(dav: Dav, method: str, target: str) -> int:
    bodies = {"PUT": "x", "LOCK": LOCK, "PROPPATCH": set_property("<x:a xmlns:x='urn:x'>1</x:a>")}
    headers = {"destination": "/files/taken"} if method == "MOVE" else {}
    return dav(method, target, bodies.get(method, ""), **headers).status


@pytest.mark.parametrize("method", WRITES)
def test_who_may_read_a_document_may_not_write_it(alice: Dav, bob: Dav, method: str) -> None:
    document(alice, DOC, "public")
    alice.put(f"{DOC}/a.txt")

    assert write(bob, method, f"{DOC}/{WRITES[method]}") == 403
    assert write(alice, method, f"{DOC}/{WRITES[method]}") in {200, 201, 204, 207}


@pytest.mark.parametrize("method", WRITES)
def test_what_is_hidden_cannot_be_written_and_is_not_there(alice: Dav, bob: Dav, method: str) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.txt")

    hidden = write(bob, method, f"{DOC}/{WRITES[method]}")

    assert hidden == write(bob, method, f"/files/none/{WRITES[method]}")
    assert hidden in {404, 409}


@pytest.mark.parametrize("method", ["PUT", "MKCOL", "COPY", "MOVE"])
def test_the_name_of_what_is_hidden_is_taken(alice: Dav, bob: Dav, method: str) -> None:
    document(alice, DOC)
    bob.put("/files/mine")

    if method in {"COPY", "MOVE"}:
        answer = bob(method, "/files/mine", destination=DOC)
    else:
        answer = bob(method, DOC, b"x" if method == "PUT" else b"")

    assert answer.status == 403
    assert alice("GET", DOC + "/").status == 200


@pytest.mark.parametrize("method", ["DELETE", "MOVE", "COPY"])
def test_a_collection_that_holds_somebody_elses_document_stays_where_it_is(alice: Dav, bob: Dav, method: str) -> None:
    bob.make("/files/shared")
    document(alice, "/files/shared/doc")
    alice.put("/files/shared/doc/a.txt")

    answer = bob(method, "/files/shared/", destination="/files/elsewhere/")

    assert answer.status == 403
    assert alice("GET", "/files/shared/doc/a.txt").status == 200


def test_nothing_is_written_over_somebody_elses_document(alice: Dav, bob: Dav) -> None:
    document(alice, DOC, "public")
    bob.make("/files/mine")

    assert bob("COPY", "/files/mine/", destination=DOC).status == 403
    assert alice("GET", DOC + "/").status == 200


def test_a_copy_of_a_document_is_its_makers(alice: Dav, bob: Dav) -> None:
    document(alice, DOC, "protected")
    alice.put(f"{DOC}/a.txt", b"text")

    assert bob("COPY", f"{DOC}/", destination="/files/copy/").status == 201

    assert ruled(bob, "/files/copy", "private") == 200
    assert alice("GET", "/files/copy/a.txt").status == 404
    assert bob("GET", "/files/copy/a.txt").body == b"text"


def test_the_trash_shows_a_document_to_its_owner_only(alice: Dav, bob: Dav, admin: Dav) -> None:
    document(alice, DOC)
    alice.make(f"{DOC}/inner")
    alice.put(f"{DOC}/inner/secret.txt", b"text")
    alice.put("/files/open.txt")
    assert alice("DELETE", f"{DOC}/inner/").status == 204
    assert alice("DELETE", "/files/open.txt").status == 204

    entries = alice.propfind("/-/trash/files/", "{DAV:}getetag", depth="1").hrefs
    [inner] = [href for href in entries if "inner" in href]

    for other in (bob, admin):
        theirs = other.propfind("/-/trash/files/", "{DAV:}getetag", depth="1").hrefs
        assert len(theirs) == len(entries) - 1
        assert b"inner" not in other("GET", "/-/trash/files/").body
        assert other("GET", f"{inner}secret.txt").status == 404
        assert other("MOVE", inner, destination="/files/got/").status == 404
        assert other("DELETE", inner).status == 404
    assert alice("GET", f"{inner}secret.txt").body == b"text"
    assert alice("MOVE", inner, destination=f"{DOC}/inner/").status == 201


def test_the_versions_of_a_documents_files_are_shown_to_its_owner_only(alice: Dav, bob: Dav) -> None:
    document(alice, DOC, "public")
    alice.put(f"{DOC}/a.txt", b"old")
    alice.put(f"{DOC}/a.txt", b"new")

    versions = alice.propfind(f"/-/versions{DOC}/a.txt", "{DAV:}getetag", depth="1").hrefs

    assert len(versions) == 2
    assert bob("GET", versions[1]).status == 404
    assert bob.propfind(f"/-/versions{DOC}/a.txt", "{DAV:}getetag", depth="1").status == 404
    assert alice("GET", versions[1]).body == b"old"


def test_an_if_header_tells_nothing_of_what_is_hidden(alice: Dav, bob: Dav) -> None:
    document(alice, DOC)
    etag = alice.put(f"{DOC}/a.txt", b"text").header("ETag")
    bob.put("/files/mine")

    answer = bob("PUT", "/files/mine", b"new", **{"if": f"<{DOC}/a.txt> ([{etag}])"})

    assert answer.status == 412


def test_a_library_s_media_are_not_local_and_a_copy_of_one_is_there_without_a_byte(alice: Dav, opened: Store) -> None:
    alice.make("/files/library")
    library = set_property("<S:is-local xmlns:S='urn:davstore:'>false</S:is-local>")
    assert alice("PROPPATCH", "/files/library", library).status == 207
    alice.put("/files/library/photo.bin", b"x" * 100_000)
    document(alice, DOC)
    stored = opened.usage()[0].unique_bytes

    assert alice("COPY", "/files/library/photo.bin", destination=f"{DOC}/photo.bin").status == 201

    assert told(alice, "/files/library/photo.bin", "is-local") == "false"
    assert told(alice, f"{DOC}/photo.bin", "is-local") == "true"
    assert opened.usage()[0].unique_bytes == stored
    assert told(alice, f"{DOC}/photo.bin", "object-uid") == told(alice, "/files/library/photo.bin", "object-uid")
    assert told(alice, f"{DOC}/photo.bin", "uid") != told(alice, "/files/library/photo.bin", "uid")
    assert told(alice, f"{DOC}/photo.bin", "sha256") is not None


def test_a_save_by_rename_keeps_what_the_file_was(alice: Dav, bob: Dav) -> None:
    document(alice, DOC, "public")
    alice.put(f"{DOC}/a.txt", b"old")
    assert ruled(alice, f"{DOC}/a.txt", "private") == 200
    alice.put(f"{DOC}/tmp", b"new")

    assert alice("MOVE", f"{DOC}/tmp", destination=f"{DOC}/a.txt").status == 204

    assert bob("GET", f"{DOC}/a.txt").status == 404
    assert told(alice, f"{DOC}/a.txt", "visibility") == "private"


def test_all_live_properties_are_told_with_allprop(alice: Dav) -> None:
    document(alice, DOC)
    alice.put(f"{DOC}/a.txt")

    found = alice.propfind(f"{DOC}/a.txt").properties(f"{DOC}/a.txt")

    assert {f"{OWN}{name}" for name in ("uid", "object-uid", "sha256", "visibility", "is-local")} <= set(found)
