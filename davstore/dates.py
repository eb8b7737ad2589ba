"""Times as HTTP and WebDAV write them, and back: whole seconds, UTC, in English whatever the locale."""

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from core.model import SECOND, Instant, instant

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(at: Instant) -> str:
    """An IMF-fixdate (RFC 9110, section 5.6.7), rounded down to the second."""
    return _http_date(at // SECOND)


def iso_date(at: Instant) -> str:
    """An RFC 3339 time, as `creationdate` has it (RFC 4918, section 15.1)."""
    return _iso_date(at // SECOND)


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
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return f"{DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"


@lru_cache(4096)
def _iso_date(seconds: int) -> str:
    year, month, day, hour, minute, second, _, _, _ = time.gmtime(seconds)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
