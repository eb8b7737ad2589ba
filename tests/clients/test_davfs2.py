"""davfs2: the drive as a folder of Linux, with locks."""

import os
import shutil
from pathlib import Path

import pytest

from tests.clients.davfs import mounted
from tests.clients.programs import attempt, run
from tests.clients.trees import ODD_NAMES, contents, invented
from tests.parts.server import DavServer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    invented(source, 25)
    return source


def test_what_is_copied_in_is_there_after_the_next_mount(server: DavServer, source: Path) -> None:
    with mounted(server) as drive:
        run("cp", "-r", source, drive / "copy")

    with mounted(server) as drive:
        assert contents(drive / "copy") == contents(source)


def test_edits_moves_and_removals_are_there_after_the_next_mount(server: DavServer, source: Path) -> None:
    shutil.copytree(source, source.with_name("wanted"))
    with mounted(server) as drive:
        run("cp", "-r", source, drive / "copy")
        for tree in (drive / "copy", source.with_name("wanted")):
            _worked_on(tree)

    with mounted(server) as drive:
        assert contents(drive / "copy") == contents(source.with_name("wanted"))


def _worked_on(tree: Path) -> None:
    with (tree / "folder 0/0/file 0.bin").open("r+b") as file:
        file.seek(3)
        file.write(b"edited in place")
    with (tree / "folder 1/1/file 1.bin").open("ab") as file:
        file.write(b"appended")
    os.truncate(tree / "folder 2/2/file 2.bin", 1)
    (tree / "folder 3/0/file 3.bin").rename(tree / "folder 0/moved.bin")
    (tree / "folder 4/1/file 4.bin").replace(tree / "folder 5/2/file 5.bin")
    (tree / "folder 4").rename(tree / "renamed folder")
    (tree / "folder 6/0/file 6.bin").unlink()
    shutil.rmtree(tree / "folder 2/0")
    (tree / "empty").touch()


def test_a_file_is_locked_while_it_is_open_for_writing_and_not_after(server: DavServer) -> None:
    with mounted(server) as drive, (drive / "report").open("wb") as file:
        file.write(b"mine")
        assert server.request("PUT", "/files/report", b"other").status == 423
    assert server.request("GET", "/files/report").body == b"mine"
    assert server.request("PUT", "/files/report", b"other").status == 204


def test_what_another_changed_is_seen_by_the_next_open(server: DavServer) -> None:
    server.request("PUT", "/files/report", b"first")
    with mounted(server) as drive:
        assert (drive / "report").read_bytes() == b"first"
        server.request("PUT", "/files/report", b"second, and longer")
        run("sync", drive)

    with mounted(server) as drive:
        assert (drive / "report").read_bytes() == b"second, and longer"


def test_another_ones_lock_refuses_writing(server: DavServer) -> None:
    server.request("PUT", "/files/report", b"first")
    body = (
        b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
        b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
    )
    assert server.request("LOCK", "/files/report", body).status == 200

    with mounted(server) as drive:
        outcome = attempt("tee", "--append", drive / "report", stdin="mine")

    assert outcome.code != 0
    assert server.request("GET", "/files/report").body == b"first"


def test_the_executable_bit_stays(server: DavServer) -> None:
    with mounted(server) as drive:
        (drive / "program").write_text("#!/bin/sh\necho it runs\n")
        (drive / "program").chmod(0o755)

    with mounted(server) as drive:
        assert (drive / "program").stat().st_mode & 0o111
        assert run(drive / "program") == "it runs\n"


def test_the_space_of_the_drive_is_told(server: DavServer) -> None:
    with mounted(server) as drive:
        space = os.statvfs(drive)

    assert 0 < space.f_bavail <= space.f_blocks


def test_every_odd_name_goes_there_and_back(server: DavServer) -> None:
    with mounted(server) as drive:
        for name in ODD_NAMES:
            (drive / name).write_text(name)

    with mounted(server) as drive:
        assert {name: (drive / name).read_text() for name in ODD_NAMES} == {name: name for name in ODD_NAMES}
        assert sorted(file.name for file in drive.iterdir() if file.name != "lost+found") == sorted(ODD_NAMES)
