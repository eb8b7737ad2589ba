"""Names for what has none of its own, an entry of the trash or a version: when it came to be, and the end of its uid.

They read `2026-11-21T23-59-59Z.1a2b3c4d`, sort by time, and need no other table to be found again by.
"""

import re
from datetime import UTC, datetime

from .model import Instant, Kind, instant, moment
from .paths import NAME_BYTES

END = 8
"""Characters of a uid that a name shows: the last ones, which are random; the first ones are the time again."""
LONGEST_EXTENSION = 16

_stamp = re.compile(r"(?:.*\.)?(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)\.([0-9a-f]{8})(?:\.[^.]*)?", re.DOTALL)


def stamp(at: Instant, uid: str) -> str:
    return f"{moment(at):%Y-%m-%dT%H-%M-%SZ}.{uid[-END:]}"


def stamped(name: str, kind: Kind, at: Instant, uid: str) -> str:
    """The name with its stamp before the extension, so that programs know the file's type; cut where it is too long."""
    stem, end = (name, "") if kind is Kind.COLLECTION else split(name)
    mark = f".{stamp(at, uid)}{end}"
    return stem.encode()[: NAME_BYTES - len(mark)].decode(errors="ignore") + mark


def split(name: str) -> tuple[str, str]:
    """The name before its extension, and the extension with its dot. A dot file's name is no extension."""
    stem, dot, extension = name.rpartition(".")
    if stem and extension.isascii() and 0 < len(extension) <= LONGEST_EXTENSION:
        return stem, dot + extension
    return name, ""


def read(name: str) -> tuple[Instant, str] | None:
    """The second in which it came to be, and the end of its uid; None where the name has no stamp."""
    match = _stamp.fullmatch(name)
    if match is None:
        return None
    try:
        at = datetime.strptime(match[1], "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return instant(at), match[2]
