"""Which call answers which method of which address, and whether a browser was tricked into it."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule
from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core.errors import Forbidden
from core.errors import NotFound as Unknown
from core.model import Caller
from core.settings import Settings
from core.store import Store

from ..auth import is_bearer
from ..errors import problem
from ..request import Environ, Request, Response
from . import attachments, documents, openapi, signing_in
from .call import Call

Endpoint = Callable[..., Response]
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
TOP = "/api/v1"

ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/openapi.json", openapi.get),
    ("GET", "/attachments", attachments.every),
    ("POST", "/attachments", attachments.create),
    ("POST", "/attachments:batchDelete", attachments.delete_batch),
    ("GET", "/attachments/<id>", attachments.get),
    ("PATCH", "/attachments/<id>", attachments.change),
    ("DELETE", "/attachments/<id>", attachments.delete),
    ("POST", "/documents", documents.create),
    ("GET", "/documents/<uid>", documents.get),
    ("PATCH", "/documents/<uid>", documents.change),
    ("GET", "/documents/<uid>/attachments", documents.attachments),
    ("PUT", "/documents/<uid>/attachments", documents.set_attachments),
    ("POST", "/auth/token", signing_in.token),
    ("GET", "/auth/app-passwords", signing_in.app_passwords),
    ("POST", "/auth/app-passwords", signing_in.create_app_password),
    ("DELETE", "/auth/app-passwords/<uid>", signing_in.revoke_app_password),
)
_MAP = Map(
    [Rule(TOP + path, methods=[method], endpoint=endpoint) for method, path, endpoint in ROUTES],
    strict_slashes=False,
    merge_slashes=False,
)


@dataclass(frozen=True, slots=True)
class Api:
    store: Store
    settings: Settings

    def answer(self, environ: Environ, caller: Caller) -> Response:
        """Raises Refusal and DAVError."""
        method, path = environ["REQUEST_METHOD"], _path(environ)
        adapter = _MAP.bind("")
        try:
            endpoint, arguments = adapter.match(path, method=method)
        except NotFound:
            raise Unknown(path, "is no address of the API; /api/v1/openapi.json tells which are") from None
        except MethodNotAllowed:
            return _other(method, sorted(adapter.allowed_methods(path)))
        _check_origin(environ)
        request = Request(environ, self.store.namespace(caller), self.settings, ())
        return endpoint(Call(self.store, self.settings, caller, request), **arguments)


def _path(environ: Environ) -> str:
    try:
        return environ["PATH_INFO"].encode("latin-1").decode()
    except UnicodeDecodeError:
        raise DAVError(HTTP_BAD_REQUEST, "the path is not UTF-8") from None


def _other(method: str, allowed: list[str]) -> Response:
    allow = ("Allow", ", ".join(dict.fromkeys((*allowed, "OPTIONS"))))
    if method == "OPTIONS":
        return Response(204, [allow])
    return problem(405, "METHOD_NOT_ALLOWED", f"{method} means nothing here", [allow])


def _check_origin(environ: Environ) -> None:
    """What a browser adds by itself, a kept password or being where the server is, gives other sites' pages nothing.

    A token is added by nobody but who has it. Raises Forbidden.
    """
    if environ["REQUEST_METHOD"] in SAFE or is_bearer(environ.get("HTTP_AUTHORIZATION", "")):
        return
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE", "none").strip().lower()
    is_ours = origin is None or urlsplit(origin).netloc.lower() == environ.get("HTTP_HOST", "").strip().lower()
    if not is_ours or site not in {"same-origin", "none"}:
        raise Forbidden("", "a page of another site may not do this; sign in with a token")
