"""Which URLs are ours, and which path they mean: RFC 4918 section 10.3, RFC 3986, and the clients of the checklist."""

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsgidav.dav_error import DAVError

from core.errors import InvalidPath, NameTooLong, Refusal
from core.model import Path
from core.settings import Server, Settings
from davstore.addresses import resolved
from davstore.destination import destination, may_overwrite
from davstore.errors import refused
from davstore.request import Environ, Request

PROXIES = [ip_network("10.0.0.0/8"), ip_network("::1/128")]
HERE: Environ = {
    "REQUEST_METHOD": "MOVE",
    "HTTP_HOST": "Dav.Example:8080",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8080",
    "REMOTE_ADDR": "192.0.2.1",
    "wsgi.url_scheme": "http",
}


def outcome(url: str, **environ: str) -> Path | int:
    """The path that the URL means, or the status with which it is refused."""
    seen: Environ = HERE | environ
    try:
        return resolved(url, seen, PROXIES)
    except (DAVError, Refusal) as refusal:
        return refused(refusal, seen).status


OURS: list[tuple[str, Path]] = [
    # M06: an absolute path, as Nextcloud's client sends.
    ("/files/a", ("files", "a")),
    # M07: userinfo, as KIO and KeePass send.
    ("http://alice:secret@dav.example:8080/files/a", ("files", "a")),
    ("http://al%40ice:p@ss@dav.example:8080/files/a", ("files", "a")),
    # M08: any spelling of the host.
    ("HTTP://DAV.EXAMPLE:8080/files/a", ("files", "a")),
    ("http://dav.example.:8080/files/a", ("files", "a")),
    ("http://dav.example:08080/files/a", ("files", "a")),
    # M11: lower-case hex, needless escapes, and what should have been escaped.
    ("/files/%c3%bc%61", ("files", "üa")),
    ('/files/a b[1]^`{}|\\"<>', ("files", 'a b[1]^`{}|\\"<>')),
    ("http://dav.example:8080/files/a [b]", ("files", "a [b]")),
    # M12: raw UTF-8, which arrives as Latin-1.
    ("/files/\u00c3\u00bc", ("files", "ü")),
    # M13: a slash at the end says nothing.
    ("/files/a/", ("files", "a")),
    # Section 3, row 1 of the checklist: it is split before it is unquoted.
    ("/files/b%3F.txt", ("files", "b?.txt")),
    ("/files/b%23.txt", ("files", "b#.txt")),
    ("/files/s%3Bs.txt", ("files", "s;s.txt")),
    ("/files/s;s.txt", ("files", "s;s.txt")),
    ("/files/100%25", ("files", "100%")),
    ("/files/%2541", ("files", "%41")),
    ("/files/100%", ("files", "100%")),
    ("/files/a:b", ("files", "a:b")),
    # N08.
    ("//files//a", ("files", "a")),
    ("/files/./a", ("files", "a")),
    (" /files/a ", ("files", "a")),
    ("http://dav.example:8080", ()),
]


@pytest.mark.parametrize(("url", "path"), OURS)
def test_a_url_of_ours_means_a_path(url: str, path: Path):
    assert outcome(url) == path


REFUSED = [
    # RFC 4918, 9.8.5: 502 where the destination is on another server.
    ("http://other.example:8080/files/a", 502),
    ("http://dav.example/files/a", 502),
    ("http://dav.example:8081/files/a", 502),
    ("https://dav.example:8080/files/a", 502),
    ("ftp://dav.example:8080/files/a", 502),
    ("http://dav.example:8080@other.example/files/a", 502),
    ("http:///files/a", 502),
    # What is no URL of a file or a collection.
    ("", 400),
    ("files/a", 400),
    ("../a", 400),
    ("http:/files/a", 400),
    ("mailto:a@dav.example", 400),
    ("/files/a?b", 400),
    ("/files/a#b", 400),
    ("http://dav.example:8080?b", 400),
    ("/files/../a", 400),
    ("/files/%2e%2e/a", 400),
    ("/files/%00", 400),
    ("/files/%0d%0a", 400),
    ("/files/%ff", 400),
    ("/files/\u00fc", 400),
    ("/files/" + "x" * 256, 414),
]


@pytest.mark.parametrize(("url", "status"), REFUSED)
def test_any_other_url_is_refused(url: str, status: int):
    assert outcome(url) == status


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("dav.example", "http://dav.example:80/x"),
        ("dav.example", "http://dav.example:/x"),
        ("dav.example:80", "http://dav.example/x"),
        ("[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/x"),
        ("[::1]", "http://[::1]:80/x"),
        ("[2001:DB8::1]", "http://[2001:db8:0::1]/x"),
    ],
)
def test_a18_m08_default_ports_and_ipv6_have_several_spellings(host: str, url: str):
    assert outcome(url, HTTP_HOST=host) == ("x",)


def test_n16_without_a_host_the_servers_own_address_counts():
    assert outcome("http://127.0.0.1:8080/x", HTTP_HOST="") == ("x",)
    assert outcome("http://[::1]:8080/x", HTTP_HOST="", SERVER_NAME="::1") == ("x",)
    assert outcome("http://dav.example:8080/x", HTTP_HOST="") == 502


FORWARDED: list[dict[str, str]] = [
    {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "dav.example"},
    {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "dav.example:443"},
    {"HTTP_X_FORWARDED_PROTO": "https, http", "HTTP_X_FORWARDED_HOST": "dav.example, inner.example"},
    {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_HOST": "dav.example"},
    {"HTTP_X_FORWARDED_PROTO": "HTTPS", "HTTP_X_FORWARDED_HOST": "dav.example", "HTTP_X_FORWARDED_PORT": "443"},
    {"HTTP_FORWARDED": "for=192.0.2.60;proto=https;by=203.0.113.43;host=dav.example"},
    {"HTTP_FORWARDED": 'host="dav.example:443";proto=https, for=10.0.0.2'},
    {"HTTP_FORWARDED": 'Proto=https;Host="DAV.example"'},
    {"HTTP_X_FORWARDED_HOST": "dav.example"},
]


@pytest.mark.parametrize("said", FORWARDED)
def test_a19_behind_a_trusted_proxy_the_clients_own_url_is_ours(said: dict[str, str]):
    assert outcome("https://dav.example/x", REMOTE_ADDR="10.1.2.3", **said) == ("x",)
    assert outcome("https://dav.example:443/x", REMOTE_ADDR="::1", **said) == ("x",)
    assert outcome("https://other.example/x", REMOTE_ADDR="10.1.2.3", **said) == 502


@pytest.mark.parametrize("said", FORWARDED)
@pytest.mark.parametrize("peer", ["192.0.2.1", "", "unix:", "::ffff:192.0.2.1"])
def test_a19_nobody_else_is_believed(said: dict[str, str], peer: str):
    assert outcome("https://dav.example/x", REMOTE_ADDR=peer, **said) == 502


def test_a_proxy_that_speaks_plain_http_to_its_client_does_not_make_https_ours():
    said = {"HTTP_X_FORWARDED_PROTO": "http", "HTTP_X_FORWARDED_HOST": "dav.example"}

    assert outcome("http://dav.example/x", REMOTE_ADDR="10.1.2.3", **said) == ("x",)
    assert outcome("https://dav.example/x", REMOTE_ADDR="10.1.2.3", **said) == 502


def test_a_proxys_address_may_come_mapped_into_ipv6():
    assert outcome("https://dav.example/x", REMOTE_ADDR="::ffff:10.0.0.1", **FORWARDED[0]) == ("x",)


def test_below_a_mount_point_the_urls_have_its_prefix():
    assert outcome("/drive/files/a", SCRIPT_NAME="/drive") == ("files", "a")
    assert outcome("http://dav.example:8080/drive/", SCRIPT_NAME="/drive") == ()
    assert outcome("/drive", SCRIPT_NAME="/drive/") == ()
    assert outcome("/drives/files/a", SCRIPT_NAME="/drive") == 502
    assert outcome("/files/a", SCRIPT_NAME="/drive") == 502


names = st.text(st.characters(exclude_characters="/", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in {".", ".."} and not {"\ufffe", "\uffff"} & set(name)
)


@given(
    st.lists(names, min_size=1, max_size=4),
    st.sampled_from(["", "http://dav.example:8080", "http://u:p@DAV.example:8080"]),
)
def test_an_escaped_path_means_the_names_that_were_escaped(path: list[str], origin: str):
    assert outcome(origin + "".join("/" + quote(name, safe="") for name in path)) == tuple(path)


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_whatever_a_header_says_it_is_a_path_or_refused(url: str):
    assert outcome(url) in {400, 414, 502} or isinstance(outcome(url), tuple)


@dataclass
class Headers:
    """A request with nothing but headers."""

    values: dict[str, str]

    def request(self) -> Request:
        nothing: Any = None
        environ = HERE | {f"HTTP_{name}": value for name, value in self.values.items()}
        return Request(environ, nothing, Settings(server=Server(trusted_proxies=("10.0.0.0/8",))), ())  # pyright: ignore[reportArgumentType]


def test_the_destination_header_is_needed():
    with pytest.raises(DAVError) as refusal:
        destination(Headers({}).request())

    assert refusal.value.value == 400
    assert destination(Headers({"DESTINATION": "/files/a"}).request()) == ("files", "a")


def test_a_destination_that_can_be_no_path_is_refused_in_the_stores_words():
    with pytest.raises(InvalidPath):
        destination(Headers({"DESTINATION": "/files/../a"}).request())
    with pytest.raises(NameTooLong):
        destination(Headers({"DESTINATION": "/" + "x" * 256}).request())


@pytest.mark.parametrize(("value", "may"), [("T", True), ("t", True), (" T ", True), ("F", False), ("f", False)])
def test_overwrite_is_t_or_f_in_any_case(value: str, may: bool):
    assert may_overwrite(Headers({"OVERWRITE": value}).request()) is may


def test_overwriting_is_the_default():
    assert may_overwrite(Headers({}).request())


@pytest.mark.parametrize("value", ["yes", "0", "TF"])
def test_any_other_overwrite_is_a_bad_request(value: str):
    with pytest.raises(DAVError) as refusal:
        may_overwrite(Headers({"OVERWRITE": value}).request())

    assert refusal.value.value == 400
