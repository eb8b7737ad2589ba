"""How long work goes about it: flat out for somebody who waits, or in short batches with rests beside a server."""

from collections.abc import Callable
from dataclasses import dataclass


def go_on() -> None:
    """The hook of work that nobody can stop."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """`between` is called after every batch, outside any transaction; what it raises ends the work, harmlessly."""

    longest: float = 0.1
    """Seconds that a batch may hold a writer lock."""
    between: Callable[[], None] = go_on


FLAT_OUT = Tempo()
