"""Hostile bytes: whatever comes, the server ends in bounded time, smuggles nothing, and goes on.

The judge is a second, strict and slow reader of RFC 9112 that shares nothing with the server: what it reads as the
requests of a stream, before the first error, is what the application may see.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from davstore.limits import Limits
from tests.connection.conftest import Site
from tests.connection.peer import Peer
from tests.parts.scale import soak

pytestmark = pytest.mark.slow

Seen = tuple[str, str, bytes]
PATIENCE = 10


class Witness:
    """An application that keeps every request it sees whole."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = environ["wsgi.input"].read(1 << 20)
        self.seen.append((environ["REQUEST_METHOD"], environ["RAW_URI"], body))
        text = f"saw {len(self.seen)} {environ['RAW_URI']} {hashlib.sha256(body).hexdigest()}".encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]


@pytest.fixture(scope="module")
def witness() -> Witness:
    return Witness()


@pytest.fixture(scope="module", params=[0.0, 0.2], ids=["selector", "thread"])
def target(witness: Witness, request: pytest.FixtureRequest) -> Iterator[Site]:
    """What follows a request is awaited by the selector, or by the thread that answered it."""
    with Site(witness, Limits(linger_seconds=1, stay_seconds=request.param)) as running:
        yield running


TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
LINE = re.compile(rb"(" + TOKEN + rb") ([!-\"$-~]+) HTTP/1\.([01])\r\n")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*\r\n")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t -~\x80-\xff]*)?\r\n")


def readings(stream: bytes) -> list[Seen]:
    """The complete requests at the beginning of a stream, as a strict reader sees them."""
    requests: list[Seen] = []
    while (read := _one(stream)) is not None:
        request, stream, goes_on = read
        requests.append(request)
        if not goes_on:
            break
    return requests


def _one(stream: bytes) -> tuple[Seen, bytes, bool] | None:
    while stream.startswith(b"\r\n"):
        stream = stream[2:]
    line = LINE.match(stream)
    if not line:
        return None
    fields, rest = _fields(stream[line.end() :])
    if rest is None:
        return None
    framed = _body(fields, rest)
    if framed is None:
        return None
    body, rest = framed
    options = b",".join(value.lower() for name, value in fields if name == b"connection")
    goes_on = b"close" not in options and (line[3] == b"1" or b"keep-alive" in options)
    return (line[1].decode(), line[2].decode(), body), rest, goes_on


def _fields(stream: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
    fields: list[tuple[bytes, bytes]] = []
    while not stream.startswith(b"\r\n"):
        field = FIELD.match(stream)
        if not field:
            return [], None
        fields.append((field[1].lower(), field[2]))
        stream = stream[field.end() :]
    return fields, stream[2:]


def _body(fields: list[tuple[bytes, bytes]], rest: bytes) -> tuple[bytes, bytes] | None:
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if codings:
        return _chunked(rest) if codings == [b"chunked"] and not lengths else None
    if not lengths:
        return b"", rest
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,19}", lengths[0]) or int(lengths[0]) > len(rest):
        return None
    return rest[: int(lengths[0])], rest[int(lengths[0]) :]


def _chunked(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while chunk := CHUNK.match(rest):
        size, rest = int(chunk[1], 16), rest[chunk.end() :]
        if not size:
            _, after = _fields(rest)
            return None if after is None else (body, after)
        if rest[size : size + 2] != b"\r\n":
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
    return None


NAMES = st.sampled_from(
    [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Content_Length",
        "X-A",
        "content-length",
        "TRANSFER-ENCODING",
        "Expect",
    ]
)
VALUES = st.sampled_from(
    ["h", "0", "3", "5", "+3", "-1", "0x3", "3, 3", "03", "chunked", "Chunked", "gzip, chunked", "chunked\t",
     "\x0bchunked", "close", "keep-alive", "", "a b", "9" * 20, "100-continue", "chunked, chunked", "upgrade"]
)  # fmt: skip
COLONS = st.sampled_from([": ", ":", ":\t", " : ", ": \r\n "])
ENDS = st.sampled_from(["\r\n"] * 12 + ["\n", "\r", "\r\r\n", "\n\r\n"])
TARGETS = st.sampled_from(["/a", "/b?c", "*", "http://h/x", "/%41", "/a#b", "a", "/a b", "//x"])
VERSIONS = st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", ""])
METHODS = st.sampled_from(["GET", "PUT", "PUT", "POST", "PROPFIND", "get", "BREW", "CONNECT"])
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
BODIES = st.sampled_from(
    [b"", b"abc", b"hello", SMUGGLED, b"0\r\n\r\n", b"0\r\n\r\n" + SMUGGLED, b"3\r\nabc\r\n0\r\n\r\n",
     b"5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n", b"3\r\nabc\r\n0\r\n", b"0x3\r\nabc\r\n0\r\n\r\n",
     b"3\nabc\n0\n\n", b"-3\r\nabc\r\n0\r\n\r\n", b"4\r\nabc\r\n0\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n"]
)  # fmt: skip
VALID = st.sampled_from(
    [b"GET /v HTTP/1.1\r\nHost: h\r\n\r\n", b"PUT /v HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
     b"PUT /v HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     b"PUT /v HTTP/1.1\r\nHost: h\r\nContent-Length: 35\r\n\r\nGET /inner HTTP/1.1\r\nHost: hhhh\r\n\r\n"]
)  # fmt: skip


@st.composite
def games(draw: st.DrawFn) -> bytes:
    """Nearly a request: every part may be one that servers disagree about."""
    lines = [" ".join([draw(METHODS), draw(TARGETS), draw(VERSIONS)]) + draw(ENDS)]
    if draw(st.booleans()):
        lines.append("Host: h\r\n")
    fields = st.tuples(NAMES, COLONS, VALUES, ENDS).map("".join)
    lines.extend(draw(st.lists(fields, max_size=4)))
    return "".join([*lines, draw(ENDS)]).encode("latin-1") + draw(BODIES)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A few valid requests with a few bytes changed, dropped or added."""
    stream = bytearray(b"".join(draw(st.lists(VALID, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(stream)))
        stream[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\n", b" ", b"\0"])
        )
    return bytes(stream)


CL_AND_TE = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
STREAMS = st.one_of(
    mutations(),
    st.lists(st.one_of(games(), VALID), min_size=1, max_size=4).map(b"".join),
    st.binary(max_size=200),
)
CUTS = st.lists(st.integers(0, 400), max_size=4).map(sorted)


def converse(port: int, stream: bytes, cuts: list[int]) -> bytes:
    """Everything the server says to the stream, sent in pieces. TimeoutError when it does not come to an end."""
    with Peer(port, PATIENCE) as peer:
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            if start < end:
                peer.send_as_far_as_it_goes(stream[start:end])
        with suppress(OSError):
            peer.finish_sending()
        return peer.rest()


def check(target: Site, witness: Witness, stream: bytes, cuts: list[int]) -> None:
    witness.seen.clear()

    said = converse(target.port, stream, cuts)

    expected = readings(stream)
    seen = list(witness.seen)
    assert seen == expected[: len(seen)]
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", said)
    told = re.findall(rb"\r\n\r\nsaw (\d+) (\S+) ", said)
    assert told == [(b"%d" % number, uri.encode()) for number, (_, uri, _) in enumerate(seen, 1)]
    assert statuses.count(b"200") == len(seen)
    assert set(statuses) <= {b"100", b"200", b"400", b"413", b"414", b"417", b"431", b"501", b"505"}
    assert sum(status >= b"400" for status in statuses) <= 1


@settings(max_examples=soak(400, 20_000))
@given(stream=STREAMS, cuts=CUTS)
@example(stream=CL_AND_TE + b"GET /s HTTP/1.1\r\n\r\n", cuts=[])
@example(stream=b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello", cuts=[70])
@example(stream=b"\r\n" * 100 + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", cuts=[1, 3])
def test_no_stream_smuggles_hangs_or_breaks_the_server(
    target: Site, witness: Witness, stream: bytes, cuts: list[int]
) -> None:
    check(target, witness, stream, cuts)


@settings(max_examples=soak(100, 5_000))
@given(requests=st.lists(VALID, min_size=1, max_size=8), cuts=CUTS)
def test_every_valid_stream_is_answered_whole_and_in_order(
    target: Site, witness: Witness, requests: list[bytes], cuts: list[int]
) -> None:
    witness.seen.clear()
    stream = b"".join(requests)

    said = converse(target.port, stream, cuts)

    assert witness.seen == readings(stream)
    assert len(witness.seen) == len(requests) == said.count(b"HTTP/1.1 200 OK")


def test_after_all_that_an_honest_request_is_answered(target: Site, witness: Witness) -> None:
    witness.seen.clear()

    for stream in (
        b"\0" * 70_000,
        b"GET / HTTP/1.1\r\n" * 5000,
        b"\xff" * 10,
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
    ):
        converse(target.port, stream, [])

    assert target.get("/honest").status == 200
    assert witness.seen == [("GET", "/honest", b"")]
