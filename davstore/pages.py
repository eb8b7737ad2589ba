"""A collection as a plain page for browsers: streamed, without scripts, right for every name."""

from collections.abc import Iterator
from html import escape
from http import HTTPStatus
from itertools import chain
from urllib.parse import quote

from core.listings import SHOWN
from core.model import Node

from . import streaming
from .dates import http_date, iso_date
from .request import UNQUOTED, Headers, Request, Response

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.2rem .8rem .2rem 0;text-align:left}"
    "bdi{white-space:pre-wrap;overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}"
)
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
PICTURES = {**{code: 0x2400 + code for code in range(0x20)}, 0x7F: 0x2421}
"""Control characters are shown by their Unicode pictures."""


def listing(request: Request, node: Node) -> Response:
    """The members of the collection, collections first, each part by name. HEAD has the same headers."""
    headers: Headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("ETag", f'"{node.etag}"'),
        ("Last-Modified", http_date(node.modified)),
        ("Cache-Control", "no-cache"),
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
    ]
    is_head = request.method == "HEAD"
    return Response(HTTPStatus.OK, headers, () if is_head else streaming.body(_page(request, node)))


def _page(request: Request, node: Node) -> Iterator[str]:
    here = request.href(request.path, is_collection=True)
    title = _shown("/" + "".join(f"{name}/" for name in node.path))
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1><bdi>{title}</bdi></h1>\n"
        "<table><thead><tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr></thead><tbody>\n"
    )
    if request.path != (request.view.at if request.view else ()):
        above = request.href(request.path[:-1], is_collection=True)
        yield f'<tr><td><a href="{escape(above)}" rel="up">../</a></td><td></td><td></td></tr>\n'
    collections = _members(request, node, are_collections=True)
    files = _members(request, node, are_collections=False)
    for member in chain(collections, files):
        yield _row(here, member)
    yield "</tbody></table></body></html>\n"


def _members(request: Request, node: Node, *, are_collections: bool) -> Iterator[Node]:
    for page in request.tree.children_of(node):
        for member in page:
            if member.kind in SHOWN and member.is_collection == are_collections:
                yield member


def _row(here: str, member: Node) -> str:
    slash = "/" if member.is_collection else ""
    link = escape(here + quote(member.name, safe=UNQUOTED) + slash)
    when = iso_date(member.modified)
    return (
        f'<tr><td><a href="{link}"><bdi>{_shown(member.name)}</bdi>{slash}</a></td>'
        f"<td>{'' if member.is_collection else _size(member.size)}</td>"
        f'<td><time datetime="{when}">{when[:10]} {when[11:16]}</time></td></tr>\n'
    )


def _shown(name: str) -> str:
    return escape(name.translate(PICTURES))


def _size(size: int) -> str:
    amount = float(size)
    for unit in UNITS[:-1]:
        if amount < 1024:
            return f"{size} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} {UNITS[-1]}"
