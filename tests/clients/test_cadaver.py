"""cadaver, command by command."""

import re
from pathlib import Path

import pytest

from tests.clients.cadaver import cadaver
from tests.parts.server import DavServer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "report.txt"
    file.write_bytes(b"report")
    return file


def test_a_file_is_put_listed_and_got(server: DavServer, file: Path, tmp_path: Path) -> None:
    text = cadaver(server, f"put {file} report.txt", "ls", f"get report.txt {tmp_path / 'back'}")

    assert re.search(r"^\s+report\.txt\s+6\s", text, re.MULTILINE)
    assert (tmp_path / "back").read_bytes() == b"report"


def test_a_tree_is_made_copied_moved_and_deleted(server: DavServer, file: Path) -> None:
    text = cadaver(
        server,
        "mkcol one",
        f"put {file} one/report.txt",
        "copy one two",
        "move two/report.txt two/moved.txt",
        "delete one/report.txt",
        "rmcol one",
    )

    assert text.count("succeeded") == 6, text
    assert server.request("GET", "/files/two/moved.txt").body == b"report"
    assert server.request("GET", "/files/one/").status == 404


def test_a_locked_file_is_its_owners_until_it_is_unlocked(server: DavServer, file: Path) -> None:
    put = f"put {file} report.txt"

    locked = cadaver(server, put, "lock report.txt", put, "discover report.txt")
    assert locked.count("succeeded") == 3, locked
    assert re.search(
        r"Lock token <urn:uuid:[0-9a-f-]{36}>:\n  Depth 0 on .*/files/report.txt'\n  Scope: exclusive", locked
    )
    assert server.request("PUT", "/files/report.txt", b"other").status == 423
    assert "423 Locked" in cadaver(server, put)

    unlocked = cadaver(server, "steal report.txt", put, "unlock report.txt", "discover report.txt")
    assert unlocked.count("succeeded") == 2, unlocked
    assert "no locks found" in unlocked
    assert server.request("PUT", "/files/report.txt", b"other").status == 204


def test_locks_are_listed_and_given_back_in_one_session(server: DavServer, file: Path) -> None:
    text = cadaver(server, f"put {file} report.txt", "lock report.txt", "showlocks", "unlock report.txt", "showlocks")

    assert text.count("succeeded") == 3, text
    assert f"{server.url}/files/report.txt" in text
    assert "No owned locks" in text


def test_a_property_is_set_read_and_removed(server: DavServer, file: Path) -> None:
    text = cadaver(
        server,
        f"put {file} report.txt",
        "propset report.txt colour blue",
        "propget report.txt colour",
        "propdel report.txt colour",
        "propget report.txt colour",
    )

    assert re.search(r"Value of colour is: blue", text), text
    assert text.count("is: blue") == 1


def test_the_executable_bit_is_taken(server: DavServer, file: Path) -> None:
    text = cadaver(server, f"put {file} report.txt", "chexec + report.txt", "ls")

    assert re.search(r"^\s*\*?\s*\*?report\.txt", text, re.MULTILINE), text


def test_a_file_that_is_there_is_not_overwritten_unless_allowed(server: DavServer, file: Path) -> None:
    text = cadaver(server, f"put {file} a", f"put {file} b", "unset overwrite", "move a b")

    assert "412 Precondition Failed" in text
    assert server.request("GET", "/files/a").status == 200


def test_a_folder_that_is_missing_is_told_as_missing(server: DavServer) -> None:
    assert "404 Not Found" in cadaver(server, "cd nowhere")
