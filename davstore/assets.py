"""Files and contents by their ids, at the addresses that Penpot and Memos give them (docs/api.md)."""

from dataclasses import dataclass
from urllib.parse import parse_qs

from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core.errors import NotFound
from core.model import Caller, Node
from core.settings import Settings
from core.store import Store

from . import serving
from .addresses import decoded
from .errors import problem
from .request import Environ, Request, Response

IMMUTABLE = "public, max-age=31536000, immutable"
PUBLIC, PRIVATE = "public, no-cache", "private, no-cache"
ALLOWED = "GET, HEAD, OPTIONS"
TOPS = frozenset(("assets", "file", "o"))
"""What the paths of these addresses begin with."""
YES, NO = frozenset(("1", "true")), frozenset(("", "0", "false"))


@dataclass(frozen=True, slots=True)
class AssetServer:
    store: Store
    settings: Settings

    def answer(self, environ: Environ, caller: Caller) -> Response:
        """Raises Refusal: NotFound for what is not there, Unauthenticated and Forbidden for what the caller may not."""
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _other(environ)
        match decoded(environ["PATH_INFO"].encode("latin-1")):
            case ("assets", "by-id", uid):
                return self._content(environ, caller, uid)
            case ("assets", "by-file-media-id", id_):
                return self._file(environ, caller, id_)
            case ("o", "r", id_, *rest) | ("file", "attachments" | "resources", id_, *rest) if len(rest) < 2:
                return self._file(environ, caller, id_)
            case path:
                raise NotFound(path)

    def _content(self, environ: Environ, caller: Caller, uid: str) -> Response:
        content = self.store.assets(caller).content(uid)
        caching = IMMUTABLE if content.is_public and self._lets_nobody_in else "private, no-cache"
        return self._served(environ, caller, content.node, caching)

    def _file(self, environ: Environ, caller: Caller, id_: str) -> Response:
        node = self.store.assets(caller).file(id_)
        is_public = node.access is not None and node.access.is_public
        return self._served(environ, caller, node, PUBLIC if is_public and self._lets_nobody_in else PRIVATE)

    def _served(self, environ: Environ, caller: Caller, node: Node, caching: str) -> Response:
        request = Request(environ, self.store.namespace(caller), self.settings, node.path)
        return serving.serve(request, node, caching=caching, is_foreign=True)

    @property
    def _lets_nobody_in(self) -> bool:
        """Without it nothing is public: caches between must not give away what the server would not."""
        return self.settings.server.anonymous != "none"


def _other(environ: Environ) -> Response:
    if environ["REQUEST_METHOD"] == "OPTIONS":
        return Response(204, [("Allow", ALLOWED)])
    return problem(405, "METHOD_NOT_ALLOWED", "assets are read here; the API writes them", [("Allow", ALLOWED)])


def wants_thumbnail(environ: Environ) -> bool:
    """Raises DAVError 400."""
    [*_, value] = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).get("thumbnail", ["0"])
    if value.lower() not in YES | NO:
        raise DAVError(HTTP_BAD_REQUEST, "thumbnail is 1 or 0")
    return value.lower() in YES
