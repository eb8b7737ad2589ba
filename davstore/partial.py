"""Bodies that are not the whole content as it is: stored as if they were, they would be another one."""

from wsgidav.dav_error import HTTP_BAD_REQUEST, HTTP_MEDIATYPE_NOT_SUPPORTED, DAVError

from .request import Request


def refuse_partial(request: Request) -> None:
    """Raises DAVError for a part or a coding of a content (RFC 9110, sections 14.5 and 8.4)."""
    if request.header("Content-Range"):
        raise DAVError(HTTP_BAD_REQUEST, f"{request.method} takes whole contents, no Content-Range")
    if request.header("Content-Encoding").lower() not in {"", "identity"}:
        accepted = [("Accept-Encoding", "identity")]
        raise DAVError(
            HTTP_MEDIATYPE_NOT_SUPPORTED, f"{request.method} takes no Content-Encoding", add_headers=accepted
        )
