"""URL paths in answers: that of the request as it was spelled, and the segments that its members add."""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from .request import UNQUOTED, Request

PLAIN = re.compile(r"/[A-Za-z0-9\-._~!$'()*+,;=:@%/]*", re.ASCII)
QUOTED = re.compile(rf"[^A-Za-z0-9{re.escape(UNQUOTED)}/]", re.ASCII)


def spelled(request: Request, *, is_collection: bool) -> str:
    """The URL path as the client spelled it, since some compare hrefs as text; ours where theirs is not plain."""
    ours = request.href(request.path, is_collection=is_collection)
    raw = str(request.environ.get("REQUEST_URI") or request.environ.get("RAW_URI") or "").partition("?")[0]
    theirs = raw.rstrip("/") + ("/" if ours.endswith("/") else "")
    is_same = unquote(theirs) == unquote(ours) and theirs.count("/") == ours.count("/")
    return theirs if is_same and PLAIN.fullmatch(theirs) else ours


def segments(names: Sequence[str]) -> Sequence[str]:
    """The names as segments of a path (RFC 3986, section 2.1), UTF-8 and percent-encoded where need be.

    All at once: most names need nothing, and those of one folder need the same few characters.
    """
    joined = "/".join(names)
    if not joined.isascii():
        joined = joined.encode(errors="surrogateescape").decode("latin-1")
    special = set(QUOTED.findall(joined))
    if not special:
        return names
    for character in sorted(special, key=lambda each: each != "%"):
        joined = joined.replace(character, f"%{ord(character):02X}")
    return joined.split("/")
