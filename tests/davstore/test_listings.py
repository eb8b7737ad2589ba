"""Listings of many members: right for each of them, in flat memory, from the first byte on, packed for who asks."""

import gzip
import re
import tracemalloc
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import text

from core.model import SECOND, Caller, Instant, LockRequest, PropertyChange, PropertyName
from core.store import Store
from davstore import dates, hrefs, streaming, weaving
from davstore.request import UNQUOTED
from tests.davstore.client import Answer, D, Dav
from tests.davstore.transactions import transactions

ADMIN = Caller("admin", admin=True)
NAMES = (
    "plain.txt",
    "a space",
    "100%",
    "%41",
    "r&d <1>",
    "\u00fc",
    "\u65e5\u672c",
    "\U0001f600",
    "it's (1)!",
    "a;b=c,d@e:f",
)
"""Of files; each has a collection of the same name with a dot before it."""
BENCH = ("resourcetype", "getcontentlength", "getlastmodified", "getetag", "creationdate")
QUESTIONS = {
    "all": "",
    "names": "<D:propfind xmlns:D='DAV:'><D:propname/></D:propfind>",
    "some": f"<D:propfind xmlns:D='DAV:'><D:prop>{''.join(f'<D:{name}/>' for name in BENCH)}</D:prop></D:propfind>",
    "some that few have": "<D:propfind xmlns:D='DAV:'><D:prop><D:getcontentlength/></D:prop></D:propfind>",
    "some that nobody has": "<D:propfind xmlns:D='DAV:'><D:prop><D:none/><x xmlns='urn:x'/></D:prop></D:propfind>",
    "dead ones": "<D:propfind xmlns:D='DAV:'><D:prop><x:colour xmlns:x='urn:x'/><D:getetag/></D:prop></D:propfind>",
    "all and more": (
        "<D:propfind xmlns:D='DAV:'><D:allprop/><D:include><D:quota-used-bytes/><x:colour xmlns:x='urn:x'/>"
        "<executable xmlns='http://apache.org/dav/props/'/><x:none xmlns:x='urn:x'/></D:include></D:propfind>"
    ),
}


@pytest.fixture
def varied(dav: Dav, opened: Store) -> Dav:
    """Members of every kind: odd names, dead properties, locks, an end, another type, a time before 1970."""
    tree = opened.namespace(Caller())
    dav.make("/files/d")
    for n, name in enumerate(NAMES):
        dav.put(f"/files/d/{quote(name)}", b"x" * n, content_type="image/png" if n % 2 else "text/x&y")
        tree.make_collection(("files", "d", "." + name), modified=Instant(-n * SECOND - 1))
        if n % 4 == 0:
            colour = PropertyChange(PropertyName("urn:x", "colour"), f"<x:colour xmlns:x='urn:x'>{n}</x:colour>")
            tree.set_properties(("files", "d", name), [colour], expires=Instant(n * SECOND))
    tree.lock(("files", "d", NAMES[1]), LockRequest())
    return dav


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("headers", [{}, {"prefer": "return=minimal"}])
def test_a_listing_tells_of_each_member_what_the_member_tells_itself(
    varied: Dav, question: str, headers: dict[str, str]
) -> None:
    listing = varied("PROPFIND", "/files/d/", QUESTIONS[question], depth="1", **headers)

    hrefs_ = listing.hrefs
    assert {unquote_to_bytes(href).decode() for href in hrefs_} == {
        "/files/d/",
        *(f"/files/d/{name}" for name in NAMES),
        *(f"/files/d/.{name}/" for name in NAMES),
    }
    for href in hrefs_:
        alone = varied("PROPFIND", href, QUESTIONS[question], depth="0", **headers)
        assert told(listing)[href] == told(alone)[href]


def told(answer: Answer) -> dict[str, bytes]:
    """Each response as it stands in the answer, without the seconds that a lock still has."""
    found = re.findall(rb"<D:response><D:href>([^<]*)</D:href>(.*?)</D:response>", answer.body)
    return {href.decode(): re.sub(rb"Second-\d+", b"Second-", rest) for href, rest in found}


def many(store: Store, count: int) -> None:
    """A collection `/files/many` of so many files, made by one statement."""
    tree = store.namespace(ADMIN)
    tree.make_collection(("files", "many"))
    with tree.stage(("files", "many", "one")) as draft:
        draft.write(b"content")
        model = tree.put(("files", "many", "one"), draft).node
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
    with store.database.write() as tx:
        columns = [row[1] for row in tx.execute(text("PRAGMA table_info(nodes)")) if row[1] not in {"id", "uid"}]
        same = ", ".join(columns)
        tx.execute(
            text(
                f"INSERT INTO nodes (id, uid, {same}) {numbers}"
                f" SELECT :first + i, uuid7(), {', '.join(f'nodes.{name}' for name in columns)} FROM n, nodes"
                " WHERE nodes.id = :first"
            ),
            {"count": count - 1, "first": model.id},
        )
        tx.execute(
            text(
                f"INSERT INTO names (parent, name, key, node) {numbers} SELECT names.parent, printf('%07d.txt', i),"
                " printf('%07d.txt', i), :first + i FROM n, names WHERE names.node = :first"
            ),
            {"count": count - 1, "first": model.id},
        )
        tx.execute(
            text("UPDATE buckets SET files = files + :more, bytes = bytes + :more * :size"),
            {"more": count - 1, "size": model.size},
        )


MANY = 20_000


@pytest.mark.slow
def test_a_long_listing_takes_little_memory_and_begins_before_it_is_read(dav: Dav, opened: Store) -> None:
    many(opened, MANY)
    tracemalloc.start()

    with transactions(opened) as begun:
        _, _, body = dav.start("PROPFIND", "/files/many/", QUESTIONS["some"].encode(), {"Depth": "1"})
        blocks = iter(body)
        first = next(blocks)
        read_at_first, count, length = len(begun), first.count(b"<D:response>"), len(first)
        for block in blocks:
            count += block.count(b"<D:response>")
            length += len(block)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 1 + MANY
    assert length > 5 << 20
    assert peak < 3 << 20
    assert read_at_first <= 3
    assert len(begun) >= MANY // 1000


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("x-gzip", True),
        ("gzip; q=1.0", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, deflate", False),
        ("*", False),
        ("gzipped", False),
    ],
)
def test_a_listing_is_packed_for_who_asks(varied: Dav, accepted: str, is_packed: bool) -> None:
    body = QUESTIONS["some"]
    plain = varied("PROPFIND", "/files/d/", body, depth="1")

    answer = varied("PROPFIND", "/files/d/", body, depth="1", accept_encoding=accepted)

    assert answer.header("Content-Encoding") == ("gzip" if is_packed else None)
    assert (gzip.decompress(answer.body) if is_packed else answer.body) == plain.body
    assert (len(answer.body) < len(plain.body) / 4) == is_packed


def test_what_fits_into_a_packet_is_not_packed(dav: Dav) -> None:
    answer = dav.propfind("/files/", f"{D}getetag", accept_encoding="gzip")

    assert answer.header("Content-Encoding") is None
    assert answer.status == 207


def test_the_first_block_of_a_packed_stream_can_be_read_at_once() -> None:
    made: list[int] = []

    def texts() -> Iterator[str]:
        for n in range(5):
            made.append(n)
            yield f"{n}" * streaming.BLOCK

    blocks = iter(streaming.packed(streaming.body(texts())))
    unpacker = zlib.decompressobj(wbits=streaming.GZIP)

    assert unpacker.decompress(next(blocks)) == b"0" * streaming.BLOCK
    assert made == [0, 1]
    assert b"".join(map(unpacker.decompress, blocks)) == b"".join(b"%d" % n * streaming.BLOCK for n in (1, 2, 3, 4))
    assert unpacker.eof


NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8)


@given(st.lists(NAME, min_size=1, max_size=6))
@example(["%20", " ", "%"])
def test_segments_are_what_encodeuricomponent_makes_of_each_name(names: list[str]) -> None:
    assert list(hrefs.segments(names)) == [quote(name, safe=UNQUOTED) for name in names]


@given(st.integers(-(10**10), 10**11), st.integers(0, SECOND - 1))
@example(-1, 0)
@example(951_782_399, 0)
def test_dates_are_those_of_the_second_before(seconds: int, rest: int) -> None:
    at = Instant(seconds * SECOND + rest)

    assert dates.http_date(at) == formatdate(seconds, usegmt=True)
    assert dates.http_dates([at]) == [dates.http_date(at)]
    assert dates.parsed(dates.http_date(at)) == Instant(seconds * SECOND)
    assert dates.iso_dates([at]) == [dates.iso_date(at)]
    assert dates.iso_parsed(dates.iso_date(at)) == Instant(seconds * SECOND)


@given(st.integers(0, 3 * weaving.AT_ONCE), st.lists(st.sampled_from(["constant", "", None]), min_size=1, max_size=5))
def test_woven_text_is_each_nodes_text_in_turn(count: int, shape: list[str | None]) -> None:
    pieces = [[f"{n}.{k}" for n in range(count)] if piece is None else piece for k, piece in enumerate(shape)]
    expected = ["".join(p if isinstance(p, str) else p[n] for p in pieces) for n in range(count)]

    assert "".join(weaving.woven(pieces, count)) == "".join(expected)
    assert weaving.each(pieces, count) == expected
