"""WebDAV's methods (RFC 4918, section 9): which handler answers which."""

# pyright: reportIncompatibleMethodOverride=false
# WsgiDAV has no annotations; what is inferred of its stubs is narrower than its contract.

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wsgidav import request_server
from wsgidav.dav_error import HTTP_METHOD_NOT_ALLOWED, HTTP_NOT_FOUND, HTTP_NOT_IMPLEMENTED, DAVError

from core.errors import Forbidden, Unauthenticated
from core.policy import RESERVED
from core.settings import Settings

from . import conditions, locking, propfind, proppatch, serving, views, writing
from .addresses import decoded, resolved
from .errors import allow
from .glimpses import Glimpses
from .provider import NAMESPACE, Provider
from .request import Environ, Request, Response

Handler = Callable[[Request], Response]

UNSUPPORTED = frozenset(("POST", "PATCH", "TRACE", "CONNECT", "SEARCH", "REPORT", "ACL", "BIND", "MKCALENDAR"))
"""Methods that we know and do not offer."""


def options(request: Request) -> Response:
    """OPTIONS, for what exists and what does not; it looks at nothing, since all that could matter is the same."""
    headers = [("DAV", "1, 2, 3"), ("MS-Author-Via", "DAV"), ("Allow", allow()), ("Accept-Ranges", "bytes")]
    return Response(200, headers)


HANDLERS: Mapping[str, Handler] = {
    "OPTIONS": options,
    "GET": serving.handle,
    "HEAD": serving.handle,
    "PUT": writing.put,
    "DELETE": writing.delete,
    "PROPFIND": propfind.handle,
    "PROPPATCH": proppatch.handle,
    "MKCOL": writing.make_collection,
    "COPY": writing.copy,
    "MOVE": writing.move,
    "LOCK": locking.lock,
    "UNLOCK": locking.unlock,
}
WRITING = frozenset(("PUT", "PROPPATCH", "MKCOL", "LOCK", "UNLOCK"))
"""The methods of the namespace alone."""


class RequestServer(request_server.RequestServer):
    """WsgiDAV's request server with every method replaced. It refuses by raising, like the one it replaces."""

    def __init__(self, settings: Settings, glimpses: Glimpses) -> None:
        super().__init__(Provider())
        self._settings = settings
        self._glimpses = glimpses

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = self.answer(environ)
        start_response(response.line, response.headers)
        return response.body

    def answer(self, environ: Environ) -> Response:
        """The response to an authenticated request. Raises Refusal and DAVError."""
        handler = HANDLERS.get(environ["REQUEST_METHOD"])
        if handler is None:
            is_known = environ["REQUEST_METHOD"] in UNSUPPORTED
            raise DAVError(HTTP_METHOD_NOT_ALLOWED if is_known else HTTP_NOT_IMPLEMENTED)
        request = self._request(environ)
        if request.view and not request.namespace.caller.may_write:
            raise Unauthenticated(request.path, "what was deleted or replaced is shown to those only who may write")
        if request.view and request.method in WRITING:
            raise Forbidden(request.path, "nothing is written here; MOVE or COPY it to where it shall be")
        return handler(request)

    def _request(self, environ: Environ) -> Request:
        path = decoded(_path_info(environ))
        namespace = environ[NAMESPACE]
        view = views.of(namespace, path)
        if view is None and path and path[0].lower() in RESERVED:
            raise DAVError(HTTP_NOT_FOUND)
        proxies = self._settings.server.trusted_proxies
        expect = conditions.expectation(environ, path, lambda url: resolved(url, environ, proxies))
        return Request(environ, namespace, self._settings, path, expect, view, self._glimpses)


def _path_info(environ: Environ) -> bytes:
    """`OPTIONS *` asks of the whole server."""
    text: str = environ.get("PATH_INFO", "")
    return b"/" if text == "*" and environ["REQUEST_METHOD"] == "OPTIONS" else text.encode("latin-1")
