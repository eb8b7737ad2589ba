"""However a client saves, a file stays one asset: one uid, every content once, and no empty version.

The requests are those that the clients send (Windows Explorer, Office, Finder, programs on macOS and Linux).
"""

from collections.abc import Callable

import pytest

from tests.davstore.client import Dav
from tests.davstore.test_trash_view import D, S, members, properties, relocate

FILE = "/files/letter.docx"
WINDOWS_LOCK = (
    '<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype><D:owner><D:href>PC\\user</D:href></D:owner></D:lockinfo>"
)
FINDER_LOCK = (
    '<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype><D:owner><D:href>http://www.apple.com/webdav_fs/</D:href></D:owner>"
    "</D:lockinfo>"
)
WIN32_TIMES = (
    '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
    "<D:set><D:prop><Z:Win32CreationTime>Sat, 01 Jan 2000 00:00:00 GMT</Z:Win32CreationTime>"
    "<Z:Win32LastAccessTime>Sat, 01 Jan 2000 00:00:00 GMT</Z:Win32LastAccessTime>"
    "<Z:Win32LastModifiedTime>Sat, 01 Jan 2000 00:00:00 GMT</Z:Win32LastModifiedTime>"
    "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"
)


def uid(dav: Dav, target: str = FILE) -> str:
    return properties(dav, target)[f"{S}uid"]


def older(dav: Dav, target: str = FILE) -> list[bytes]:
    """The contents that the file had, newest first."""
    return [dav("GET", href).body for href in members(dav, f"/-/versions{target}/")]


def explorer(dav: Dav, target: str, content: bytes) -> None:
    """Windows Explorer copies a file in: empty first, then locked, dressed and filled."""
    assert dav("PROPFIND", target, depth="0").status in {207, 404}
    dav.put(target, b"", content_length="0")
    locked = dav("LOCK", target, WINDOWS_LOCK, timeout="Second-3600")
    condition = {"if": f"({locked.header('Lock-Token')})"}
    assert dav("PROPPATCH", target, WIN32_TIMES, **condition).status == 207
    assert dav("HEAD", target).status == 200
    dav.put(target, content, **condition)
    assert dav("PROPPATCH", target, WIN32_TIMES, **condition).status == 207
    assert dav("UNLOCK", target, lock_token=str(locked.header("Lock-Token"))).status == 204


def finder(dav: Dav, target: str, content: bytes) -> None:
    """Finder writes: a new file is empty first, then locked, read and filled in chunks."""
    if dav("PROPFIND", target, depth="0").status == 404:
        dav.put(target, b"", content_length="0")
    locked = dav("LOCK", target, FINDER_LOCK, depth="0", timeout="Second-600")
    token = locked.xml.findtext(f".//{D}locktoken/{D}href")
    condition = {"if": f"(<{token}>)"}
    assert dav("GET", target).status == 200
    chunked = {"content_length": "", "transfer_encoding": "chunked", "x_expected_entity_length": str(len(content))}
    dav.put(target, content, **chunked, **condition)
    assert dav("UNLOCK", target, lock_token=f"<{token}>").status == 204


def truncating(dav: Dav, target: str, content: bytes) -> None:
    """A program on a mounted drive opens the file for writing, which empties it, and writes it again."""
    dav.put(target, b"", content_length="0")
    dav.put(target, content)


Save = Callable[[Dav, str, bytes], None]
WAYS: list[Save] = [explorer, finder, truncating]


@pytest.mark.parametrize("save", WAYS)
def test_a_new_file_has_no_older_contents(dav: Dav, save: Save):
    save(dav, FILE, b"first")

    assert dav("GET", FILE).body == b"first"
    assert older(dav) == []


@pytest.mark.parametrize("save", WAYS)
def test_a_saved_file_is_the_same_asset_and_what_it_had_a_version(dav: Dav, save: Save):
    dav.put(FILE, b"before")
    asset = uid(dav)

    save(dav, FILE, b"after")

    assert uid(dav) == asset
    assert older(dav) == [b"before"]


@pytest.mark.parametrize("save", WAYS)
def test_saves_of_one_user_within_a_minute_are_one_version(dav: Dav, save: Save):
    dav.put(FILE, b"before")

    for number in range(4):
        save(dav, FILE, b"%d" % number)

    assert older(dav) == [b"before"]


@pytest.mark.parametrize("save", WAYS)
def test_saves_of_two_users_are_versions_each(admin: Dav, bob: Dav, save: Save):
    save(admin, FILE, b"1")
    save(bob, FILE, b"2")
    save(admin, FILE, b"3")

    assert older(admin) == [b"2", b"1"]


@pytest.mark.parametrize("save", WAYS)
def test_an_office_program_saves_under_another_name_and_renames_over(dav: Dav, save: Save):
    dav.put(FILE, b"before")
    asset = uid(dav)

    save(dav, "/files/~WRD0001.tmp", b"after")
    assert relocate(dav, "MOVE", "/files/~WRD0001.tmp", FILE, overwrite="T") == 204

    assert dav("GET", FILE).body == b"after"
    assert uid(dav) == asset
    assert older(dav) == [b"before"]
    assert members(dav, "/files/") == [FILE]
    assert members(dav, "/-/trash/files/") == []


def test_a_program_on_macos_saves_in_a_collection_of_its_own_and_moves_over(dav: Dav):
    dav.put(FILE, b"before")
    asset = uid(dav)
    temporary = "/files/letter.docx.sb-1a2b3c4d-5e6f70"

    dav.make(temporary + "/")
    finder(dav, f"{temporary}/letter.docx", b"after")
    assert relocate(dav, "MOVE", f"{temporary}/letter.docx", FILE) == 204
    assert dav("DELETE", temporary + "/").status == 204

    assert uid(dav) == asset
    assert older(dav) == [b"before"]
    assert members(dav, "/files/") == [FILE]


def test_a_save_by_rename_over_a_file_that_is_open_keeps_its_lock_and_its_lineage(dav: Dav):
    dav.put(FILE, b"before")
    asset = uid(dav)
    token = str(dav("LOCK", FILE, WINDOWS_LOCK).header("Lock-Token"))
    dav.put("/files/new.tmp", b"after")

    assert relocate(dav, "MOVE", "/files/new.tmp", FILE, **{"if": f"<http://dav.example{FILE}> ({token})"}) == 204

    assert uid(dav) == asset
    assert older(dav) == [b"before"]
    assert dav("PUT", FILE, b"intruder").status == 423


def test_a_file_saved_by_renaming_again_and_again_keeps_every_content(dav: Dav):
    dav.put(FILE, b"0")
    asset = uid(dav)

    for number in range(1, 4):
        truncating(dav, "/files/new.tmp", b"%d" % number)
        relocate(dav, "MOVE", "/files/new.tmp", FILE)

    assert uid(dav) == asset
    assert older(dav) == [b"2", b"1", b"0"]


def test_an_emptied_file_can_be_filled_again_from_its_versions(dav: Dav):
    dav.put(FILE, b"before")
    dav.put(FILE, b"", content_length="0")

    (version,) = members(dav, f"/-/versions{FILE}/")
    assert relocate(dav, "COPY", version, FILE) == 204

    assert dav("GET", FILE).body == b"before"
    assert older(dav) == [b"before"]


def test_an_empty_file_renamed_over_another_leaves_no_empty_version(dav: Dav):
    dav.put(FILE, b"", content_length="0")
    dav.put("/files/new.tmp", b"after")

    relocate(dav, "MOVE", "/files/new.tmp", FILE)

    assert older(dav) == []
