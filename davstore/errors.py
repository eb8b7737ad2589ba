"""The one table from refusals to HTTP: status, and the RFC 4918 condition where there is one."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from wsgidav.dav_error import DAVError

from core import errors as core
from core.errors import Refusal
from core.model import Path

from .request import Environ, Headers, Response, href, phrase
from .xml import text


class Row(NamedTuple):
    status: int
    condition: str = ""
    """A precondition or postcondition code of namespace DAV:."""


TABLE: dict[type[Refusal], Row] = {
    core.NotFound: Row(404),
    core.NoParent: Row(409),
    core.AlreadyExists: Row(409),
    core.NotACollection: Row(409),
    core.IsACollection: Row(405),
    core.NotEmpty: Row(409),
    core.InvalidPath: Row(400),
    core.NameTooLong: Row(414),
    core.InvalidMove: Row(403),
    core.PreconditionFailed: Row(412),
    core.Locked: Row(423, "lock-token-submitted"),
    core.LockConflict: Row(423, "no-conflicting-lock"),
    core.InUse: Row(423),
    core.NoSuchLock: Row(409, "lock-token-matches-request-uri"),
    core.Unauthenticated: Row(401),
    core.Forbidden: Row(403),
    core.InvalidContent: Row(400),
    core.IncompleteContent: Row(400),
    core.DigestMismatch: Row(400),
    core.InvalidSetting: Row(400),
    core.TooLarge: Row(413),
    core.UnsupportedMediaType: Row(415),
    core.TooMany: Row(429),
    core.QuotaExceeded: Row(507, "quota-not-exceeded"),
    core.StorageUnavailable: Row(503),
    core.StorageFull: Row(507, "sufficient-disk-space"),
    core.Unusable: Row(503),
    core.Corrupt: Row(500),
}
NAMES: dict[type[Refusal], str] = {
    core.NotFound: "RESOURCE_NOT_FOUND",
    core.NoParent: "PARENT_NOT_FOUND",
    core.AlreadyExists: "ALREADY_EXISTS",
    core.NotACollection: "NOT_A_COLLECTION",
    core.IsACollection: "IS_A_COLLECTION",
    core.NotEmpty: "NOT_EMPTY",
    core.InvalidPath: "INVALID_NAME",
    core.NameTooLong: "NAME_TOO_LONG",
    core.InvalidMove: "INVALID_MOVE",
    core.PreconditionFailed: "PRECONDITION_FAILED",
    core.Locked: "LOCKED",
    core.InUse: "IN_USE",
    core.NoSuchLock: "NO_SUCH_LOCK",
    core.Unauthenticated: "UNAUTHENTICATED",
    core.Forbidden: "FORBIDDEN",
    core.InvalidContent: "INVALID_CONTENT",
    core.InvalidSetting: "INVALID_REQUEST",
    core.TooLarge: "FILE_TOO_LARGE",
    core.UnsupportedMediaType: "UNSUPPORTED_MEDIA_TYPE",
    core.TooMany: "TOO_MANY_UPLOADS",
    core.QuotaExceeded: "QUOTA_EXCEEDED",
    core.StorageUnavailable: "STORAGE_UNAVAILABLE",
    core.StorageFull: "STORAGE_FULL",
    core.Unusable: "STORAGE_UNAVAILABLE",
    core.Corrupt: "INTERNAL_ERROR",
}
"""What the API calls them."""
TAKEN = {"MKCOL": Row(405), "COPY": Row(412), "MOVE": Row(412)}
"""What AlreadyExists means to the methods for which WebDAV says it (RFC 4918, sections 9.3.1, 9.8.5, 9.9.4)."""

METHODS = (
    *("OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PROPFIND", "PROPPATCH"),
    *("MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),
)
PLAIN = frozenset(("GET", "HEAD", "OPTIONS", "POST"))
"""The methods whose errors are RFC 9457 problems; the others speak WebDAV."""

PROBLEM = "application/problem+json"
BESIDE = ("/api/", "/assets/", "/file/", "/o/")
"""Where the routes lie that are no part of the tree."""
CODES = {
    404: "RESOURCE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "FILE_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    503: "STORAGE_UNAVAILABLE",
}
"""Of refusals that only HTTP knows."""

INTERNAL = (core.StorageUnavailable, core.Unusable, core.Corrupt)
"""Their subjects are the server's affair."""

CHALLENGE = 'Basic realm="davstore", charset="UTF-8"'
RETRY_AFTER = "10"


def row(refusal: Refusal, method: str) -> Row:
    """The refusal's line of the table; a kind that has none is answered like its parent."""
    if isinstance(refusal, core.AlreadyExists) and method in TAKEN:
        return TAKEN[method]
    return next(TABLE[kind] for kind in type(refusal).__mro__ if kind in TABLE)


def refused(error: Refusal | DAVError, environ: Environ) -> Response:
    """The response that says what was refused; never a server's path, never a traceback."""
    if isinstance(error, DAVError):
        return _foreign(error, environ)
    status, condition = row(error, environ["REQUEST_METHOD"])
    roots = error.roots if isinstance(error, core.Locked) else ()
    detail = "" if isinstance(error, INTERNAL) else str(error)
    if is_beside(environ):
        code = next(NAMES[kind] for kind in type(error).__mro__ if kind in NAMES)
        return problem(status, code, detail, _demanded(status, environ["REQUEST_METHOD"]))
    return _response(status, condition, _hrefs(roots, environ), detail, environ)


def is_beside(environ: Environ) -> bool:
    """Whether the request is for a route beside the tree, of which WebDAV knows nothing."""
    return environ.get("PATH_INFO", "").lower().startswith(BESIDE)


def problem(status: int, code: str, detail: str, headers: Headers | None = None) -> Response:
    """An RFC 9457 problem, with the code that programs go by."""
    members = {"status": status, "title": phrase(status), "code": code}
    text = json.dumps(members | ({"detail": detail} if detail else {}))
    about = [("Content-Type", PROBLEM), ("Cache-Control", "no-store"), *(headers or ())]
    return Response(status, about, (text.encode(errors="replace"),))


def broken(environ: Environ) -> Response:
    """The response to what nobody foresaw. The connection ends, since the request may be half read."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    beside = is_beside(environ)
    response = problem(status, "INTERNAL_ERROR", "") if beside else _response(status, "", (), "", environ)
    response.headers.append(("Connection", "close"))
    return response


def allow(method: str = "") -> str:
    """The Allow header, without the method that is being refused."""
    return ", ".join(name for name in METHODS if name != method)


def error_xml(condition: str, hrefs: Sequence[str] = (), detail: str = "") -> str:
    """An RFC 4918 `error` element (section 14.5), with the reason for people in an element of our own."""
    inside = "".join(f"<D:href>{text(link)}</D:href>" for link in hrefs)
    code = f"<D:{condition}>{inside}</D:{condition}>" if condition else ""
    message = f"<s:message>{text(detail)}</s:message>" if detail else ""
    return f'<D:error xmlns:D="DAV:" xmlns:s="urn:davstore:">{code}{message}</D:error>'


def _foreign(error: DAVError, environ: Environ) -> Response:
    condition = error.err_condition
    code = condition.condition_code.removeprefix("{DAV:}") if condition else ""
    hrefs = condition.hrefs if condition else ()
    detail = str(error.context_info or "")
    if is_beside(environ):
        return problem(error.value, CODES.get(error.value, "INVALID_REQUEST"), detail, list(error.add_headers or ()))
    response = _response(error.value, code, hrefs, detail, environ)
    response.headers.extend(error.add_headers or ())
    return response


def _response(status: int, condition: str, hrefs: Sequence[str], detail: str, environ: Environ) -> Response:
    if condition or environ["REQUEST_METHOD"] not in PLAIN:
        media_type = "application/xml; charset=utf-8"
        text = '<?xml version="1.0" encoding="utf-8"?>\n' + error_xml(condition, hrefs, detail)
    else:
        media_type = PROBLEM
        text = json.dumps({"status": status, "title": phrase(status)} | ({"detail": detail} if detail else {}))
    headers: Headers = [("Content-Type", media_type), *_demanded(status, environ["REQUEST_METHOD"])]
    return Response(status, headers, (text.encode(errors="replace"),))


def _demanded(status: int, method: str) -> Headers:
    """The headers without which a status is incomplete."""
    match status:
        case 401:
            return [("WWW-Authenticate", CHALLENGE)]
        case 405:
            return [("Allow", allow(method))]
        case 503:
            return [("Retry-After", RETRY_AFTER)]
        case _:
            return []


def _hrefs(paths: Sequence[Path], environ: Environ) -> list[str]:
    return [href(path, prefix=environ.get("SCRIPT_NAME", "")) for path in paths]
