"""Programs that cannot run here, or not without a desktop, by the requests that their sources send."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.clients.scripted import (
    Client,
    D,
    client,
    escaped,
    hrefs,
    lock_request,
    texts,
    token_in_header,
    update,
    wanted,
)
from tests.clients.trees import ODD_NAMES
from tests.connection.peer import Peer
from tests.parts.server import DavServer, basic

As = Callable[..., Client]
SAR = "SAR:"
KDE_LISTS = ["creationdate", "getcontentlength", "displayname", "source", "getcontentlanguage", "getcontenttype"]
KDE_LISTS += ["getlastmodified", "getetag", "supportedlock", "lockdiscovery", "resourcetype"]
QUOTA = [f"{D}quota-available-bytes", f"{D}quota-used-bytes"]


@pytest.fixture
def acting(server: DavServer) -> Iterator[As]:
    """The client of this name; `acting("KIO/5.103")`."""
    with Peer(server.port, patience=30) as peer:
        credentials = basic("admin", "correct horse")
        yield lambda agent, **always: Client(server, peer, agent, Authorization=credentials, **always)


def test_keepass_saves_its_database(acting: As) -> None:
    """G19, M11: the presence is asked for by a GET that is broken off after the first byte."""
    keepass = acting("Mozilla/5.0 KeePass")
    keepass("PUT", "My%20Passwords.kdbx", b"first" * 200_000)
    assert keepass("DELETE", "My%20Passwords.kdbx.tmp").status == 404
    assert keepass("PUT", "My%20Passwords.kdbx.tmp", b"second").status == 201
    with client(keepass.server, "Mozilla/5.0 KeePass") as curious:
        curious.peek("My%20Passwords.kdbx")
    assert keepass("DELETE", "My%20Passwords.kdbx").status == 204
    destination = f"{keepass.root}/My Passwords.kdbx"
    assert keepass("MOVE", "My%20Passwords.kdbx.tmp", Destination=destination).status == 201

    assert keepass.read("My%20Passwords.kdbx") == b"second"


def test_keepass2android_saves_in_chunks_and_moves_over(acting: As) -> None:
    phone = acting("okhttp/4.10.0")
    phone("PUT", "db.kdbx", b"first")
    assert phone("PROPFIND", "db.kdbx", wanted(f"{D}getetag"), Depth="0").status == 207
    assert phone.in_chunks("PUT", "db.kdbx.tmp.0a1b.kdbx", b"sec", b"ond").status == 201
    assert phone("MOVE", "db.kdbx.tmp.0a1b.kdbx", Destination=f"{phone.root}/db.kdbx", Overwrite="T").status == 204

    assert phone.read("db.kdbx") == b"second"


def test_davx5_mounts_for_random_access(acting: As) -> None:
    """G01, U14, G16: strong validators, ranges with them, creation only where nothing is."""
    phone = acting("DAVx5/4.4")
    assert phone("PUT", "film", b"", If_None_Match="*").status == 201
    assert phone("PUT", "film", b"", If_None_Match="*").status == 412
    assert phone.in_chunks("PUT", "film", b"0123", b"456789").status == 204
    told = phone("HEAD", "film").fields
    assert told["content-length"] == "10"
    assert told["accept-ranges"] == "bytes"
    assert told["etag"].startswith('"')
    part = phone("GET", "film", Range="bytes=4-6", If_Match=told["etag"])
    assert (part.status, part.body) == (206, b"456")
    phone("PUT", "film", b"another")
    assert phone("GET", "film", Range="bytes=4-6", If_Match=told["etag"]).status == 412
    assert phone("MOVE", "film", Destination=f"{phone.root}/cinema", Overwrite="F").status == 201
    assert phone("COPY", "cinema", Destination=f"{phone.root}/film", Overwrite="F").status == 201
    assert phone("COPY", "cinema", Destination=f"{phone.root}/film", Overwrite="F").status == 412


def test_cyberduck_logs_in_and_uploads(acting: As) -> None:
    """G03, P09, T07, U11, L13."""
    duck = acting("Cyberduck/9.0 (Mac OS X/14) (arm64)")
    assert duck("HEAD", "").status == 200
    uploaded = duck("PUT", "photo.jpg.tmp", b"first")
    assert uploaded.status == 201
    assert duck("PUT", "photo.jpg.tmp", b"rest", Content_Range="bytes 5-8/9").status == 400
    assert duck.read("photo.jpg.tmp") == b"first"
    assert duck("MOVE", "photo.jpg.tmp", Destination=f"{duck.root}/photo.jpg", Overwrite="T").status == 201
    stamps = {"lastmodified": "Fri, 05 Jan 2001 12:00:00 GMT", "lastmodified_server": "Sat, 06 Jan 2001 12:00:00 GMT"}
    assert duck("PROPPATCH", "photo.jpg", update(SAR, **stamps)).status == 207
    body = '<propfind xmlns="DAV:"><allprop/><include><lastmodified xmlns="SAR:"/></include></propfind>'
    listed = duck("PROPFIND", "photo.jpg", body, Depth="1")
    assert hrefs(listed) == ["/files/photo.jpg"]
    assert texts(listed)[f"{{{SAR}}}lastmodified"] == stamps["lastmodified"]
    token = token_in_header(duck("LOCK", "photo.jpg", lock_request("duck"), Depth="0"))
    assert duck("PUT", "photo.jpg", b"second", If=f"</files/photo.jpg> ({token})").status == 204
    assert duck("UNLOCK", "photo.jpg", b"", Lock_Token=token).status == 204
    read = duck("GET", "photo.jpg", Translate="f", Range="bytes=3-", Accept_Encoding="identity")
    assert (read.status, read.body) == (206, b"ond")


def test_cyberduck_moves_a_folder_to_an_address_with_a_slash(acting: As) -> None:
    """M13."""
    duck = acting("Cyberduck/9.0")
    duck("MKCOL", "one/")
    duck("PUT", "one/file", b"content")

    assert duck("MOVE", "one/", Destination=f"{duck.root}/two/", Overwrite="T").status == 201
    assert duck.read("two/file") == b"content"


def test_winscp_keeps_the_time_of_a_file(acting: As) -> None:
    """T04, U28, M22: by the live property that others protect."""
    winscp = acting("WinSCP/6.3 neon/0.32.5", TE="trailers")
    winscp("PUT", "file", b"content")
    time = "Fri, 05 Jan 2001 12:00:00 GMT"
    body = update("DAV:", getlastmodified=time)
    assert set(texts(winscp("PROPPATCH", "file", body))) == {f"{D}getlastmodified"}
    names = ["getcontentlength", "getlastmodified", "resourcetype", "ishidden", "owner", "displayname"]
    told = winscp.properties("file", *(f"{D}{name}" for name in names))
    assert (told[f"{D}getlastmodified"], told[f"{D}getcontentlength"]) == (time, "7")
    assert winscp("COPY", "file", Destination=f"{winscp.root}/copy", Depth="infinity", Overwrite="F").status == 201
    assert winscp("GET", "copy", Translate="f").fields["last-modified"] == time


def test_zotero_verifies_its_server_and_keeps_an_attachment(acting: As) -> None:
    """U29, G22, G23, P04."""
    zotero = acting("Zotero/7.0")
    assert "dav" in zotero("OPTIONS", "").fields
    assert zotero("PROPFIND", "zotero/", wanted(f"{D}getlastmodified"), Depth="0").status == 404
    assert zotero("MKCOL", "zotero/").status == 201
    assert zotero("PROPFIND", "zotero/", wanted(f"{D}getlastmodified"), Depth="0").status == 207
    assert zotero("GET", "zotero/nonexistent.prop").status == 404
    assert zotero("PUT", "zotero/zotero-test-file.prop", b" ").status == 201
    assert zotero.read("zotero/zotero-test-file.prop") == b" "
    assert zotero("DELETE", "zotero/zotero-test-file.prop").status == 204
    for name in ("ABCD2345.prop", "ABCD2345.zip"):
        assert zotero("PUT", f"zotero/{name}", name.encode()).status == 201
    listed = zotero("PROPFIND", "zotero/", wanted(f"{D}getlastmodified"), Depth="1")
    assert hrefs(listed) == ["/files/zotero/", "/files/zotero/ABCD2345.prop", "/files/zotero/ABCD2345.zip"]


def test_joplin_synchronises(acting: As) -> None:
    """P29, M02, U29: its unquoted If-None-Match is no condition of anything."""
    joplin = acting("Joplin/3.0", If_None_Match="JoplinIgnore-12345", Cache_Control="no-store")
    assert joplin("PROPFIND", "notes", wanted(f"{D}getlastmodified"), Depth="0").status == 404
    assert joplin("MKCOL", "notes").status == 201
    assert joplin("MKCOL", "notes").status == 405
    assert joplin("PUT", "notes/.tmp", b"first").status == 201
    assert joplin("PUT", "notes/.tmp", b"note").status == 204
    assert joplin("MOVE", "notes/.tmp", Destination=f"{joplin.root}/notes/a.md", Overwrite="T").status == 201
    listed = joplin("PROPFIND", "notes", wanted(f"{D}getlastmodified", f"{D}resourcetype"), Depth="1")
    assert hrefs(listed) == ["/files/notes/", "/files/notes/a.md"]
    assert joplin("GET", "notes/a.md").body == b"note"
    assert joplin("DELETE", "notes/a.md").status == 204


def test_kde_overwrites_a_file_after_asking_for_room(acting: As) -> None:
    """P19, P12: a quota property of a file is a number or missing, never empty."""
    kde = acting("Mozilla/5.0 (X11; Linux) KIO/5.103")
    kde("PUT", "file", b"first")
    for path in ("", "file"):
        told = kde.properties(path, *(f"{D}{name}" for name in KDE_LISTS), *QUOTA)
        assert all(told[name].isdigit() for name in QUOTA if name in told)
        missing = kde.properties(path, *QUOTA, status=404)
        assert set(told) & set(QUOTA) | set(missing) == set(QUOTA)
    assert kde("PUT", "file", b"second").status == 204


def test_kde_moves_and_copies_with_its_password_in_the_destination(acting: As) -> None:
    """M07, M22: and with Depth: infinity for a file."""
    kde = acting("Mozilla/5.0 (X11; Linux) KIO/5.103")
    kde("PUT", "file", b"content")
    place = f"http://admin:correct%20horse@127.0.0.1:{kde.server.port}/files"

    assert kde("MOVE", "file", Destination=f"{place}/moved%3F", Overwrite="F", Depth="infinity").status == 201
    assert kde("COPY", "moved%3F", Destination=f"{place}/copy", Overwrite="F", Depth="infinity").status == 201

    assert kde.read("moved%3F") == kde.read("copy") == b"content"
    assert "correct" not in kde.server.log_text()


def test_libreoffice_saves_a_new_document(acting: As) -> None:
    """L02, L27, P22, P26: asked about, locked and described before it exists."""
    office = acting("LibreOffice/7.4", Expect="100-continue")
    options = office("OPTIONS", "new.odt")
    assert options.status == 200
    assert {"1", "2"} <= {token.strip() for token in options.fields["dav"].split(",")}
    with client(office.server, "LibreOffice/7.4") as asking:
        assert asking("PROPFIND", "new.odt", wanted(f"{D}supportedlock"), Depth="0").status == 404
        locked = asking("LOCK", "new.odt", lock_request("LibreOffice - alice"), Depth="0", Timeout="Second-180")
        assert locked.status == 201
        token = token_in_header(locked)
        names = asking("PROPFIND", "new.odt", '<propfind xmlns="DAV:"><propname/></propfind>', Depth="0")
        assert names.status == 207
        assert f"{D}getetag" in texts(names)
        assert asking("HEAD", "new.odt").fields["content-length"] == "0"
        assert asking("PUT", "new.odt", b"text", If=f"({token})").status == 204
        assert asking("UNLOCK", "new.odt", b"", Lock_Token=token).status == 204
        assert asking.read("new.odt") == b"text"


def test_the_nextcloud_clients_way_of_writing_works_on_a_plain_server(acting: As) -> None:
    """M06, U01, U18, U19: a path as Destination, a time and a checksum with the bytes."""
    desktop = acting("Mozilla/5.0 (Linux) mirall/3.7.3")
    sha1 = "SHA1:040f06fd774092478d450774f5ba30c5da78acc8"
    put = desktop("PUT", "file", b"content", OC_Checksum=sha1, X_OC_Mtime="978696000")
    assert (put.status, put.fields["x-oc-mtime"]) == (201, "accepted")
    wrong = desktop("PUT", "wrong", b"other", OC_Checksum=sha1)
    assert wrong.status == 400
    assert desktop("HEAD", "wrong").status == 404
    assert desktop("MOVE", "file", Destination="/files/moved").status == 201
    got = desktop("GET", "moved")
    assert got.fields["last-modified"] == "Fri, 05 Jan 2001 12:00:00 GMT"
    assert got.fields["etag"] == put.fields["etag"] == desktop.properties("moved", f"{D}getetag")[f"{D}getetag"]


def test_webdavclient3_asks_files_as_if_they_were_folders(acting: As) -> None:
    """P09, T12, G03."""
    library = acting("python-requests/2.31")
    library("MKCOL", "folder")
    library("PUT", "folder/file", b"content")
    assert library("HEAD", "folder").status == 200
    assert hrefs(library("PROPFIND", "folder/file", b"", Depth="1")) == ["/files/folder/file"]
    body = update("urn:x", colour="blue")
    set_ = library("PROPPATCH", "folder/file", body, Depth="1", Content_Type="application/x-www-form-urlencoded")
    assert set(texts(set_)) == {"{urn:x}colour"}


def test_a_listing_without_a_depth_of_a_file_is_answered(acting: As) -> None:
    """P07: webdav4."""
    library = acting("python-httpx/0.27")
    library("PUT", "file", b"content")

    assert hrefs(library("PROPFIND", "file", b"")) == ["/files/file"]


def test_kodi_plays_from_the_middle(acting: As) -> None:
    """P12, P14, G01."""
    kodi = acting("Kodi/20.0")
    kodi("PUT", "film.mkv", b"0123456789")
    names = ["resourcetype", "getcontentlength", "getlastmodified", "creationdate", "displayname", "nonsense"]
    listed = kodi("PROPFIND", "", wanted(*(f"{D}{name}" for name in names)), Depth="1")
    assert b"<D:status>HTTP/1.1 200 OK</D:status>" in listed.body
    whole = kodi("GET", "film.mkv", Range="bytes=0-")
    assert (whole.status, whole.fields["content-range"]) == (206, "bytes 0-9/10")
    assert kodi("GET", "film.mkv", Range="bytes=7-").body == b"789"


def test_every_odd_name_goes_there_and_back_with_the_hexadecimal_in_either_case(acting: As) -> None:
    """N01, N03, N11, M11."""
    neon = acting("neon/0.32.5")
    for name in ODD_NAMES:
        assert neon("PUT", _in_small_hexadecimal(name), name.encode()).status == 201
    for name in ODD_NAMES:
        assert neon.read(escaped(name)) == name.encode()
        moved = neon("MOVE", escaped(name), Destination=f"{neon.root}/{escaped('to ' + name)}")
        assert moved.status == 201
        assert neon.read(escaped("to " + name)) == name.encode()
    listed = neon("PROPFIND", "", wanted(f"{D}resourcetype"), Depth="1")
    assert len(hrefs(listed)) == 1 + len(ODD_NAMES)
    for href in hrefs(listed)[1:]:
        assert neon("DELETE", href.removeprefix("/files/")).status == 204


def _in_small_hexadecimal(name: str) -> str:
    return re.sub("%..", lambda octet: octet[0].lower(), escaped(name))
