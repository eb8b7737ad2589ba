"""Slow clients starve nobody, and are not cut as long as something moves; idle ones cost a descriptor."""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from davstore import pool as pools
from davstore.bodies import IncompleteBody
from davstore.limits import Limits
from tests.connection.conftest import Recorder, Site, echoed
from tests.connection.peer import Peer

pytestmark = pytest.mark.slow

Start = Callable[..., Any]
GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


def put(length: int) -> bytes:
    return b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length


@contextmanager
def dripping(peers: list[Peer], byte: bytes) -> Iterator[None]:
    """Every peer sends a byte, again and again."""
    is_over = threading.Event()

    def drip() -> None:
        while not is_over.wait(0.05):
            for peer in peers:
                peer.send_as_far_as_it_goes(byte)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def quickest(ask: Callable[[], Any], times: int = 10) -> float:
    """Seconds of the median of several."""
    spent: list[float] = []
    for _ in range(times):
        start = time.monotonic()
        ask()
        spent.append(time.monotonic() - start)
    return sorted(spent)[times // 2]


def wait_for(claim: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_200_slow_uploads_delay_nobody(site: Callable[..., Site]) -> None:
    running = site(Recorder())
    uploads = [running.connect() for _ in range(200)]
    for peer in uploads:
        peer.send(put(100_000))
    wait_for(lambda: running.server.requests.size == 200)

    with dripping(uploads, b"x"):
        wait_for(lambda: quickest(running.get) < 0.1)

    assert running.server.requests.busy >= 200
    for peer in uploads:
        peer.reset()


@pytest.mark.parametrize(
    "beginning", [b"", b"G", GET[:-2], put(1000) + b"some"], ids=["nothing", "byte", "head", "body"]
)
def test_clients_that_have_not_sent_all_of_a_small_request_take_no_thread(
    site: Callable[..., Site], beginning: bytes
) -> None:
    running = site(Recorder(), Limits(threads_min=2, threads_max=2))
    slow = [running.connect() for _ in range(100)]
    for peer in slow:
        peer.send(beginning)

    wait_for(lambda: quickest(running.get) < 0.1)
    wait_for(lambda: running.server.requests.busy == 0)


def test_the_pool_grows_while_all_threads_are_busy_and_shrinks_again(site: Callable[..., Site]) -> None:
    limits = Limits(threads_min=4, threads_max=20, spare_thread_seconds=0.2)
    running = site(Recorder(), limits)
    pool = running.server.requests
    wait_for(lambda: pool.size == 4)

    uploads = [running.connect() for _ in range(30)]
    for peer in uploads:
        peer.send(put(100_000))
    wait_for(lambda: pool.size == 20)
    time.sleep(0.1)
    assert pool.size == 20

    for peer in uploads:
        peer.send(b"x" * 100_000)
        assert peer.answer().status == 200
    wait_for(lambda: pool.size == 4)


class Late(threading.Thread):
    """A thread that a busy machine lets begin only after a while."""

    def run(self) -> None:
        time.sleep(0.1)
        super().run()


def test_threads_that_are_still_to_begin_are_counted(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "Thread", Late)
    running = site(Recorder(), Limits(threads_min=1))
    uploads = [running.connect() for _ in range(100)]
    for peer in uploads:
        peer.send(put(100_000))

    wait_for(lambda: len(running.server.requests.running) == 100)
    assert running.server.requests.size == 100


def test_a_slow_upload_is_not_cut_while_it_moves(site: Callable[..., Site]) -> None:
    peer = site(Recorder(), Limits(progress_seconds=2.0, small_body_bytes=3)).connect()

    peer.send(put(10))
    for byte in b"helloworld":
        time.sleep(0.3)
        peer.send(bytes([byte]))

    assert peer.answer().body == echoed("PUT", "/x", b"helloworld")


def test_a_slow_download_is_not_cut_while_it_moves(site: Callable[..., Site]) -> None:
    size = 32 << 20

    def application(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        return [bytes(size)]

    peer = site(application, Limits(progress_seconds=2.0)).connect()
    peer.send(GET)
    received = 0
    while received < size:
        time.sleep(0.1)
        received += len(peer.read(min(1 << 20, size - received)))


def test_a_download_that_stalls_is_broken_off(site: Callable[..., Site]) -> None:
    ended = threading.Event()

    class Result:
        def __iter__(self) -> Iterator[bytes]:
            return iter([bytes(1 << 20)] * 64)

        def close(self) -> None:
            ended.set()

    def application(_environ: dict[str, Any], start_response: Start) -> Result:
        start_response("200 OK", [("Content-Length", str(64 << 20))])
        return Result()

    peer = site(application, Limits(progress_seconds=0.3)).connect()
    peer.send(GET)

    assert ended.wait(30)
    with pytest.raises(ConnectionResetError):
        peer.rest()


def test_an_incomplete_head_has_a_total_time(site: Callable[..., Site]) -> None:
    running = site(Recorder(), Limits(head_seconds=0.6))
    started = time.monotonic()
    peer = running.connect()

    peer.send(GET[:-4])
    with dripping([peer], b"x"):
        answer = peer.answer()

    assert (answer.status, answer.closes) == (408, True)
    assert 0.5 < time.monotonic() - started < 9


def test_a_small_body_that_stalls_times_out_without_a_thread(site: Callable[..., Site]) -> None:
    recorder = Recorder()
    running = site(recorder, Limits(progress_seconds=0.3))

    answer = running.connect().ask(put(10) + b"12345")

    assert (answer.status, answer.closes) == (408, True)
    assert recorder.sizes == []


@pytest.mark.parametrize("first", [b"", GET], ids=["new", "used"])
def test_an_idle_connection_is_closed_in_silence(site: Callable[..., Site], first: bytes) -> None:
    peer = site(Recorder(), Limits(idle_seconds=2.0, head_seconds=2.0)).connect()
    if first:
        assert peer.ask(first).status == 200

    assert peer.is_silent(0.2)
    assert peer.rest() == b""


def test_idle_is_counted_from_the_last_answer(site: Callable[..., Site]) -> None:
    peer = site(Recorder(), Limits(idle_seconds=3.0, head_seconds=3.0)).connect()

    for _ in range(5):
        assert peer.ask(GET).status == 200
        time.sleep(0.8)

    assert peer.ask(GET).status == 200


def test_a_thousand_idle_connections_are_kept(site: Callable[..., Site]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    running = site(Recorder())
    try:
        peers = [running.connect() for _ in range(1000)]
        for _ in range(2):
            assert {peer.ask(GET).body for peer in peers} == {echoed("GET", "/x")}
        wait_for(lambda: quickest(running.get) < 0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_stopping_waits_for_requests_in_flight_and_takes_no_more(site: Callable[..., Site]) -> None:
    recorder = Recorder()
    running = site(recorder)
    upload, idle = running.connect(), running.connect()
    assert idle.ask(GET).status == 200
    upload.send(put(200_000) + b"x")
    wait_for(lambda: recorder.environ["REQUEST_METHOD"] == "PUT")

    stopping = threading.Thread(target=running.server.stop, args=(30,))
    stopping.start()
    assert idle.rest() == b""
    with pytest.raises(ConnectionError):
        Peer(running.port)
    upload.send(b"x" * 199_999)
    answer = upload.answer()
    stopping.join(20)

    assert (answer.body, answer.closes) == (echoed("PUT", "/x", b"x" * 200_000), True)
    assert not stopping.is_alive()


def test_stopping_answers_what_has_just_come(site: Callable[..., Site]) -> None:
    running = site(Recorder())
    peer = running.connect()
    assert peer.ask(GET).status == 200
    time.sleep(0.1)

    running.server.leave()
    time.sleep(0.1)
    peer.send(GET)
    running.server.stop(5)
    answer = peer.answer()

    assert (answer.body, answer.closes) == (echoed("GET", "/x"), True)


def test_whoever_is_connected_when_the_server_stops_may_ask_once_more_and_learns_that_it_was_the_last(
    site: Callable[..., Site],
) -> None:
    running = site(Recorder(), Limits(parting_seconds=60.0))
    used, new, silent = running.connect(), running.connect(), running.connect()
    assert used.ask(GET).status == silent.ask(GET).status == 200
    stopping = threading.Thread(target=running.server.stop)

    stopping.start()
    wait_for(lambda: refuses(running.port))
    answers = [peer.ask(GET) for peer in (new, used)]
    silent.finish_sending()
    stopping.join(20)

    assert [(answer.body, answer.closes) for answer in answers] == [(echoed("GET", "/x"), True)] * 2
    assert not stopping.is_alive(), "nobody is left to wait for"


def test_whoever_a_thread_stays_with_when_the_server_stops_may_ask_once_more(site: Callable[..., Site]) -> None:
    running = site(Recorder(), Limits(stay_seconds=0.5, parting_seconds=60.0))
    peer = running.connect()
    assert peer.ask(GET).status == 200
    stopping = threading.Thread(target=running.server.stop, args=(60,))

    stopping.start()
    wait_for(lambda: refuses(running.port) and not running.server.requests.busy)
    answer = peer.ask(GET)
    stopping.join(20)

    assert (answer.body, answer.closes) == (echoed("GET", "/x"), True)
    assert not stopping.is_alive(), "nobody is left to wait for"


def test_whoever_waits_to_be_accepted_when_the_server_stops_is_answered(site: Callable[..., Site]) -> None:
    running = site(Recorder())
    running.server.leave()
    wait_for(lambda: not running.is_serving)
    waiting = [running.connect() for _ in range(20)]
    for peer in waiting:
        peer.send(GET)

    running.server.stop(5)

    assert [peer.answer().body for peer in waiting] == [echoed("GET", "/x")] * 20


def refuses(port: int) -> bool:
    try:
        Peer(port).reset()
    except ConnectionError:
        return True
    return False


def test_stopping_fails_what_does_not_end_in_time(site: Callable[..., Site]) -> None:
    recorder = Recorder()
    running = site(recorder)
    upload = running.connect()
    upload.send(put(200_000) + b"x" * 100_000)
    wait_for(lambda: running.server.requests.busy == 1)
    before = time.monotonic()

    with dripping([upload], b"x"):
        running.server.stop(0.3)

    assert 0.25 < time.monotonic() - before < 10
    assert [type(failure) for failure in recorder.failures] == [IncompleteBody]
    assert upload.answer().status == 400


def test_stopping_fails_an_upload_that_never_pauses(site: Callable[..., Site]) -> None:
    recorder = Recorder()
    running = site(recorder)
    upload = running.connect()
    upload.send(put(1 << 40))
    sending = threading.Thread(target=upload.send_as_far_as_it_goes, args=(bytes(1 << 30),))
    sending.start()
    wait_for(lambda: running.server.requests.busy == 1)
    before = time.monotonic()

    running.server.stop(0.1)

    assert time.monotonic() - before < 10
    assert [type(failure) for failure in recorder.failures] == [IncompleteBody]
    sending.join()


def test_stopping_ends_a_download_that_nobody_reads(site: Callable[..., Site]) -> None:
    def application(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(64 << 20)]

    running = site(application)
    peer = running.connect()
    peer.send(GET)
    wait_for(lambda: running.server.requests.busy == 1)

    before = threading.active_count()
    running.server.stop(0.1)

    assert threading.active_count() < before
    with pytest.raises(ConnectionResetError):
        peer.rest()
