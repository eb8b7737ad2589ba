"""The process that makes renditions (`rendering`), seen from outside: started when needed, and ended when it fails."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from io import UnsupportedOperation
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from .errors import Refusal, StorageUnavailable
from .orders import READY, Answer, Limits, Made, Wanted, order, read_head
from .staging import translated
from .tempo import go_on

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

STARTING = 60.0
"""Seconds that a process may take to start."""
STALLED = 30
"""A process that answers nothing for so many times its CPU seconds hangs, however busy the machine is."""
DYING = 5.0
GLANCE = 0.2
LARGEST = 64 << 20
"""Bytes of a rendition, at most."""
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG")
"""Of the environment; passwords are none of that process's business."""


class Crashed(Refusal):
    """The process ended before it answered. Nobody knows whether the picture was the cause."""


class Renderer:
    """Makes renditions one picture at a time, whatever thread asks. Ends its process with `close`."""

    def __init__(self, limits: Limits, directory: Path) -> None:
        """`directory` takes unnamed copies of pictures that are in no file."""
        self._limits = limits
        self._directory = directory
        self._turn = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    @contextmanager
    def turn(self, seconds: float) -> Generator[None]:
        """The process works for nobody else meanwhile. Raises StorageUnavailable where it is not free in time."""
        if not self._turn.acquire(timeout=max(0.0, seconds)):
            raise StorageUnavailable("the process that makes renditions", "has too much to do; ask again")
        try:
            yield
        finally:
            self._turn.release()

    def render(self, picture: BinaryIO, wanted: Sequence[Wanted], waiting: Callable[[], None] = go_on) -> Answer:
        """All renditions of the picture, or the reason that there are none.

        `waiting` is called while the process works; what it raises ends the process. Raises Crashed, and
        StorageUnavailable where the process cannot even start.
        """
        with self._turn:
            try:
                return self._ask(picture, wanted, waiting)
            except BaseException:
                self._end()
                raise

    def close(self) -> None:
        with self._turn:
            self._end()

    def _ask(self, picture: BinaryIO, wanted: Sequence[Wanted], waiting: Callable[[], None]) -> Answer:
        line = self._started(waiting)
        try:
            self._tell(line, picture, wanted, waiting)
            self._await(line, self._limits.seconds * STALLED, waiting)
            answer, sizes = read_head(line.recv_bytes(1 << 20))
            made = tuple(Made(width, height, line.recv_bytes(LARGEST)) for width, height in sizes)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            return self._obituary(error)
        return replace(answer, made=made)

    def _tell(
        self, line: "Connection", picture: BinaryIO, wanted: Sequence[Wanted], waiting: Callable[[], None]
    ) -> None:
        from multiprocessing.reduction import send_handle

        assert self._process
        line.send_bytes(order(wanted))
        try:
            send_handle(line, picture.fileno(), self._process.pid)
        except (UnsupportedOperation, AttributeError):
            with self._copied(picture, waiting) as copy:
                send_handle(line, copy.fileno(), self._process.pid)

    def _copied(self, picture: BinaryIO, waiting: Callable[[], None]) -> BinaryIO:
        """A file of its own for a picture that has none. Raises StorageFull and StorageUnavailable."""
        with translated(self._directory), ExitStack() as half_written:
            copy = half_written.enter_context(TemporaryFile(dir=self._directory))
            while block := picture.read(1 << 20):
                copy.write(block)
                waiting()
            copy.flush()
            half_written.pop_all()
        return copy

    def _await(self, line: "Connection", seconds: float, waiting: Callable[[], None]) -> None:
        end = time.monotonic() + seconds
        while not line.poll(GLANCE):
            waiting()
            if time.monotonic() > end:
                raise TimeoutError(f"no answer for {seconds:.0f} s")

    def _obituary(self, error: Exception) -> Answer:
        """What the end of the process says about the picture."""
        assert self._process
        try:
            status = self._process.wait(0 if isinstance(error, TimeoutError) else DYING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if status == -signal.SIGXCPU:
            self._end()
            return Answer(None, None, reason=f"it takes more than {self._limits.seconds} s to decode")
        raise Crashed("the process that makes renditions", f"ended with {status}: {error}") from error

    def _started(self, waiting: Callable[[], None]) -> "Connection":
        """The line to a process that waits for orders. One that had none for a while has ended meanwhile."""
        if self._line and self._process and self._process.poll() is None:
            return self._line
        from multiprocessing.connection import Connection

        self._end()
        ours, theirs = socket.socketpair()
        with theirs:
            self._line = Connection(ours.detach())
            self._process = self._spawn(theirs.fileno())
        try:
            self._await(self._line, STARTING, waiting)
            if self._line.recv_bytes(len(READY)) == READY:
                return self._line
        except (OSError, EOFError) as error:
            raise StorageUnavailable("the process that makes renditions", f"does not start: {error!r}") from error
        raise StorageUnavailable("the process that makes renditions", "does not start")

    def _spawn(self, descriptor: int) -> subprocess.Popen[bytes]:
        environ = {name: os.environ[name] for name in KEPT if name in os.environ}
        environ["PYTHONPATH"] = str(Path(__file__).parents[1])
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "core.rendering", str(descriptor), self._limits.written()],
            env=environ,
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _end(self) -> None:
        process, line = self._process, self._line
        self._process = self._line = None
        if line:
            line.close()
        if process:
            process.kill()
            process.wait()
