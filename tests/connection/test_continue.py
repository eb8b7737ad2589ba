"""Expect: 100-continue (RFC 9110, 10.1.1): asked for by the application's first read, and by nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.connection.conftest import Recorder, Site, echoed

Start = Callable[..., Any]


def put(expectation: str = "100-continue", length: int = 5, version: str = "1.1") -> bytes:
    return f"PUT /x HTTP/{version}\r\nHost: h\r\nContent-Length: {length}\r\nExpect: {expectation}\r\n\r\n".encode()


def refuses(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("412 Precondition Failed", [("Content-Length", "0")])
    return []


@pytest.mark.parametrize("expectation", ["100-continue", "100-Continue", "100-CONTINUE"])
@pytest.mark.parametrize("length", [5, 500_000])
def test_the_first_read_invites_the_body(echo: Site, expectation: str, length: int) -> None:
    peer, body = echo.connect(), b"x" * length

    assert peer.ask(put(expectation, length)).status == 100
    answer = peer.ask(body)

    assert (answer.body, answer.closes) == (echoed("PUT", "/x", body), False)
    assert peer.ask(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n").body == echoed("GET", "/next")


def test_a_chunked_body_is_invited_too(echo: Site) -> None:
    peer = echo.connect()

    invited = peer.ask(b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")

    assert invited.status == 100
    assert peer.ask(b"5\r\nhello\r\n0\r\n\r\n").body == echoed("PUT", "/x", b"hello")


def test_a_refusal_comes_instead_of_the_invitation_and_ends_the_connection(site: Callable[..., Site]) -> None:
    peer = site(refuses).connect()

    answer = peer.ask(put(length=1 << 30))

    assert (answer.status, answer.closes) == (412, True)
    assert peer.rest() == b""


def test_a_refused_body_that_was_sent_all_the_same_is_not_a_request(site: Callable[..., Site]) -> None:
    seen: list[str] = []

    def counts(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        return refuses(environ, start_response)

    inner = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    peer = site(counts).connect()
    answer = peer.ask(put(length=len(inner)))
    peer.send_as_far_as_it_goes(inner)

    assert (answer.status, answer.closes) == (412, True)
    assert peer.rest() == b""
    assert seen == ["/x"]


def test_a_body_that_did_not_wait_needs_no_invitation(echo: Site) -> None:
    peer = echo.connect()

    answer = peer.ask(put() + b"hello")

    assert answer.body == echoed("PUT", "/x", b"hello")


def test_a_refused_body_that_is_at_hand_is_drained_and_the_connection_kept(site: Callable[..., Site]) -> None:
    peer = site(refuses).connect()

    first = peer.ask(put() + b"hello")

    assert (first.status, first.closes) == (412, False)
    assert peer.ask(put() + b"hello").status == 412


def test_an_application_that_has_begun_its_answer_invites_nobody(site: Callable[..., Site]) -> None:
    def answers_first(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [])(b"first")
        return [environ["wsgi.input"].read(5)]

    peer = site(answers_first).connect()
    peer.send(put())
    head = peer.read(len(b"HTTP/1.1 200 OK"))
    peer.send(b"hello")

    assert head == b"HTTP/1.1 200 OK"
    assert b"100 Continue" not in peer.rest()


def test_an_expectation_without_a_body_invites_nothing(echo: Site) -> None:
    assert echo.connect().ask(put(length=0)).body == echoed("PUT", "/x")


def test_http_1_0_knows_no_expectations(echo: Site) -> None:
    answer = echo.connect().ask(put(version="1.0") + b"hello")

    assert answer.body == echoed("PUT", "/x", b"hello")


def test_an_unread_body_is_never_invited(site: Callable[..., Site], recorder: Recorder) -> None:
    recorder.sizes.clear()
    peer = site(refuses).connect()
    peer.send(put())

    assert peer.rest().count(b"HTTP/1.1") == 1
    assert recorder.sizes == []
