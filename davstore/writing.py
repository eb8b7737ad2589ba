"""PUT, MKCOL, DELETE, COPY and MOVE (RFC 4918, sections 9.3, 9.6 to 9.9; RFC 9110, section 9.3.4)."""

import math
from datetime import timedelta

from wsgidav.dav_error import HTTP_BAD_REQUEST, HTTP_MEDIATYPE_NOT_SUPPORTED, DAVError

from core.errors import IsACollection
from core.model import SECOND, Digest, Expect, Instant, Node, Outcome, Path
from core.staging import Sealable, Sealed

from . import conditions, digests
from .addresses import resolved
from .dates import http_date
from .destination import destination, may_overwrite
from .lifetimes import lifetime
from .partial import refuse_partial
from .request import Headers, Request, Response

CREATED, NO_CONTENT = 201, 204
SMALL = 64 << 10
"""Bytes of a body that has come with its head, and that is not worth a look at the tree before it is taken."""
LATEST = 1 << 63
"""Nanoseconds since the epoch that no file time reaches."""


def put(request: Request) -> Response:
    """The body becomes the file's content, whole or not at all; what can be refused is, before it is read."""
    if request.ends_with_slash:
        raise IsACollection(request.path, "the URL is a collection's")
    refuse_partial(request)
    announced, expires = digests.claims(request), lifetime(request)
    also = digests.further(announced)
    if request.is_at_hand and (request.declared_length or 0) <= SMALL:
        return _stored(request, Sealed.of(request.body(SMALL), also), announced, expires)
    namespace, path, expect = request.namespace, request.path, request.expect
    namespace.check_put(path, size=_announced_size(request), media_type=request.header("Content-Type"), expect=expect)
    if known := _without_body(request, announced, expires):
        return _written(known.node, known.created, _modified(request))
    with namespace.stage(path, also=also) as draft:
        for block in request.blocks():
            draft.write(block)
            del block
        return _stored(request, draft, announced, expires)


def _stored(
    request: Request, content: Sealable, announced: tuple[digests.Claim, ...], expires: Instant | timedelta | None
) -> Response:
    digests.verify(announced, content.seal().digests)
    modified, media_type = _modified(request), request.header("Content-Type")
    outcome = request.namespace.put(
        request.path, content, media_type=media_type, modified=modified, expires=expires, expect=request.expect
    )
    return _written(outcome.node, outcome.created, modified)


def _without_body(
    request: Request, announced: tuple[digests.Claim, ...], expires: Instant | timedelta | None
) -> Outcome | None:
    """What a PUT comes to whose client waits to be asked for its body, and says the SHA-256 of a content that the
    caller can read already; None where the body is needed."""
    values = {claim.value for claim in announced if claim.algorithm == "sha256"}
    is_told = len(values) == 1 and all(claim.algorithm == "sha256" for claim in announced)
    size = request.declared_length
    waits = request.header("Expect").lower() == "100-continue" and request.header("Repr-Digest")
    if not (is_told and waits and size):
        return None
    return request.namespace.put_known(
        request.path,
        Digest(values.pop().hex()),
        size,
        media_type=request.header("Content-Type"),
        modified=_modified(request),
        expires=expires,
        expect=request.expect,
    )


def make_collection(request: Request) -> Response:
    """MKCOL. A body would mean something that we do not know (section 9.3.1)."""
    if next(request.blocks(), b""):
        raise DAVError(HTTP_MEDIATYPE_NOT_SUPPORTED, "MKCOL takes no body")
    modified = _modified(request)
    node = request.namespace.make_collection(request.path, modified=modified, expect=request.expect)
    return _written(node, True, modified)


def delete(request: Request) -> Response:
    """DELETE, of a collection with all that is in it."""
    _refuse_shallow(request)
    request.tree.delete(request.path, expect=request.expect)
    return Response(NO_CONTENT)


def copy(request: Request) -> Response:
    """COPY, of a collection with its members, or with `Depth: 0` without."""
    depth = request.depth("infinity")
    if depth == "1":
        raise DAVError(HTTP_BAD_REQUEST, "COPY has Depth 0 or infinity")
    target, expect, modified = _target(request)
    outcome = request.tree.copy(
        request.path,
        target,
        deep=depth == "infinity",
        overwrite=may_overwrite(request),
        modified=modified,
        expect=expect,
    )
    return _written(outcome.node, outcome.created, modified)


def move(request: Request) -> Response:
    """MOVE."""
    _refuse_shallow(request)
    target, expect, modified = _target(request)
    outcome = request.tree.move(
        request.path, target, overwrite=may_overwrite(request), modified=modified, expect=expect
    )
    return _written(outcome.node, outcome.created, modified)


def _refuse_shallow(request: Request) -> None:
    """DELETE and MOVE take collections whole (sections 9.6.1 and 9.9.2); a file has no depth."""
    if request.depth("infinity") == "infinity":
        return
    node = request.tree.find(request.path)
    if node and node.is_collection:
        raise DAVError(HTTP_BAD_REQUEST, f"{request.method} of a collection has Depth infinity")


def _target(request: Request) -> tuple[Path, Expect, Instant | None]:
    target = destination(request)
    proxies = request.settings.server.trusted_proxies
    expect = conditions.expectation(
        request.environ, request.path, lambda url: resolved(url, request.environ, proxies), target
    )
    return target, expect, _modified(request)


def _announced_size(request: Request) -> int | None:
    """The body's size, or where it comes in chunks what Finder or a Nextcloud client says of it."""
    if request.declared_length is not None:
        return request.declared_length
    said = request.header("X-Expected-Entity-Length") or request.header("OC-Total-Length")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else None


def _modified(request: Request) -> Instant | None:
    """The time that X-OC-Mtime gives in seconds, without their fraction; None where it gives none."""
    try:
        seconds = math.floor(float(request.header("X-OC-Mtime")))
    except (ValueError, OverflowError):
        return None
    return Instant(seconds * SECOND) if abs(seconds * SECOND) < LATEST else None


def _written(node: Node, created: bool, modified: Instant | None) -> Response:
    headers: Headers = [("ETag", f'"{node.etag}"'), ("Last-Modified", http_date(node.modified))]
    if modified is not None:
        headers.append(("X-OC-MTime", "accepted"))
    return Response(CREATED if created else NO_CONTENT, headers)
