"""What a handler is given and what it gives back: `handle(request: Request) -> Response`.

A handler refuses by raising a Refusal of the core, or a DAVError where only HTTP knows the refusal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import quote

from wsgidav.dav_error import HTTP_BAD_REQUEST, HTTP_REQUEST_ENTITY_TOO_LARGE, DAVError

from core.errors import IncompleteContent
from core.model import ANYTHING, Expect, Path
from core.namespace import Namespace
from core.settings import Settings
from core.views import View

from .glimpses import Glimpses

Environ = dict[str, Any]
Headers = list[tuple[str, str]]

BLOCK = 256 << 10
UNREGISTERED = {460: "Checksum Mismatch"}
"""Statuses that a protocol other than HTTP brings: tus, the checksum extension."""
UNQUOTED = "-._~!*'()"
"""What encodeURIComponent leaves alone; some clients compare hrefs as text."""


@dataclass(frozen=True, slots=True)
class Request:
    """One authenticated request for a path of the tree.

    `expect` carries its conditions (RFC 9110, section 13; RFC 4918, section 10.4). For GET and HEAD it holds the `If`
    header alone: the others may mean 304 there, and are `conditions.evaluate`'s.
    """

    environ: Environ
    namespace: Namespace
    settings: Settings
    path: Path
    expect: Expect = ANYTHING
    view: View | None = None
    glimpses: Glimpses | None = None

    @property
    def tree(self) -> Namespace | View:
        """What the path leads into. A view can be read, removed from and taken out of; only the namespace written."""
        return self.view or self.namespace

    @property
    def method(self) -> str:
        return self.environ["REQUEST_METHOD"]

    @property
    def ends_with_slash(self) -> bool:
        return self.environ.get("PATH_INFO", "").endswith("/")

    def header(self, name: str, default: str = "") -> str:
        """The header's value without blanks around it, as Latin-1 text; several fields come joined by commas."""
        key = name.upper().replace("-", "_")
        key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
        return self.environ.get(key, default).strip()

    def depth(self, default: str) -> str:
        """`0`, `1` or `infinity`; `1,noroot` counts as 1. Raises DAVError 400."""
        value = self.header("Depth", default).lower().partition(",")[0].strip()
        if value not in {"0", "1", "infinity"}:
            raise DAVError(HTTP_BAD_REQUEST, "Depth is 0, 1 or infinity")
        return value

    def href(self, path: Path, *, is_collection: bool = False) -> str:
        """The absolute URL path of a path; a collection's ends with a slash."""
        return href(path, is_collection=is_collection, prefix=self.environ.get("SCRIPT_NAME", ""))

    @property
    def declared_length(self) -> int | None:
        """The body's Content-Length; 0 where no body was announced, None where only its end will tell."""
        text = self.environ.get("CONTENT_LENGTH")
        if text:
            return _length(text)
        return None if "HTTP_TRANSFER_ENCODING" in self.environ else 0

    def blocks(self) -> Iterator[bytes]:
        """The body, at most 256 KiB at a time. Raises IncompleteContent where it ends before its declared length.

        A block is the caller's alone: whoever drops it before asking for the next has one in memory, not two.
        """
        body: BinaryIO = self.environ["wsgi.input"]
        missing = self.declared_length
        while missing is None or missing > 0:
            block = [body.read(BLOCK if missing is None else min(BLOCK, missing))]
            if not block[0]:
                break
            missing = None if missing is None else missing - len(block[0])
            yield block.pop()
        if missing:
            raise IncompleteContent(self.path, f"the body ended {missing} bytes early")

    def body(self, limit: int) -> bytes:
        """The whole body. Raises DAVError 413 beyond `limit` bytes, IncompleteContent where it ends early."""
        if (self.declared_length or 0) > limit:
            raise DAVError(HTTP_REQUEST_ENTITY_TOO_LARGE, f"the body has more than {limit} bytes")
        received = bytearray()
        for block in self.blocks():
            received += block
            if len(received) > limit:
                raise DAVError(HTTP_REQUEST_ENTITY_TOO_LARGE, f"the body has more than {limit} bytes")
        return bytes(received)


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is sent with a Content-Length where it is a tuple or a list, else with the one in `headers`, or chunked.

    A body with a `close` method is closed when it was sent, or when that failed.
    """

    status: int
    headers: Headers = field(default_factory=Headers)
    body: Iterable[bytes] = ()
    repeatable: bool = False
    """The same request gets this very answer as long as nothing in the database changes. Its body is no file."""

    @property
    def line(self) -> str:
        return f"{self.status} {phrase(self.status)}"


def phrase(status: int) -> str:
    """What the status means, in a few words."""
    return UNREGISTERED.get(status) or HTTPStatus(status).phrase


def href(path: Path, *, is_collection: bool = False, prefix: str = "") -> str:
    """The absolute URL path of a path below a mount point given as WSGI's SCRIPT_NAME."""
    mount = quote(prefix.rstrip("/").encode("latin-1"), safe="/" + UNQUOTED)
    names = "".join("/" + quote(name.encode(errors="surrogateescape"), safe=UNQUOTED) for name in path)
    return mount + names + ("/" if is_collection or not path else "")


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise DAVError(HTTP_BAD_REQUEST, "Content-Length is a number of bytes")
    return int(text)
