"""RFC 4918 section 9.1 and what clients need of it: the P rows of the compatibility checklist."""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote

import pytest

from core.errors import NotFound
from core.listings import Members
from core.model import Caller, Node
from core.namespace import Namespace
from core.store import Store
from davstore import streaming
from tests.davstore.client import D, Dav, set_property

MISSING = "HTTP/1.1 404 Not Found"
OWN = "{urn:davstore:}"
WINDOWS = "Microsoft-WebDAV-MiniRedir/10.0.19045"
LOCKINFO = (
    "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype>"
    "<D:owner><D:href>http://example.com/~ejw/contact.html</D:href></D:owner></D:lockinfo>"
)
LIVE = {
    *(f"{D}{name}" for name in ("creationdate", "displayname", "getcontentlength", "getcontenttype", "getetag")),
    *(f"{D}{name}" for name in ("getlastmodified", "resourcetype", "supportedlock", "lockdiscovery")),
    *(f"{OWN}{name}" for name in ("uid", "object-uid", "sha256", "visibility", "is-local")),
}


def test_p01_windows_asks_without_a_body_and_understands_the_answer(dav: Dav) -> None:
    dav.put("/files/a.txt")

    answer = dav("PROPFIND", "/files/a.txt", depth="0", user_agent=WINDOWS, translate="f", content_length="0")

    assert answer.status == 207
    assert re.search(rb'<D:multistatus xmlns:D="DAV:">', answer.body)
    assert b"xmlns=" not in answer.body
    found = answer.properties("/files/a.txt")
    assert {f"{D}resourcetype", f"{D}getcontentlength", f"{D}getlastmodified", f"{D}creationdate"} <= found.keys()


@pytest.mark.parametrize("target", ["/files/dir", "/files/dir/"])
def test_p02_a_collection_without_slash_is_answered_at_once(dav: Dav, target: str) -> None:
    dav.make("/files/dir")
    dav.put("/files/dir/a.txt")

    answer = dav.propfind(target, depth="1")

    assert (answer.status, answer.hrefs) == (207, ["/files/dir/", "/files/dir/a.txt"])


def test_p03_an_empty_collection_has_one_response(dav: Dav) -> None:
    dav.make("/files/dir")

    assert dav.propfind("/files/dir/", depth="1").hrefs == ["/files/dir/"]


def test_p04_the_collection_comes_first_and_each_member_once(dav: Dav) -> None:
    dav.make("/files/b")
    for name in ("c.txt", "a.txt", "%C3%BC%20%E2%82%AC"):
        dav.put(f"/files/{name}")

    hrefs = dav.propfind("/files/", depth="1").hrefs

    assert hrefs[0] == "/files/"
    assert sorted(hrefs[1:]) == ["/files/%C3%BC%20%E2%82%AC", "/files/a.txt", "/files/b/", "/files/c.txt"]


@pytest.mark.parametrize("spelling", ["/files/%c3%bc%7e(1)", "/files/%C3%BC~%281%29", "/f%69les/%C3%BC~(1)"])
def test_p04_hrefs_extend_the_path_as_the_client_spelled_it(dav: Dav, spelling: str) -> None:
    dav.make("/files/%C3%BC~(1)")
    dav.put("/files/%C3%BC~(1)/a")

    assert dav.propfind(spelling, depth="1").hrefs == [f"{spelling}/", f"{spelling}/a"]


@pytest.mark.parametrize("spelling", ["//files//d", "/files/./d", "http://dav.example/files/d", "/files/d?x=1"])
def test_p04_an_unusual_target_is_answered_with_plain_paths(dav: Dav, spelling: str) -> None:
    dav.make("/files/d")
    dav.put("/files/d/a")
    dav.environ["PATH_INFO"] = spelling.removeprefix("http://dav.example").partition("?")[0]

    assert dav.propfind(spelling, depth="1").hrefs == ["/files/d/", "/files/d/a"]


def test_p06_noroot_leaves_the_collection_out(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav.propfind("/files/", depth="1,noroot").hrefs == ["/files/a"]


def test_p07_a_file_needs_no_depth(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav("PROPFIND", "/files/a").hrefs == ["/files/a"]


@pytest.mark.parametrize("depth", ["infinity", "Infinity", None])
def test_p08_an_infinite_depth_is_refused_with_its_condition(dav: Dav, depth: str | None) -> None:
    answer = dav("PROPFIND", "/files/", **({"depth": depth} if depth else {}))

    assert answer.status == 403
    assert answer.xml.find(f"{D}propfind-finite-depth") is not None


def test_p08_other_depths_are_malformed(dav: Dav) -> None:
    assert dav.propfind("/files/", depth="2").status == 400


def test_p09_a_file_has_no_members(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav.propfind("/files/a", depth="1").hrefs == ["/files/a"]


@pytest.mark.parametrize("target", ["/files/none", "/files/none/", "/nobucket", "/files/a.txt/below"])
def test_p11_what_is_not_there_is_not_found(dav: Dav, target: str) -> None:
    dav.put("/files/a.txt")

    assert dav.propfind(target).status == 404


def test_p11_a_file_with_a_slash_is_no_collection(dav: Dav) -> None:
    dav.put("/files/a.txt")

    answer = dav.propfind("/files/a.txt/", f"{D}resourcetype")

    assert answer.hrefs == ["/files/a.txt"]
    assert len(answer.properties("/files/a.txt")[f"{D}resourcetype"]) == 0


def test_p12_found_properties_come_before_missing_ones(dav: Dav) -> None:
    dav.put("/files/a")

    answer = dav.propfind("/files/a", "{urn:x}none", f"{D}getcontentlength", "{}bare")

    statuses = [element.text for element in answer.xml.iter(f"{D}status")]
    assert statuses == ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]
    assert answer.properties("/files/a")[f"{D}getcontentlength"].text == "5"
    assert answer.properties("/files/a", MISSING).keys() == {"{urn:x}none", "bare"}


@pytest.mark.parametrize("target", ["/files/a", "/files/d/", "/files/"])
def test_p13_getetag_is_the_header_quotes_included(dav: Dav, target: str) -> None:
    dav.put("/files/a", b"some bytes")
    dav.make("/files/d")

    etag = dav.propfind(target, f"{D}getetag").properties(target)[f"{D}getetag"].text

    assert etag == dav("HEAD", target).header("ETag")
    assert re.fullmatch(r'"[^"]+"', etag)


def test_p13_a_files_etag_is_its_digest(dav: Dav) -> None:
    dav.put("/files/a", b"some bytes")

    found = dav.propfind("/files/a").properties("/files/a")

    digest = hashlib.sha256(b"some bytes").hexdigest()
    assert found[f"{D}getetag"].text == f'"{digest}"'
    assert found[f"{OWN}sha256"].text == digest


def test_p14_getlastmodified_is_a_plain_http_date(dav: Dav) -> None:
    dav.put("/files/a", x_oc_mtime="784111777")

    element = dav.propfind("/files/a").properties("/files/a")[f"{D}getlastmodified"]

    assert element.text == "Sun, 06 Nov 1994 08:49:37 GMT" == dav("HEAD", "/files/a").header("Last-Modified")
    assert not element.attrib


def test_p14_creationdate_is_an_rfc_3339_time(dav: Dav) -> None:
    dav.put("/files/a")

    created = dav.propfind("/files/a").properties("/files/a")[f"{D}creationdate"].text

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)


def test_p16_files_have_a_length_and_collections_none(dav: Dav) -> None:
    dav.put("/files/empty", b"")
    dav.put("/files/full", b"12345")

    answer = dav.propfind("/files/", f"{D}getcontentlength", depth="1")

    assert answer.properties("/files/empty")[f"{D}getcontentlength"].text == "0"
    assert answer.properties("/files/full")[f"{D}getcontentlength"].text == "5"
    assert f"{D}getcontentlength" in answer.properties("/files/", MISSING)


def test_p17_resourcetype_tells_collections(dav: Dav) -> None:
    dav.put("/files/a")

    answer = dav.propfind("/files/", f"{D}resourcetype", depth="1")

    (kind,) = answer.properties("/files/")[f"{D}resourcetype"]
    assert kind.tag == f"{D}collection"
    assert len(answer.properties("/files/a")[f"{D}resourcetype"]) == 0


def test_p18_collections_have_quota_numbers_by_name_only(dav: Dav) -> None:
    dav.put("/files/a", b"12345")
    names = (f"{D}quota-available-bytes", f"{D}quota-used-bytes")

    for target in ("/", "/files/"):
        found = dav.propfind(target, *names).properties(target)
        assert int(found[names[0]].text) > 0
        assert int(found[names[1]].text) == 5
        assert not set(names) & dav.propfind(target).properties(target).keys()


def test_p19_a_files_quota_is_missing_rather_than_empty(dav: Dav) -> None:
    dav.put("/files/a")
    names = {f"{D}quota-available-bytes", f"{D}quota-used-bytes"}

    assert dav.propfind("/files/a", *names).properties("/files/a", MISSING).keys() == names


def test_p21_what_clients_hope_for_is_missing_without_an_error(dav: Dav) -> None:
    dav.put("/files/a")
    names = {
        *(f"{D}{name}" for name in ("quota", "quotaused", "ishidden", "iscollection", "getmodifiedby", "checked-in")),
        "{http://www.apple.com/webdav_fs/props/}appledoubleheader",
        "{urn:schemas-microsoft-com:}Win32FileAttributes",
        "{urn:schemas-microsoft-com:}Win32LastModifiedTime",
        "{http://ucb.openoffice.org/dav/props/}IsReadOnly",
    }

    assert dav.propfind("/files/a", *names).properties("/files/a", MISSING).keys() == names


def test_p22_propname_tells_names_without_values(dav: Dav) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", set_property("<x:colour xmlns:x='urn:x'>blue</x:colour>"))

    found = dav("PROPFIND", "/files/a", "<propfind xmlns='DAV:'><propname/></propfind>", depth="0").properties(
        "/files/a"
    )

    assert found.keys() == LIVE | {"{urn:x}colour", "{http://apache.org/dav/props/}executable"}
    assert not any(element.text or len(element) for element in found.values())


@pytest.mark.parametrize("body", ["", "<propfind xmlns='DAV:'><allprop/></propfind>"])
def test_p23_allprop_tells_everything_that_is_cheap(dav: Dav, body: str) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", set_property("<x:colour xmlns:x='urn:x'>blue</x:colour>"))

    found = dav("PROPFIND", "/files/a", body, depth="0").properties("/files/a")

    assert found.keys() == LIVE | {"{urn:x}colour"}
    assert found["{urn:x}colour"].text == "blue"


def test_p23_allprop_can_include_more(dav: Dav) -> None:
    dav.put("/files/a")
    body = (
        "<propfind xmlns='DAV:'><allprop/><include><quota-used-bytes/><getetag/>"
        "<executable xmlns='http://apache.org/dav/props/'/><none xmlns='urn:x'/></include></propfind>"
    )

    answer = dav("PROPFIND", "/files/a", body, depth="0")

    assert answer.properties("/files/a").keys() == LIVE | {"{http://apache.org/dav/props/}executable"}
    assert answer.properties("/files/a", MISSING).keys() == {"{urn:x}none", f"{D}quota-used-bytes"}
    assert answer.body.count(b"<D:getetag>") == 1


def test_p24_no_property_at_all_means_all(dav: Dav) -> None:
    dav.put("/files/a")

    answer = dav("PROPFIND", "/files/a", "<propfind xmlns='DAV:'><prop/></propfind>", depth="0")

    assert answer.properties("/files/a").keys() == LIVE


@pytest.mark.parametrize("target", ["/files/a", "/files/"])
def test_p26_both_kinds_of_write_locks_are_supported(dav: Dav, target: str) -> None:
    dav.put("/files/a")

    entries = dav.propfind(target, f"{D}supportedlock").properties(target)[f"{D}supportedlock"]

    kinds = {(entry.find(f"{D}lockscope")[0].tag, entry.find(f"{D}locktype")[0].tag) for entry in entries}
    assert kinds == {(f"{D}exclusive", f"{D}write"), (f"{D}shared", f"{D}write")}


def test_p27_a_locks_description_is_complete(dav: Dav) -> None:
    dav.put("/files/a")
    token = dav("LOCK", "/files/a", LOCKINFO.format(scope="exclusive"), timeout="Second-600").header("Lock-Token")
    assert token

    (lock,) = dav.propfind("/files/a", f"{D}lockdiscovery").properties("/files/a")[f"{D}lockdiscovery"]

    assert lock.find(f"{D}lockscope")[0].tag == f"{D}exclusive"
    assert lock.find(f"{D}locktype")[0].tag == f"{D}write"
    assert lock.findtext(f"{D}depth") == "infinity"
    assert lock.findtext(f"{D}owner/{D}href") == "http://example.com/~ejw/contact.html"
    assert 590 <= int(lock.findtext(f"{D}timeout").removeprefix("Second-")) <= 600
    assert f"<{lock.findtext(f'{D}locktoken/{D}href')}>" == token
    assert lock.findtext(f"{D}lockroot/{D}href") == "/files/a"


def test_p27_members_show_the_locks_that_cover_them(dav: Dav) -> None:
    dav.make("/files/d")
    for name in ("a", "b"):
        dav.put(f"/files/d/{name}")
    own = dav("LOCK", "/files/d/a", LOCKINFO.format(scope="shared")).header("Lock-Token")
    above = dav("LOCK", "/files/d", LOCKINFO.format(scope="shared")).header("Lock-Token")

    answer = dav.propfind("/files/d/", f"{D}lockdiscovery", depth="1")

    def locks(href: str) -> list[tuple[str, str]]:
        found = answer.properties(href)[f"{D}lockdiscovery"]
        return [
            (f"<{lock.findtext(f'{D}locktoken/{D}href')}>", lock.findtext(f"{D}lockroot/{D}href")) for lock in found
        ]

    assert set(locks("/files/d/a")) == {(own, "/files/d/a"), (above, "/files/d/")}
    assert locks("/files/d/b") == locks("/files/d/") == [(above, "/files/d/")]


def test_p28_windows_gets_at_most_400_bytes_for_each_member(dav: Dav) -> None:
    for number in range(20):
        dav.put(f"/files/a document of usual name {number}.docx", bytes([number]) * 1000)

    answer = dav("PROPFIND", "/files/", depth="1", user_agent=WINDOWS)

    assert len(answer.hrefs) == 21
    assert len(answer.body) / 21 <= 400


@pytest.mark.slow
def test_p28_a_long_listing_is_streamed_and_complete(dav: Dav, opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:03}" for number in range(200)]
    for name in names:
        opened.namespace(Caller()).make_collection(("files", name))
    pages = Namespace.members_of
    monkeypatch.setattr(Namespace, "members_of", lambda self, node, wanted, _: pages(self, node, wanted, page=30))

    status, _, body = dav.start("PROPFIND", "/files/", b"", {"Depth": "1"})
    blocks = list(body)

    assert status == 207
    assert not isinstance(body, (tuple, list))
    assert len(blocks) > 2
    assert max(map(len, blocks)) < 2 * streaming.BLOCK
    hrefs = re.findall(rb"<D:href>/files/(\d+)/</D:href>", b"".join(blocks))
    assert [href.decode() for href in hrefs] == names


def test_p29_an_etag_that_nothing_has_does_not_matter(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav.propfind("/files/a", if_none_match="JoplinIgnore-12345").status == 207


def test_an_if_header_that_does_not_hold_refuses(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav.propfind("/files/a", **{"if": '(["not this"])'}).status == 412


def test_p31_a_body_of_unknown_length_is_read_to_its_end(dav: Dav) -> None:
    dav.put("/files/a")
    body = b"<propfind xmlns='DAV:'><prop><getcontentlength/></prop></propfind>"
    dav.environ |= {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}

    answer = dav("PROPFIND", "/files/a", depth="0", transfer_encoding="chunked")

    assert answer.properties("/files/a").keys() == {f"{D}getcontentlength"}


@pytest.mark.parametrize(
    "body",
    [
        "<propfind",
        "<a><b></a></b>",
        "no XML",
        "<propfind xmlns='DAV:'/>",
        "<other xmlns='DAV:'><prop/></other>",
        "<x:propfind/>",
        "<!DOCTYPE p [<!ENTITY e 'x'>]><propfind xmlns='DAV:'><prop><a>&e;</a></prop></propfind>",
        "<!DOCTYPE p SYSTEM 'file:///etc/passwd'><propfind xmlns='DAV:'><allprop/></propfind>",
        "<propfind xmlns='DAV:'><prop>" + "<a>" * 5_000 + "</a>" * 5_000 + "</prop></propfind>",
    ],
)
def test_p32_malformed_and_dangerous_bodies_are_refused(dav: Dav, body: str) -> None:
    assert dav("PROPFIND", "/files/", body, depth="0").status == 400


def test_p32_an_entity_that_would_explode_is_refused(dav: Dav) -> None:
    levels = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 10))
    body = f"<!DOCTYPE p [<!ENTITY e0 'ha'>{levels}]><propfind xmlns='DAV:'><prop><a b='&e9;'/></prop></propfind>"

    assert dav("PROPFIND", "/files/", body, depth="0").status == 400


def test_p32_a_huge_body_is_refused(dav: Dav) -> None:
    body = "<propfind xmlns='DAV:'><prop>" + "<a/>" * 300_000 + "</prop></propfind>"

    assert dav("PROPFIND", "/files/", body, depth="0").status == 413


def test_comments_and_instructions_do_not_matter(dav: Dav) -> None:
    dav.put("/files/a")
    body = "<propfind xmlns='DAV:'><!-- c --><?p i?><prop><!-- c --><getetag/><?p i?></prop></propfind>"

    assert dav("PROPFIND", "/files/a", body, depth="0").properties("/files/a").keys() == {f"{D}getetag"}


@pytest.mark.parametrize("name", [*"&<>\"'%#?;+~()@=:, ", "a&amp;b", "%41", "100%", "a b", " a", "ü", "𝄞", "\u202e"])
def test_p33_any_name_survives_its_href(dav: Dav, name: str) -> None:
    target = "/files/" + quote(name, safe="")
    dav.put(target, b"x")

    answer = dav.propfind("/files/", depth="1")

    href = answer.hrefs[1]
    assert unquote(href) == f"/files/{name}"
    assert not set(href) & set('&<>"#?; ')
    assert not re.search("%[0-9A-F]?[a-f]", href)
    assert dav("GET", href).body == b"x"


def test_p33_a_name_that_xml_cannot_say_breaks_no_listing(dav: Dav, opened: Store) -> None:
    opened.namespace(Caller()).make_collection(("files", "x\x07y"))

    answer = dav.propfind("/files/", depth="1")

    assert answer.hrefs == ["/files/", "/files/x%07y/"]
    assert answer.properties("/files/x%07y/")[f"{D}displayname"].text == "x\ufffdy"


@pytest.mark.parametrize(("target", "name"), [("/files/%C3%BC%20%26", "ü &"), ("/files/d/", "d"), ("/files/", "files")])
def test_p34_displayname_is_the_last_segment(dav: Dav, target: str, name: str) -> None:
    dav.put("/files/%C3%BC%20%26")
    dav.make("/files/d")

    assert dav.propfind(target).properties(target)[f"{D}displayname"].text == name


def test_p36_a_collections_time_moves_with_its_members(dav: Dav) -> None:
    dav.make("/files/d")
    dav("PROPPATCH", "/files/d", set_property("<D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>"))
    before = dav.propfind("/files/d/").properties("/files/d/")

    dav.put("/files/d/a")

    after = dav.propfind("/files/d/").properties("/files/d/")
    assert before[f"{D}getlastmodified"].text == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert parsedate_to_datetime(after[f"{D}getlastmodified"].text).year >= 2024
    assert before[f"{D}getetag"].text != after[f"{D}getetag"].text


@pytest.mark.parametrize("headers", [{"prefer": "return=minimal"}, {"prefer": "foo, Return = Minimal"}, {"brief": "t"}])
def test_p38_who_prefers_it_hears_nothing_of_what_is_missing(dav: Dav, headers: dict[str, str]) -> None:
    dav.put("/files/a")

    some = dav.propfind("/files/a", f"{D}getetag", "{urn:x}none", **headers)
    none = dav.propfind("/files/a", "{urn:x}none", **headers)

    for answer, found in ((some, {f"{D}getetag"}), (none, set[str]())):
        assert answer.header("Preference-Applied") == "return=minimal"
        assert b"404" not in answer.body
        assert answer.properties("/files/a").keys() == found


def test_p39_a_member_that_vanishes_does_not_break_the_listing(
    dav: Dav, opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        dav.put(f"/files/{name}")
    read = Namespace.members_of

    def members_of(namespace: Namespace, node: Node, wanted: frozenset[str], _: int) -> Iterator[Members]:
        for page in read(namespace, node, wanted, page=1):
            with suppress(NotFound):
                opened.namespace(Caller()).delete(("files", "b"))
            yield page

    monkeypatch.setattr(Namespace, "members_of", members_of)

    answer = dav.propfind("/files/", depth="1")

    assert (answer.status, answer.hrefs) == (207, ["/files/", "/files/a", "/files/c"])


def test_the_top_lists_the_buckets(dav: Dav) -> None:
    answer = dav.propfind("/", depth="1")

    assert answer.hrefs == ["/", "/files/"]


def test_uids_survive_a_new_content_and_a_move(dav: Dav) -> None:
    dav.put("/files/a", b"one")
    before = dav.propfind("/files/a").properties("/files/a")

    dav.put("/files/a", b"two")
    dav("MOVE", "/files/a", destination="/files/b")

    after = dav.propfind("/files/b").properties("/files/b")
    assert before[f"{OWN}uid"].text == after[f"{OWN}uid"].text
    assert before[f"{OWN}object-uid"].text != after[f"{OWN}object-uid"].text
