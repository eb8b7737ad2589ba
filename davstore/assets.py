"""Files and contents by their ids, at the addresses that Penpot and Memos give them (docs/api.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core.errors import NotFound
from core.model import Caller, Node
from core.presets import Fit
from core.renditions import THUMBNAIL, NoRendition
from core.settings import Settings
from core.store import Store

from . import serving
from .addresses import decoded
from .errors import problem
from .request import Environ, Request, Response

IMMUTABLE = "public, max-age=31536000, immutable"
PUBLIC, PRIVATE = "public, no-cache", "private, no-cache"
ALLOWED = "GET, HEAD, OPTIONS"
YES = frozenset(("1", "true"))
ENDINGS = {"image/avif": (".avif",), "image/webp": (".webp",), "image/jpeg": (".jpg", ".jpeg")}
"""Of the names of renditions."""


@dataclass(frozen=True, slots=True)
class Look:
    """Which rendition: a preset's, or one in a box."""

    preset: str = THUMBNAIL
    width: int = 0
    height: int = 0
    fit: Fit = "contain"


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
                return self._file(environ, caller, id_, _look(environ))
            case ("assets", "by-file-media-id", id_, "thumbnail"):
                return self._file(environ, caller, id_, _look(environ) or Look())
            case ("o", "r", id_, *rest) | ("file", "attachments" | "resources", id_, *rest) if len(rest) < 2:
                return self._file(environ, caller, id_, _look(environ))
            case path:
                raise NotFound(path)

    def _content(self, environ: Environ, caller: Caller, uid: str) -> Response:
        content = self.store.assets(caller).content(uid)
        caching = IMMUTABLE if content.is_public and self._lets_nobody_in else PRIVATE
        return self._served(environ, caller, content.node, caching)

    def _file(self, environ: Environ, caller: Caller, id_: str, look: Look | None) -> Response:
        node = self.store.assets(caller).file(id_)
        is_public = node.access is not None and node.access.is_public
        caching = PUBLIC if is_public and self._lets_nobody_in else PRIVATE
        if look is None:
            return self._served(environ, caller, node, caching)
        return self._rendition(environ, caller, node, look, caching)

    def _rendition(self, environ: Environ, caller: Caller, node: Node, look: Look, caching: str) -> Response:
        """The one that the Accept header prefers; a picture that has none is answered with why."""
        renditions = self.store.renditions
        is_boxed = look.width or look.height
        preset = renditions.sized(look.width, look.height, look.fit) if is_boxed else look.preset
        found = renditions.get(node, preset, environ.get("HTTP_ACCEPT", ""))
        if isinstance(found, NoRendition):
            return problem(404, "NO_RENDITION", f"there is no rendition of it: it {found.reason}", [("Vary", "Accept")])
        response = self._served(environ, caller, _ending_right(found.node), caching)
        response.headers.append(("Vary", "Accept"))
        return response

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


def _ending_right(node: Node) -> Node:
    """The rendition under its file's name, which ends as its own format does."""
    stem, _, ending = node.name.rpartition(".")
    right = ENDINGS[node.media_type]
    if f".{ending.lower()}" in right:
        return node
    return replace(node, path=(*node.path[:-1], (stem or ending) + right[0]))


def _look(environ: Environ) -> Look | None:
    """None for the file itself. Raises DAVError 400."""
    given = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    fit = given.get("fit", "contain")
    if fit not in {"contain", "cover"}:
        raise DAVError(HTTP_BAD_REQUEST, "fit is contain or cover")
    width, height = _pixels(given, "w"), _pixels(given, "h")
    preset = given.get("preset", "")
    if preset and (width or height):
        raise DAVError(HTTP_BAD_REQUEST, "give a preset, or a width and a height")
    is_small = preset or width or height or given.get("thumbnail", "").lower() in YES
    return Look(preset or THUMBNAIL, width, height, "cover" if fit == "cover" else "contain") if is_small else None


def _pixels(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise DAVError(HTTP_BAD_REQUEST, f"{name} is a number of pixels")
    return int(text)
