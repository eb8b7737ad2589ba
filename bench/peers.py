"""`python -m bench`: davstore beside every peer that is installed (rclone, SeaweedFS and JuiceFS, Apache and
nginx, stock WsgiDAV and copyparty), all in one run.

They take turns within each row, in another order each time; the figures are medians. What counts are the ratios, since
all share whatever else the machine does. davstore's figures are with its default settings, each write on disk before it
is answered; no peer waits for the disk.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from bench.rows import FULL, QUICK, Figure, Row, Sizes, System, prepare, rows
from bench.servers import Running, Server, found, wait
from bench.wire import Wrong

OURS = "davstore"
SETTLING = 0.2
"""Seconds between two measures, in which a server ends what it has begun."""


def main(given: Sequence[str]) -> None:
    options = _options(given)
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing; install it (Debian: apt-get install wrk)")
    servers = [server for server in found() if not options.systems or server.name in options.systems.split(";")]
    sizes = QUICK if options.quick else FULL
    wanted = [row for row in rows(sizes) if options.only in row.name]
    with tempfile.TemporaryDirectory(prefix="davstore-bench-", dir=options.directory) as folder:
        os.chmod(folder, 0o755)
        systems: list[System] = []
        try:
            for n, server in enumerate(servers):
                systems.append(_started(server, Path(folder) / str(n)))
            for system in systems:
                _try(system, "preparation", lambda system=system: prepare(system, sizes))
            _take_turns([each for each in systems if not each.wrong], wanted, sizes, options.turns)
        finally:
            for system in systems:
                system.running.stop()
    _report(systems, wanted, sizes, options.turns)


def _started(server: Server, folder: Path) -> System:
    begin = time.perf_counter()
    system = System(Running(server, folder), 0.0)
    try:
        wait(system.running, system.is_up)
    except BaseException:
        system.running.stop()
        raise
    system.started = 1000 * (time.perf_counter() - begin)
    return system


def _try(system: System, what: str, act: Callable[[], None]) -> None:
    try:
        act()
    except (Wrong, OSError) as error:
        system.wrong[what] = str(error)


def _take_turns(systems: list[System], wanted: list[Row], sizes: Sizes, turns: int) -> None:
    for turn in range(turns):
        for row in wanted:
            first = (turn + wanted.index(row)) % len(systems)
            for system in systems[first:] + systems[:first]:
                if row.name not in system.wrong:
                    _try(system, row.name, lambda system=system, row=row, turn=turn: _measure(system, row, sizes, turn))
                    time.sleep(SETTLING)
            print(f"turn {turn + 1}: {row.name}", flush=True)


def _measure(system: System, row: Row, sizes: Sizes, turn: int) -> None:
    os.sync()  # what others left to the system would else be written meanwhile
    before = system.running.cpu()
    figure = row.run(system, sizes, turn)
    system.figures.setdefault(row.name, []).append((figure, system.running.cpu() - before))


def _report(systems: list[System], wanted: list[Row], sizes: Sizes, turns: int) -> None:
    names = [system.name for system in systems]
    peers = [name for name in names if not name.startswith(OURS)]
    print(f"\n{sizes}; the median of {turns} turns\n")
    _heading(["", *names, *(f"davstore / {name}" for name in peers)])
    for row in wanted:
        values = {system.name: _median(system, row) for system in systems}
        cells = [_number(values[name]) for name in names]
        print(f"| {row.name}, {row.unit} | {' | '.join([*cells, *_ratios(row, values, peers)])} |")
    print(f"| a write is | {' | '.join(system.running.server.durability for system in systems)} |{' |' * len(peers)}")
    print("\np50 / p99 ms, and microseconds of CPU for each request\n")
    _heading(["", *names])
    for row in wanted:
        if any(figure.p50 is not None for system in systems for figure, _ in system.figures.get(row.name, ())):
            print(f"| {row.name} | {' | '.join(_detail(system, row) for system in systems)} |")
    for system in systems:
        print(*(f"\n- {system.name}, {what}: {why}" for what, why in system.wrong.items()), sep="", end="")
    print()


def _heading(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |\n|---|{'--:|' * (len(cells) - 1)}")


def _median(system: System, row: Row) -> float | None:
    known = system.figures.get(row.name)
    return median(figure.value for figure, _ in known) if known and row.name not in system.wrong else None


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratios(row: Row, values: dict[str, float | None], peers: Sequence[str]) -> list[str]:
    """How many times as good as each peer."""
    ours = values.get(OURS)
    ratios = list[str]()
    for name in peers:
        theirs = values[name]
        ratio = (ours / theirs if row.more_is_better else theirs / ours) if ours and theirs else None
        ratios.append(f"x {ratio:.2f}" if ratio is not None else "")
    return ratios


def _detail(system: System, row: Row) -> str:
    known = [each for each in system.figures.get(row.name, ()) if each[0].p50 is not None]
    if not known or row.name in system.wrong:
        return "-"
    micro = median(1e6 * cpu / figure.requests for figure, cpu in known)
    return f"{_middle([f for f, _ in known], 'p50')} / {_middle([f for f, _ in known], 'p99')}, {micro:,.0f}"


def _middle(figures: Sequence[Figure], which: str) -> str:
    return f"{median(getattr(figure, which) for figure in figures):.2f}"


def _options(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one second for each rate, 64 MiB instead of 1 GiB")
    parser.add_argument("--turns", type=int, default=3, help="how often each measures each row")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="rows whose names have this text; some need what another row makes"
    )
    parser.add_argument("--systems", help="names of servers, separated by semicolons")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args(given)
