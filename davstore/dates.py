"""Times as HTTP and WebDAV write them, and back: whole seconds, UTC, in English whatever the locale."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from core.model import SECOND, Instant, instant

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAY = 86_400
"""Seconds."""


def http_date(at: Instant) -> str:
    """An IMF-fixdate (RFC 9110, section 5.6.7), rounded down to the second."""
    return _http_date(at // SECOND)


def iso_date(at: Instant) -> str:
    """An RFC 3339 time, as `creationdate` has it (RFC 4918, section 15.1)."""
    return _iso_date(at // SECOND)


def http_dates(times: Iterable[Instant]) -> list[str]:
    return [_http_date(at // SECOND) for at in times]


def iso_dates(times: Iterable[Instant]) -> list[str]:
    return [_iso_date(at // SECOND) for at in times]


def parsed(text: str) -> Instant | None:
    """The time in an HTTP date of any of the three forms (RFC 9110, section 5.6.7); None where it is none."""
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return instant(when if when.tzinfo else when.replace(tzinfo=UTC))


def iso_parsed(text: str) -> Instant | None:
    """The time in an RFC 3339 text; None where it is none, or names no offset from UTC."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant(when) if when.tzinfo else None


@lru_cache(4096)
def _http_date(seconds: int) -> str:
    days, rest = divmod(seconds, DAY)
    return f"{_http_day(days)} {_clock(rest)} GMT"


@lru_cache(4096)
def _iso_date(seconds: int) -> str:
    days, rest = divmod(seconds, DAY)
    return f"{_iso_day(days)}T{_clock(rest)}Z"


@lru_cache(4096)
def _http_day(days: int) -> str:
    year, month, day, _, _, _, weekday, _, _ = time.gmtime(days * DAY)
    return f"{DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year:04}"


@lru_cache(4096)
def _iso_day(days: int) -> str:
    year, month, day, *_ = time.gmtime(days * DAY)
    return f"{year:04}-{month:02}-{day:02}"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
