"""Windows, Office and macOS, which cannot run here, by the requests that they are known to send."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.clients.scripted import (
    Client,
    D,
    client,
    hrefs,
    lock_request,
    texts,
    token_in_body,
    token_in_header,
    update,
    wanted,
    xml,
)
from tests.parts.server import DavServer, basic

WIN32 = "urn:schemas-microsoft-com:"
TIMES = {
    "Win32CreationTime": "Wed, 03 Jan 2001 10:00:00 GMT",
    "Win32LastAccessTime": "Thu, 04 Jan 2001 11:00:00 GMT",
    "Win32LastModifiedTime": "Fri, 05 Jan 2001 12:00:00 GMT",
    "Win32FileAttributes": "00000020",
}
APPLE_OWNER = "<D:href>http://www.apple.com/webdav_fs/</D:href>"
FINDER_LISTS = [f"{D}getlastmodified", f"{D}getcontentlength", f"{D}creationdate", f"{D}resourcetype"]


@pytest.fixture
def explorer(server: DavServer) -> Iterator[Client]:
    with client(server, "Microsoft-WebDAV-MiniRedir/10.0.19045", translate="f", Connection="Keep-Alive") as windows:
        yield windows


@pytest.fixture
def word(server: DavServer) -> Iterator[Client]:
    with client(server, "Microsoft Office Word 2014", X_Office_Major_Version="16") as office:
        yield office


@pytest.fixture
def finder(server: DavServer) -> Iterator[Client]:
    with client(server, "WebDAVFS/3.0.0 (03008000) Darwin/23.0.0 (arm64)", Accept="*/*") as mac:
        yield mac


def test_explorer_maps_the_drive(explorer: Client) -> None:
    """A01, A02, A04, P01, P02."""
    options = explorer("OPTIONS", "")
    mapped = explorer("PROPFIND", "", b"", Depth="0")
    listed = explorer("PROPFIND", "", b"", Depth="1")

    assert options.status == 200
    assert {"1", "2"} <= {token.strip() for token in options.fields["dav"].split(",")}
    assert options.fields["ms-author-via"] == "DAV"
    assert {"MKCOL", "PUT", "PROPFIND", "LOCK"} <= {method.strip() for method in options.fields["allow"].split(",")}
    assert mapped.status == listed.status == 207
    assert b'xmlns:D="DAV:"' in mapped.body
    assert b"xmlns=" not in mapped.body
    assert hrefs(listed) == ["/files/"]


def test_explorer_walks_from_the_root(explorer: Client, server: DavServer) -> None:
    """A06, A07."""
    assert server.request("OPTIONS", "/").status == 200
    answer = server.request("PROPFIND", "/", b"", {"Depth": "1", "translate": "f"})
    assert answer.status == 207
    assert b"<D:href>/files/</D:href>" in answer.body


@pytest.mark.parametrize("name", ["desktop.ini", "folder.jpg", "Thumbs.db", "AutoRun.inf"])
def test_explorer_finds_none_of_its_own_files(explorer: Client, name: str) -> None:
    assert explorer("PROPFIND", name, b"", Depth="0").status == 404


def test_explorer_copies_a_file_in(explorer: Client) -> None:
    """L24, L04, L17, T01, T02, T03, U03: eight steps, after which the file has the time that it had."""
    assert explorer("PROPFIND", "a%20file.txt", b"", Depth="0").status == 404
    assert explorer("PUT", "a%20file.txt", b"").status == 201
    locked = explorer("LOCK", "a%20file.txt", lock_request("DESKTOP\\alice"), Timeout="Second-3600")
    assert locked.status == 200
    token = token_in_header(locked)
    first = explorer("PROPPATCH", "a%20file.txt", update(WIN32, **TIMES), If=f"({token})")
    assert first.status == 207
    assert set(texts(first)) == {f"{{{WIN32}}}{name}" for name in TIMES}
    assert explorer("HEAD", "a%20file.txt").fields["content-length"] == "0"
    assert explorer("PUT", "a%20file.txt", b"content", If=f"({token})").status == 204
    last = {name: TIMES[name] for name in ("Win32LastModifiedTime", "Win32FileAttributes")}
    assert set(texts(explorer("PROPPATCH", "a%20file.txt", update(WIN32, **last), If=f"({token})"))) == {
        f"{{{WIN32}}}{name}" for name in last
    }
    assert explorer("UNLOCK", "a%20file.txt", b"", Lock_Token=token).status == 204

    assert explorer.read("a%20file.txt") == b"content"
    attributes = f"{{{WIN32}}}Win32FileAttributes"
    told = explorer.properties("a%20file.txt", f"{D}getlastmodified", attributes)
    assert told == {f"{D}getlastmodified": TIMES["Win32LastModifiedTime"], attributes: "00000020"}


def test_explorer_makes_renames_and_removes_a_folder(explorer: Client) -> None:
    """M01, M08, M13, M14, M17, U34: no slash at the end, and the host in capitals is the same host."""
    assert explorer("PROPFIND", "New%20folder", b"", Depth="0").status == 404
    assert explorer("MKCOL", "New%20folder", b"").status == 201
    assert explorer("PROPPATCH", "New%20folder", update(WIN32, **TIMES)).status == 207
    assert explorer("PROPFIND", "New%20folder", b"", Depth="0").status == 207
    destination = f"HTTP://127.0.0.1:{explorer.server.port}/files/Plans"
    moved = explorer("MOVE", "New%20folder", Destination=destination, Overwrite="F")
    assert (moved.status, moved.body) == (201, b"")
    assert explorer("MOVE", "Plans", Destination=f"{explorer.root}/plans", Overwrite="F").status == 201
    assert hrefs(explorer("PROPFIND", "", b"", Depth="1")) == ["/files/", "/files/plans/"]
    assert explorer("DELETE", "plans").status == 204

    assert hrefs(explorer("PROPFIND", "", b"", Depth="1")) == ["/files/"]


def test_the_mark_of_a_token_without_brackets_unlocks(explorer: Client) -> None:
    """L18: Windows XP."""
    token = token_in_header(explorer("LOCK", "file", lock_request("alice"), Timeout="Second-3600"))

    assert explorer("UNLOCK", "file", b"", Lock_Token=token.strip("<>")).status == 204


def test_word_edits_a_document(word: Client) -> None:
    """L26, L09, L16, A02, G17, G18: properties are set without the token, by the lock's owner."""
    assert word("PUT", "letter.docx", b"first").status == 201
    options = word("OPTIONS", "letter.docx")
    assert options.fields["ms-author-via"] == "DAV"
    assert {"1", "2"} <= {part.strip() for part in options.fields["dav"].split(",")}
    assert word("HEAD", "letter.docx").status == 200
    locked = word("LOCK", "letter.docx", lock_request("alice"), Timeout="Second-3600", Depth="0")
    assert locked.status == 200
    token = token_in_header(locked)
    assert word("GET", "letter.docx", b"", Depth="0", translate="f").body == b"first"
    assert word("PUT", "letter.docx", b"second", If=f"({token})").status == 204
    assert set(texts(word("PROPPATCH", "letter.docx", update(WIN32, **TIMES)))) == {f"{{{WIN32}}}{n}" for n in TIMES}
    refreshed = word("LOCK", "letter.docx", b"", If=f"({token})", Timeout="Second-3600")
    assert refreshed.status == 200
    assert token_in_body(refreshed) == token
    assert word("UNLOCK", "letter.docx", b"", Lock_Token=token).status == 204

    assert word.read("letter.docx") == b"second"


def test_words_empty_bearer_is_asked_for_a_password(word: Client) -> None:
    fields = {"Host": f"127.0.0.1:{word.server.port}", "Authorization": "Bearer", "X-IDCRL_ACCEPTED": "t"}

    answer = word.raw("OPTIONS", "", fields)

    assert answer.status == 401
    assert answer.fields["www-authenticate"].startswith("Basic ")


def test_word_saves_through_a_mapped_drive(explorer: Client) -> None:
    """M27, N09: an owner file, a temporary file, and renames over the original."""
    assert explorer("PUT", "letter.docx", b"first").status == 201
    for name in ("~$letter.docx", "~WRD0001.tmp"):
        assert explorer("PUT", name, b"second").status == 201
    assert explorer("MOVE", "letter.docx", Destination=f"{explorer.root}/~WRL0002.tmp", Overwrite="F").status == 201
    assert explorer("MOVE", "~WRD0001.tmp", Destination=f"{explorer.root}/letter.docx", Overwrite="F").status == 201
    for name in ("~WRL0002.tmp", "~$letter.docx"):
        assert explorer("DELETE", name).status == 204

    assert explorer.read("letter.docx") == b"second"
    assert hrefs(explorer("PROPFIND", "", b"", Depth="1")) == ["/files/", "/files/letter.docx"]


def test_finder_mounts_for_reading_and_writing(finder: Client) -> None:
    """A01, P18, P21."""
    assert "2" in {token.strip() for token in finder("OPTIONS", "").fields["dav"].split(",")}
    assert set(finder.properties("", *FINDER_LISTS)) == set(FINDER_LISTS) - {f"{D}getcontentlength"}
    space = [f"{D}quota-available-bytes", f"{D}quota-used-bytes"]
    told = finder.properties("", *space, f"{D}quota", f"{D}quotaused")
    assert all(told[name].isdigit() for name in space)


@pytest.mark.parametrize(
    "name", ["._report", ".DS_Store", ".hidden", ".metadata_never_index", "mach_kernel", "Contents"]
)
def test_finders_probes_find_nothing(finder: Client, name: str) -> None:
    """G23, N13."""
    answer = finder("PROPFIND", name, wanted(*FINDER_LISTS), Depth="0")

    assert answer.status == 404
    assert len(answer.body) < 1_000


def test_finder_writes_a_file(finder: Client) -> None:
    """U01, U03, U06, L01, L13, G13: the date of creation, a lock, chunks with the length announced, a revalidation."""
    created = finder("PUT", "report", b"")
    assert created.status == 201
    assert "date" in created.fields
    locked = finder("LOCK", "report", lock_request(APPLE_OWNER), Depth="0", Timeout="Second-600")
    assert locked.status == 200
    token = token_in_body(locked)
    assert token == token_in_header(locked)
    assert xml(locked).findtext(f".//{D}owner/{D}href") == "http://www.apple.com/webdav_fs/"
    written = finder.in_chunks("PUT", "report", b"one ", b"two", If=f"({token})", X_Expected_Entity_Length="7")
    assert written.status == 204
    assert written.fields.keys() & {"last-modified", "etag"}
    refreshed = finder("LOCK", "report", b"", If=f"({token})", Content_Type="text/xml", Timeout="Second-600")
    assert token_in_body(refreshed) == token
    assert finder("UNLOCK", "report", b"", Lock_Token=token).status == 204

    got = finder("GET", "report")
    assert got.body == b"one two"
    assert finder("GET", "report", If_Modified_Since=got.fields["last-modified"]).status == 304


def test_finder_goes_on_with_a_broken_download(finder: Client) -> None:
    """G11: If-Range with a date, here of a file that did not change in the last second."""
    finder("PUT", "report", b"0123456789", X_OC_Mtime="978696000")
    modified = finder("HEAD", "report").fields["last-modified"]

    answer = finder("GET", "report", If_Range=modified, Range="bytes=4-")

    assert (answer.status, answer.body) == (206, b"456789")


def test_finder_renames_an_open_file(finder: Client) -> None:
    """M26: the token goes with the source; the lock does not move."""
    locked = finder("LOCK", "report", lock_request(APPLE_OWNER), Depth="0", Timeout="Second-600")
    assert locked.status == 201
    token = token_in_body(locked)
    finder("PUT", "report", b"content", If=f"({token})")

    assert finder("MOVE", "report", Destination=f"{finder.root}/renamed", If=f"({token})").status == 201

    assert finder.read("renamed") == b"content"
    assert finder("PUT", "renamed", b"unlocked").status == 204
    assert finder("UNLOCK", "renamed", b"", Lock_Token=token).status == 409


def test_textedit_saves_safely(finder: Client) -> None:
    """M02, M29: a folder beside the document, a move over it without Overwrite, the folder removed."""
    finder("PUT", "note.txt", b"first")
    folder = "note.txt.sb-0a1b2c3d-4e5f6g"
    assert finder("MKCOL", f"{folder}/", b"").status == 201
    assert finder("PUT", f"{folder}/note.txt", b"second").status == 201
    assert finder("MOVE", f"{folder}/note.txt", Destination=f"{finder.root}/note.txt").status == 204
    assert finder("DELETE", f"{folder}/").status == 204

    assert finder.read("note.txt") == b"second"


def test_finder_removes_a_folder_that_it_sees_empty(finder: Client) -> None:
    """P03: exactly one response says so."""
    finder("MKCOL", "empty/", b"")

    assert hrefs(finder("PROPFIND", "empty/", wanted(*FINDER_LISTS), Depth="1")) == ["/files/empty/"]
    assert finder("DELETE", "empty/").status == 204


def test_finder_and_windows_see_one_file_under_either_spelling(finder: Client, explorer: Client) -> None:
    """N02: decomposed by one, composed by the other."""
    assert finder("PUT", "gru%CC%88n.txt", b"green").status == 201

    assert explorer.read("gr%C3%BCn.txt") == b"green"
    assert explorer("PUT", "gr%C3%BCn.txt", b"greener").status == 204
    assert finder.read("gru%CC%88n.txt") == b"greener"
    assert len(hrefs(finder("PROPFIND", "", wanted(*FINDER_LISTS), Depth="1"))) == 2


def test_an_ampersand_is_escaped_in_what_finder_lists(finder: Client) -> None:
    """P33."""
    finder("PUT", "a%26b", b"")

    assert hrefs(finder("PROPFIND", "", wanted(*FINDER_LISTS), Depth="1"))[1] == "/files/a%26b"


def test_another_users_lock_stops_the_finder(server: DavServer, finder: Client) -> None:
    """L07, L19."""
    with ExitStack() as others:
        other = others.enter_context(client(server, "davfs2/1.6.1 neon/0.32.5"))
        token = token_in_header(other("LOCK", "report", lock_request("other"), Depth="0", Timeout="Second-600"))

        assert finder("LOCK", "report", lock_request(APPLE_OWNER), Depth="0").status == 423
        assert finder("PUT", "report", b"mine").status == 423
        assert finder("DELETE", "report").status == 423
        assert finder("PUT", "report", b"mine", If=f"({token})").status == 204


def test_windows_signs_in_with_the_domain_before_the_name(explorer: Client) -> None:
    """A11."""
    host = f"127.0.0.1:{explorer.server.port}"
    right, wrong = basic("DESKTOP\\admin", "correct horse"), basic("DESKTOP\\admin", "wrong")

    assert explorer.raw("OPTIONS", "", {"Host": host, "Authorization": right}).status == 200
    assert explorer.raw("OPTIONS", "", {"Host": host, "Authorization": wrong}).status == 401
