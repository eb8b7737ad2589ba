"""Durations and sizes as people write them: `30d`, `2h`, `64 KiB`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, ByteSize, Field, PlainSerializer, TypeAdapter, ValidationError

UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
POWERS = ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)
OFF = (False, "", "false", "none", "off")
"""How a limit or a feature is switched off: TOML has no null, and a command line no types."""

LARGEST = (1 << 63) - 1
LONGEST = timedelta(days=36_500)

_written = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.ASCII)
_bytes = TypeAdapter(ByteSize)


def parse_duration(value: object) -> timedelta:
    """The duration that a text such as `30d`, `1.5h` or `0s` means; raises ValueError with the remedy."""
    if isinstance(value, timedelta):
        return value
    match = _written.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2] not in UNITS:
        raise ValueError("write a number and a unit (s, m, h, d or w), such as 90s, 2h or 30d")
    try:
        duration = float(match[1]) * UNITS[match[2]]
    except OverflowError:
        duration = timedelta.max
    if duration > LONGEST:
        raise ValueError("must not be longer than 36500d")
    return duration


def write_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads as this duration, exact to the millisecond."""
    unit = next((unit for unit, length in UNITS.items() if unit != "w" and not duration % length), "ms")
    return f"{duration // UNITS[unit]}{unit}" if duration else "0s"


def nanoseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000


def parse_size(value: object) -> int:
    """The bytes that a number or a text such as `64 KiB` or `2 GB` means; raises ValueError with the remedy."""
    try:
        if isinstance(value, bool):
            raise TypeError
        size = int(_bytes.validate_python(value))
    except (TypeError, ValidationError, OverflowError):
        raise ValueError("write a number of bytes, or a number and a unit, such as 64 KiB or 2 GB") from None
    if size > LARGEST:
        raise ValueError("must not be larger than 8 EiB")
    return size


def write_size(size: int) -> str:
    """An exact text that `parse_size` reads as this many bytes."""
    return next((f"{size // power} {unit}" for unit, power in POWERS if size and not size % power), f"{size} B")


def off_is_none(value: object) -> object:
    return None if any(value is off or (isinstance(off, str) and value == off) for off in OFF) else value


def comma_separated(value: object) -> object:
    """A list may be written `a, b` where only text can be: in the environment and on the command line."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(write_duration)]
Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(write_size)]
SmallSize = Annotated[Size, Field(le=16 << 20)]
"""Of something that is held in memory: at most 16 MiB."""
OptionalDuration = Annotated[Duration | None, BeforeValidator(off_is_none)]
OptionalSize = Annotated[Size | None, BeforeValidator(off_is_none)]
Words = Annotated[tuple[str, ...], BeforeValidator(comma_separated)]
