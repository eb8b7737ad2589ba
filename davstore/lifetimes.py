"""How long an upload is kept: `X-Delete-At` and `X-Delete-After`, as OpenStack Swift names them."""

import re
from datetime import timedelta

from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core.model import SECOND, Instant

from .request import Request

AFTER, AT = "X-Delete-After", "X-Delete-At"
FURTHEST = (1 << 63) // SECOND - 1
LONGEST = timedelta(days=36_500) // timedelta(seconds=1)

_number = re.compile(r"\d{1,10}", re.ASCII)


def lifetime(request: Request) -> Instant | timedelta | None:
    """When the file shall go by itself, or how long after this upload; None where nothing is said of it."""
    after, at = (_seconds(request, name, most) for name, most in ((AFTER, LONGEST), (AT, FURTHEST)))
    if after is not None and at is not None:
        raise DAVError(HTTP_BAD_REQUEST, f"{AFTER} and {AT} say the same thing; send one of them")
    if after is not None:
        return timedelta(seconds=after)
    return None if at is None else Instant(at * SECOND)


def _seconds(request: Request, name: str, most: int) -> int | None:
    text = request.header(name)
    if not text:
        return None
    if not _number.fullmatch(text) or not 0 < int(text) <= most:
        meaning = "seconds from now" if name == AFTER else "seconds since 1970-01-01, UTC"
        raise DAVError(HTTP_BAD_REQUEST, f"{name} is not understood; it takes a whole number of {meaning}, 1 to {most}")
    return int(text)
