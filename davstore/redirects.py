"""Redirects: which clients are sent to the storage itself for a file's bytes, and to which URL.

docs/serving.md has the table of clients in words, and where each line of it was measured.
"""

import re
import time
from http import HTTPStatus
from typing import Literal

from core.links import Link, sign
from core.model import SECOND, Instant, Node
from core.quantities import nanoseconds
from core.storage_settings import S3Storage

from . import ranges
from .addresses import is_secure, origin, own_origins
from .live import media_type
from .ranges import Span
from .request import Headers, Request, Response

FOLLOWERS = re.compile(r"(?:rclone|curl|Lavf|VLC|libmpv|mpv)(?:[/ ]|$)", re.IGNORECASE)
"""User-Agents, from their start, of programs that follow a redirect and keep their credentials to themselves."""
BROWSERS = re.compile(r"Mozilla/5\.0 \(.*(?:Firefox|Chrome|Version|CriOS|FxiOS)/")
DISGUISED = re.compile(r"KIO/|Konqueror|mirall|Electron/|Microsoft|Office|compatible;", re.IGNORECASE)
"""Who calls itself a browser, and is something else, or nobody knows what it does with a redirect."""
UNMATCHED = frozenset(("Content-Security-Policy", "Repr-Digest"))
"""What is due to the client and no storage would send."""


def redirect(request: Request, node: Node, headers: Headers, span: Span | None) -> Response | None:
    """The answer that sends the client to the storage for the content, or the span of it; None for who might not get
    there with it. Never for HEAD.

    `headers` are those of the answer that it would get from us.
    """
    storage = request.settings.storages.get(node.content.storage) if node.content else None
    if node.content is None or not isinstance(storage, S3Storage):
        return None
    if node.size < storage.redirect_min or not _follows(request, storage.redirect):
        return None
    told = dict(headers)
    if UNMATCHED & told.keys() or not ranges.is_plain(request, span):
        return None
    now = Instant(time.time_ns())
    ttl = nanoseconds(storage.presign_ttl)
    store = request.namespace.contents.presigners[node.content.storage]
    link = sign(store, node.content.key, ttl, now, media_type(node), told["Content-Disposition"])
    if not _is_safe(request, link.url) or not request.namespace.contents.is_whole(node.content):
        return None
    return _sent(request, link, told["Cache-Control"], now)


def _follows(request: Request, policy: Literal["auto", "never", "always"]) -> bool:
    if request.method != "GET" or policy == "never":
        return False
    return policy == "always" or _is_known(request)


def _is_known(request: Request) -> bool:
    agent = request.header("User-Agent")
    if not BROWSERS.match(agent):
        return FOLLOWERS.match(agent) is not None
    return not DISGUISED.search(agent) and (_opens(request) or _is_in_anothers_page(request))


def _opens(request: Request) -> bool:
    """Whether the browser opens or saves the file by itself. Over plain http none says so: then it asks for no part,
    and for whatever there is, or a page."""
    accepted = request.header("Accept")
    is_open = not request.header("Range") and (accepted in {"", "*/*"} or "text/html" in accepted)
    return request.header("Sec-Fetch-Mode", "navigate" if is_open else "") == "navigate"


def _is_in_anothers_page(request: Request) -> bool:
    """Whether a page shows the file that is surely not ours: ours let nothing in but what comes from us, as their
    Content-Security-Policy says, and those in a sandbox tell nobody where they are. Scripts could not read it."""
    page = origin(request.header("Referer")).host
    return request.header("Sec-Fetch-Mode", "no-cors") == "no-cors" and page not in {"", *_own_hosts(request)}


def _is_safe(request: Request, url: str) -> bool:
    """rclone sends its password on to any port of the same host; and nothing goes from https to http."""
    there = origin(url)
    is_downgrade = there.scheme != "https" and is_secure(request.environ, request.settings.server.trusted_proxies)
    return there.host not in _own_hosts(request) and not is_downgrade


def _own_hosts(request: Request) -> set[str]:
    return {own.host for own in own_origins(request.environ, request.settings.server.trusted_proxies)}


def _sent(request: Request, link: Link, caching: str, now: Instant) -> Response:
    """Who must ask us each time for the bytes must do so for the URL. It is kept until its successor is there, when
    half of its life is left."""
    is_old = request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
    lasting = "no-cache" if "no-cache" in caching else f"max-age={(link.renewed - now) // SECOND}"
    headers = [("Location", link.url), ("Cache-Control", f"private, {lasting}"), ("Content-Type", "text/plain")]
    status = HTTPStatus.FOUND if is_old else HTTPStatus.TEMPORARY_REDIRECT
    return Response(status, headers, (b"The file is at the URL in the Location header.\n",))
