"""Request bodies: whole or an error, in bounded memory, and what becomes of one that nobody reads."""

import hashlib
import resource
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from davstore.bodies import IncompleteBody
from davstore.limits import Limits
from tests.connection.conftest import Recorder, Site, echoed

CHUNKED = b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
MIB = 1 << 20

Start = Callable[..., Any]


def put(length: int, *fields: str) -> bytes:
    lines = ["PUT /x HTTP/1.1", "Host: h", f"Content-Length: {length}", *fields, "", ""]
    return "\r\n".join(lines).encode()


def refuses(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    """Answers without a look at the body."""
    if environ["PATH_INFO"] == "/next":
        start_response("200 OK", [("Content-Length", "4")])
        return [b"next"]
    start_response("401 Unauthorized", [("Content-Length", "2")])
    return [b"no"]


def chunks(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000])
@pytest.mark.parametrize("block", [1000, 65536, 1 << 21])
def test_a_body_arrives_as_it_was_sent(site: Callable[..., Site], size: int, block: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    peer = site(Recorder(block)).connect()

    assert peer.ask(put(size) + body).body == echoed("PUT", "/x", body)
    assert peer.ask(CHUNKED + chunks(body, 4099)).body == echoed("PUT", "/x", body)
    assert peer.ask(NEXT).body == echoed("GET", "/next")


def test_a_request_without_a_length_has_an_empty_body(echo: Site) -> None:
    assert echo.connect().ask(b"PUT /x HTTP/1.1\r\nHost: h\r\n\r\n").body == echoed("PUT", "/x")


LARGE = 1_000_000


@pytest.mark.parametrize("framing", [put(LARGE), CHUNKED + b"%x\r\n" % LARGE], ids=["length", "chunked"])
@pytest.mark.parametrize("ending", ["finish_sending", "reset"])
@pytest.mark.parametrize("sent", [0, 5000])
def test_a_body_that_ends_early_is_an_error_and_never_an_end(
    site: Callable[..., Site], framing: bytes, ending: str, sent: int
) -> None:
    recorder = Recorder()
    peer = site(recorder).connect()

    peer.send(framing + b"x" * sent)
    assert recorder.called.wait(30), "a reset takes back what was not read yet"
    getattr(peer, ending)()

    assert recorder.done.wait(30)
    assert [type(failure) for failure in recorder.failures] == [IncompleteBody]
    if ending == "finish_sending":
        assert peer.answer().status == 400
        assert peer.rest() == b""


@pytest.mark.parametrize("rest", [b"", b"0", b"0\r\n", b"0\r\nX: y\r\n"])
def test_a_chunked_body_without_its_last_line_is_not_complete(site: Callable[..., Site], rest: bytes) -> None:
    recorder = Recorder()
    peer = site(recorder).connect()

    peer.send(CHUNKED + b"5\r\nhello\r\n" + rest)
    peer.finish_sending()

    assert peer.answer().status == 400
    assert isinstance(recorder.failures[0], IncompleteBody)


def test_a_small_body_that_ends_early_does_not_reach_the_application(site: Callable[..., Site]) -> None:
    recorder = Recorder()
    peer = site(recorder).connect()

    peer.send(put(10) + b"12345")
    peer.finish_sending()

    assert peer.answer().status == 400
    assert recorder.sizes == []


@pytest.mark.parametrize("framing", [put(LARGE), CHUNKED + b"%x\r\n" % LARGE, CHUNKED], ids=["length", "chunk", "line"])
def test_a_body_that_stalls_times_out(site: Callable[..., Site], framing: bytes) -> None:
    recorder = Recorder()
    peer = site(recorder, Limits(progress_seconds=0.2)).connect()

    answer = peer.ask(framing)

    assert (answer.status, answer.closes) == (408, True)
    assert isinstance(recorder.failures[0], IncompleteBody)


def test_every_read_after_a_failure_fails(site: Callable[..., Site]) -> None:
    outcomes: list[str] = []

    def stubborn(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        for read in (
            lambda: environ["wsgi.input"].read(10),
            environ["wsgi.input"].readline,
            environ["wsgi.input"].read,
        ):
            try:
                outcomes.append(repr(read()))
            except IncompleteBody:
                outcomes.append("refused")
        start_response("400 Bad Request", [("Content-Length", "0")])
        return []

    for framing in (put(LARGE), CHUNKED + b"zz\r\n"):
        peer = site(stubborn).connect()
        peer.send(framing)
        peer.finish_sending()
        answer = peer.answer()
        assert (answer.status, answer.closes) == (400, True)

    assert outcomes == ["refused"] * 6


def test_input_reads_like_a_file(site: Callable[..., Site]) -> None:
    seen: list[object] = []

    def reads(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        body, buffer = environ["wsgi.input"], bytearray(4)
        seen.extend([body.readline(), body.readline(2), body.readinto(buffer), bytes(buffer), body.read(0)])
        seen.extend([list(body), body.read(), body.read(5), body.readinto(buffer), body.readlines()])
        start_response("200 OK", [("Content-Length", "0")])
        return []

    text = b"one\ntwo\nthree\nfour\nfive"
    expected = [b"one\n", b"tw", 4, b"o\nth", b"", [b"ree\n", b"four\n", b"five"], b"", b"", 0, []]
    for request in (put(len(text)) + text, CHUNKED + chunks(text, 5)):
        site(reads).connect().ask(request)
        assert seen == expected
        seen.clear()


def test_a_large_body_is_not_read_whole_without_a_size(site: Callable[..., Site]) -> None:
    failures: list[OSError] = []

    def reads_all(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            failures.append(error)
        start_response("413 Content Too Large", [("Content-Length", "0")])
        return []

    peer = site(reads_all).connect()
    peer.send_as_far_as_it_goes(put(20 * MIB) + bytes(20 * MIB))

    assert peer.answer().status == 413
    assert len(failures) == 1


@pytest.mark.parametrize("body", [b"x" * 10, b"x" * MIB], ids=["small", "1 MiB"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_an_unread_body_up_to_the_bound_is_drained_and_the_connection_kept(
    site: Callable[..., Site], body: bytes, coding: str
) -> None:
    body = body if coding == "length" else body[: MIB - 4096]
    peer = site(refuses).connect()

    peer.send(put(len(body)) + body if coding == "length" else CHUNKED + chunks(body, 65536))
    answer = peer.answer()

    assert (answer.status, answer.closes) == (401, False)
    assert peer.ask(NEXT).body == b"next"


def test_the_answer_does_not_wait_for_a_body_that_nobody_wants(site: Callable[..., Site]) -> None:
    peer = site(refuses).connect()

    answer = peer.ask(put(100_000))
    peer.send(b"x" * 100_000 + NEXT)

    assert answer.status == 401
    assert peer.answer().body == b"next"


@pytest.mark.parametrize("framing", [put(64 * MIB), CHUNKED + b"%x\r\n" % (64 * MIB)], ids=["length", "chunked"])
def test_a_client_that_sends_all_before_it_reads_sees_the_refusal_of_a_large_body(
    site: Callable[..., Site], framing: bytes
) -> None:
    peer = site(refuses, Limits(linger_bytes=128 * MIB, linger_seconds=20)).connect()

    peer.send(framing)
    for _ in range(64):
        peer.send(bytes(MIB))

    assert peer.answer().status == 401
    assert peer.rest() == b""


@pytest.mark.slow
def test_lingering_has_an_end(site: Callable[..., Site]) -> None:
    peer = site(refuses, Limits(linger_seconds=0.2)).connect()
    answer = peer.ask(put(64 * MIB))
    assert answer.closes

    time.sleep(1.5)

    with pytest.raises(ConnectionError):
        peer.send(bytes(100 * MIB))


def test_what_follows_a_body_read_in_part_is_never_a_request(site: Callable[..., Site]) -> None:
    paths: list[str] = []

    def reads_some(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        environ["wsgi.input"].read(5)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    inner = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    peer = site(reads_some).connect()

    peer.send(put(5 + len(inner)) + b"12345" + inner + CHUNKED + b"5\r\n12345\r\n" + chunks(inner, 1000) + NEXT)
    statuses = [peer.answer().status for _ in range(3)]

    assert statuses == [200] * 3
    assert paths == ["/x", "/x", "/next"]


def test_memory_does_not_grow_with_a_body(site: Callable[..., Site]) -> None:
    running = site(Recorder(256 * 1024))
    piece = bytes(MIB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for head, end in ((put(128 * MIB), b""), (CHUNKED + b"%x\r\n" % (128 * MIB), b"\r\n0\r\n\r\n")):
        peer = running.connect()
        peer.send(head)
        for _ in range(128):
            peer.send(piece)
        peer.send(end)
        assert peer.answer().body.split()[2] == b"%d" % (128 * MIB)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


def test_one_huge_chunk_takes_time_in_proportion(site: Callable[..., Site]) -> None:
    running = site(Recorder(64 * 1024))
    spent: list[float] = []

    for size in (8 * MIB, 64 * MIB):
        start = time.process_time()
        answer = running.connect().ask(CHUNKED + chunks(bytes(size), size))
        spent.append(time.process_time() - start)
        assert answer.body.endswith(hashlib.sha256(bytes(size)).hexdigest().encode())

    assert spent[1] < spent[0] * 8 * 3


def test_many_tiny_chunks_take_time_in_proportion(site: Callable[..., Site]) -> None:
    """Every read takes a few bytes off a full buffer; copying the rest each time would be quadratic."""
    running = site(Recorder())
    body = bytes(100_000)

    start = time.process_time()
    answer = running.connect().ask(CHUNKED + chunks(body, 1))

    assert answer.body == echoed("PUT", "/x", body)
    assert time.process_time() - start < 5


def test_uploads_do_not_disturb_each_other(site: Callable[..., Site]) -> None:
    running = site(Recorder())
    answers: dict[int, bytes] = {}

    def upload(number: int) -> None:
        body = bytes([number]) * 200_000
        peer = running.connect()
        answers[number] = peer.ask(put(len(body)) + body if number % 2 else CHUNKED + chunks(body, 3333)).body

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == {number: echoed("PUT", "/x", bytes([number]) * 200_000) for number in range(30)}
