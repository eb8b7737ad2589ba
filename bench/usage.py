"""What processes use. One that has ended meanwhile uses nothing more."""

import os
from collections.abc import Iterable
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process and all that it started."""
    children = _read(pid, f"task/{pid}/children").split()
    return [pid, *(each for child in children for each in family(int(child)))]


def cpu(pids: Iterable[int]) -> float:
    """Seconds of processor time that they have had."""
    ticks = 0
    for pid in pids:
        fields = _read(pid, "stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids: Iterable[int]) -> float:
    """MiB; pages that they share count once."""
    return _kib(pids, "smaps_rollup", "Pss:") / 1024


def peak(pids: Iterable[int]) -> float:
    """MiB, the sum of the most that each had at once since it began; shared pages count in each."""
    return _kib(pids, "status", "VmHWM:") / 1024


def _kib(pids: Iterable[int], file: str, field: str) -> int:
    lines = [line for pid in pids for line in _read(pid, file).splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith(field))


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_text()
    except OSError:
        return ""
