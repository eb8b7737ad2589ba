"""rclone, in each way that it speaks to a server it takes for another's."""

import os
from pathlib import Path

import pytest

from tests.clients.rclone import Rclone
from tests.clients.trees import contents, invented, odd_names
from tests.parts.server import DavServer

LONG_AGO = 946_684_800


@pytest.fixture
def rclone(server: DavServer) -> Rclone:
    return Rclone(server)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    invented(source, 40)
    return source


def test_what_is_copied_in_comes_out_the_same(rclone: Rclone, source: Path, tmp_path: Path) -> None:
    rclone.copy(source, "there")

    assert rclone.differences(source, "there") == []
    rclone("copy", ":webdav:there", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(source)


@pytest.mark.parametrize("vendor", ["rclone", "owncloud", "fastmail", "other"])
def test_every_odd_name_goes_there_and_back(server: DavServer, tmp_path: Path, vendor: str) -> None:
    rclone = Rclone(server, vendor)
    source = tmp_path / "source"
    odd_names(source)

    rclone.copy(source, "there")
    rclone("copy", ":webdav:there", tmp_path / "back")

    assert contents(tmp_path / "back") == contents(source)


def test_modification_times_are_kept_to_the_second(rclone: Rclone, source: Path, tmp_path: Path) -> None:
    file = source / "folder 0/0/file 0.bin"
    os.utime(file, (LONG_AGO, LONG_AGO))

    rclone.copy(source, "there")
    rclone("copy", ":webdav:there", tmp_path / "back")

    assert (tmp_path / "back" / file.relative_to(source)).stat().st_mtime == LONG_AGO


def test_a_second_copy_of_the_same_sends_nothing(rclone: Rclone, source: Path) -> None:
    rclone.copy(source, "there")

    assert "Copied" not in rclone("copy", "-v", source, ":webdav:there")


def test_sync_makes_the_target_equal_and_deletes_the_rest(rclone: Rclone, source: Path) -> None:
    rclone.copy(source, "there")
    (source / "folder 0/0/file 0.bin").unlink()
    (source / "folder 1/1/file 1.bin").write_bytes(b"changed")
    (source / "new").write_bytes(b"new")

    rclone("sync", source, ":webdav:there")

    assert rclone.differences(source, "there") == []


def test_touch_sets_the_time_without_a_new_content(server: DavServer, source: Path) -> None:
    rclone = Rclone(server, "owncloud")
    rclone.copy(source, "there")

    rclone("touch", "--no-create", "-t", "2001-02-03T04:05:06", ":webdav:there/folder 0/0/file 0.bin")

    listed = rclone("lsf", "--format", "tp", "--time-format", "2006-01-02 15:04:05", ":webdav:there/folder 0/0")
    assert "2001-02-03 04:05:06;file 0.bin" in listed.splitlines()
    assert rclone.differences(source, "there") == []


def test_a_file_moves_to_another_name_and_keeps_its_time(rclone: Rclone, source: Path, tmp_path: Path) -> None:
    file = source / "folder 0/0/file 0.bin"
    os.utime(file, (LONG_AGO, LONG_AGO))
    rclone.copy(source, "there")

    rclone("moveto", ":webdav:there/folder 0/0/file 0.bin", ":webdav:moved/100% of it?.bin")
    rclone("copyto", ":webdav:moved/100% of it?.bin", tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert (tmp_path / "back").stat().st_mtime == LONG_AGO
    assert rclone.differences(source, "there") == ["+ folder 0/0/file 0.bin"]


def test_a_folder_moves_with_all_that_is_in_it(rclone: Rclone, source: Path) -> None:
    rclone.copy(source, "there")

    rclone("moveto", ":webdav:there", ":webdav:elsewhere")

    assert rclone.differences(source, "elsewhere") == []
    assert rclone("lsf", ":webdav:") == "elsewhere/\n"


def test_copies_are_made_by_the_server_itself(rclone: Rclone, source: Path) -> None:
    rclone.copy(source, "there")

    text = rclone("copy", "-v", ":webdav:there", ":webdav:copy")

    assert "Copied (server-side copy)" in text
    assert "Copied (new)" not in text
    assert rclone.differences(source, "copy") == []


def test_purge_leaves_nothing(rclone: Rclone, source: Path) -> None:
    rclone.copy(source, "there")

    rclone("purge", ":webdav:there")

    assert rclone("lsf", ":webdav:") == ""


def test_what_comes_from_a_pipe_arrives_whole(rclone: Rclone) -> None:
    rclone("rcat", ":webdav:piped", stdin="from a pipe")

    assert rclone("cat", ":webdav:piped") == "from a pipe"


def test_a_part_of_a_file_is_read(rclone: Rclone) -> None:
    rclone("rcat", ":webdav:digits", stdin="0123456789")

    assert rclone("cat", "--offset", "3", "--count", "4", ":webdav:digits") == "3456"
