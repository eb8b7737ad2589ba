"""THE implementation of GET and HEAD: one contract for whatever URL shows a file (docs/design.md, section 7)."""

import re
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_hex
from typing import BinaryIO
from urllib.parse import quote

from core.errors import Corrupt, NotFound, PreconditionFailed
from core.model import INLINE, SECOND, Kind, Node

from . import acceleration, conditions, pages, ranges, redirects
from .dates import http_date, parsed
from .live import media_type
from .ranges import Span
from .request import BLOCK, Headers, Request, Response

REVALIDATE = "no-cache"
"""The caching of path URLs: keep it, and ask each time."""
RUNNABLE = re.compile(r"(?:text/html|text/xml|text/xsl|application/xml|.+\+xml|multipart/.+)\s*(?:;.*)?", re.IGNORECASE)
"""Media types in which a browser would find scripts."""
SANDBOX = (
    "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self' data:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
WANTED_DIGEST = re.compile(r"(?:^|,)\s*sha-256\s*(?:=\s*(\d+)\s*)?(?=,|;|$)", re.IGNORECASE)


def handle(request: Request) -> Response:
    """GET and HEAD of a path: a file's bytes, or a page that lists a collection. Raises NotFound."""
    node = _asked_for(request)
    if node.is_collection:
        _evaluated(request, node)
        return pages.listing(request, node)
    return serve(request, node)


def _asked_for(request: Request) -> Node:
    """Files are mostly read again, or part by part."""
    if request.glimpses and request.view is None:
        return request.glimpses.node(request.namespace, request.path)
    return request.tree.node(request.path)


def serve(request: Request, node: Node, *, caching: str = REVALIDATE, is_foreign: bool = False) -> Response:
    """The file's bytes as the request wants them: all, some, or the news that the client has them already.

    Of a foreign file, one that somebody may have uploaded for others, what a browser could run is for saving only.

    The bytes come exactly, or the connection breaks. Raises PreconditionFailed, Corrupt, StorageUnavailable.
    """
    if node.kind is not Kind.FILE:
        raise NotFound(request.path)
    status = _evaluated(request, node)
    validators: Headers = [
        ("ETag", f'"{node.etag}"'),
        ("Last-Modified", http_date(node.modified)),
        ("Cache-Control", caching),
    ]
    if status is not None:
        return Response(status, validators, repeatable=True)
    headers = [*validators, ("Accept-Ranges", "bytes"), *_described(request, node, is_foreign=is_foreign)]
    spans = _spans(request, node)
    if spans is None:
        return _elsewhere(request, node, headers, None) or _whole(request, node, headers)
    if len(spans) == 0:
        return Response(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, [*headers, ("Content-Range", f"bytes */{node.size}")]
        )
    if len(spans) > 1:
        return _parts(request, node, headers, spans)
    return _elsewhere(request, node, headers, spans[0]) or _part(request, node, headers, spans[0])


def _elsewhere(request: Request, node: Node, headers: Headers, span: Span | None) -> Response | None:
    """The answer by which another server sends the content, or the span of it."""
    return redirects.redirect(request, node, headers, span) or acceleration.hand_over(request, node, headers, span)


def _evaluated(request: Request, node: Node) -> int | None:
    """304 where the client has the content already. Raises PreconditionFailed."""
    if request.expect.check:
        request.tree.check(request.path, request.expect)
    status = conditions.evaluate(request.environ, node.etag, node.modified, exists=True, method=request.method)
    if status == HTTPStatus.PRECONDITION_FAILED:
        raise PreconditionFailed(request.path, "it is not in the state that the request expects")
    return status


def _described(request: Request, node: Node, *, is_foreign: bool) -> Headers:
    is_runnable = RUNNABLE.fullmatch(media_type(node)) is not None
    disposition = "attachment" if is_foreign and is_runnable else "inline"
    headers: Headers = [
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Disposition", f"{disposition}; filename*=UTF-8''{quote(node.name, safe='')}"),
    ]
    if is_runnable:
        headers.append(("Content-Security-Policy", SANDBOX))
    wanted = WANTED_DIGEST.search(request.header("Want-Repr-Digest"))
    if wanted and wanted[1] != "0" and node.content:
        headers.append(("Repr-Digest", f"sha-256=:{b64encode(bytes.fromhex(node.content.digest)).decode()}:"))
    return headers


def _spans(request: Request, node: Node) -> tuple[Span, ...] | None:
    """The ranges to send; None for everything, () where none can be."""
    header = request.header("Range")
    if not header or request.method != "GET" or not _is_same(request.header("If-Range"), node):
        return None
    return ranges.requested(header, node.size)


def _is_same(if_range: str, node: Node) -> bool:
    """Whether the client's part is of this very content: by its strong tag, or by a date that can be trusted.

    A date is a strong validator only when it was a second old (RFC 9110, sections 8.8.2.2 and 13.1.5).
    """
    if not if_range or if_range == f'"{node.etag}"':
        return True
    seconds = node.modified // SECOND
    return if_range == http_date(node.modified) and parsed(if_range) is not None and seconds < int(time.time())


def _whole(request: Request, node: Node, headers: Headers) -> Response:
    headers = [*headers, ("Content-Type", media_type(node)), ("Content-Length", str(node.size))]
    if request.method == "HEAD" or (node.size <= BLOCK and node.content and node.content.storage == INLINE):
        return Response(HTTPStatus.OK, headers, _small(request, node), repeatable=True)
    return Response(HTTPStatus.OK, headers, _body(request, node, Span(0, node.size)))


def _small(request: Request, node: Node) -> tuple[bytes, ...]:
    """The whole content, which one read of the database gives."""
    if request.method == "HEAD" or not node.size:
        return ()
    with request.tree.open(node) as reader:
        return (Extent(reader, node, Span(0, node.size)).read(),)


def _part(request: Request, node: Node, headers: Headers, span: Span) -> Response:
    headers = [
        *headers,
        ("Content-Type", media_type(node)),
        ("Content-Length", str(len(span))),
        ("Content-Range", span.content_range(node.size)),
    ]
    return Response(HTTPStatus.PARTIAL_CONTENT, headers, _body(request, node, span))


def _parts(request: Request, node: Node, headers: Headers, spans: Sequence[Span]) -> Response:
    """multipart/byteranges (RFC 9110, section 14.6)."""
    boundary = token_hex(16)
    kind = media_type(node)
    heads = [
        f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {span.content_range(node.size)}\r\n\r\n".encode()
        for span in spans
    ]
    end = f"\r\n--{boundary}--\r\n".encode()
    length = sum(map(len, heads)) + sum(map(len, spans)) + len(end)
    headers = [
        *headers,
        ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
        ("Content-Length", str(length)),
    ]
    parts = Parts(request.tree.open(node), node, tuple(zip(heads, spans, strict=True)), end)
    return Response(HTTPStatus.PARTIAL_CONTENT, headers, parts)


def _body(request: Request, node: Node, span: Span) -> Iterable[bytes]:
    """The bytes of the span: by the server's own means where it has some, in blocks otherwise."""
    if request.method == "HEAD" or not len(span):
        return ()
    extent = Extent(request.tree.open(node), node, span)
    wrapper = request.environ.get("wsgi.file_wrapper", Blocks)
    return wrapper(extent, BLOCK)


class Extent:
    """Some bytes of a content as a file that ends with them. Raises Corrupt where the content ends before."""

    def __init__(self, reader: BinaryIO, node: Node, span: Span) -> None:
        self.offset = span.start
        self.length = len(span)
        self._reader = reader
        self._node = node
        self._left = len(span)
        reader.seek(span.start)

    def fileno(self) -> int:
        return self._reader.fileno()

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._reader.read(wanted)
        if wanted and not block:
            raise Corrupt(self._node.path, f"its content ends {self._left} bytes early")
        self._left -= len(block)
        return block

    def close(self) -> None:
        self._reader.close()


@dataclass(frozen=True, slots=True)
class Blocks:
    """`wsgi.file_wrapper` for servers that have none."""

    extent: Extent
    size: int

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.extent.read(self.size), b"")

    def close(self) -> None:
        self.extent.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """The body of a multipart/byteranges answer."""

    reader: BinaryIO
    node: Node
    parts: tuple[tuple[bytes, Span], ...]
    end: bytes

    def __iter__(self) -> Iterator[bytes]:
        for head, span in self.parts:
            yield head
            yield from Blocks(Extent(self.reader, self.node, span), BLOCK)
        yield self.end

    def close(self) -> None:
        self.reader.close()
