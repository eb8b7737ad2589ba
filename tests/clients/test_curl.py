"""curl, as scripts use it."""

from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.clients.programs import Outcome, attempt
from tests.clients.trees import ODD_NAMES
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.tools import tool

Curl = Callable[..., Outcome]
DIGITS = b"0123456789"


@pytest.fixture
def curl(server: DavServer) -> Curl:
    """Asks for a path of bucket `files`. What curl prints ends with a line of the status."""

    def ask(path: str, *options: str | Path, user: str = f"{USER}:{PASSWORD}", stdin: str = "") -> Outcome:
        written = ["--write-out", "\n%{http_code}"]
        words = [tool("curl"), "--silent", "--show-error", "--user", user, *written, *options]
        return attempt(*words, f"{server.url}/files/{path}", stdin=stdin)

    return ask


@pytest.fixture
def digits(curl: Curl, tmp_path: Path) -> Path:
    """The file `digits`, here and on the server."""
    file = tmp_path / "digits"
    file.write_bytes(DIGITS)
    assert curl("digits", "-T", file).text == "\n201"
    return file


def head(text: str) -> Message:
    """The headers of the last answer in what `curl --include` or `--head` printed."""
    answer = [part for part in text.replace("\r\n", "\n").split("\n\n") if part.startswith("HTTP/")][-1]
    return Parser().parsestr(answer.split("\n", 1)[1])


def test_an_uploaded_file_comes_back(curl: Curl, digits: Path) -> None:
    assert curl("digits").text == "0123456789\n200"


def test_a_second_upload_replaces_the_first(curl: Curl, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")

    assert curl("digits", "-T", tmp_path / "other").text == "\n204"
    assert curl("digits").text == "other\n200"


def test_what_comes_from_a_pipe_arrives_in_chunks(curl: Curl) -> None:
    assert curl("piped", "-T", "-", stdin="from a pipe").text == "\n201"
    assert curl("piped").text == "from a pipe\n200"


def test_curl_waits_for_the_go_ahead_of_a_large_upload(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)

    text = curl("large", "-T", tmp_path / "large", "--verbose", "--expect100-timeout", "30").text

    assert "HTTP/1.1 100 Continue" in text
    assert text.endswith("\n201")


def test_a_refused_upload_is_refused_before_it_is_sent(curl: Curl, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    conditions = ["-H", "If-None-Match: *", "-H", "Expect: 100-continue", "--expect100-timeout", "30"]

    text = curl("digits", "-T", tmp_path / "large", "--verbose", *conditions).text

    assert "100 Continue" not in text
    assert text.endswith("\n412")
    assert curl("digits").text == "0123456789\n200"


def test_a_resumed_upload_is_refused_and_changes_nothing(curl: Curl, digits: Path) -> None:
    digits.write_bytes(DIGITS + b"abcdef")

    assert curl("digits", "-C", "10", "-T", digits).text.endswith("\n400")
    assert curl("digits").text == "0123456789\n200"


@pytest.mark.parametrize(("span", "part"), [("2-4", "234"), ("7-", "789"), ("-2", "89"), ("0-0", "0")])
def test_a_range_is_served(curl: Curl, digits: Path, span: str, part: str) -> None:
    assert curl("digits", "-r", span).text == f"{part}\n206"


def test_a_range_behind_the_end_is_refused(curl: Curl, digits: Path) -> None:
    text = curl("digits", "-r", "10-", "--include").text

    assert text.endswith("\n416")
    assert head(text)["Content-Range"] == "bytes */10"


def test_a_broken_download_goes_on(curl: Curl, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(DIGITS[:4])

    assert curl("digits", "-C", "-", "-o", tmp_path / "part").text == "\n206"
    assert (tmp_path / "part").read_bytes() == DIGITS


def test_head_tells_what_get_would_send(curl: Curl, digits: Path) -> None:
    told, sent = head(curl("digits", "--head").text), head(curl("digits", "--include").text)

    assert told["Content-Length"] == "10"
    assert told["ETag"] == '"84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"'
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"):
        assert told[name] == sent[name] is not None


def test_an_unchanged_file_is_not_sent_again(curl: Curl, digits: Path, tmp_path: Path) -> None:
    curl("digits", "--etag-save", tmp_path / "etag")

    assert curl("digits", "--etag-compare", tmp_path / "etag").text == "\n304"


def test_a_file_not_modified_since_is_not_sent_again(curl: Curl, digits: Path, tmp_path: Path) -> None:
    curl("digits", "--remote-time", "-o", tmp_path / "copy")

    assert curl("digits", "--time-cond", tmp_path / "copy").text == "\n304"


def test_only_basic_authentication_is_offered(curl: Curl, digits: Path) -> None:
    text = curl("digits", "--include", "--digest").text

    assert text.endswith("\n401")
    assert head(text).get_all("WWW-Authenticate") == ['Basic realm="davstore", charset="UTF-8"']


def test_a_wrong_password_sees_nothing_and_changes_nothing(curl: Curl, digits: Path) -> None:
    assert curl("digits", user=f"{USER}:wrong").text.endswith("\n401")
    assert curl("digits", "-X", "DELETE", user=f"{USER}:wrong").text.endswith("\n401")
    assert curl("digits").text == "0123456789\n200"


def test_every_odd_name_goes_there_and_back(curl: Curl, tmp_path: Path) -> None:
    for name in ODD_NAMES:
        (tmp_path / "file").write_text(name)
        path = quote(name, safe="")

        assert curl(path, "-T", tmp_path / "file").text == "\n201"
        assert curl(path).text == f"{name}\n200"
        assert curl(path, "-X", "DELETE").text == "\n204"


def test_a_tree_is_made_copied_moved_and_removed(curl: Curl, digits: Path, server: DavServer) -> None:
    assert curl("tree", "-X", "MKCOL").text == "\n201"
    assert curl("digits", "-X", "MOVE", "-H", f"Destination: {server.url}/files/tree/digits").text == "\n201"
    assert curl("tree", "-X", "COPY", "-H", "Destination: /files/copy/").text == "\n201"
    assert curl("tree", "-X", "DELETE").text == "\n204"

    assert curl("copy/digits").text == "0123456789\n200"
    assert curl("tree/digits").text.endswith("\n404")
