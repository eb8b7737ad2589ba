"""RFC 9112, sections 2 to 7, and RFC 9110 for the statuses. Every refusal ends the connection, readably."""

import time
from collections.abc import Callable

import pytest

from davstore.limits import Limits
from tests.connection.conftest import Recorder, Site, echoed

HOST = b"Host: h\r\n"
CHUNKED = b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def head(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1")


REFUSED = {
    "no Host": (400, head("GET / HTTP/1.1")),
    "two Hosts": (400, head("GET / HTTP/1.1", "Host: a", "Host: a")),
    "two Hosts in 1.0": (400, head("GET / HTTP/1.0", "Host: a", "Host: b")),
    "Host with a space": (400, head("GET / HTTP/1.1", "Host: a b")),
    "Host with a path": (400, head("GET / HTTP/1.1", "Host: a/b")),
    "Host list": (400, head("GET / HTTP/1.1", "Host: a, b")),
    "Host with a user": (400, head("GET / HTTP/1.1", "Host: u@a")),
    "gzip, chunked": (501, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: gzip, chunked")),
    "gzip, chunked in two fields": (
        501,
        head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
    ),
    "gzip alone": (400, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: gzip")),
    "identity": (400, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: identity")),
    "chunked twice": (400, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked, chunked")),
    "chunked, gzip": (400, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked, gzip")),
    "xchunked": (400, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: xchunked")),
    "quoted chunked": (400, head("PUT / HTTP/1.1", "Host: h", 'Transfer-Encoding: "chunked"')),
    "empty coding": (400, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding:")),
    "vertical tab in coding": (400, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: \x0bchunked")),
    "coding in 1.0": (400, head("PUT / HTTP/1.0", "Host: h", "Transfer-Encoding: chunked")),
    "length and coding": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 3", "Transfer-Encoding: chunked")),
    "coding and length": (400, head("PUT / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Content-Length: 3")),
    "two equal lengths": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 3", "Content-Length: 3")),
    "two lengths": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 3", "Content-Length: 4")),
    "list of lengths": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 5, 5")),
    "signed length": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: +5")),
    "negative length": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: -1")),
    "length with underscore": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 0_5")),
    "hexadecimal length": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 0x5")),
    "empty length": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length:")),
    "length with a fraction": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 5.0")),
    "length of superscripts": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: \xb2")),
    "length of 19 nines": (413, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 9999999999999999999")),
    "length of 30 digits": (400, head("PUT / HTTP/1.1", "Host: h", "Content-Length: " + "9" * 30)),
    "folded field": (400, head("GET / HTTP/1.1", "Host: h", "A: b", " c")),
    "folded by a tab": (400, head("GET / HTTP/1.1", "Host: h", "A: b", "\tc")),
    "folded first field": (400, head("GET / HTTP/1.1", " Host: h")),
    "space before colon": (400, head("GET / HTTP/1.1", "Host : h")),
    "tab before colon": (400, head("GET / HTTP/1.1", "Host: h", "A\t: b")),
    "nameless field": (400, head("GET / HTTP/1.1", "Host: h", ": b")),
    "field without colon": (400, head("GET / HTTP/1.1", "Host: h", "A")),
    "NUL in a value": (400, head("GET / HTTP/1.1", "Host: h", "A: b\0c")),
    "control in a value": (400, head("GET / HTTP/1.1", "Host: h", "A: b\x01c")),
    "high byte in a name": (400, head("GET / HTTP/1.1", "Host: h", "\xe4: b")),
    "bare CR in a value": (400, head("GET / HTTP/1.1", "Host: h", "A: b\rC: d")),
    "bare LF in a value": (400, head("GET / HTTP/1.1", "Host: h", "A: b\nC: d")),
    "bare LFs": (400, b"GET / HTTP/1.1\nHost: h\n\n"),
    "bare LF at the end": (400, b"GET / HTTP/1.1\r\nHost: h\r\n\n"),
    "bare LF before": (400, b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    "two spaces": (400, head("GET  / HTTP/1.1", "Host: h")),
    "two spaces before the version": (400, head("GET /  HTTP/1.1", "Host: h")),
    "trailing space": (400, head("GET / HTTP/1.1 ", "Host: h")),
    "leading space": (400, head(" GET / HTTP/1.1", "Host: h")),
    "tab for a space": (400, head("GET\t/ HTTP/1.1", "Host: h")),
    "no version": (400, head("GET /", "Host: h")),
    "no target": (400, head("GET HTTP/1.1", "Host: h")),
    "lower-case protocol": (400, head("GET / http/1.1", "Host: h")),
    "another protocol": (400, head("SOURCE / ICE/1.0", "Host: h")),
    "streaming protocol": (400, head("DESCRIBE / RTSP/1.0", "Host: h")),
    "HTTP/2.0": (505, head("GET / HTTP/2.0", "Host: h")),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9": (505, head("GET / HTTP/0.9", "Host: h")),
    "fragment": (400, head("GET /a#b HTTP/1.1", "Host: h")),
    "tab in the target": (400, head("GET /a\tb HTTP/1.1", "Host: h")),
    "control in the target": (400, head("GET /a\x01b HTTP/1.1", "Host: h")),
    "NUL in the target": (400, head("GET /a\0b HTTP/1.1", "Host: h")),
    "DEL in the target": (400, head("GET /a\x7fb HTTP/1.1", "Host: h")),
    "raw UTF-8 in the target": (400, head("GET /\xc3\xa4 HTTP/1.1", "Host: h")),
    "half an escape": (400, head("GET /a%2 HTTP/1.1", "Host: h")),
    "no escape": (400, head("GET /100%.txt HTTP/1.1", "Host: h")),
    "relative target": (400, head("GET a HTTP/1.1", "Host: h")),
    "asterisk": (400, head("GET * HTTP/1.1", "Host: h")),
    "absolute without host": (400, head("GET http:///x HTTP/1.1", "Host: h")),
    "absolute with a user": (400, head("GET http://u@h/x HTTP/1.1", "Host: h")),
    "absolute of another scheme": (400, head("GET ftp://h/x HTTP/1.1", "Host: h")),
    "absolute and no Host": (400, head("GET http://h/x HTTP/1.1")),
    "unknown method": (501, head("BREW / HTTP/1.1", "Host: h")),
    "lower-case method": (501, head("get / HTTP/1.1", "Host: h")),
    "tunnel": (501, head("CONNECT h:80 HTTP/1.1", "Host: h:80")),
    "method that is no token": (400, head("G(T / HTTP/1.1", "Host: h")),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "unknown expectation": (417, head("PUT / HTTP/1.1", "Host: h", "Content-Length: 3", "Expect: 200-ok")),
    "65 KiB of fields": (431, head("GET / HTTP/1.1", "Host: h", "A: " + "a" * 65536)),
    "65 KiB of fields, unended": (431, b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 65536),
    "a thousand fields": (431, head("GET / HTTP/1.1", "Host: h", *["A: b"] * 1000)),
    "65 KiB of target": (414, b"GET /" + b"a" * 65600),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_two_servers_could_read_differently_is_refused_and_ends_the_connection(
    echo: Site, recorder: Recorder, name: str
) -> None:
    status, request = REFUSED[name]
    recorder.sizes.clear()
    peer = echo.connect()

    peer.send_as_far_as_it_goes(request + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
    answer = peer.answer()

    assert (answer.status, answer.closes) == (status, True)
    assert peer.rest() == b""
    assert recorder.sizes == []


BAD_CHUNKS = {
    "0x1": b"0x1\r\na\r\n0\r\n\r\n",
    "1_0": b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n",
    "negative": b"-5\r\naaaaa\r\n0\r\n\r\n",
    "signed": b"+5\r\naaaaa\r\n0\r\n\r\n",
    "empty size": b"\r\na\r\n0\r\n\r\n",
    "only an extension": b";a=b\r\na\r\n0\r\n\r\n",
    "space before": b" 1\r\na\r\n0\r\n\r\n",
    "17 digits": b"10000000000000001\r\na\r\n0\r\n\r\n",
    "no hexadecimal": b"g\r\na\r\n0\r\n\r\n",
    "bare LF": b"1\na\n0\n\n",
    "bare LF after the data": b"1\r\na\n0\r\n\r\n",
    "more data than said": b"1\r\nab\r\n0\r\n\r\n",
    "CR for CRLF": b"1\ra\r0\r\r",
    "line feed in an extension": b"1;a\nb\r\na\r\n0\r\n\r\n",
    "NUL in an extension": b"1;a\0b\r\na\r\n0\r\n\r\n",
    "endless extension": b"1;" + b"a" * 5000,
    "CR in a quoted extension": b'1;a="\r\nb"\r\na\r\n0\r\n\r\n',
    "bad trailer": b"1\r\na\r\n0\r\nX : y\r\n\r\n",
    "folded trailer": b"1\r\na\r\n0\r\nX: y\r\n z\r\n\r\n",
    "length as a trailer": b"1\r\na\r\n0\r\nContent-Length: 1\r\n\r\n",
    "endless trailers": b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "endless size": b"0" * 5000 + b"5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_a_badly_chunked_body_is_an_error_to_the_reader_and_ends_the_connection(
    echo: Site, recorder: Recorder, name: str
) -> None:
    recorder.failures.clear()
    peer = echo.connect()

    peer.send_as_far_as_it_goes(CHUNKED + BAD_CHUNKS[name] + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
    answer = peer.answer()

    assert (answer.status, answer.closes) == (400, True)
    assert peer.rest() == b""
    assert isinstance(recorder.failures[0], OSError)


GOOD_CHUNKS = {
    "plain": b"5\r\nhello\r\n0\r\n\r\n",
    "several": b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "upper-case size": b"A\r\nhellohello\r\n0\r\n\r\n",
    "leading zeros": b"0005\r\nhello\r\n000\r\n\r\n",
    "extensions": b'5;a;b=c;d="e;\t\\"f"\r\nhello\r\n0;last\r\n\r\n',
    "trailers": b"5\r\nhello\r\n0\r\nX-T: 1\r\nHost: evil\r\nAuthorization: x\r\n\r\n",
}


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED"])
@pytest.mark.parametrize("name", GOOD_CHUNKS)
def test_chunks_extensions_and_trailers_are_read_and_the_connection_goes_on(
    echo: Site, recorder: Recorder, name: str, coding: str
) -> None:
    body = b"hellohello" if name == "upper-case size" else b"hello"
    peer = echo.connect()

    answer = peer.ask(CHUNKED.replace(b"chunked", coding.encode()) + GOOD_CHUNKS[name])

    assert answer.body == echoed("PUT", "/x", body)
    assert recorder.environ["HTTP_HOST"] == "h"
    assert not {"HTTP_X_T", "HTTP_AUTHORIZATION"} & recorder.environ.keys()
    assert peer.ask(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n").body == echoed("GET", "/next")


TARGETS = {
    "/": ("/", ""),
    "/a%20b?x=%41&y": ("/a b", "x=%41&y"),
    "/%C3%A4": ("/Ã¤", ""),
    "/%ff%00": ("/ÿ\0", ""),
    "/%252F": ("/%2F", ""),
    "/a%2Fb%23%3F": ("/a/b#?", ""),
    "//a//b/": ("//a//b/", ""),
    "/../a/./b": ("/../a/./b", ""),
    "/a;b,c!$&'()*+=:@~[]{}|^`\"<>\\": ("/a;b,c!$&'()*+=:@~[]{}|^`\"<>\\", ""),
    "/a??b": ("/a", "?b"),
    "http://other:8080/p%61th?q": ("/path", "q"),
    "HTTPS://other": ("/", ""),
    "http://other?q": ("/", "q"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_decoded_once_and_kept_raw_beside(echo: Site, recorder: Recorder, target: str) -> None:
    echo.connect().ask(head(f"GET {target} HTTP/1.1", "Host: h"))

    environ = recorder.environ
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == TARGETS[target]
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == target
    assert environ["SCRIPT_NAME"] == ""


@pytest.mark.parametrize("target", ["http://other:8080/x", "http://other:8080"])
def test_the_host_of_an_absolute_target_replaces_the_field(echo: Site, recorder: Recorder, target: str) -> None:
    echo.connect().ask(head(f"GET {target} HTTP/1.1", "Host: h"))

    assert recorder.environ["HTTP_HOST"] == "other:8080"


def test_options_may_ask_for_the_server_itself(echo: Site, recorder: Recorder) -> None:
    answer = echo.connect().ask(head("OPTIONS * HTTP/1.1", "Host: h"))

    assert answer.body == echoed("OPTIONS", "*")


METHODS = "GET OPTIONS PUT POST DELETE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK TRACE SEARCH REPORT ACL"


@pytest.mark.parametrize("method", METHODS.split())
def test_methods_are_left_to_the_application(echo: Site, method: str) -> None:
    assert echo.connect().ask(head(f"{method} /x HTTP/1.1", "Host: h")).body == echoed(method, "/x")


def test_fields_reach_the_application_as_pep_3333_says(echo: Site, recorder: Recorder) -> None:
    fields = [
        "Host:  h:1 \t",
        "X-Two: a",
        "x-two: b",
        "Cookie: a=1",
        "Cookie: b=2",
        "Content-Type: t/s",
        "X-High: \xe4",
        "X-None:",
    ]

    echo.connect().ask(head("PUT /x HTTP/1.1", *fields, "Content-Length: 000"))

    environ = recorder.environ
    assert environ["HTTP_HOST"] == "h:1"
    assert environ["HTTP_X_TWO"] == "a, b"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("t/s", "0")
    assert (environ["HTTP_X_HIGH"], environ["HTTP_X_NONE"]) == ("ä", "")
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (
        "127.0.0.1",
        "127.0.0.1",
        str(echo.port),
    )
    assert (environ["SERVER_PROTOCOL"], environ["wsgi.url_scheme"]) == ("HTTP/1.1", "http")
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == (True, False)


@pytest.mark.parametrize("name", ["X_Auth", "Content_Length", "Transfer_Encoding", "X-A_B", "Proxy"])
def test_a_field_that_could_pass_for_another_is_dropped(echo: Site, recorder: Recorder, name: str) -> None:
    peer = echo.connect()

    peer.ask(head("PUT /x HTTP/1.1", "Host: h", f"{name}: 5"))

    assert "5" not in recorder.environ.values()
    assert peer.ask(head("GET /next HTTP/1.1", "Host: h")).body == echoed("GET", "/next")


def test_pipelined_requests_are_answered_in_order(echo: Site) -> None:
    peer = echo.connect()
    requests = [
        (b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", lambda n: echoed("GET", f"/{n}")),
        (b"PUT /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", lambda n: echoed("PUT", f"/{n}", b"abc")),
        (CHUNKED.replace(b"/x", b"/%d") + b"3\r\nabc\r\n0\r\n\r\n", lambda n: echoed("PUT", f"/{n}", b"abc")),
        (b"\r\nOPTIONS /%d HTTP/1.1\r\nHost: h\r\n\r\n", lambda n: echoed("OPTIONS", f"/{n}")),
    ]

    peer.send(b"".join(requests[n % 4][0] % n for n in range(2000)))

    assert [peer.answer().body for _ in range(2000)] == [requests[n % 4][1](n) for n in range(2000)]


def test_a_request_may_come_byte_by_byte(echo: Site) -> None:
    peer = echo.connect()

    for byte in b"\r\nPUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /y HTTP/1.1\r\nHost: h\r\n\r\n":
        peer.send(bytes([byte]))

    assert [peer.answer().body for _ in range(2)] == [echoed("PUT", "/x", b"abc"), echoed("GET", "/y")]


@pytest.mark.parametrize(
    ("request_head", "closes"),
    [
        (head("GET / HTTP/1.1", "Host: h"), False),
        (head("GET / HTTP/1.1", "Host: h", "Connection: close"), True),
        (head("GET / HTTP/1.1", "Host: h", "Connection: TE, Close"), True),
        (head("GET / HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: h2c"), False),
        (head("GET / HTTP/1.0"), True),
        (head("GET / HTTP/1.0", "Connection: Keep-Alive"), False),
        (head("GET / HTTP/1.0", "Connection: keep-alive, close"), True),
    ],
)
def test_a_connection_is_kept_when_both_sides_mean_it(echo: Site, request_head: bytes, closes: bool) -> None:
    peer = echo.connect()

    answer = peer.ask(request_head)

    assert answer.status == 200
    assert answer.closes == closes
    if closes:
        assert peer.rest() == b""
    else:
        assert peer.ask(request_head).status == 200


def test_an_upgrade_with_a_body_is_an_ordinary_request(echo: Site) -> None:
    peer = echo.connect()
    fields = ["Host: h", "Connection: Upgrade", "Upgrade: x", "Content-Length: 3"]

    assert peer.ask(head("PUT /x HTTP/1.1", *fields) + b"abc").body == echoed("PUT", "/x", b"abc")
    assert peer.ask(head("GET /y HTTP/1.1", "Host: h")).body == echoed("GET", "/y")


@pytest.mark.parametrize("stay_seconds", [0.0, 1.0])
def test_nothing_after_a_refusal_is_a_request(site: Callable[..., Site], stay_seconds: float) -> None:
    recorder = Recorder()
    peer = site(recorder, Limits(stay_seconds=stay_seconds)).connect()

    peer.send(head("GET /x HTTP/1.1", "Host: h") + b"3\r\nabc\r\n\r\n")
    statuses = [peer.answer().status, peer.answer().status]
    peer.send_as_far_as_it_goes(head("GET /smuggled HTTP/1.1", "Host: h"))

    assert statuses == [200, 400]
    assert peer.rest() == b""
    time.sleep(0.1)
    assert recorder.sizes == [0]


def test_data_after_the_last_request_never_becomes_one(echo: Site, recorder: Recorder) -> None:
    peer = echo.connect()
    recorder.sizes.clear()

    answer = peer.ask(head("GET / HTTP/1.1", "Host: h", "Connection: close") + head("GET /2 HTTP/1.1", "Host: h"))

    assert answer.closes
    assert peer.rest() == b""
    assert len(recorder.sizes) == 1
