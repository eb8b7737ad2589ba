"""Worker processes, from outside: who serves, what signals do, and that nothing is left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from davstore.workers import listen
from tests.connection.peer import Answer, Peer

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("program.py")
ROOT = Path(__file__).parents[2]


class Program:
    """A supervisor and its workers."""

    def __init__(self, log: Path, workers: int, grace: float, *how: str) -> None:
        self._log = log
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "0", str(workers), str(grace), str(log), *how],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        told = self.process.stdout.readline()
        self.port = int(told) if told else 0

    def get(self, path: str = "/") -> Answer:
        with Peer(self.port) as peer:
            return peer.ask(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())

    def served_by(self) -> int:
        return int(self.get().body.split()[0])

    def notes(self) -> list[str]:
        return self._log.read_text().splitlines()

    def made_in(self) -> list[int]:
        return [int(line.split()[-1]) for line in self.notes() if line.startswith("made")]

    def refuses(self) -> bool:
        try:
            Peer(self.port).reset()
        except ConnectionError:
            return True
        return False

    def stop(self, *numbers: signal.Signals) -> int:
        for number in numbers:
            self.process.send_signal(number)
        return self.process.wait(30)

    def end(self) -> str:
        with suppress(ProcessLookupError):
            self.process.kill()
        errors = self.process.communicate()[1]
        wait_for(lambda: not any(map(is_running, self.made_in())))
        return errors


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_for(claim: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts programs; they end with the test."""
    started: list[Program] = []

    def run(workers: int = 1, grace: float = 5, *how: str) -> Program:
        started.append(Program(tmp_path / "notes", workers, grace, *how))
        return started[-1]

    yield run
    for program in started:
        program.end()


@pytest.mark.parametrize("workers", [1, 3])
def test_every_worker_makes_its_own_application_and_serves(start: Callable[..., Program], workers: int) -> None:
    program = start(workers)

    held = [Peer(program.port) for _ in range(40)]
    answers = [peer.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").body.decode() for peer in held]
    for peer in held:
        peer.__exit__(None, None, None)

    made = program.made_in()
    assert len(set(made)) == workers
    assert program.process.pid not in made
    assert {int(answer.split()[0]) for answer in answers} <= set(made)
    assert {answer.split()[-1] for answer in answers} == {str(workers > 1)}
    assert program.stop(signal.SIGTERM) == 0


def test_workers_are_pinned_to_one_processor_each_in_turn(start: Callable[..., Program]) -> None:
    allowed = os.sched_getaffinity(0)
    program = start(len(allowed) * 2)

    pinned = Counter(
        int(re.findall(r"Cpus_allowed_list:\t(\d+)\n", Path(f"/proc/{pid}/status").read_text())[0])
        for pid in program.made_in()
    )

    assert pinned == dict.fromkeys(allowed, 2)


def test_memory_is_not_spread_over_an_arena_per_thread(start: Callable[..., Program]) -> None:
    program = start()
    uploads = [Peer(program.port) for _ in range(30)]
    for peer in uploads:
        peer.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
    time.sleep(0.3)

    arenas = int(program.get("/arenas").body)
    for peer in uploads:
        peer.__exit__(None, None, None)

    assert arenas <= 2


def test_a_shared_socket_stalls_no_worker(start: Callable[..., Program]) -> None:
    """A process that lost the race for a connection and blocked in accept would hold up its others for a second."""
    program = start(3)
    kept = [Peer(program.port) for _ in range(12)]

    def slowest() -> float:
        spent: list[float] = []
        for _ in range(30):
            program.get()
            for peer in kept:
                begun = time.monotonic()
                peer.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                spent.append(time.monotonic() - begun)
        return max(spent)

    is_prompt = any(slowest() < 0.8 for _ in range(3))
    for peer in kept:
        peer.__exit__(None, None, None)

    assert is_prompt, "a busy machine pauses once, a stalling server every time"


def test_a_worker_that_dies_is_replaced(start: Callable[..., Program]) -> None:
    program = start()
    first = program.served_by()

    with pytest.raises((EOFError, ConnectionError)):
        program.get("/die")

    assert program.served_by() != first
    assert program.made_in()[0] == first
    assert program.stop(signal.SIGTERM) == 0


def test_one_that_keeps_dying_is_replaced_less_and_less_often(start: Callable[..., Program]) -> None:
    program = start()
    deaths: list[float] = []

    for _ in range(6):
        with pytest.raises((EOFError, ConnectionError)):
            program.get("/die")
        deaths.append(time.monotonic())

    gaps = [later - earlier for earlier, later in pairwise(deaths)]
    assert gaps[0] > 0.15
    assert gaps[-1] > gaps[0] * 1.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_in_flight_finish(start: Callable[..., Program], number: signal.Signals) -> None:
    program = start(2)
    with Peer(program.port) as peer:
        peer.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx")
        wait_for(lambda: "asked to PUT" in program.notes())

        program.process.send_signal(number)
        wait_for(program.refuses)
        peer.send(b"x" * 99_999)
        answer = peer.answer()

    assert (answer.status, answer.closes) == (200, True)
    assert program.process.wait(30) == 0
    assert program.notes()[-1] == "read to the end"


def test_an_upload_that_outlives_the_grace_fails_and_the_exit_is_clean(start: Callable[..., Program]) -> None:
    program = start(1, 0.5)
    with Peer(program.port) as peer:
        peer.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx")
        wait_for(lambda: "asked to PUT" in program.notes())

        assert program.stop(signal.SIGTERM) == 0
        assert peer.answer().status == 400

    assert program.notes()[-1] == "IncompleteBody"


def test_a_second_signal_ends_everything_at_once(start: Callable[..., Program]) -> None:
    program = start(2, 30)
    with Peer(program.port) as peer:
        peer.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx")
        wait_for(lambda: "asked to PUT" in program.notes())
        program.process.send_signal(signal.SIGTERM)
        wait_for(program.refuses)
        before = time.monotonic()

        assert program.stop(signal.SIGTERM) == 128 + signal.SIGTERM

    assert time.monotonic() - before < 15
    wait_for(lambda: not any(map(is_running, program.made_in())))


def test_a_killed_parent_takes_its_workers_along(start: Callable[..., Program]) -> None:
    program = start(2)

    program.process.kill()

    wait_for(lambda: not any(map(is_running, program.made_in())))
    with pytest.raises(ConnectionRefusedError):
        Peer(program.port)


def test_a_worker_that_cannot_start_ends_the_program(start: Callable[..., Program]) -> None:
    program = start(2, 5, "fails")

    assert program.process.wait(30) == 1
    assert "no database" in program.end()


def test_a_taken_port_is_told_before_anything_starts() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listen("127.0.0.1", port)


def test_an_unknown_host_is_told_in_one_line() -> None:
    with pytest.raises(OSError, match=r"cannot listen on no\.such\.host\.invalid:80: "):
        listen("no.such.host.invalid", 80)


def test_listening_on_every_address_includes_ipv4() -> None:
    with listen("::", 0) as both, socket.create_connection(("127.0.0.1", both.getsockname()[1]), 5) as client:
        assert client.getpeername()[1] == both.getsockname()[1]
