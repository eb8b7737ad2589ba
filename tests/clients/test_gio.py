"""gio, as GNOME's file manager works on a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.gio import Gio
from tests.clients.trees import ODD_NAMES
from tests.parts.server import DavServer


@pytest.fixture
def gio(server: DavServer) -> Iterator[Gio]:
    with Gio(server) as mounted:
        yield mounted


@pytest.fixture
def report(gio: Gio, tmp_path: Path) -> str:
    """The address of a file on the server."""
    (tmp_path / "report.txt").write_text("report")
    gio("copy", str(tmp_path / "report.txt"), gio.url("report.txt"))
    return gio.url("report.txt")


def test_a_copied_file_is_listed_read_and_described(gio: Gio, report: str) -> None:
    assert gio("list", gio.url()) == "report.txt\n"
    assert gio("cat", report) == "report"
    told = gio("info", report)
    assert "standard::size: 6\n" in told
    assert "standard::content-type: text/plain\n" in told
    assert "etag::value: " in told


def test_a_file_is_saved_over(gio: Gio, report: str) -> None:
    gio("save", report, stdin="saved")

    assert gio("cat", report) == "saved"


def test_a_file_that_changed_meanwhile_is_not_saved_over(gio: Gio, report: str, server: DavServer) -> None:
    etag = gio("info", "-a", "etag::value", report).rpartition("etag::value: ")[2].strip()
    server.request("PUT", "/files/report.txt", b"another's")

    assert gio.attempt("save", "--etag", etag, report, stdin="mine").code != 0
    assert gio("cat", report) == "another's"


def test_a_file_is_only_created_where_none_is(gio: Gio, report: str) -> None:
    assert gio.attempt("save", "--create", report, stdin="mine").code != 0
    assert gio("cat", report) == "report"


def test_a_file_is_renamed_and_moved(gio: Gio, report: str) -> None:
    gio("rename", report, "renamed.txt")
    gio("mkdir", gio.url("folder"))
    gio("move", gio.url("renamed.txt"), gio.url("folder/moved.txt"))

    assert gio("list", gio.url()) == "folder\n"
    assert gio("cat", gio.url("folder/moved.txt")) == "report"


def test_a_rename_onto_another_is_refused(gio: Gio, report: str) -> None:
    gio("save", gio.url("other.txt"), stdin="other")

    assert gio.attempt("rename", report, "other.txt").code != 0
    assert gio("cat", gio.url("other.txt")) == "other"
    assert gio("cat", report) == "report"


def test_a_folder_is_renamed_with_all_that_is_in_it(gio: Gio) -> None:
    gio("mkdir", gio.url("folder"))
    gio("save", gio.url("folder/file"), stdin="inside")

    gio("rename", gio.url("folder"), "another")

    assert gio("cat", gio.url("another/file")) == "inside"


def test_what_is_removed_is_gone(gio: Gio, report: str) -> None:
    gio("mkdir", gio.url("folder"))

    gio("remove", report, gio.url("folder"))

    assert gio("list", gio.url()) == ""


def test_the_space_of_the_drive_is_told(gio: Gio) -> None:
    told = gio("info", "-f", gio.url())

    size, free = (int(told.rpartition(f"filesystem::{name}: ")[2].split()[0]) for name in ("size", "free"))
    assert 0 < free <= size


def test_every_odd_name_goes_there_and_back(gio: Gio, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ODD_NAMES:
        (tmp_path / "in" / name).write_text(name)
    gio("copy", *(str(tmp_path / "in" / name) for name in ODD_NAMES), gio.url())

    assert sorted(gio("list", gio.url(), "-h").splitlines()) == sorted(ODD_NAMES)
    (tmp_path / "out").mkdir()
    gio("copy", *(gio.url(name) for name in ODD_NAMES), str(tmp_path / "out"))
    assert {file.name: file.read_text() for file in (tmp_path / "out").iterdir()} == {name: name for name in ODD_NAMES}
