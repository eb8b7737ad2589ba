"""Worker processes: the parent listens once and supervises, the children share the socket and serve.

The parent has no threads and no database, so forking is safe. It takes signals one by one, never in a handler.
"""

import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn

from core.hashing import hash_on
from davstore.connection import Application, Server
from davstore.limits import Limits

log = logging.getLogger(__name__)

BACKLOG = 1024
BACKOFF_FIRST = 0.1
BACKOFF_MAX = 10.0
STEADY_SECONDS = 10.0
STUCK_SECONDS = 15.0
STARTUP_FAILED = 1
ENDED_AT_ONCE = 128 + signal.SIGTERM
BESIDE = -1

_HEEDED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1
_M_ARENA_MAX = -8


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError, with the address in its message, when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock


def run(
    make_app: Callable[[], Application],
    sock: socket.socket,
    workers: int = 1,
    ready: Callable[[], None] | None = None,
    limits: Limits | None = None,
    grace: float = 10.0,
    pin: bool = True,
    beside: Callable[[], None] | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. Runs in the main thread.

    `make_app` is called in every child. `ready` is called once, here, when all serve. A child that ends is replaced,
    later each time it does not last; one that fails before the first `ready` ends everything. A second signal ends
    everything at once. `beside` is called in one more child once all serve: there SIGTERM stays blocked, and `beside`
    is to return soon after it is pending.
    """
    _tune_allocator()
    _allow_many_files()
    # What is there now is never looked at by a collection of a child, which would copy its pages. Hardly any of it is
    # garbage, and to look for that would take longer than a worker needs to start.
    gc.freeze()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)
    try:
        return _Supervisor(make_app, sock, limits or Limits(), grace, workers, pin, beside).supervise(ready)
    finally:
        sock.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


@dataclass(slots=True)
class _Place:
    """One of the N workers, or the process beside them: who fills it, and when it is to be filled again."""

    number: int
    name: str
    pid: int = 0
    started: float = 0.0
    restart_at: float = 0.0
    backoff: float = BACKOFF_FIRST
    readiness: int = -1


class _Supervisor:
    def __init__(
        self,
        make_app: Callable[[], Application],
        sock: socket.socket,
        limits: Limits,
        grace: float,
        workers: int,
        pin: bool,
        beside: Callable[[], None] | None,
    ) -> None:
        self._make_app = make_app
        self._socket = sock
        self._limits = limits
        self._grace = grace
        self._places = [_Place(number, f"worker {number}") for number in range(workers)]
        self._workers = workers
        self._beside = beside
        cpus = sorted(os.sched_getaffinity(0))
        self._cpus = cpus if pin and len(cpus) > 1 else []
        self._pid = os.getpid()
        self._is_draining = False

    def supervise(self, ready: Callable[[], None] | None) -> int:
        try:
            for place in self._places:
                self._fill(place)
            failure = self._await_ready()
            if failure is not None:
                return failure
            if ready is not None:
                ready()
            if self._beside is not None:
                self._places.append(_Place(BESIDE, "the process beside the workers"))
            self._keep_filled()
            return self._drain()
        finally:
            self._kill(signal.SIGKILL)

    def _await_ready(self) -> int | None:
        while waiting := [place for place in self._places if place.readiness >= 0]:
            heard = signal.sigtimedwait(_HEEDED, 0.02)
            if _asks_to_end(heard):
                return self._drain()
            if not all(map(_hears_from, waiting)):
                self._drain()
                return STARTUP_FAILED
        return None

    def _keep_filled(self) -> None:
        """Returns when asked to stop."""
        while True:
            self._reap()
            for place in self._places:
                if not place.pid and place.restart_at <= monotonic():
                    self._fill(place)
            heard = signal.sigtimedwait(_HEEDED, self._seconds_to_restart())
            if _asks_to_end(heard):
                return

    def _drain(self) -> int:
        """Every child has ended: in its own time after SIGTERM, at once after a second signal or when it is stuck."""
        self._is_draining = True
        self._socket.close()
        self._kill(signal.SIGTERM)
        deadline = monotonic() + self._grace + STUCK_SECONDS
        while any(place.pid for place in self._places):
            heard = signal.sigtimedwait(_HEEDED, 1.0)
            self._reap()
            if monotonic() > deadline or _asks_to_end(heard):
                return ENDED_AT_ONCE
        return 0

    def _seconds_to_restart(self) -> float:
        due = [place.restart_at for place in self._places if not place.pid]
        return max(min(due) - monotonic(), 0.0) if due else 3600.0

    def _reap(self) -> None:
        for place in self._places:
            if place.pid and os.waitpid(place.pid, os.WNOHANG)[0]:
                lasted = monotonic() - place.started
                place.backoff = BACKOFF_FIRST if lasted > STEADY_SECONDS else min(place.backoff * 2, BACKOFF_MAX)
                place.restart_at = monotonic() + place.backoff
                level = logging.INFO if self._is_draining else logging.WARNING
                log.log(level, "%s (pid %d) ended after %.1f s", place.name, place.pid, lasted)
                place.pid = 0
                _forget_readiness(place)

    def _kill(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)

    def _fill(self, place: _Place) -> None:
        place.readiness, readiness = os.pipe()
        os.set_blocking(place.readiness, False)
        place.started = monotonic()
        place.pid = os.fork()
        if not place.pid:
            self._be_child(place, readiness)
        os.close(readiness)

    def _be_child(self, place: _Place, readiness: int) -> NoReturn:
        """Whatever happens, a child never returns into its parent's program."""
        status = STARTUP_FAILED
        try:
            status = self._serve(place, readiness) if place.number != BESIDE else self._run_beside()
        except BaseException:
            log.exception("%s failed", place.name)
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _serve(self, place: _Place, readiness: int) -> int:
        """SIGINT comes to the whole terminal, and the parent passes it on as SIGTERM."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEEDED)
        _end_with_parent(self._pid)
        if self._cpus:
            hash_on(set(self._cpus))
            os.sched_setaffinity(0, {self._cpus[(self._pid + place.number) % len(self._cpus)]})
        server = Server(self._socket, self._make_app(), self._limits, multiprocess=self._workers > 1)
        signal.signal(signal.SIGTERM, lambda *_: server.leave())
        gc.collect()
        gc.freeze()
        os.write(readiness, b"1")
        os.close(readiness)
        server.serve()
        server.stop(self._grace)
        return 0

    def _run_beside(self) -> int:
        assert self._beside
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM})
        _end_with_parent(self._pid)
        self._socket.close()
        self._beside()
        return 0


def _asks_to_end(heard: signal.struct_siginfo | None) -> bool:
    """A process that was stopped and continued may hear a signal that is none."""
    return heard is not None and heard.si_signo in {signal.SIGTERM, signal.SIGINT}


def _hears_from(place: _Place) -> bool:
    """False when the child ended before it served."""
    try:
        word = os.read(place.readiness, 1)
    except BlockingIOError:
        return True
    _forget_readiness(place)
    return bool(word)


def _forget_readiness(place: _Place) -> None:
    if place.readiness >= 0:
        os.close(place.readiness)
        place.readiness = -1


def _end_with_parent(parent: int) -> None:
    """Even a killed parent takes its children along: they drain as on SIGTERM."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(STARTUP_FAILED)


def _allow_many_files() -> None:
    """A connection is a descriptor, and idle ones are kept."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tune_allocator() -> None:
    """Two malloc arenas, as MALLOC_ARENA_MAX=2: with one per thread, memory grows with the pool and stays."""
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
