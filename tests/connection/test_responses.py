"""Answers on the wire: exact lengths, files, broken applications, and nothing an application's text could add."""

import email.utils
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import StorageUnavailable
from davstore import copying
from tests.connection.conftest import Site

Start = Callable[..., Any]
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
GET10 = b"GET / HTTP/1.0\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"


def answering(result: Any, *fields: tuple[str, str], status: str = "200 OK") -> Callable[..., Any]:
    def application(_environ: dict[str, Any], start_response: Start) -> Any:
        start_response(status, list(fields))
        return result() if callable(result) else result

    return application


def length(size: int) -> tuple[str, str]:
    return "Content-Length", str(size)


def test_a_list_of_blocks_has_its_length_told(site: Callable[..., Site]) -> None:
    answer = site(answering([b"one", b"", b"two"])).connect().ask(GET)

    assert (answer.fields["content-length"], answer.body) == ("6", b"onetwo")


def test_an_empty_answer_has_length_zero(site: Callable[..., Site]) -> None:
    answer = site(answering([])).connect().ask(GET)

    assert (answer.fields["content-length"], answer.body) == ("0", b"")


def test_blocks_of_unknown_length_are_chunks_for_1_1(site: Callable[..., Site]) -> None:
    peer = site(answering(lambda: iter([b"a" * 100_000, b"", b"b"]))).connect()

    for _ in range(2):
        answer = peer.ask(GET)
        assert (answer.fields["transfer-encoding"], answer.body) == ("chunked", b"a" * 100_000 + b"b")
        assert "content-length" not in answer.fields


def test_blocks_of_unknown_length_end_with_the_connection_for_1_0(site: Callable[..., Site]) -> None:
    peer = site(answering(lambda: iter([b"a", b"b"]))).connect()

    answer = peer.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

    assert (answer.body, answer.closes) == (b"ab", True)
    assert "transfer-encoding" not in answer.fields


def test_each_block_is_sent_when_it_is_there(site: Callable[..., Site]) -> None:
    go_on = threading.Event()

    def blocks() -> Iterator[bytes]:
        yield b"first"
        assert go_on.wait(5)
        yield b"second"

    peer = site(answering(blocks, length(11))).connect()
    peer.send(GET)

    received = b""
    while not received.endswith(b"first"):
        received += peer.read(1)
    go_on.set()
    assert peer.read(6) == b"second"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_no_content_means_none(site: Callable[..., Site], status: str) -> None:
    peer = site(answering([b"surplus"], status=status)).connect()

    for _ in range(2):
        answer = peer.ask(GET)
        assert answer.status == int(status[:3])
        assert "transfer-encoding" not in answer.fields


def test_no_content_has_no_length_and_not_modified_keeps_its_own(site: Callable[..., Site]) -> None:
    assert "content-length" not in site(answering([], length(0), status="204 No Content")).connect().ask(GET).fields
    assert site(answering([], length(7), status="304 Not Modified")).connect().ask(GET).fields["content-length"] == "7"


@pytest.mark.parametrize("result", [[b"abc"], [], [b""]])
def test_head_has_the_length_and_not_the_body(site: Callable[..., Site], result: list[bytes]) -> None:
    peer = site(answering(result, length(3))).connect()

    for _ in range(2):
        answer = peer.ask(HEAD, "HEAD")
        assert answer.fields["content-length"] == "3"


def test_head_of_an_unknown_length_claims_none(site: Callable[..., Site]) -> None:
    peer = site(answering([])).connect()

    for _ in range(2):
        assert "content-length" not in peer.ask(HEAD, "HEAD").fields


def test_date_and_server_are_told_once(site: Callable[..., Site]) -> None:
    own = [
        ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Server", "other"),
        ("Connection", "keep-alive"),
        ("Keep-Alive", "x"),
    ]

    answer = site(answering([b"x"], *own)).connect().ask(GET)

    told = email.utils.parsedate_to_datetime(answer.fields["date"]).timestamp()
    assert abs(told - time.time()) < 5
    assert answer.fields["server"] == "davstore"
    assert not {"keep-alive", "connection"} & answer.fields.keys()


def test_an_application_can_close_the_connection(site: Callable[..., Site]) -> None:
    peer = site(answering([b"x"], ("Connection", "Close"))).connect()

    answer = peer.ask(GET)

    assert (answer.body, answer.closes) == (b"x", True)
    assert peer.rest() == b""


INJECTIONS = [
    ("X", "a\r\nSet-Cookie: b"),
    ("X", "a\nb"),
    ("X", "a\rb"),
    ("X", "a\0b"),
    ("X\r\nY", "a"),
    ("X: Y", "a"),
    ("", "a"),
    ("X Y", "a"),
    ("X", "\u20ac"),
    ("Content-Length", "+5"),
    ("Content-Length", "5\r\nX: y"),
    ("Transfer-Encoding", "chunked"),
]


@pytest.mark.expects_log("failed")
@pytest.mark.parametrize(("name", "value"), INJECTIONS)
def test_a_field_that_would_be_more_than_one_is_a_500(site: Callable[..., Site], name: str, value: str) -> None:
    peer = site(answering([b"x"], (name, value))).connect()

    answer = peer.ask(GET)

    assert (answer.status, answer.closes) == (500, True)
    assert peer.rest() == b""


@pytest.mark.expects_log("failed")
@pytest.mark.parametrize(
    "status",
    ["200 OK\r\nX: y", "20 OK", "OK", "", "100 Continue", "999 X", "200\nOK", "200OK", "\u0662\u0660\u0660 OK"],
)
def test_a_status_that_is_none_is_a_500(site: Callable[..., Site], status: str) -> None:
    assert site(answering([b"x"], status=status)).connect().ask(GET).status == 500


@pytest.mark.expects_log("failed")
def test_two_different_lengths_are_a_500(site: Callable[..., Site]) -> None:
    assert site(answering([b"x"], length(1), length(2))).connect().ask(GET).status == 500


class Closing:
    """A result that counts how often it was closed."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        assert not self.closed.is_set()
        self.closed.set()


def failing(*blocks: bytes) -> Iterator[bytes]:
    yield from blocks
    raise RuntimeError("the application broke")


@pytest.mark.expects_log("failed")
def test_too_few_bytes_break_the_connection(site: Callable[..., Site]) -> None:
    result = Closing(iter([b"12345"]))
    peer = site(answering(result, length(10))).connect()
    peer.send(GET)

    with pytest.raises(ConnectionResetError):
        peer.rest()
    assert result.closed.wait(5)


@pytest.mark.expects_log("failed")
@pytest.mark.parametrize("blocks", [[b"1234567"], [b"12345", b"67", b"89"], [b"1234", b"567"]])
def test_never_more_bytes_than_declared(site: Callable[..., Site], blocks: list[bytes]) -> None:
    result = Closing(iter(blocks))
    peer = site(answering(result, length(5))).connect()

    assert peer.ask(GET + GET).body == b"12345"
    assert peer.rest() == b""
    assert result.closed.wait(5)


@pytest.mark.expects_log("failed")
@pytest.mark.parametrize("fields", [[length(100)], []], ids=["length", "chunked"])
@pytest.mark.parametrize("request_head", [GET, GET10])
def test_a_failure_half_way_breaks_the_connection(
    site: Callable[..., Site], fields: list[tuple[str, str]], request_head: bytes
) -> None:
    result = Closing(failing(b"some"))
    peer = site(answering(result, *fields)).connect()
    peer.send(request_head)

    with pytest.raises(ConnectionResetError):
        peer.rest()
    assert result.closed.wait(5)


@pytest.mark.expects_log("GET b'/' failed: storage s3main: it is gone")
def test_a_storage_that_fails_half_way_is_one_line_of_the_log(
    site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"some"
        raise StorageUnavailable("storage s3main", "it is gone")

    result = Closing(breaking())
    peer = site(answering(result, length(100))).connect()
    peer.send(GET)

    with pytest.raises(ConnectionResetError):
        peer.rest()
    assert result.closed.wait(5)
    assert [record.exc_info for record in caplog.records if "s3main" in record.getMessage()] == [None]


def raises(_environ: dict[str, Any], _start_response: Start) -> list[bytes]:
    raise RuntimeError("the application broke")


@pytest.mark.expects_log("failed")
@pytest.mark.parametrize("application", [raises, answering(failing), lambda _environ, _start: []])
def test_a_failure_before_the_answer_is_a_plain_500(site: Callable[..., Site], application: Callable[..., Any]) -> None:
    running = site(application)
    peer = running.connect()

    answer = peer.ask(GET)

    assert (answer.status, answer.fields["content-type"], answer.closes) == (500, "text/plain", True)
    assert b"broke" not in answer.body
    assert running.get().status == 500


@pytest.mark.expects_log("failed", "broke off")
def test_no_exception_ends_a_thread(site: Callable[..., Site]) -> None:
    def application(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        if environ["PATH_INFO"] == "/exit":
            raise SystemExit(3)
        start_response("200 OK", [])
        return [b"alive"]

    running = site(application)
    for _ in range(40):
        with pytest.raises(EOFError):
            running.get("/exit")

    assert running.get().body == b"alive"


@pytest.mark.expects_log("failed")
def test_an_application_may_change_its_mind_until_the_first_byte(site: Callable[..., Site]) -> None:
    def application(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [length(100)])
        if environ["PATH_INFO"] == "/late":
            write(b"begun")
        error = RuntimeError("second thoughts")
        start_response("503 Service Unavailable", [], (RuntimeError, error, None))
        return [b"sorry"]

    running = site(application)

    assert (running.get().status, running.get().body) == (503, b"sorry")
    with pytest.raises(ConnectionResetError):
        running.get("/late")


@pytest.mark.expects_log("failed")
def test_starting_twice_is_a_500(site: Callable[..., Site]) -> None:
    def application(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        start_response("201 Created", [])
        return []

    assert site(application).get().status == 500


@pytest.fixture(params=["copied", "handed over", "handed over for want of memory"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the bytes of files come to the client."""
    if request.param == "handed over":
        monkeypatch.setattr(copying, "is_near", lambda _: False)
    if request.param == "handed over for want of memory":
        monkeypatch.setattr(copying, "_free", deque())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    return path


def serving(path: Path, *fields: tuple[str, str], seek: int = 0, **attributes: int) -> Callable[..., Any]:
    """Answers with the file, its handle positioned and described as told."""

    class Handle:
        def __init__(self) -> None:
            self._file = path.open("rb")
            self._file.seek(seek)
            self.fileno, self.tell, self.read, self.close = (
                self._file.fileno,
                self._file.tell,
                self._file.read,
                self._file.close,
            )
            self.__dict__.update(attributes)

    def application(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", list(fields))
        return environ["wsgi.file_wrapper"](Handle(), 8192)

    return application


SPANS = {
    "whole": ([], {}, slice(0, None)),
    "from the position": ([], {"seek": 1000}, slice(1000, None)),
    "as declared": ([length(2_000_000)], {"seek": 500_000}, slice(500_000, 2_500_000)),
    "by attributes": ([], {"offset": 10, "length": 1_000_000}, slice(10, 1_000_010)),
    "small": ([length(100)], {"offset": 7, "length": 100}, slice(7, 107)),
    "nothing": ([], {"offset": 3_000_000}, slice(0, 0)),
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", SPANS)
def test_a_file_is_sent_from_where_to_where_it_says(site: Callable[..., Site], file: Path, name: str) -> None:
    fields, how, span = SPANS[name]
    expected = file.read_bytes()[span]
    peer = site(serving(file, *fields, **how)).connect()

    for _ in range(2):
        answer = peer.ask(GET)
        assert answer.body == expected
        assert answer.fields["content-length"] == str(len(expected))
    assert peer.ask(HEAD, "HEAD").fields["content-length"] == str(len(expected))


def test_what_has_no_descriptor_is_read_in_blocks(site: Callable[..., Site]) -> None:
    class Remote:
        def __init__(self) -> None:
            self._left = [b"a" * 5000, b"b" * 5000]

        def read(self, size: int) -> bytes:
            return self._left.pop(0)[:size] if self._left else b""

    def application(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [length(10_000)])
        return environ["wsgi.file_wrapper"](Remote())

    assert site(application).get().body == b"a" * 5000 + b"b" * 5000


def test_a_pipe_is_read_in_blocks(site: Callable[..., Site]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"piped")
    os.close(writing)

    def application(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](os.fdopen(reading, "rb"))

    assert site(application).get().body == b"piped"


@pytest.mark.expects_log("failed")
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [0, 1000, 3_000_000])
def test_a_file_shorter_than_declared_breaks_the_connection(
    site: Callable[..., Site], tmp_path: Path, size: int
) -> None:
    (tmp_path / "short").write_bytes(b"x" * size)
    peer = site(serving(tmp_path / "short", length(size + 1))).connect()
    peer.send(GET)

    with pytest.raises(ConnectionResetError):
        peer.rest()


@pytest.mark.expects_log("failed")
@pytest.mark.usefixtures("way")
def test_a_file_cut_while_it_is_sent_breaks_the_connection(site: Callable[..., Site], tmp_path: Path) -> None:
    path = tmp_path / "cut"
    with path.open("wb") as handle:
        handle.truncate(64 << 20)
    peer = site(serving(path)).connect()
    peer.send(GET)
    peer.read(100)

    os.truncate(path, 32 << 20)

    with pytest.raises(ConnectionResetError):
        peer.rest()


def test_a_client_that_leaves_after_one_byte_disturbs_nobody(site: Callable[..., Site], tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as handle:
        handle.truncate(1 << 30)
    running = site(serving(path))
    descriptors = len(os.listdir("/proc/self/fd"))

    for _ in range(20):
        peer = running.connect()
        peer.send(GET)
        peer.read(1)
        peer.reset()
    peer = running.connect()
    peer.send(GET)

    assert peer.read(15) == b"HTTP/1.1 200 OK"
    peer.reset()
    deadline = time.monotonic() + 5
    while len(os.listdir("/proc/self/fd")) > descriptors and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_memory_for_copies_is_given_back_by_clients_that_stay_and_that_leave(
    site: Callable[..., Site], file: Path
) -> None:
    running = site(serving(file))

    for _ in range(2 * copying.AT_ONCE):
        leaving, staying = running.connect(), running.connect()
        leaving.send(GET)
        leaving.read(1)
        leaving.reset()
        assert staying.ask(GET).body == file.read_bytes()

    deadline = time.monotonic() + 5
    while len(copying._free) < copying.AT_ONCE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(copying._free) == copying.AT_ONCE
