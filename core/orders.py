"""What the process that makes renditions is told, and what it answers: JSON, never anything that could be run."""

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass

from .presets import Format, Preset

READY = b"ready"
"""The first word of a process that can take orders."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the process: address space in bytes, CPU seconds for a picture, pixels of a picture, and how nice it is."""

    memory: int
    seconds: int
    pixels: int
    niceness: int = 0

    def written(self) -> str:
        return ":".join(map(str, astuple(self)))

    @classmethod
    def read(cls, text: str) -> "Limits":
        return cls(*map(int, text.split(":")))


@dataclass(frozen=True, slots=True)
class Wanted:
    preset: Preset
    format: Format

    @property
    def key(self) -> str:
        return self.preset.key(self.format)


@dataclass(frozen=True, slots=True)
class Made:
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """`width` and `height` are the picture's as it is displayed, where known; `reason` says why nothing was made."""

    width: int | None
    height: int | None
    made: tuple[Made, ...] = ()
    reason: str | None = None


def order(wanted: Sequence[Wanted]) -> bytes:
    return json.dumps([asdict(each.preset) | {"format": each.format} for each in wanted]).encode()


def read_order(text: bytes) -> list[Wanted]:
    return [
        Wanted(Preset(each["fit"], each["width"], each["height"], each["quality"]), each["format"])
        for each in json.loads(text)
    ]


def head(answer: Answer) -> bytes:
    """The answer without the renditions' bytes, which follow one by one."""
    sizes = [(made.width, made.height) for made in answer.made]
    told = {"width": answer.width, "height": answer.height, "made": sizes, "reason": answer.reason}
    return json.dumps(told).encode()


def read_head(text: bytes) -> tuple[Answer, list[tuple[int, int]]]:
    """The answer, and the sizes of the renditions that follow. Raises ValueError, KeyError or TypeError."""
    told = json.loads(text)
    width, height = (None if told[side] is None else int(told[side]) for side in ("width", "height"))
    reason = None if told["reason"] is None else str(told["reason"])
    return Answer(width, height, reason=reason), [(int(wide), int(high)) for wide, high in told["made"]]
