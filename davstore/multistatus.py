"""The 207 answer (RFC 4918, section 13), written as text: prefix `D:` at its root, never a default namespace."""

from collections.abc import Iterable
from http import HTTPStatus
from itertools import chain

from . import streaming, xml
from .request import Headers, Response

START = f'{xml.DECLARATION}<D:multistatus xmlns:D="DAV:">'
END = "</D:multistatus>"
RESPONSE, RESPONSE_END = "<D:response>", "</D:response>"


def propstat(properties: str, status: int, error: str = "") -> str:
    """Some properties and what became of them; `error` is a condition's element."""
    start, end = around(status, error)
    return f"{start}{properties}{end}"


def around(status: int, error: str = "") -> tuple[str, str]:
    """What comes before and after the properties in their propstat."""
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    why = f"<D:error>{error}</D:error>" if error else ""
    return "<D:propstat><D:prop>", f"</D:prop><D:status>{line}</D:status>{why}</D:propstat>"


def response(href: str, propstats: str) -> str:
    return f"{RESPONSE}<D:href>{xml.text(href)}</D:href>{propstats}{RESPONSE_END}"


def failure(href: str, status: int) -> str:
    """What became of a whole resource."""
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    return f"<D:response><D:href>{xml.text(href)}</D:href><D:status>{line}</D:status></D:response>"


def answer(responses: Iterable[str], headers: Headers | None = None, *, accepted: str = "") -> Response:
    """The responses as one answer, streamed where it is long, and in gzip where the accepted codings name it."""
    body = streaming.body(chain((START,), responses, (END,)))
    told: Headers = [("Content-Type", xml.CONTENT_TYPE), *(headers or [])]
    if streaming.takes_gzip(accepted) and streaming.is_worth_packing(body):
        told += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
        body = streaming.packed(body)
    return Response(HTTPStatus.MULTI_STATUS, told, body)
