"""Where COPY and MOVE go: the headers Destination and Overwrite (RFC 4918, sections 10.3 and 10.6)."""

from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core.errors import Forbidden
from core.model import Path
from core.policy import RESERVED

from .addresses import resolved
from .request import Request


def destination(request: Request) -> Path:
    """The path in the Destination header, whether it ends with a slash or not.

    Raises DAVError 400, 502, and Forbidden for what can only be read.
    """
    url = request.header("Destination")
    if not url:
        raise DAVError(HTTP_BAD_REQUEST, "the Destination header is missing")
    path = resolved(url, request.environ, request.settings.server.trusted_proxies)
    if path and path[0].lower() in RESERVED:
        raise Forbidden(path, "nothing can be put there")
    return path


def may_overwrite(request: Request) -> bool:
    """Whether what is at the destination may be replaced: yes, unless the client says F."""
    match request.header("Overwrite", "T").upper():
        case "T" | "":
            return True
        case "F":
            return False
        case _:
            raise DAVError(HTTP_BAD_REQUEST, "Overwrite is T or F")
