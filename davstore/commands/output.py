"""What commands print: tables for people, JSON for programs."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from core.errors import InvalidSetting

if TYPE_CHECKING:
    from core.model import Instant

NUMBER = re.compile(r"-|\d+(\.\d+ )?( ?[KMGTPE]?i?B)?", re.ASCII)
UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]


def duration(text: str) -> timedelta:
    """An option's value. Raises BadParameter."""
    from core.quantities import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def ask(question: str, otherwise: str) -> None:
    """Returns where the answer is yes. Raises InvalidSetting where it is no, or there is nobody to ask."""
    try:
        typer.confirm(question, abort=True, err=True)
    except typer.Abort:
        typer.echo(err=True)
        raise InvalidSetting(otherwise, "--yes answers the question") from None


def say(text: str) -> None:
    typer.echo(text)


def as_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def as_table(heads: Sequence[str], rows: Iterable[Sequence[str | None]], none: str) -> None:
    """Aligned columns, as wide as they need to be, numbers to the right; None is a dash. `none` stands for no rows."""
    from rich.cells import cell_len

    cells = [["-" if cell is None else visible(cell) for cell in row] for row in rows]
    if not cells:
        typer.echo(none)
        return
    lines = [list(heads), *cells]
    widths = [max(cell_len(line[n]) for line in lines) for n in range(len(heads))]
    numeric = [all(NUMBER.fullmatch(row[n]) for row in cells) for n in range(len(heads))]
    for line in lines:
        gaps = [" " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        padded = (gap + cell if right else cell + gap for cell, gap, right in zip(line, gaps, numeric, strict=True))
        typer.echo("  ".join(padded).rstrip())


def visible(text: str) -> str:
    """Names may hold anything; a terminal is not to obey it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def size(count: int | None) -> str | None:
    """Bytes for people."""
    from rich.filesize import pick_unit_and_suffix

    if count is None:
        return None
    unit, suffix = pick_unit_and_suffix(count, UNITS, 1024)
    return f"{count} B" if unit == 1 else f"{count / unit:.1f} {suffix}"


def time(at: "Instant | None") -> str | None:
    """RFC 3339, in UTC and to the second."""
    from core.model import moment

    return None if at is None else moment(at).strftime("%Y-%m-%dT%H:%M:%SZ")
