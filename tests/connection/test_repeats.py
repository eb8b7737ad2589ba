"""What is answered a second time without the application, and that nothing else is."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from davstore import repeats, responses
from davstore.repeats import ALL, KEEP, LARGEST_ANSWER, LARGEST_REQUEST, Repeats
from tests.connection.conftest import Site
from tests.connection.peer import Peer
from tests.connection.test_slow_clients import wait_for

NOW = 1_800_000_000
GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
PROPFIND = b"PROPFIND /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b"
Sites = Callable[..., Site]


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The server's time of day, which stands still."""
    clock = Clock()
    monkeypatch.setattr(repeats, "time", clock)
    monkeypatch.setattr(responses, "time", clock)
    return clock


class Keeper:
    """An application that lets every answer be given again as long as `holds`. Its answers are numbered."""

    def __init__(self, size: int = 0) -> None:
        self.holds = True
        self.made = 0
        self._size = size
        self._turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        with self._turn:
            self.made += 1
            number = self.made
        body = environ["wsgi.input"].read()
        if KEEP in environ:
            environ[KEEP](lambda: self.holds)
        start_response("200 OK", [("X-Number", str(number))])
        return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode() + body + bytes(self._size)]


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def peer(site: Sites, keeper: Keeper) -> Peer:
    return site(keeper).connect()


@pytest.mark.parametrize("request_", [GET, b"HEAD" + GET[3:], b"OPTIONS" + GET[3:], PROPFIND % (4, b"body")])
def test_the_same_request_gets_the_same_answer_without_the_application(
    peer: Peer, keeper: Keeper, request_: bytes
) -> None:
    method = request_.split()[0].decode()
    first = peer.ask(request_, method)

    assert [peer.ask(request_, method) for _ in range(3)] == [first] * 3
    assert keeper.made == 1


def test_other_connections_of_the_same_address_get_it_too(site: Sites, keeper: Keeper) -> None:
    running = site(keeper)
    first = running.connect()
    first.ask(GET)
    assert first.ask(GET).fields["x-number"] == "1", "by then it is kept"

    assert {running.connect().ask(GET).fields["x-number"] for _ in range(5)} == {"1"}


def test_another_address_gets_an_answer_of_its_own(site: Sites, keeper: Keeper) -> None:
    running = site(keeper)
    running.connect().ask(GET)

    with Peer(running.port, source="127.0.0.2") as elsewhere:
        assert elsewhere.ask(GET).fields["x-number"] == "2"


def test_whether_an_answer_holds_is_asked_each_time(peer: Peer, keeper: Keeper) -> None:
    peer.ask(GET)
    keeper.holds = False

    assert [peer.ask(GET).fields["x-number"] for _ in range(3)] == ["2", "3", "4"]


def test_no_answer_outlives_the_second_of_its_date(peer: Peer, keeper: Keeper, clock: Clock) -> None:
    first = peer.ask(GET)
    clock.now = NOW + 0.999
    again = peer.ask(GET)
    clock.now = NOW + 1.0
    later = peer.ask(GET)

    assert again == first
    assert later.fields["x-number"] == "2"
    assert later.fields["date"] != first.fields["date"]


def test_nothing_is_given_again_that_the_application_did_not_allow(site: Sites) -> None:
    made: list[str] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        made.append(environ["REQUEST_METHOD"])
        start_response("200 OK", [])
        return [b"x"]

    peer = site(application).connect()
    for _ in range(3):
        peer.ask(GET)

    assert len(made) == 3


@pytest.mark.parametrize("method", [b"PUT", b"POST", b"DELETE", b"LOCK"])
def test_what_changes_something_is_never_answered_again(peer: Peer, keeper: Keeper, method: bytes) -> None:
    request = method + b" /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\ny"

    assert [peer.ask(request).fields["x-number"] for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "request_",
    [
        b"PROPFIND /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\n\r\n",
        b"PROPFIND /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % LARGEST_REQUEST + b"y" * LARGEST_REQUEST,
    ],
)
def test_bodies_that_are_chunked_or_large_are_looked_at_each_time(peer: Peer, request_: bytes) -> None:
    assert [peer.ask(request_).fields["x-number"] for _ in range(3)] == ["1", "2", "3"]


def test_a_request_that_ends_the_connection_ends_it_each_time(site: Sites, keeper: Keeper) -> None:
    running = site(keeper)

    for number in (1, 2, 3):
        answer = running.connect().ask(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert (answer.fields["x-number"], answer.closes) == (str(number), True)


def test_requests_that_differ_in_one_byte_get_their_own_answers(peer: Peer) -> None:
    asked = [PROPFIND % (1, b"a"), PROPFIND % (1, b"b"), GET.replace(b"/x", b"/y"), GET]

    for _ in range(3):
        assert [peer.ask(request).body for request in asked] == [
            b"PROPFIND /x a",
            b"PROPFIND /x b",
            b"GET /y ",
            b"GET /x ",
        ]


def test_a_request_in_pieces_is_the_same_request(peer: Peer) -> None:
    whole = PROPFIND % (4, b"body")
    first = peer.ask(whole)

    for cut in (1, 10, whole.index(b"body"), len(whole) - 1):
        peer.send(whole[:cut])
        assert peer.is_silent(0.02)
        assert peer.ask(whole[cut:]).body == first.body


def test_pipelined_requests_are_answered_in_their_order(peer: Peer) -> None:
    other = GET.replace(b"/x", b"/y")
    peer.ask(GET)

    for requests in ([GET, GET, other], [other, GET, GET], [GET, GET[:9]]):
        peer.send(b"".join(requests))
        peer.send(GET[9:] if requests[-1] == GET[:9] else b"")
        paths = [b"GET /y " if request is other else b"GET /x " for request in requests]
        assert [peer.answer().body for _ in requests] == paths


def test_a_client_that_takes_no_answers_holds_up_nobody_and_loses_nothing(site: Sites) -> None:
    size, count = LARGEST_ANSWER // 2, 200
    running = site(Keeper(size))
    greedy, honest = running.connect(), running.connect()
    greedy.ask(GET)

    sending = threading.Thread(target=greedy.send, args=(GET * count,))
    sending.start()
    for _ in range(20):
        greedy.is_silent(0.01)
        assert honest.ask(GET).status == 200
    answers = [greedy.answer() for _ in range(count)]
    sending.join()

    assert {len(answer.body) for answer in answers} == {size + len(b"GET /x ")}


def test_a_server_that_is_stopping_says_so(site: Sites, keeper: Keeper) -> None:
    running = site(keeper)
    peer = running.connect()
    peer.ask(GET)
    wait_for(lambda: running.server.requests.busy == 0)
    running.server.leave()
    wait_for(lambda: not running.is_serving)
    peer.send(GET)

    running.server.stop(5)

    assert peer.answer().closes


def test_what_is_kept_takes_bounded_memory() -> None:
    kept = Repeats()
    answer = bytes(LARGEST_ANSWER)
    number = ALL // LARGEST_ANSWER
    asked = [(b"%d" % n, "a") for n in range(2 * number)]

    for request in asked:
        kept.keep(request, NOW, answer, lambda: True)

    assert 0 < sum(kept.find(request) is not None for request in asked) <= number


def test_an_answer_that_comes_late_drives_out_none_that_holds() -> None:
    kept = Repeats()
    kept.keep((b"a", "a"), NOW, b"answer", lambda: True)
    kept.keep((b"b", "a"), NOW - 1, b"answer", lambda: True)

    assert kept.find((b"a", "a")) == b"answer"
    assert kept.find((b"b", "a")) is None


def test_what_is_too_large_is_not_kept() -> None:
    kept = Repeats()
    kept.keep((b"a", "a"), NOW, bytes(LARGEST_ANSWER + 1), lambda: True)
    kept.keep((bytes(LARGEST_REQUEST + 1), "a"), NOW, b"answer", lambda: True)

    assert kept.find((b"a", "a")) is kept.find((bytes(LARGEST_REQUEST + 1), "a")) is None
