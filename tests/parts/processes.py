"""Processes and listening sockets, read from /proc."""

import ctypes
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
PORTS = range(12_000, 32_000)

lasting: set[int] = set()
"""Children that may outlive a test, such as a database server for the whole session."""


def adopt_orphans() -> None:
    """From now on whatever our descendants leave behind becomes our child, so that nothing escapes notice."""
    listed = Path("/proc/thread-self/children")
    assert listed.exists(), "the tests need a Linux with CONFIG_PROC_CHILDREN"
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found.update(map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split()))
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


def ended(pids: Iterable[int], patience: float = 30.0) -> bool:
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
    ours = {target for fd in os.listdir("/proc/self/fd") if (target := _target(fd)).startswith("socket:")}
    if not ours:  # the kernel takes a millisecond to write its tables where connections have just ended
        return set()
    rows = [line.split() for name in ("tcp", "tcp6") for line in _lines(Path(f"/proc/self/net/{name}"))]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in ours}


def free_port() -> int:
    """A port that nobody listens on; it stays free only as long as nobody takes it."""
    return free_ports(1)[0]


def free_ports(wanted: int) -> list[int]:
    """Different ports that nobody listens on, and that no other call gives for long."""
    return list(islice(filter(_is_free, _ports), wanted))


def _in_turn() -> Iterator[int]:
    """Below those that the kernel gives to whoever names none, which it may do before our server has started."""
    first = os.getpid() * 7919
    return (PORTS[(first + n) % len(PORTS)] for n in count())


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_ports = _in_turn()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:] if table.exists() else []
