"""Framing: one request head, read strictly (RFC 9112, sections 2 to 7).

llhttp judges the syntax. Refused here is what it leaves open: codings other than `chunked`, Transfer-Encoding in
HTTP/1.0, missing and repeated Host, foreign protocols, loose request lines, and targets that two servers could read
differently.
"""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

FIELDS_MAX = 256
LENGTH_MAX = (1 << 63) - 1
KNOWN_NAMES_MAX = 1024

_TOKEN_AND_SPACE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")
_TOKEN_START = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]|\r?\Z|\r\n")
_FOREIGN_VERSION = re.compile(rb"[^\r\n ]+ [^\r\n ]+ HTTP/(?!1\.)\d+\.\d+\r\n")
_ABSOLUTE = re.compile(r"https?://([^/?]*)(.*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(:\d*)?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNTRUSTED = {"HTTP_PROXY"}
_CGI_NAMES = {"HTTP_CONTENT_TYPE": "CONTENT_TYPE", "HTTP_CONTENT_LENGTH": "CONTENT_LENGTH"}


class Refused(Exception):
    """A request that is answered by the connection alone, and ends it."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status


class Request:
    """A request head, as it came and as it is read. `length` is the size of its body, None for a chunked one."""

    __slots__ = (
        "environ",
        "expects_continue",
        "head",
        "hosts",
        "is_complete",
        "is_http10",
        "keep_alive",
        "length",
        "method",
        "target",
    )

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ
        self.head = self.method = self.target = b""
        self.hosts = 0
        self.length: int | None = 0
        self.is_complete = self.is_http10 = self.expects_continue = False
        self.keep_alive = True

    def on_url(self, url: bytes) -> None:
        self.target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _known_names.get(name)
        if key is None:
            key = _environ_key(name)
        if not key:
            return
        text = value.decode("latin-1").strip(" \t")
        if key == "HTTP_HOST":
            self.hosts += 1
        elif key in self.environ:
            text = f"{self.environ[key]}{'; ' if key == 'HTTP_COOKIE' else ', '}{text}"
        self.environ[key] = text

    def on_headers_complete(self) -> None:
        self.is_complete = True


def parse(head: bytes, environ: dict[str, Any]) -> Request:
    """The request that a whole head asks for, its fields added to `environ` (PEP 3333). Raises Refused."""
    if head.count(b"\n") > FIELDS_MAX:
        raise Refused("431 Request Header Fields Too Large", "too many fields")
    request = Request(environ)
    request.head = head
    _read_head(request, head)
    _read_request_line(request, head)
    _read_target(request)
    _read_length(request)
    _read_intentions(request)
    return request


def is_hopeless(beginning: bytes) -> bool:
    """No request starts with these bytes (a TLS client, say): there is no use in waiting for the rest."""
    return not _TOKEN_START.match(beginning)


def _read_head(request: Request, head: bytes) -> None:
    parser = HttpRequestParser(request)
    try:
        parser.feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserInvalidMethodError as error:
        if _TOKEN_AND_SPACE.match(head):
            raise Refused("501 Not Implemented", "unknown method") from None
        raise Refused("400 Bad Request", str(error)) from None
    except HttpParserError as error:
        raise _syntax_refusal(head, str(error)) from None
    if not request.is_complete:
        raise _syntax_refusal(head, "the head does not end where its blank line is")
    request.method = parser.get_method()


def _syntax_refusal(head: bytes, reason: str) -> Refused:
    if _FOREIGN_VERSION.match(head):
        return Refused("505 HTTP Version Not Supported", reason)
    return Refused("400 Bad Request", reason)


def _read_request_line(request: Request, head: bytes) -> None:
    """One space between the three parts, and HTTP/1: llhttp also takes several spaces, RTSP, HTTP/0.9 and HTTP/2.0."""
    before_minor = b"%b %b HTTP/1." % (request.method, request.target)
    if not head.startswith(before_minor):
        raise _syntax_refusal(head, "bad request line")
    minor = head[len(before_minor) : len(before_minor) + 1]
    request.is_http10 = minor == b"0"
    environ = request.environ
    environ["REQUEST_METHOD"] = request.method.decode("ascii")
    environ["SERVER_PROTOCOL"] = "HTTP/1.0" if request.is_http10 else "HTTP/1.1"


def _read_target(request: Request) -> None:
    environ = request.environ
    target = request.target.decode("latin-1")
    environ["REQUEST_URI"] = environ["RAW_URI"] = target
    if request.hosts != 1 and (request.hosts or not request.is_http10):
        raise Refused("400 Bad Request", f"{request.hosts} Host fields")
    if request.hosts and not _AUTHORITY.fullmatch(environ["HTTP_HOST"]):
        raise Refused("400 Bad Request", "bad Host")
    if "#" in target:
        raise Refused("400 Bad Request", "a fragment in the target")
    if target[0] != "/":
        target = _origin_form(request, target)
    path, _, environ["QUERY_STRING"] = target.partition("?")
    if "%" in path:
        if _BAD_ESCAPE.search(path):
            raise Refused("400 Bad Request", "bad percent escape in the target")
        path = unquote_to_bytes(path).decode("latin-1")
    environ["PATH_INFO"] = path


def _origin_form(request: Request, target: str) -> str:
    """Absolute form names its own host, which wins over Host (RFC 9112, 3.2.2); the asterisk is for OPTIONS alone."""
    if request.method == b"CONNECT":
        raise Refused("501 Not Implemented", "no tunnels here")
    if target == "*" and request.method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if not absolute or not absolute[1] or not _AUTHORITY.fullmatch(absolute[1]):
        raise Refused("400 Bad Request", "bad target")
    request.environ["HTTP_HOST"] = absolute[1]
    return absolute[2] if absolute[2].startswith("/") else "/" + absolute[2]


def _read_length(request: Request) -> None:
    """llhttp has refused repeated, signed and listed lengths, and a length together with a coding."""
    environ = request.environ
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        request.length = None
        _check_coding(coding.lower(), request.is_http10)
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    elif "CONTENT_LENGTH" in environ:
        request.length = int(environ["CONTENT_LENGTH"])
        if request.length > LENGTH_MAX:
            raise Refused("413 Content Too Large", "Content-Length beyond all sizes")
        environ["CONTENT_LENGTH"] = str(request.length)


def _check_coding(coding: str, is_http10: bool) -> None:
    if is_http10:
        raise Refused("400 Bad Request", "Transfer-Encoding in HTTP/1.0")
    if coding == "chunked":
        return
    if coding.endswith("chunked"):
        raise Refused("501 Not Implemented", "a transfer coding other than chunked")
    raise Refused("400 Bad Request", "a transfer coding that does not end the body")


def _read_intentions(request: Request) -> None:
    environ = request.environ
    request.keep_alive = not request.is_http10
    if (connection := environ.get("HTTP_CONNECTION")) is not None:
        options = {option.strip() for option in connection.lower().split(",")}
        request.keep_alive = "close" not in options and (request.keep_alive or "keep-alive" in options)
    if (expectation := environ.get("HTTP_EXPECT")) is not None and not request.is_http10:
        if expectation.lower() != "100-continue":
            raise Refused("417 Expectation Failed", "unknown expectation")
        request.expects_continue = request.length != 0


_known_names: dict[bytes, str] = {}


def _environ_key(name: bytes) -> str:
    """The CGI name of a field. Empty for one that could pass for another (`_` for `-`) or for a setting (httpoxy)."""
    key = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
    key = "" if b"_" in name or key in _UNTRUSTED else _CGI_NAMES.get(key, key)
    if len(_known_names) < KNOWN_NAMES_MAX:
        _known_names[name] = key
    return key
