"""The WSGI application: routes by prefix and method, lets callers in, and turns every refusal into its response."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core.errors import Refusal, StorageUnavailable
from core.model import Caller
from core.settings import Settings
from core.store import Store

from .addresses import ASSETS, UPLOADS
from .answers import answered
from .auth import Gate
from .errors import INTERNAL, broken, refused
from .glimpses import Glimpses
from .outages import Outages
from .provider import NAMESPACE
from .request import Environ, Response
from .requests import RequestServer

StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

log = logging.getLogger(__name__)
access = logging.getLogger("davstore.access")
"""One line for each request, at level INFO."""

OURS = "davstore"
"""The SERVER_SOFTWARE of our own server, which alone takes a Connection header (PEP 3333 forbids it elsewhere)."""


def application(store: Store, settings: Settings) -> Application:
    """The tree and its routes, as a WSGI application."""
    return _Application(store, settings)


class _Server(Protocol):
    def answer(self, environ: Environ, caller: Caller) -> Response: ...


class _Application:
    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._gate = Gate(
            store.accounts, settings.server.anonymous, app_passwords=store.app_passwords, tokens=store.tokens
        )
        self._dav = RequestServer(settings, Glimpses(store.database.version))
        self._outages = Outages()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        response = self._response(environ)
        if access.isEnabledFor(logging.INFO):
            access.info("%s %r %d", environ["REQUEST_METHOD"], environ.get("PATH_INFO"), response.status)
        return _sent(response, environ, start_response)

    def _response(self, environ: Environ) -> Response:
        try:
            return self._repeatable(environ)
        except INTERNAL as refusal:
            self._log(refusal, environ)
            return refused(refusal, environ)
        except (Refusal, DAVError) as refusal:
            return refused(refusal, environ)
        except ConnectionError:
            raise
        except Exception:
            log.exception("%s %r failed", environ["REQUEST_METHOD"], environ.get("PATH_INFO"))
            return broken(environ)

    def _log(self, refusal: Refusal, environ: Environ) -> None:
        """While a storage is away, its reason is said once in a while, and not for each request."""
        left_out = self._outages.left_out(str(refusal)) if isinstance(refusal, StorageUnavailable) else 0
        if left_out is not None:
            more = f" (and {left_out} times more lately)" if left_out else ""
            log.error("%s %r: %s%s", environ["REQUEST_METHOD"], environ.get("PATH_INFO"), refusal, more)

    def _repeatable(self, environ: Environ) -> Response:
        """Each request has its line in the log: where one is kept, the application sees every request."""
        if access.isEnabledFor(logging.INFO):
            return self._routed(environ)
        return answered(environ, self._routed, self._store.database.version)

    def _routed(self, environ: Environ) -> Response:
        path = environ.get("PATH_INFO", "")
        match path:
            case "/healthz":
                return _said("ok\n")
            case "/-/ready":
                self._store.ready()
                return _said("ready\n")
        caller = self._gate.caller(environ)
        if server := self._beside_the_tree(path):
            return server.answer(environ, caller)
        if "#" in environ.get("REQUEST_URI", ""):
            raise DAVError(HTTP_BAD_REQUEST, "a request's URL has no fragment")
        environ[NAMESPACE] = self._store.namespace(caller)
        return self._dav.answer(environ)

    def _beside_the_tree(self, path: str) -> _Server | None:
        """Who answers what is not WebDAV. Loaded by the first who asks: most drives are asked for their tree alone."""
        match path.split("/")[1:2]:
            case ["api"] if f"{path}/".startswith(f"{UPLOADS}/"):
                from .uploads import UploadServer

                return UploadServer(self._store, self._settings)
            case ["api"]:
                from .api.router import Api

                return Api(self._store, self._settings)
            case [top] if top in ASSETS:
                from .assets import AssetServer

                return AssetServer(self._store, self._settings)
        return None


def _said(text: str) -> Response:
    return Response(
        200, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")], (text.encode(),)
    )


def _sent(response: Response, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Other servers add no Content-Length and do not drop the body of an answer to HEAD."""
    headers, body = response.headers, response.body
    is_ours = environ.get("SERVER_SOFTWARE") == OURS
    if not is_ours:
        headers = [header for header in headers if header[0] != "Connection"]
    if isinstance(body, (tuple, list)) and response.status not in {204, 304} and not _has_length(response):
        headers = [*headers, ("Content-Length", str(sum(map(len, body))))]
    start_response(response.line, headers)
    if environ["REQUEST_METHOD"] == "HEAD" and isinstance(body, (tuple, list)):
        return ()
    return body


def _has_length(response: Response) -> bool:
    return any(name.lower() == "content-length" for name, _ in response.headers)
