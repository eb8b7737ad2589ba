"""No small request costs the server much: time grows with the request's size, not with its square."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import thread_time

import pytest

from core.store import Store
from davstore.digests import claims
from davstore.request import Request
from tests.davstore.client import Dav, set_property

KIB60 = 60 << 10


@contextmanager
def seconds_at_most(limit: float) -> Iterator[None]:
    """Of processor time, so that other work on the machine does not count."""
    started = thread_time()
    yield
    assert thread_time() - started < limit


@pytest.mark.parametrize("header", ["Digest", "Repr-Digest", "Content-Digest"])
@pytest.mark.parametrize("value", ["a" * KIB60, "a-" * (KIB60 // 2), "a" + " " * KIB60, "a=:" * (KIB60 // 3)])
def test_a_long_digest_header_is_read_in_linear_time(
    as_request: Callable[[str, str], Request], header: str, value: str
) -> None:
    with seconds_at_most(0.2):
        claims(as_request(header, value))


@pytest.fixture
def as_request(opened: Store) -> Callable[[str, str], Request]:
    def make(header: str, value: str) -> Request:
        environ = {f"HTTP_{header.upper().replace('-', '_')}": value}
        return Request(environ, None, opened.settings, ("files", "a"))  # type: ignore[arg-type] - not looked at

    return make


@pytest.mark.parametrize("authority", ["@" * KIB60 + "::", "@x" * (KIB60 // 2) + ":a:", "[" * KIB60, ":" * KIB60])
def test_a_long_host_in_a_destination_is_read_in_linear_time(dav: Dav, authority: str) -> None:
    dav.put("/files/a")

    with seconds_at_most(0.2):
        answer = dav("MOVE", "/files/a", destination=f"http://{authority}/files/b")

    assert answer.status == 502


def test_a_user_in_a_destination_may_contain_an_at_sign(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav("MOVE", "/files/a", destination="http://me@home:pw@dav.example/files/b").status == 201


@pytest.mark.parametrize("method", ["PROPPATCH", "LOCK"])
def test_namespaces_around_an_element_cannot_multiply_a_body(dav: Dav, method: str) -> None:
    dav.put("/files/a")
    count = 1000
    declared = " ".join(f'xmlns:n{n}="urn:n:{n:040}"' for n in range(count))
    if method == "LOCK":
        inside = "<lockscope><shared/></lockscope><locktype><write/></locktype><owner>me</owner>"
        body = f"<lockinfo xmlns='DAV:' {declared}>{inside}</lockinfo>"
    else:
        named = "".join(f"<n{n}:a/>" for n in range(count))
        body = set_property(named).replace("xmlns:D='DAV:'", f"xmlns:D='DAV:' {declared}")

    with seconds_at_most(1):
        answer = dav(method, "/files/a", body)

    assert answer.status == 413


def test_a_request_names_at_most_a_thousand_properties(dav: Dav) -> None:
    dav.put("/files/a")

    def names(count: int) -> str:
        return "".join(f"<n{n} xmlns='urn:x'/>" for n in range(count))

    def asking(count: int) -> str:
        return f"<D:propfind xmlns:D='DAV:'><D:prop>{names(count)}</D:prop></D:propfind>"

    assert dav("PROPFIND", "/files/a", asking(1000), depth="0").status == 207
    assert dav("PROPFIND", "/files/a", asking(1001), depth="0").status == 413
    assert dav("PROPPATCH", "/files/a", set_property(names(1000))).status == 207
    assert dav("PROPPATCH", "/files/a", set_property(names(1001))).status == 413


def test_a_file_keeps_at_most_a_mebi_of_property_text(dav: Dav) -> None:
    dav.put("/files/a")
    text = "x" * (600 << 10)

    assert dav("PROPPATCH", "/files/a", set_property(f"<one xmlns='urn:x'>{text}</one>")).status == 207
    assert dav("PROPPATCH", "/files/a", set_property(f"<two xmlns='urn:x'>{text}</two>")).status == 413

    found = dav.propfind("/files/a", "{urn:x}one", "{urn:x}two")
    assert found.properties("/files/a")["{urn:x}one"].text == text
    assert "{urn:x}two" in found.properties("/files/a", "HTTP/1.1 404 Not Found")


def test_a_property_can_be_replaced_by_another_as_large(dav: Dav) -> None:
    dav.put("/files/a")

    for letter in "ab":
        text = letter * (900 << 10)
        assert dav("PROPPATCH", "/files/a", set_property(f"<one xmlns='urn:x'>{text}</one>")).status == 207


LOCKINFO = "<lockinfo xmlns='DAV:'><lockscope><shared/></lockscope><locktype><write/></locktype>{}</lockinfo>"


def test_the_owner_of_a_lock_is_a_short_text(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav("LOCK", "/files/a", LOCKINFO.format(f"<owner>{'x' * 16_000}</owner>")).status == 200
    assert dav("LOCK", "/files/a", LOCKINFO.format(f"<owner>{'x' * 17_000}</owner>")).status == 413


def test_a_hundred_locks_share_a_file_and_no_more(dav: Dav) -> None:
    dav.put("/files/a")
    dav.put("/files/b")

    statuses = [dav("LOCK", "/files/a", LOCKINFO.format("")).status for _ in range(101)]

    assert statuses == [200] * 100 + [423]
    assert dav("LOCK", "/files/b", LOCKINFO.format("")).status == 200


def test_an_if_header_speaks_of_a_hundred_resources_at_most(dav: Dav) -> None:
    dav.put("/files/a")

    def tagged(count: int) -> str:
        return " ".join(f"</files/{n}> (Not <urn:x:y>)" for n in range(count))

    assert dav("PROPFIND", "/files/a", depth="0", **{"if": tagged(100)}).status == 207
    assert dav("PROPFIND", "/files/a", depth="0", **{"if": tagged(101)}).status == 400
