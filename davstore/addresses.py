"""From the text of a URL to a path of the tree, and whether a URL is ours at all."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from pydantic.networks import IPvAnyNetwork
from wsgidav.dav_error import HTTP_BAD_GATEWAY, HTTP_BAD_REQUEST, DAVError

from core import paths
from core.model import Path

from .request import Environ

Networks = Iterable[IPvAnyNetwork]
UPLOADS = "/api/v1/uploads"
"""Where uploads that can be resumed begin."""
ASSETS = frozenset(("assets", "file", "o"))
"""What the paths of files and contents by their ids begin with."""
DEFAULT_PORTS = {"http": "80", "https": "443"}

_url = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*))?(/[^?#]*)?(.*)", re.DOTALL)
_authority = re.compile(r"(?:.*@)?+(\[[^]]*]|[^:]*)(?::(\d*))?", re.DOTALL)
_never_in_names = re.compile("[\x00-\x1f\x7f\ufffe\uffff]")


class Origin(NamedTuple):
    scheme: str
    host: str
    port: str


def decoded(raw: bytes) -> Path:
    """The path that a percent-decoded URL path means. Raises DAVError 400, InvalidPath, NameTooLong."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise DAVError(HTTP_BAD_REQUEST, "the path is not UTF-8") from None
    if _never_in_names.search(text):
        raise DAVError(HTTP_BAD_REQUEST, "the path has control characters")
    if not text.startswith("/") and text:
        raise DAVError(HTTP_BAD_REQUEST, "the path does not start with a slash")
    return paths.parse(text)


def resolved(url: str, environ: Environ, proxies: Networks) -> Path:
    """The path that a URL in a header means: absolute with any spelling of our own host, or an absolute path.

    It is split before it is unquoted, so `%3F` and `%23` belong to names. Raises DAVError 502 where it names another
    server, 400 where it is no such URL or has a query or a fragment.
    """
    match = _url.fullmatch(url.strip())
    scheme, authority, path, rest = match.groups() if match else ("", "", "", "?")
    if rest or not (path or authority):
        raise DAVError(HTTP_BAD_REQUEST, "this is not the URL of a file or collection")
    if scheme and _origin(scheme.lower(), authority) not in own_origins(environ, proxies):
        raise DAVError(HTTP_BAD_GATEWAY, "that is another server")
    raw = unquote_to_bytes((path or "/").encode("latin-1"))
    mount = environ.get("SCRIPT_NAME", "").rstrip("/").encode("latin-1")
    if raw[: len(mount) + 1].rstrip(b"/") != mount and mount:
        raise DAVError(HTTP_BAD_GATEWAY, "that is outside of this server's tree")
    return decoded(raw[len(mount) :])


def own_origins(environ: Environ, proxies: Networks) -> frozenset[Origin]:
    """Every origin by which the client may know this server. Only trusted proxies are asked."""
    name, port = environ.get("SERVER_NAME", ""), environ.get("SERVER_PORT", "")
    direct = environ.get("HTTP_HOST") or (f"[{name}]:{port}" if ":" in name else f"{name}:{port}")
    seen = [_Seen(environ.get("wsgi.url_scheme", "http"), direct)]
    if _is_trusted(environ.get("REMOTE_ADDR", ""), proxies):
        seen.extend(_forwarded(environ, direct))
    return frozenset(_origin(one.scheme, one.authority, one.port) for one in seen)


def origin(url: str) -> Origin:
    """Where an absolute URL leads; of anything else an origin that is nobody's."""
    match = _url.fullmatch(url)
    return _origin((match[1] or "").lower(), match[2] or "") if match else Origin("", "", "")


def is_secure(environ: Environ, proxies: Networks) -> bool:
    """Whether the client speaks TLS, as far as we, or a trusted proxy, can tell."""
    direct = environ.get("wsgi.url_scheme", "http")
    said = _told(environ)[0] if _is_trusted(environ.get("REMOTE_ADDR", ""), proxies) else ""
    return (said or direct) == "https"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A scheme and authority under which a client may have reached us."""

    scheme: str
    authority: str
    port: str = ""


def _forwarded(environ: Environ, direct: str) -> Iterator[_Seen]:
    """What a trusted proxy says; one that does not tell the client's scheme may have spoken either."""
    scheme, host = _told(environ)
    authority = host or direct
    for one in (scheme,) if scheme else DEFAULT_PORTS:
        yield _Seen(one, authority)
        if port := _first(environ, "HTTP_X_FORWARDED_PORT"):
            yield _Seen(one, authority, port)


def _told(environ: Environ) -> tuple[str, str]:
    """The client's scheme and host, as a proxy tells them; "" for what it does not."""
    standard = _first(environ, "HTTP_FORWARDED")
    said = _parameters(standard) if standard else {}
    scheme = (said.get("proto") or _first(environ, "HTTP_X_FORWARDED_PROTO")).lower()
    return scheme, said.get("host") or _first(environ, "HTTP_X_FORWARDED_HOST")


def _parameters(text: str) -> dict[str, str]:
    from werkzeug.http import parse_options_header  # only where a proxy speaks so

    return parse_options_header(f"x;{text}")[1]


def _first(environ: Environ, key: str) -> str:
    """A proxy that appends puts the client's side first."""
    return environ.get(key, "").partition(",")[0].strip()


def _is_trusted(peer: str, proxies: Networks) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in proxies)


def _origin(scheme: str, authority: str, port: str = "") -> Origin:
    match = _authority.fullmatch(authority.strip())
    host, stated = match.groups() if match else (authority, "")
    return Origin(scheme, _host(host), (stated or port or DEFAULT_PORTS.get(scheme, "")).lstrip("0"))


def _host(text: str) -> str:
    """A host's one spelling: lower case, no final dot, IPv6 compressed."""
    name = text.lower().strip("[]").rstrip(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return name
