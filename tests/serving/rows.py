"""The serving contract as a table: what GET and HEAD answer, header by header (docs/serving.md, RFC 9110)."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

Headers = Mapping[str, str]

MODIFIED = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE, AFTER = "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
VIDEO = Random(5).randbytes((1 << 20) + (1 << 19) + 7)
"""Larger than `redirect_min`, the window of any reader and a piece in the database."""
PAGE = b"<!DOCTYPE html><script>alert(1)</script>"
SIZE = len(VIDEO)


@dataclass(frozen=True)
class File:
    """`url` is the name as an URL has it, `disposition` as Content-Disposition does."""

    url: str
    content: bytes
    kind: str
    is_sandboxed: bool = False

    @property
    def etag(self) -> str:
        return f'"{sha256(self.content).hexdigest()}"'

    @property
    def digest(self) -> str:
        return f"sha-256=:{b64encode(sha256(self.content).digest()).decode()}:"

    @property
    def validators(self) -> Headers:
        return {"etag": self.etag, "last-modified": DATE, "cache-control": "no-cache"}

    @property
    def described(self) -> Headers:
        sandbox = {"content-security-policy": SANDBOX} if self.is_sandboxed else {}
        return {
            **self.validators,
            "accept-ranges": "bytes",
            "content-disposition": f"inline; filename*=UTF-8''{self.url}",
            "x-content-type-options": "nosniff",
            **sandbox,
        }

    def whole(self) -> Headers:
        return {**self.described, "content-type": self.kind, "content-length": str(len(self.content))}

    def part(self, start: int, stop: int) -> Headers:
        span = f"bytes {start}-{stop - 1}/{len(self.content)}"
        return {**self.whole(), "content-length": str(stop - start), "content-range": span}


SANDBOX = (
    "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self' data:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
FILM = File("a%20%C3%BC%22%3B.mp4", VIDEO, "video/mp4")
HTML = File("page.html", PAGE, "text/html", is_sandboxed=True)
NOTHING = File("nothing.txt", b"", "text/plain")
FILES = FILM, HTML, NOTHING
E1 = FILM.etag


@dataclass(frozen=True)
class Row:
    """A request and the answer that is due: all its headers, but those that are of the connection."""

    title: str
    sent: Headers
    status: int
    headers: Headers
    body: bytes = b""
    parts: Sequence[tuple[int, int]] = ()
    """Of a multipart/byteranges answer: `headers` lack its Content-Type and Content-Length."""
    method: str = "GET"
    file: File = FILM
    may_redirect: bool = field(default=False)
    """Whether a client that follows redirects is sent to a storage that can be seen by it."""

    def __str__(self) -> str:
        return self.title.replace(" ", "-")


def whole(title: str, sent: Headers, file: File = FILM, *, redirected: bool = False, **more: str) -> Row:
    extra = {name.replace("_", "-"): value for name, value in more.items()}
    return Row(title, sent, 200, {**file.whole(), **extra}, file.content, file=file, may_redirect=redirected)


def head(title: str, sent: Headers, file: File = FILM, **more: str) -> Row:
    extra = {name.replace("_", "-"): value for name, value in more.items()}
    return Row(title, sent, 200, {**file.whole(), **extra}, method="HEAD", file=file)


def part(title: str, sent: Headers, start: int, stop: int, *, redirected: bool = False, **more: str) -> Row:
    extra = {name.replace("_", "-"): value for name, value in more.items()}
    return Row(title, sent, 206, {**FILM.part(start, stop), **extra}, VIDEO[start:stop], may_redirect=redirected)


def parts(title: str, header: str, *spans: tuple[int, int]) -> Row:
    return Row(title, {"Range": header}, 206, FILM.described, parts=spans)


def known(title: str, sent: Headers, method: str = "GET") -> Row:
    return Row(title, sent, 304, FILM.validators, method=method)


def failed(title: str, sent: Headers, method: str = "GET") -> Row:
    """The body is a problem for people, which HEAD has not."""
    return Row(title, sent, 412, {"content-type": "application/problem+json"}, method=method)


def outside(title: str, header: str, file: File = FILM) -> Row:
    span = f"bytes */{len(file.content)}"
    return Row(
        title, {"Range": header}, 416, {**file.described, "content-length": "0", "content-range": span}, file=file
    )


RANGE = {"Range": "bytes=1000-1999"}

ROWS = [
    whole("GET", {}, redirected=True),
    head("HEAD", {}),
    whole("GET of what a browser could run", {}, HTML),
    head("HEAD of what a browser could run", {}, HTML),
    whole("GET of nothing", {}, NOTHING),
    head("HEAD of nothing", {}, NOTHING),
    # RFC 9110, section 13.1
    known("If-None-Match with the tag", {"If-None-Match": E1}),
    known("If-None-Match with the tag, weakly", {"If-None-Match": f"W/{E1}"}),
    known("If-None-Match with a list", {"If-None-Match": f'"x", {E1}'}),
    known("If-None-Match with a star", {"If-None-Match": "*"}),
    known("HEAD, If-None-Match", {"If-None-Match": E1}, "HEAD"),
    whole("If-None-Match with another tag", {"If-None-Match": '"x"'}),
    head("HEAD, If-None-Match with another tag", {"If-None-Match": '"x"'}),
    known("If-Modified-Since then", {"If-Modified-Since": DATE}),
    known("If-Modified-Since later", {"If-Modified-Since": AFTER}),
    known("HEAD, If-Modified-Since", {"If-Modified-Since": DATE}, "HEAD"),
    whole("If-Modified-Since before", {"If-Modified-Since": BEFORE}),
    whole("If-Modified-Since no date", {"If-Modified-Since": "yesterday"}),
    whole("If-Match with the tag", {"If-Match": E1}),
    whole("If-Match with a star", {"If-Match": "*"}),
    failed("If-Match with another tag", {"If-Match": '"x"'}),
    failed("If-Match with the tag, weakly", {"If-Match": f"W/{E1}"}),
    failed("HEAD, If-Match with another tag", {"If-Match": '"x"'}, "HEAD"),
    whole("If-Unmodified-Since then", {"If-Unmodified-Since": DATE}),
    failed("If-Unmodified-Since before", {"If-Unmodified-Since": BEFORE}),
    # RFC 9110, section 13.2.2: the order
    whole("If-None-Match wins over If-Modified-Since", {"If-None-Match": '"x"', "If-Modified-Since": AFTER}),
    whole("If-Match wins over If-Unmodified-Since", {"If-Match": E1, "If-Unmodified-Since": BEFORE}),
    failed("If-Match comes before If-None-Match", {"If-Match": '"x"', "If-None-Match": E1}),
    known("If-None-Match comes before Range", {**RANGE, "If-None-Match": E1}),
    failed("If-Match comes before Range", {**RANGE, "If-Match": '"x"'}),
    part("If-Match holds, and Range counts", {**RANGE, "If-Match": E1}, 1000, 2000),
    part("If-None-Match fails, and Range counts", {**RANGE, "If-None-Match": '"x"'}, 1000, 2000),
    # RFC 4918, section 10.4
    whole("If with the tag", {"If": f"([{E1}])"}),
    failed("If with another tag", {"If": '(["x"])'}),
    # RFC 9110, section 14
    part("a range", RANGE, 1000, 2000, redirected=True),
    part("the first byte", {"Range": "bytes=0-0"}, 0, 1, redirected=True),
    part("from the first byte on", {"Range": "bytes=0-"}, 0, SIZE, redirected=True),
    part("from a byte on", {"Range": f"bytes={SIZE - 9}-"}, SIZE - 9, SIZE, redirected=True),
    part("a range beyond the end", {"Range": f"bytes=5-{SIZE + 9}"}, 5, SIZE, redirected=True),
    part("a suffix", {"Range": "bytes=-300000"}, SIZE - 300000, SIZE, redirected=True),
    part("a suffix longer than all", {"Range": f"bytes=-{SIZE + 1}"}, 0, SIZE, redirected=True),
    part("across the pieces of a storage", {"Range": "bytes=1048000-1049000"}, 1048000, 1049001, redirected=True),
    part("a range in other spelling", {"Range": "Bytes = 3-5"}, 3, 6),
    part("two ranges that touch", {"Range": "bytes=3-5,6-7"}, 3, 8),
    part("a range of two that can be sent", {"Range": f"bytes=3-5,{SIZE}-"}, 3, 6),
    parts("two ranges", "bytes=4-5,0-1", (4, 6), (0, 2)),
    parts("ranges that overlap", "bytes=100-199,-9,150-249", (100, 250), (SIZE - 9, SIZE)),
    outside("a range behind the end", f"bytes={SIZE}-"),
    outside("an empty suffix", "bytes=-0"),
    outside("a range of nothing", "bytes=0-", NOTHING),
    whole("a suffix of nothing", {"Range": "bytes=-5"}, NOTHING),
    whole("a range from back to front", {"Range": "bytes=5-2"}),
    whole("a range in another unit", {"Range": "items=0-1"}),
    whole("no range at all", {"Range": "bytes=abc"}),
    whole("a range that no number is", {"Range": f"bytes={2**70}-"}),
    whole("too many ranges", {"Range": "bytes=" + ",".join(["0-0,2-2"] * 40)}),
    head("HEAD, Range", RANGE),
    # RFC 9110, section 13.1.5
    part("If-Range with the tag", {**RANGE, "If-Range": E1}, 1000, 2000),
    part("If-Range with the date", {**RANGE, "If-Range": DATE}, 1000, 2000),
    whole("If-Range with the tag, weakly", {**RANGE, "If-Range": f"W/{E1}"}),
    whole("If-Range with another tag", {**RANGE, "If-Range": '"x"'}),
    whole("If-Range with a later date", {**RANGE, "If-Range": AFTER}),
    whole("If-Range with no date", {**RANGE, "If-Range": "yesterday"}),
    # RFC 9530, section 4
    whole("Want-Repr-Digest", {"Want-Repr-Digest": "sha-256=9"}, repr_digest=FILM.digest),
    head("HEAD, Want-Repr-Digest", {"Want-Repr-Digest": "sha-256=9"}, repr_digest=FILM.digest),
    part("Want-Repr-Digest of a part", {**RANGE, "Want-Repr-Digest": "sha-256=9"}, 1000, 2000, repr_digest=FILM.digest),
    whole("Want-Repr-Digest of another kind", {"Want-Repr-Digest": "sha-512=9"}, redirected=True),
    # What must not matter
    whole("a wish for gzip", {"Accept-Encoding": "gzip"}, redirected=True),
    whole("headers of our own proxy", {"X-Accel-Redirect": "/-/s3", "X-Davstore-Url": "http://x/"}, redirected=True),
    whole(
        "headers of others' proxies", {"X-Sendfile-Type": "X-Accel-Redirect", "X-Accel-Mapping": "/=/"}, redirected=True
    ),
]
