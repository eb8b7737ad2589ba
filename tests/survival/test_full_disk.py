"""A full disk refuses what is new, keeps what is there, and is forgotten once there is room again."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.server import DavServer
from tests.parts.small_disk import small_disk
from tests.survival.drive import Drive, digest, drafts, fsck

pytestmark = pytest.mark.slow

MIB = 1 << 20
DISK = 24 * MIB
OLD = bytes(range(256)) * 1000
FULL = {503, 507}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK) as directory:
        yield directory


@pytest.fixture
def cramped(disk: Path, serve: Callable[..., DavServer]) -> Iterator[DavServer]:
    """A server on a small disk, with a file; it ends before its disk goes, and everything in it is right."""
    server = serve(data=disk / "data")
    server.expect_log("room", "disk", "database")
    assert server.request("PUT", "/files/old", OLD).status == 201
    yield server
    fsck(server.data, None, "--deep")
    server.terminate()


def _pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // MIB):
        yield os.urandom(MIB)


def _fill(disk: Path) -> Path:
    """A file that leaves no room at all."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk is endless")


def test_a_body_for_which_there_is_no_room_is_refused_and_the_old_content_kept(cramped: DavServer):
    with Drive(cramped.port) as drive:
        refused = drive.ask("PUT", "/files/old", _pieces(2 * DISK)).status

    assert refused == 507
    assert not drafts(cramped.data)
    with Drive(cramped.port) as drive:
        assert drive.tree("/files") == {"/files/old": digest(OLD)}
        assert drive.ask("PUT", "/files/old", OLD[1:]).status == 204
        assert drive.tree("/files") == {"/files/old": digest(OLD[1:])}


def test_an_announced_body_for_which_there_is_no_room_is_refused_unread(cramped: DavServer):
    with Drive(cramped.port) as drive:
        headers = {"Content-Length": str(1 << 40), "Expect": "100-continue"}

        refused = drive.ask("PUT", "/files/old", iter(()), headers).status

    assert refused == 507
    assert cramped.request("GET", "/files/old").body == OLD


def test_a_commit_for_which_there_is_no_room_changes_nothing_and_passes_once_there_is(disk: Path, cramped: DavServer):
    filler = _fill(disk)
    wanted = {"/files/old": digest(OLD)}
    with Drive(cramped.port) as drive:
        path, content = "/files/last", os.urandom(60_000)
        for number in range(200):
            written = _put(drive, f"/files/{number}")
            wanted |= written
            if not written:
                break

        assert drive.ask("PUT", path, content).status in FULL
        assert drive.ask("PUT", "/files/old", content).status in FULL
        assert drive.ask("PUT", "/files/new", OLD[2:]).status in FULL
        assert drive.tree("/files") == wanted
        assert not drafts(cramped.data)

        filler.unlink()
        assert drive.ask("PUT", path, content).status == 201
        assert drive.ask("PUT", "/files/new", OLD[2:]).status == 201
        assert drive.tree("/files") == {**wanted, path: digest(content), "/files/new": digest(OLD[2:])}


def _put(drive: Drive, path: str) -> dict[str, str]:
    """The file that was acknowledged, if it was; refused is only what has no room."""
    content = os.urandom(60_000)
    status = drive.ask("PUT", path, content).status
    assert status == 201 or status in FULL
    return {path: digest(content)} if status == 201 else {}


def test_what_needs_no_room_goes_on_while_the_disk_is_full(disk: Path, cramped: DavServer):
    _fill(disk)
    with Drive(cramped.port) as drive:
        assert drive.ask("GET", "/files/old").body == OLD
        assert drive.ask("PROPFIND", "/files/", headers={"Depth": "1"}).status == 207
