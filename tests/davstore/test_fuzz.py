"""N26: whatever is sent, the answer is one of HTTP's, never a failure of ours, and the store stays whole."""

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.store import Store
from davstore.app import application
from davstore.request import Environ
from tests.davstore.client import Dav, set_property

METHODS = [
    *("OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),
    *("POST", "REPORT", "BREW"),
]
TARGETS = [
    "/",
    "/files",
    "/files/",
    "/files/a",
    "/files/a/",
    "/files/d/",
    "/files/d/b",
    "/files/no/x",
    "/nobucket/x",
    "*",
]
TOKEN = "urn:uuid:aaaaaaaa-0000-4000-8000-000000000000"
NUMBERS = ["0", "-1", "1", "99999999999999999999", "9" * 5000, "1e308", "0x10", "\u00b2", "1_0", "nan", ""]
DATES = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 9999999 08:49:37 GMT", "Mon, 00 Jan 0000 99:99:99 -9999", "0"]
TAGS = ["*", '"a"', 'W/"a"', "a", '"', ",", "W/", '"a", "b', "\u00ff"]
URLS = [
    *TARGETS,
    "http://dav.example/files/e",
    "http://[::1/x",
    "http://[",
    "//",
    "http://u:p@dav.example:99999/x",
    "%",
    "/%ff",
]
IFS = [f"(<{TOKEN}>)", "(Not <DAV:no-lock>)", '(["a"])', "</files/a> (<x:y>)", "(", "<http://[> (<x:y>)", "(<x:y>" * 50]
HEADERS: Mapping[str, list[str]] = {
    "Depth": ["0", "1", "infinity", "1,noroot", "-1", ""],
    "Overwrite": ["T", "F", "x"],
    "Destination": URLS,
    "If": IFS,
    "If-Match": TAGS,
    "If-None-Match": TAGS,
    "If-Modified-Since": DATES,
    "If-Unmodified-Since": DATES,
    "If-Range": [*TAGS, *DATES],
    "Range": [
        "bytes=0-",
        "bytes=-0",
        "bytes=5-2",
        "bytes=0-0,-1",
        "items=0-1",
        "bytes=" + "0-1," * 500,
        "bytes=" + "9" * 5000,
    ],
    "Timeout": ["Infinite", "Second-10", "Second-" + "9" * 5000, "Second--1", "x"],
    "Lock-Token": [f"<{TOKEN}>", TOKEN, "<", ""],
    "Content-Length": NUMBERS,
    "Content-Type": ["text/plain", "text/plain; charset=\u00ff", "/", ";", "a" * 300],
    "Content-Encoding": ["identity", "gzip"],
    "Transfer-Encoding": ["chunked"],
    "X-Expected-Entity-Length": NUMBERS,
    "X-OC-Mtime": NUMBERS,
    "OC-Checksum": ["SHA1:zz", "MD5:", "SHA1", ":", "SHA256:" + "0" * 64],
    "Repr-Digest": ["sha-256=:x:", "sha-256=::", "sha-512=:AAAA:"],
    "Content-MD5": ["x", "AAAA", ""],
    "Host": ["dav.example", "[", ":", "", "\u00ff"],
    "Forwarded": ['host="', "proto=;host=;", ";;;", '"', "for=x;proto=gopher"],
    "X-Forwarded-Host": ["", ",", "["],
    "X-Forwarded-Port": NUMBERS,
    "Authorization": ["Basic", "Bearer x", "Basic Og=="],
    "Want-Repr-Digest": ["sha-256=10", "sha-256=" + "9" * 5000, "x"],
    "Prefer": ["return=minimal", ";;"],
}
BODIES = [
    b"",
    b"content",
    b"<",
    b"<a/>",
    b"\xff\xfe<\x00",
    b'<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>',
    b'<D:propfind xmlns:D="DAV:"><D:prop><x/><D:getetag/></D:prop></D:propfind>',
    set_property("<x>1</x>").encode(),
    set_property("<D:getlastmodified>x</D:getlastmodified>").encode(),
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:shared/></D:lockscope><D:locktype/></D:lockinfo>',
    (
        b"<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:shared/></D:lockscope>"
        b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
    ),
    b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
]

anything = st.text(st.characters(max_codepoint=255), max_size=20)
header = st.sampled_from(list(HEADERS)).flatmap(
    lambda name: st.tuples(st.just(name), st.one_of(st.sampled_from(HEADERS[name]), anything))
)
requests = st.tuples(
    st.sampled_from(METHODS),
    st.one_of(st.sampled_from(TARGETS), anything.map(lambda text: f"/{text}")),
    st.lists(header, max_size=4).map(dict),
    st.sampled_from(BODIES),
)


@pytest.mark.slow
@given(st.lists(requests, min_size=1, max_size=10))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_n26_no_request_makes_the_server_fail(opened: Store, sequence: list[tuple[str, str, dict[str, str], bytes]]):
    open_to_all = opened.settings.server.model_copy(update={"anonymous": "write"})
    peer: Environ = {"REMOTE_ADDR": "127.0.0.1"}
    dav = Dav(application(opened, opened.settings.model_copy(update={"server": open_to_all})), environ=peer)
    dav("PUT", "/files/a", b"content")
    dav("MKCOL", "/files/d")

    for method, target, headers, body in sequence:
        status, _, result = dav.start(method, target, body, headers)
        b"".join(result)
        if close := getattr(result, "close", None):
            close()
        assert status < 500 or status in {501, 502, 507}, (method, target, headers, body)
