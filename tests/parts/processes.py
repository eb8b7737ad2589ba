"""Processes and listening sockets, read from /proc."""

import ctypes
import fcntl
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import cycle
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
PORTS = range(12_000, 32_000)
"""Below those that the kernel gives to whoever asks for any, or connects from any."""
AT_ONCE = 400
"""Ports of one process of the tests. It comes back to one long after the connections to it are forgotten."""

lasting: set[int] = set()
"""Children that may outlive a test, such as a database server for the whole session."""


def adopt_orphans() -> None:
    """From now on whatever our descendants leave behind becomes our child, so that nothing escapes notice."""
    listed = Path("/proc/thread-self/children")
    assert listed.exists(), "the tests need a Linux with CONFIG_PROC_CHILDREN"
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> set[int]:
    found: set[int] = set()
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(map(int, listed.read_text().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def tree(pid: int) -> list[int]:
    """The process and all below it, parents first."""
    return [pid, *(below for child in sorted(children(pid)) for below in tree(child))]


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended; one that ended but was not waited for does not run."""
    return _state(pid) not in {"", "Z", "X"}


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def ended(pids: Iterable[int], patience: float = 20.0) -> bool:
    """Whether all of them end within the time."""
    waiting = set(pids)
    limit = time.monotonic() + patience
    while waiting := {pid for pid in waiting if is_running(pid)}:
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def reap(pids: Iterable[int]) -> None:
    """Forget those of our children that have ended."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue


def listening() -> set[str]:
    """The addresses on which this very process accepts TCP connections, as the kernel writes them."""
    ours = {_target(file) for file in Path("/proc/self/fd").iterdir()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in _lines(Path(f"/proc/self/net/{name}"))]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in ours}


def free_port() -> int:
    """A port that nobody listens on, and that nobody else is given: neither by the kernel nor by other tests."""
    return next(port for port in _ports() if _is_free(port))


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on."""
    return [free_port() for _ in range(count)]


@cache
def _ports() -> Iterator[int]:
    """Those of this process, over and over."""
    folder = Path(tempfile.gettempdir()) / f"davstore-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for first in range(PORTS.start, PORTS.stop, AT_ONCE):
        claim = os.open(folder / f"{first}", os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(BlockingIOError):
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cycle(range(first, first + AT_ONCE))
        os.close(claim)
    raise AssertionError("too many run tests at once")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _target(file: Path) -> str:
    try:
        return os.readlink(file)
    except FileNotFoundError:
        return ""


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:] if table.exists() else []
