"""The trash and the versions, used by clients that know nothing of them but WebDAV."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs

from tests.clients.cadaver import cadaver
from tests.clients.davfs import mounted
from tests.clients.gio import Gio
from tests.clients.rclone import Rclone
from tests.clients.trees import contents, invented
from tests.parts.server import DavServer

FILES = 40
TRASH = "/-/trash/files/"


@pytest.fixture
def server(serve: Callable[..., DavServer]) -> DavServer:
    """One of its own, whose trash is empty."""
    return serve()


@pytest.fixture
def deleted(server: DavServer, tmp_path: Path) -> Path:
    """A folder that was copied to /files/photos, and removed there."""
    source = tmp_path / "source"
    invented(source, FILES)
    rclone = Rclone(server)
    rclone.copy(source, "photos")
    rclone("purge", ":webdav:photos")
    return source


def names(server: DavServer, path: str) -> list[str]:
    """The names of a collection's members, decoded."""
    answer = server.request("PROPFIND", path, headers={"Depth": "1"})
    assert answer.status == 207
    hrefs = [each.text for each in etree.fromstring(answer.body).iter("{DAV:}href")]
    return [unquote(href).rstrip("/").rpartition("/")[2] for href in hrefs if unquote(href) != unquote(path)]


def entry(server: DavServer) -> str:
    (only,) = names(server, TRASH)
    return only


def everywhere(server: DavServer) -> Callable[..., str]:
    """rclone on the whole server, so that it can move from one place to another."""
    rclone = Rclone(server)
    return lambda *words: rclone(*words, "--webdav-url", server.url)


def test_rclone_finds_a_deleted_folder_reads_it_and_moves_it_back(
    server: DavServer, deleted: Path, tmp_path: Path
) -> None:
    rclone = everywhere(server)

    (listed,) = rclone("lsf", ":webdav:-/trash/files").splitlines()
    assert re.fullmatch(r"photos\.[\dTZ-]+\.[0-9a-f]{8}/", listed)
    rclone("copy", f":webdav:-/trash/files/{listed}", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(deleted)
    text = rclone("moveto", "-v", f":webdav:-/trash/files/{listed}", ":webdav:files/photos")

    assert "Copied" not in text
    assert Rclone(server).differences(deleted, "photos") == []
    assert names(server, TRASH) == []


def test_rclone_copies_a_deleted_folder_and_the_bytes_stay_where_they_are(server: DavServer, deleted: Path) -> None:
    rclone = everywhere(server)

    text = rclone("copy", "-v", f":webdav:-/trash/files/{entry(server)}", ":webdav:files/again")

    assert text.count("Copied (server-side copy)") == FILES
    assert Rclone(server).differences(deleted, "again") == []
    assert len(names(server, TRASH)) == 1


def test_rclone_brings_back_the_content_that_a_file_had(server: DavServer) -> None:
    rclone = everywhere(server)
    Rclone(server)("rcat", ":webdav:letter.txt", stdin="old")
    Rclone(server)("rcat", ":webdav:letter.txt", stdin="present")

    (version,) = rclone("lsf", ":webdav:-/versions/files/letter.txt").splitlines()
    text = rclone("copyto", "-v", f":webdav:-/versions/files/letter.txt/{version}", ":webdav:files/letter.txt")

    assert "Copied (server-side copy)" in text
    assert Rclone(server)("cat", ":webdav:letter.txt") == "old"
    assert len(names(server, "/-/versions/files/letter.txt/")) == 2


def test_cadaver_browses_the_trash_and_moves_a_folder_back(server: DavServer, deleted: Path, tmp_path: Path) -> None:
    name = entry(server)

    text = cadaver(
        server,
        "ls",
        f"cd {name}/folder\\ 0/0",
        f'get "file 0.bin" {tmp_path / "one.bin"}',
        f"cd {TRASH}",
        f"move {name} /files/photos",
        path=TRASH,
    )

    assert name in text
    assert (tmp_path / "one.bin").read_bytes() == (deleted / "folder 0/0/file 0.bin").read_bytes()
    assert Rclone(server).differences(deleted, "photos") == []
    assert names(server, TRASH) == []


def test_cadaver_brings_back_the_content_that_a_file_had(server: DavServer, tmp_path: Path) -> None:
    rclone = Rclone(server)
    rclone("rcat", ":webdav:letter.txt", stdin="old")
    rclone("rcat", ":webdav:letter.txt", stdin="present")
    (version,) = names(server, "/-/versions/files/letter.txt/")

    text = cadaver(server, "ls", "cd letter.txt", "ls", f"copy {version} /files/letter.txt", path="/-/versions/files/")

    assert "Coll:   letter.txt" in text
    assert version in text
    assert rclone("cat", ":webdav:letter.txt") == "old"
    assert len(names(server, "/-/versions/files/letter.txt/")) == 2


def test_davfs2_reads_the_trash_and_what_it_removes_there_is_gone(server: DavServer, deleted: Path) -> None:
    name = entry(server)

    with mounted(server, TRASH) as drive:
        assert [each.name for each in drive.iterdir() if each.name != "lost+found"] == [name]
        assert contents(drive / name) == contents(deleted)
        (drive / name / "folder 0/0/file 0.bin").unlink()

    left = Rclone(server).attempt("lsf", "-R", "--files-only", f":webdav:{name}", "--webdav-url", server.url + TRASH)
    assert len(left.text.splitlines()) == FILES - 1


def test_gio_copies_out_of_the_trash_and_moves_back(server: DavServer, deleted: Path, tmp_path: Path) -> None:
    name = entry(server)
    place = f"dav://127.0.0.1:{server.port}{TRASH}{name}"

    with Gio(server) as gio:
        gio("copy", f"{place}/folder%200/0/file%200.bin", str(tmp_path / "one.bin"))
        gio("move", place, gio.url("photos"))

    assert (tmp_path / "one.bin").read_bytes() == (deleted / "folder 0/0/file 0.bin").read_bytes()
    assert Rclone(server).differences(deleted, "photos") == []
