"""LOCK and UNLOCK (RFC 4918, sections 9.10 and 9.11)."""

import re
from collections.abc import Sequence
from http import HTTPStatus

from wsgidav.dav_error import HTTP_BAD_REQUEST, HTTP_REQUEST_ENTITY_TOO_LARGE, DAVError

from core.errors import LockConflict
from core.model import SECOND, Lock, LockRequest, Path, Scope
from core.paths import within

from . import multistatus, xml
from .live import activelock
from .request import Headers, Request, Response
from .xml import DAV, Element

SCOPES = {"exclusive": Scope.EXCLUSIVE, "shared": Scope.SHARED}
TIMEOUT = re.compile(r"(infinite)|seconds?-(\d{1,10})", re.IGNORECASE | re.ASCII)
OWNER_LIMIT = 16 << 10
LONGEST = 10**10 * SECOND
"""What Infinite asks for; the settings cap it."""


def lock(request: Request) -> Response:
    """A new lock, or with an empty body a longer life for one. 201 where an empty file was made for it.

    Raises LockConflict, Locked, NoParent, PreconditionFailed, DAVError 400 and 413.
    """
    lockinfo = xml.document(request.body(xml.BODY_LIMIT))
    if lockinfo is None:
        return _refreshed(request)
    wanted = _wanted(request, lockinfo)
    try:
        granted = request.namespace.lock(request.path, wanted, expect=request.expect)
    except LockConflict as conflict:
        if all(within(root, request.path) and root != request.path for root in conflict.roots):
            return _refused_below(request, conflict.roots)
        raise
    status = HTTPStatus.CREATED if granted.created else HTTPStatus.OK
    header = ("Lock-Token", f"<{granted.lock.token}>")
    return _described(request, [granted.lock, *granted.others], granted.is_collection, status, [header])


def unlock(request: Request) -> Response:
    """The lock is gone. Raises NoSuchLock, Forbidden for another's, DAVError 400."""
    token = request.header("Lock-Token").removeprefix("<").removesuffix(">").strip()
    if not token:
        raise DAVError(HTTP_BAD_REQUEST, "UNLOCK names its lock in a Lock-Token header")
    if request.expect.check:
        request.namespace.check(request.path, request.expect)
    request.namespace.unlock(request.path, token)
    return Response(HTTPStatus.NO_CONTENT)


def _refreshed(request: Request) -> Response:
    if not request.expect.tokens:
        raise DAVError(HTTP_BAD_REQUEST, "LOCK has a lockinfo, or names the lock to refresh in an If header")
    granted = request.namespace.refresh(request.path, _timeout(request), expect=request.expect)
    node = request.namespace.find(request.path)
    others = request.namespace.locks([node]).get(node.id, ()) if node else ()
    locks = [granted, *(other for other in others if other.token != granted.token)]
    return _described(request, locks, node is not None and node.is_collection, HTTPStatus.OK)


def _wanted(request: Request, lockinfo: Element) -> LockRequest:
    if lockinfo.tag != f"{{{DAV}}}lockinfo":
        raise DAVError(HTTP_BAD_REQUEST, "the body's element should be DAV: lockinfo")
    depth = request.depth("infinity")
    if depth == "1":
        raise DAVError(HTTP_BAD_REQUEST, "a lock's depth is 0 or infinity")
    lockscope, locktype = xml.child(lockinfo, "lockscope"), xml.child(lockinfo, "locktype")
    scope = None if lockscope is None else next(xml.children(lockscope, *SCOPES), None)
    if scope is None or locktype is None or xml.child(locktype, "write") is None:
        raise DAVError(HTTP_BAD_REQUEST, "lockinfo asks for an exclusive or a shared write lock")
    owner = xml.child(lockinfo, "owner")
    owner_xml = "" if owner is None else xml.standalone(owner)
    if len(owner_xml) > OWNER_LIMIT:
        raise DAVError(HTTP_REQUEST_ENTITY_TOO_LARGE, f"a lock's owner has at most {OWNER_LIMIT} characters")
    return LockRequest(
        scope=SCOPES[xml.name_of(scope).name],
        infinite=depth == "infinity",
        owner=owner_xml,
        timeout=_timeout(request),
    )


def _timeout(request: Request) -> int | None:
    """The first time in the header that we understand, in nanoseconds (RFC 4918, section 10.7)."""
    for text in request.header("Timeout").split(","):
        if match := TIMEOUT.fullmatch(text.strip()):
            return LONGEST if match[1] else int(match[2]) * SECOND
    return None


def _described(
    request: Request, locks: Sequence[Lock], is_collection: bool, status: HTTPStatus, headers: Headers | None = None
) -> Response:
    """The locks of the resource, the granted one first: many clients take the first token they see."""
    active = "".join(activelock(each, request.path, is_collection, request.href) for each in locks)
    body = f'{xml.DECLARATION}<D:prop xmlns:D="DAV:"><D:lockdiscovery>{active}</D:lockdiscovery></D:prop>'
    return Response(status, [("Content-Type", xml.CONTENT_TYPE), *(headers or [])], (body.encode(),))


def _refused_below(request: Request, roots: tuple[Path, ...]) -> Response:
    """Locks on members stand in the way: each is told, and nothing was locked (RFC 4918, section 9.10.9)."""
    members = [multistatus.failure(request.href(root), HTTPStatus.LOCKED) for root in roots]
    own = multistatus.failure(request.href(request.path, is_collection=True), HTTPStatus.FAILED_DEPENDENCY)
    return multistatus.answer([*members, own])
