"""`python -m bench fuse`: the mount beside `rclone mount`, JuiceFS and a bare directory, all in one run.

They take turns within each measure, in another order each time; what counts is the ratio, since they share whatever
else the machine does. Give `--only` for single rows: `write`, `create`, `untar` …
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.fuse_measures import FULL, QUICK, ROWS, Row, Sizes
from bench.fuse_systems import SYSTEMS, System

OURS = "davstore"
Figures = dict[str, list[tuple[float, float]]]
"""System -> (the figure, its processes' CPU seconds), one for each turn."""


def main(given: Sequence[str]) -> None:
    options = _options(given)
    for kind in SYSTEMS:
        if kind.missing():
            print(f"left out, for it is missing: {kind.missing()}")
    with tempfile.TemporaryDirectory(prefix="davstore-bench-", dir=options.directory) as folder:
        systems = [kind(Path(folder).resolve() / kind.name) for kind in SYSTEMS if not kind.missing()]
        mounted: list[System] = []
        try:
            for system in systems:
                system.prepare()
                mounted.append(system)
                system.mount()
            _measure(systems, QUICK if options.quick else FULL, options.turns, options.only)
        finally:
            for system in mounted:
                system.unmount()


def _measure(systems: list[System], sizes: Sizes, turns: int, only: str) -> None:
    print(f"{sizes}, the median of {turns} turns; in brackets the CPU seconds of the system's processes")
    others = [system.name for system in systems if system.name != OURS]
    print(f"{'':42}" + "".join(f"{system.name:>20}" for system in systems) + "".join(f"{f'/ {o}':>13}" for o in others))
    figures = {row.name: {system.name: [] for system in systems} for row in ROWS}
    for turn in range(turns):
        for row in ROWS:
            if only in row.name:
                _take_turns(row, systems[turn % len(systems) :] + systems[: turn % len(systems)], sizes, turn, figures)
    for row in ROWS:
        if only in row.name:
            print(_line(row, figures[row.name], [system.name for system in systems]), flush=True)


def _take_turns(row: Row, systems: Sequence[System], sizes: Sizes, turn: int, figures: dict[str, Figures]) -> None:
    for system in systems:
        before = system.cpu()
        figure = row.run(system, sizes, turn)
        figures[row.name][system.name].append((figure, max(0.0, system.cpu() - before)))


def _line(row: Row, figures: Figures, names: Sequence[str]) -> str:
    values = {name: median(figure for figure, _ in figures[name]) for name in names}
    cpu = {name: median(seconds for _, seconds in figures[name]) for name in names}
    cells = "".join(f"{f'{values[name]:,.4g} ({cpu[name]:.2f})':>20}" for name in names)
    ratios = (_ratio(row, values[OURS], values[name]) for name in names if name != OURS)
    return f"{f'{row.name}, {row.unit}':42}{cells}" + "".join(f"{ratio:>13}" for ratio in ratios)


def _ratio(row: Row, ours: float, theirs: float) -> str:
    """Above 1 ours is better."""
    better, worse = (ours, theirs) if row.more_is_better else (theirs, ours)
    return f"{better / worse:.2f}" if better and worse else "-"


def _options(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench fuse", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the bytes and files")
    parser.add_argument("--turns", type=int, default=3, help="how often each measures each row")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names have this text")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args(given)
