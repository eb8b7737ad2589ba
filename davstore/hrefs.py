"""The URL path of the request as its answers repeat it."""

import re
from urllib.parse import unquote

from .request import Request

PLAIN = re.compile(r"/[A-Za-z0-9\-._~!$'()*+,;=:@%/]*", re.ASCII)


def spelled(request: Request, *, is_collection: bool) -> str:
    """The URL path as the client spelled it, since some compare hrefs as text; ours where theirs is not plain."""
    ours = request.href(request.path, is_collection=is_collection)
    raw = str(request.environ.get("REQUEST_URI") or request.environ.get("RAW_URI") or "").partition("?")[0]
    theirs = raw.rstrip("/") + ("/" if ours.endswith("/") else "")
    is_same = unquote(theirs) == unquote(ours) and theirs.count("/") == ours.count("/")
    return theirs if is_same and PLAIN.fullmatch(theirs) else ours
