"""RFC 9110 sections 13 and 14 as GET and HEAD show them: the G rows of the compatibility checklist."""

import email
import os
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import Corrupt
from core.store import Store
from davstore.ranges import Span, requested
from davstore.responses import FileWrapper
from tests.davstore.client import Answer, Dav

TEXT = b"0123456789"
BIG = bytes(range(256)) * 1024
"""Too big to live in the database."""
OLD = "784111777"
OLD_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE, AFTER = "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
FUTURE, FUTURE_DATE = "4102444800", "Fri, 01 Jan 2100 00:00:00 GMT"


def etag_of(content: bytes) -> str:
    return f'"{sha256(content).hexdigest()}"'


@pytest.fixture
def text(dav: Dav) -> str:
    dav.put("/files/a.txt", TEXT, x_oc_mtime=OLD)
    return "/files/a.txt"


@pytest.mark.parametrize("content", [TEXT, BIG, b""])
def test_g01_a_file_comes_with_all_that_clients_rely_on(dav: Dav, content: bytes) -> None:
    dav.put("/files/a.txt", content, x_oc_mtime=OLD)

    answer = dav("GET", "/files/a.txt")

    assert (answer.status, answer.body) == (200, content)
    assert answer.header("Content-Length") == str(len(content))
    assert answer.header("ETag") == etag_of(content)
    assert answer.header("Last-Modified") == OLD_DATE
    assert answer.header("Accept-Ranges") == "bytes"
    assert answer.header("Content-Type") == "text/plain"
    assert answer.header("Cache-Control") == "no-cache"


@pytest.mark.parametrize("content", [TEXT, BIG, b""])
def test_g02_head_has_the_headers_of_get_and_no_body(dav: Dav, content: bytes) -> None:
    dav.put("/files/a.txt", content)

    get, head = dav("GET", "/files/a.txt"), dav("HEAD", "/files/a.txt")

    assert head == Answer(200, get.headers, b"")


def test_g02_head_of_nothing_is_not_found_without_a_body(dav: Dav) -> None:
    answer = dav("HEAD", "/files/none")

    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize("target", ["/", "/files", "/files/", "/files/d", "/files/d/"])
def test_g03_head_of_a_collection_succeeds(dav: Dav, target: str) -> None:
    dav.make("/files/d")

    answer = dav("HEAD", target)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("ETag")


@pytest.mark.parametrize("content", [TEXT, b""])
@pytest.mark.parametrize("header", ["bytes=300000-", "bytes=-0", "bytes=300000-300001,-0"])
def test_g06_what_cannot_be_sent_is_refused_with_the_size(dav: Dav, content: bytes, header: str) -> None:
    dav.put("/files/a", content)

    answer = dav("GET", "/files/a", range=header)

    assert (answer.status, answer.body) == (416, b"")
    assert answer.header("Content-Range") == f"bytes */{len(content)}"
    assert answer.header("ETag") == etag_of(content)


def test_g06_the_end_of_an_empty_file_is_all_of_it(dav: Dav) -> None:
    dav.put("/files/a", b"")

    assert dav("GET", "/files/a", range="bytes=-5").status == 200


@pytest.mark.parametrize(
    "header",
    [
        *("bytes=5-2", "items=0-1", "bytes=-", "bytes=abc", "bytes=", "bytes=,", "0-1", "bytes 0-1", "=0-1"),
        *("bytes=0-1;2-3", "bytes=0-1,x", "bytes=0--1", "bytes=+0-1", "bytes=0x0-1", "bytes=1_0-", "bytes=٠-١"),
        *("bytes=0-1,5-2", f"bytes={2**70}-", f"bytes=0-{2**70}", "bytes=" + ",".join(["0-0,2-2"] * 40)),
    ],
)
def test_g07_a_range_that_is_none_is_ignored(dav: Dav, text: str, header: str) -> None:
    answer = dav("GET", text, range=header.encode().decode("latin-1"))

    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.header("Content-Range") is None


@pytest.mark.parametrize(
    ("header", "content_range", "body"),
    [
        ("bytes=0-0", "bytes 0-0/10", b"0"),
        ("bytes=3-5", "bytes 3-5/10", b"345"),
        ("bytes=8-", "bytes 8-9/10", b"89"),
        ("bytes=-2", "bytes 8-9/10", b"89"),
        ("bytes=-20", "bytes 0-9/10", TEXT),
        ("bytes=5-1000", "bytes 5-9/10", b"56789"),
        ("Bytes = 3-5", "bytes 3-5/10", b"345"),
        ("bytes=, 3-5 ,", "bytes 3-5/10", b"345"),
        ("bytes=3-5,100-", "bytes 3-5/10", b"345"),
        ("bytes=3-5,4-7", "bytes 3-7/10", b"34567"),
    ],
)
def test_one_range_is_sent_as_such(dav: Dav, text: str, header: str, content_range: str, body: bytes) -> None:
    answer = dav("GET", text, range=header)

    assert (answer.status, answer.body) == (206, body)
    assert answer.header("Content-Range") == content_range
    assert answer.header("Content-Length") == str(len(body))
    assert answer.header("ETag") == etag_of(TEXT)
    assert answer.header("Last-Modified") == OLD_DATE


def test_g08_several_ranges_come_as_parts(dav: Dav, text: str) -> None:
    answer = dav("GET", text, range="bytes=4-5,0-1,-1")

    assert answer.status == 206
    assert answer.header("Content-Range") is None
    assert parts(answer) == [("bytes 4-5/10", b"45"), ("bytes 0-1/10", b"01"), ("bytes 9-9/10", b"9")]


def test_g08_ranges_that_overlap_are_sent_once(dav: Dav) -> None:
    dav.put("/files/big", BIG)

    answer = dav("GET", "/files/big", range="bytes=100-199,0-9,150-249,10-19")

    assert parts(answer) == [("bytes 100-249/262144", BIG[100:250]), ("bytes 0-19/262144", BIG[:20])]


def parts(answer: Answer) -> list[tuple[str | None, bytes]]:
    """Content-Range and bytes of each part, as a mail program would read them."""
    kind = answer.header("Content-Type") or ""
    assert kind.startswith("multipart/byteranges; boundary=")
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + answer.body)
    found = message.get_payload()
    assert isinstance(found, list)
    assert all(part.get_content_type() in {"text/plain", "application/octet-stream"} for part in found)  # type: ignore[union-attr]
    boundary = kind.partition("boundary=")[2].encode()
    raw = [each.partition(b"\r\n\r\n")[2] for each in answer.body.split(b"--" + boundary)[1:-1]]
    return [(part["Content-Range"], each.removesuffix(b"\r\n")) for part, each in zip(found, raw, strict=True)]  # type: ignore[index]


Spec = tuple[int | None, int | None]
"""(first, last), (first, None) to the end, or (None, suffix length)."""
SIZES = (0, 1, 10, len(BIG))


def positions(spec: Spec, size: int) -> set[int]:
    """The bytes that a range-spec means (RFC 9110, section 14.1.2)."""
    first, last = spec
    if first is None:
        assert last is not None
        return set(range(max(size - last, 0), size))
    return set(range(first, size if last is None else min(last + 1, size)))


@pytest.fixture
def of_all_sizes(dav: Dav) -> Dav:
    for size in SIZES:
        dav.put(f"/files/{size}", BIG[:size])
    return dav


numbers = st.integers(0, 30) | st.sampled_from([len(BIG) - 1, len(BIG), 10**17])
specs = st.tuples(numbers, st.none() | numbers) | st.tuples(st.none(), numbers)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.sampled_from(SIZES), wanted=st.lists(specs, min_size=1, max_size=6))
@example(size=10, wanted=[(0, 1), (4, 5)])
@example(size=10, wanted=[(9, None), (None, 1)])
def test_ranges_are_what_the_rfc_says(of_all_sizes: Dav, size: int, wanted: Sequence[Spec]) -> None:
    header = ",".join(f"{'' if first is None else first}-{'' if last is None else last}" for first, last in wanted)

    answer = of_all_sizes("GET", f"/files/{size}", range=f"bytes={header}")

    asked = [positions(spec, size) for spec in wanted]
    if any(first is not None and last is not None and last < first for first, last in wanted):
        assert (answer.status, answer.body) == (200, BIG[:size])
    elif not any(asked):
        has_suffix = any(first is None and last for first, last in wanted)
        assert answer.status == (200 if has_suffix and not size else 416)
    else:
        assert answer.status == 206
        whole = [(answer.header("Content-Range"), answer.body)] if answer.header("Content-Range") else parts(answer)
        sent = [_checked(content_range, body, size) for content_range, body in whole]
        assert set().union(*sent) == set().union(*asked)
        assert sum(map(len, sent)) == len(set().union(*sent)), "no byte is sent twice"
        starts = [next(n for n, some in enumerate(asked) if some & part) for part in sent]
        assert starts == sorted(starts), "parts come in the order asked for"


def _checked(content_range: str | None, body: bytes, size: int) -> set[int]:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range or "")
    assert match
    first, last, complete = map(int, match.groups())
    assert complete == size
    assert body == BIG[first : last + 1]
    return set(range(first, last + 1))


def test_g09_head_ignores_ranges(dav: Dav, text: str) -> None:
    answer = dav("HEAD", text, range="bytes=0-1")

    assert (answer.status, answer.header("Content-Length")) == (200, "10")


@pytest.mark.parametrize(
    ("mtime", "if_range", "status"),
    [
        (OLD, etag_of(TEXT), 206),
        (OLD, "W/" + etag_of(TEXT), 200),
        (OLD, '"other"', 200),
        (OLD, OLD_DATE, 206),
        (OLD, AFTER, 200),
        (OLD, BEFORE, 200),
        (OLD, "garbage", 200),
        (FUTURE, FUTURE_DATE, 200),
    ],
)
def test_g11_if_range_sends_a_part_of_the_same_content_only(dav: Dav, mtime: str, if_range: str, status: int) -> None:
    dav.put("/files/a", TEXT, x_oc_mtime=mtime)

    answer = dav("GET", "/files/a", range="bytes=3-5", if_range=if_range)

    assert (answer.status, answer.body) == (status, b"345" if status == 206 else TEXT)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("tags", [etag_of(TEXT), f'"x", {etag_of(TEXT)}', f"W/{etag_of(TEXT)}", "*"])
def test_g12_who_has_it_already_hears_so_with_the_validators(dav: Dav, text: str, method: str, tags: str) -> None:
    answer = dav(method, text, if_none_match=tags)

    assert (answer.status, answer.body) == (304, b"")
    assert answer.header("ETag") == etag_of(TEXT)
    assert answer.header("Last-Modified") == OLD_DATE
    assert answer.header("Cache-Control") == "no-cache"
    assert answer.header("Content-Type") is None


@pytest.mark.parametrize(("date", "status"), [(BEFORE, 200), (OLD_DATE, 304), (AFTER, 304), ("garbage", 200)])
def test_g13_an_unmodified_file_is_not_sent_again(dav: Dav, text: str, date: str, status: int) -> None:
    assert dav("GET", text, if_modified_since=date).status == status


def test_g14_tags_win_over_dates(dav: Dav, text: str) -> None:
    assert dav("GET", text, if_none_match='"other"', if_modified_since=AFTER).status == 200
    assert dav("GET", text, if_match=etag_of(TEXT), if_unmodified_since=BEFORE).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers", [{"if_unmodified_since": BEFORE}, {"if_match": '"other"'}, {"if_match": "W/" + etag_of(TEXT)}]
)
def test_g16_what_changed_is_refused(dav: Dav, text: str, method: str, headers: dict[str, str]) -> None:
    assert dav(method, text, **headers).status == 412


@pytest.mark.parametrize("headers", [{"if": f"([{etag_of(TEXT)}])"}, {"if": '(Not ["other"])'}])
def test_the_if_header_counts_for_get(dav: Dav, text: str, headers: dict[str, str]) -> None:
    assert dav("GET", text, **headers).status == 200
    assert dav("GET", text, **{"if": '(["other"])'}).status == 412


@pytest.mark.parametrize("depth", ["0", "1", "infinity", "x"])
def test_g17_depth_does_not_matter(dav: Dav, text: str, depth: str) -> None:
    assert dav("GET", text, depth=depth).body == TEXT


def test_g18_a_body_or_its_type_do_not_matter(dav: Dav, text: str) -> None:
    assert dav("GET", text, content_length="0", content_type="text/xml").body == TEXT
    assert dav("GET", text, b"surprise").body == TEXT


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-"}, {"Range": "bytes=0-9,100-109"}])
@pytest.mark.parametrize("has_wrapper", [True, False])
@pytest.mark.parametrize("wanted", [0, 1])
def test_g19_a_client_that_leaves_keeps_no_file_open(
    dav: Dav, headers: dict[str, str], has_wrapper: bool, wanted: int
) -> None:
    dav.put("/files/big", BIG)
    dav("GET", "/files/big")
    if has_wrapper:
        dav.environ["wsgi.file_wrapper"] = FileWrapper
    before = _open_blobs()

    _, _, body = dav.start("GET", "/files/big", b"", headers)
    opened = _open_blobs()
    for _ in zip(range(wanted), body, strict=False):
        pass
    body.close()  # type: ignore[attr-defined]

    assert len(opened) == len(before) + 1
    assert _open_blobs() == before


def _open_blobs() -> list[str]:
    found: list[str] = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{descriptor}")
            found += [name] if "/blobs/" in name else []
    return found


def test_a_server_with_sendfile_gets_the_file_and_its_extent(dav: Dav) -> None:
    dav.put("/files/big", BIG)
    dav.environ["wsgi.file_wrapper"] = FileWrapper

    _, _, body = dav.start("GET", "/files/big", b"", {"Range": "bytes=1000-1999"})

    assert isinstance(body, FileWrapper)
    span = body.span()
    assert span
    descriptor, offset, length = span
    assert os.pread(descriptor, length, offset) == BIG[1000:2000]
    body.close()


def test_g21_a_wish_for_gzip_changes_nothing(dav: Dav, text: str) -> None:
    answer = dav("GET", text, accept_encoding="gzip")

    assert (answer.body, answer.header("Content-Encoding")) == (TEXT, None)


def test_g22_the_new_bytes_are_there_at_once(dav: Dav, text: str) -> None:
    dav.put(text, b"new")

    answer = dav("GET", text)

    assert (answer.body, answer.header("ETag")) == (b"new", etag_of(b"new"))


@pytest.mark.parametrize("target", ["/files/x.prop", "/files/._x", "/files/.localized", "/files/a.txt/below"])
def test_g23_what_is_missing_is_told_in_few_words(dav: Dav, text: str, target: str) -> None:
    answer = dav("GET", target)

    assert answer.status == 404
    assert len(answer.body) < 200


def test_g24_ranges_go_beyond_four_gigabytes() -> None:
    assert requested("bytes=5368709120-", 6 << 30) == (Span(5 << 30, 6 << 30),)
    assert Span(5 << 30, 6 << 30).content_range(6 << 30) == "bytes 5368709120-6442450943/6442450944"


@pytest.mark.parametrize(
    ("name", "kind", "is_sandboxed"),
    [
        ("a.jpg", "image/jpeg", False),
        ("a.unknown-kind", "application/octet-stream", False),
        ("a.html", "text/html", True),
        ("a.svg", "image/svg+xml", True),
        ("a.xml", "text/xml", True),
    ],
)
def test_g27_types_are_told_and_never_run(dav: Dav, name: str, kind: str, is_sandboxed: bool) -> None:
    dav.put(f"/files/{name}", b"\x00\x01")

    answer = dav("GET", f"/files/{name}")

    assert answer.header("Content-Type") == kind
    assert answer.header("X-Content-Type-Options") == "nosniff"
    policy = answer.header("Content-Security-Policy")
    assert (policy is not None) == is_sandboxed
    if policy:
        directives = {directive.strip() for directive in policy.split(";")}
        assert {"sandbox", "default-src 'none'"} <= directives
        assert not any("script-src" in directive for directive in directives)


def test_g28_a_file_changed_by_somebody_else_is_sent_fresh(dav: Dav, bob: Dav, text: str) -> None:
    bob.put(text, b"by bob")

    answer = dav("GET", text, if_none_match=etag_of(TEXT), if_modified_since=FUTURE_DATE)

    assert (answer.status, answer.body) == (200, b"by bob")


def test_the_name_is_told_in_any_script(dav: Dav) -> None:
    dav.put("/files/%C3%BC%20%22%3B%27.txt")

    disposition = dav("GET", "/files/%C3%BC%20%22%3B%27.txt").header("Content-Disposition")

    assert disposition == "inline; filename*=UTF-8''%C3%BC%20%22%3B%27.txt"


@pytest.mark.parametrize(
    ("wanted", "is_told"),
    [
        ("sha-256=10", True),
        ("sha-512=3, sha-256=1", True),
        ("SHA-256", True),
        ("sha-256=0", False),
        ("sha-512=10", False),
        ("", False),
        ("unixsum=1", False),
    ],
)
def test_the_digest_of_the_whole_is_told_on_demand(dav: Dav, text: str, wanted: str, is_told: bool) -> None:
    expected = f"sha-256=:{b64encode(sha256(TEXT).digest()).decode()}:" if is_told else None

    assert dav("GET", text, want_repr_digest=wanted).header("Repr-Digest") == expected
    assert dav("GET", text, want_repr_digest=wanted, range="bytes=0-1").header("Repr-Digest") == expected


@contextmanager
def cut_short(data: Path) -> Iterator[None]:
    """The blob has lost its end."""
    (blob,) = (file for file in data.rglob("*") if file.is_file() and file.stat().st_size == len(BIG))
    kept, mode = blob.read_bytes(), blob.stat().st_mode
    os.chmod(blob, 0o600)
    os.truncate(blob, 1000)
    try:
        yield
    finally:
        blob.write_bytes(kept)
        os.chmod(blob, mode)


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-"}, {"Range": "bytes=0-9,2000-2009"}])
def test_a_content_that_ends_early_breaks_the_answer(dav: Dav, opened: Store, headers: dict[str, str]) -> None:
    dav.put("/files/big", BIG)

    status, _, body = dav.start("GET", "/files/big", b"", headers)
    with cut_short(opened.settings.data), closing(body), pytest.raises(Corrupt):  # type: ignore[type-var]
        list(body)

    assert status in {200, 206}


@pytest.mark.expects_log("its blob has another size")
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-"}, {"Range": "bytes=0-9,2000-2009"}])
def test_a_content_that_is_shorter_than_it_should_be_is_not_begun(
    dav: Dav, opened: Store, headers: dict[str, str]
) -> None:
    dav.put("/files/big", BIG)

    with cut_short(opened.settings.data):
        status = dav("GET", "/files/big", **headers).status

    assert status == 500
    assert dav("PUT", "/files/big", BIG).status == 204, "the same content repairs it"
