"""RFC 4918 section 9.2 and what clients need of it: the T rows of the compatibility checklist, and L16."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs

from core.model import Caller
from core.store import Store
from tests.davstore.client import D, Dav, canonical, set_property
from tests.davstore.conftest import USERS

FORBIDDEN = "HTTP/1.1 403 Forbidden"
CONFLICT = "HTTP/1.1 409 Conflict"
FAILED = "HTTP/1.1 424 Failed Dependency"
MISSING = "HTTP/1.1 404 Not Found"
WIN32 = "{urn:schemas-microsoft-com:}Win32"
EXECUTABLE = "{http://apache.org/dav/props/}executable"
LONG_AGO = "Sun, 06 Nov 1994 08:49:37 GMT"
LOCKINFO = "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>"
FROM_WINDOWS = (
    "<Z:Win32CreationTime xmlns:Z='urn:schemas-microsoft-com:'>Wed, 11 May 2022 09:30:00 GMT</Z:Win32CreationTime>"
    "<Z:Win32LastAccessTime xmlns:Z='urn:schemas-microsoft-com:'>Thu, 12 May 2022 09:30:00 GMT</Z:Win32LastAccessTime>"
    f"<Z:Win32LastModifiedTime xmlns:Z='urn:schemas-microsoft-com:'>{LONG_AGO}</Z:Win32LastModifiedTime>"
    "<Z:Win32FileAttributes xmlns:Z='urn:schemas-microsoft-com:'>00000021</Z:Win32FileAttributes>"
)
NAMES_FROM_WINDOWS = {
    f"{WIN32}{name}" for name in ("CreationTime", "LastAccessTime", "LastModifiedTime", "FileAttributes")
}


def time_of(client: Dav, target: str) -> str | None:
    return client("HEAD", target).header("Last-Modified")


def test_t01_the_properties_of_windows_are_all_echoed(dav: Dav) -> None:
    dav.put("/files/a")

    answer = dav("PROPPATCH", "/files/a", set_property(FROM_WINDOWS))

    assert answer.status == 207
    assert answer.properties("/files/a").keys() == NAMES_FROM_WINDOWS


def test_t02_windows_sets_the_modification_time(dav: Dav, opened: Store) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", set_property(FROM_WINDOWS))

    assert time_of(dav, "/files/a") == LONG_AGO
    assert opened.namespace(Caller()).node(("files", "a")).modified == 784_111_777 * 10**9


def test_t02_windows_never_reads_a_stale_time(dav: Dav) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", set_property(FROM_WINDOWS))
    dav.put("/files/a", b"a new content", x_oc_mtime="1000000000")

    found = dav.propfind("/files/a").properties("/files/a")

    assert found[f"{WIN32}LastModifiedTime"].text == "Sun, 09 Sep 2001 01:46:40 GMT"


@pytest.mark.parametrize(
    "text", ["", "yesterday", "Wed, 99 May 2022 09:30:00 GMT", "1" * 40, "Fri, 31 Dec 9999 23:59:59 GMT"]
)
@pytest.mark.parametrize("name", ["Z:Win32LastModifiedTime", "D:getlastmodified", "D:lastmodified"])
def test_t02_a_malformed_time_is_a_conflict_of_that_property(dav: Dav, name: str, text: str) -> None:
    dav.put("/files/a", x_oc_mtime="784111777")
    body = f"<{name} xmlns:Z='urn:schemas-microsoft-com:'>{text}</{name}><x:other xmlns:x='urn:x'>1</x:other>"

    answer = dav("PROPPATCH", "/files/a", set_property(body))

    assert [tag.rpartition("}")[2] for tag in answer.properties("/files/a", CONFLICT)] == [name.partition(":")[2]]
    assert answer.properties("/files/a", FAILED).keys() == {"{urn:x}other"}
    assert time_of(dav, "/files/a") == LONG_AGO
    assert "{urn:x}other" in dav.propfind("/files/a", "{urn:x}other").properties("/files/a", MISSING)


def test_t03_windows_gets_its_attributes_back(dav: Dav) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", set_property(FROM_WINDOWS))

    found = dav.propfind("/files/a", *NAMES_FROM_WINDOWS).properties("/files/a")

    assert found[f"{WIN32}FileAttributes"].text == "00000021"
    assert found[f"{WIN32}CreationTime"].text == "Wed, 11 May 2022 09:30:00 GMT"
    assert found[f"{WIN32}LastModifiedTime"].text == LONG_AGO


@pytest.mark.parametrize("name", ["lastmodified", "getlastmodified"])
@pytest.mark.parametrize("text", ["784111777", "784111777.9", LONG_AGO, "Sunday, 06-Nov-94 08:49:37 GMT"])
def test_t04_the_time_is_set_by_its_own_name(dav: Dav, name: str, text: str) -> None:
    dav.put("/files/a")

    answer = dav("PROPPATCH", "/files/a", set_property(f"<D:{name}>{text}</D:{name}>"))

    assert answer.properties("/files/a").keys() == {f"{D}{name}"}
    assert time_of(dav, "/files/a") == LONG_AGO
    assert f"{D}lastmodified" not in dav.propfind("/files/a").properties("/files/a")


@pytest.mark.parametrize(
    "name",
    [
        *("creationdate", "displayname", "getetag", "getcontentlength", "getcontenttype", "resourcetype"),
        *("lockdiscovery", "supportedlock", "quota-used-bytes", "quota-available-bytes"),
    ],
)
@pytest.mark.parametrize("action", ["set", "remove"])
def test_t06_what_the_server_knows_is_protected(dav: Dav, name: str, action: str) -> None:
    dav.put("/files/a")
    body = f"<D:propertyupdate xmlns:D='DAV:'><D:{action}><D:prop><D:{name}/></D:prop></D:{action}></D:propertyupdate>"

    answer = dav("PROPPATCH", "/files/a", body)

    assert answer.status == 207
    assert answer.properties("/files/a", FORBIDDEN).keys() == {f"{D}{name}"}
    assert answer.xml.find(f".//{D}propstat/{D}error/{D}cannot-modify-protected-property") is not None


@pytest.mark.parametrize("name", ["uid", "sha256", "thumbnail"])
def test_our_own_namespace_is_protected(dav: Dav, name: str) -> None:
    dav.put("/files/a")

    answer = dav("PROPPATCH", "/files/a", set_property(f"<s:{name} xmlns:s='urn:davstore:'>x</s:{name}>"))

    assert answer.properties("/files/a", FORBIDDEN).keys() == {f"{{urn:davstore:}}{name}"}


def test_t07_dead_properties_survive_a_move_and_are_copied(dav: Dav) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", set_property(f"<S:lastmodified xmlns:S='SAR:'>{LONG_AGO}</S:lastmodified>"))

    dav("MOVE", "/files/a", destination="/files/b")
    dav("COPY", "/files/b", destination="/files/c")

    for target in ("/files/b", "/files/c"):
        assert dav.propfind(target).properties(target)["{SAR:}lastmodified"].text == LONG_AGO
        assert dav.propfind(target, "{SAR:}lastmodified").properties(target)["{SAR:}lastmodified"].text == LONG_AGO


@pytest.mark.parametrize(("flag", "bits"), [("T", 0o111), ("F", 0)])
def test_t08_executable_is_the_mode(dav: Dav, opened: Store, flag: str, bits: int) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", set_property(_executable("F" if flag == "T" else "T")))

    answer = dav("PROPPATCH", "/files/a", set_property(_executable(flag)))

    assert answer.properties("/files/a").keys() == {EXECUTABLE}
    assert opened.namespace(Caller()).node(("files", "a")).mode & 0o111 == bits
    assert dav.propfind("/files/a", EXECUTABLE).properties("/files/a")[EXECUTABLE].text == flag


def test_t08_only_files_are_executable_and_only_by_t_or_f(dav: Dav) -> None:
    dav.put("/files/a")
    dav.make("/files/d")

    assert EXECUTABLE in dav("PROPPATCH", "/files/a", set_property(_executable("yes"))).properties("/files/a", CONFLICT)
    assert EXECUTABLE in dav("PROPPATCH", "/files/d", set_property(_executable("T"))).properties("/files/d/", FORBIDDEN)


def _executable(flag: str) -> str:
    return f"<a:executable xmlns:a='http://apache.org/dav/props/'>{flag}</a:executable>"


def test_t09_a_protected_property_among_others_changes_nothing(dav: Dav) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", set_property("<x:kept xmlns:x='urn:x'>1</x:kept>"))
    body = (
        "<D:propertyupdate xmlns:D='DAV:' xmlns:x='urn:x'><D:set><D:prop><x:new>1</x:new></D:prop></D:set>"
        "<D:remove><D:prop><x:kept/></D:prop></D:remove><D:set><D:prop><D:getetag>1</D:getetag></D:prop></D:set>"
        f"<D:set><D:prop><D:getlastmodified>{LONG_AGO}</D:getlastmodified></D:prop></D:set></D:propertyupdate>"
    )

    answer = dav("PROPPATCH", "/files/a", body)

    assert answer.status == 207
    assert answer.properties("/files/a", FORBIDDEN).keys() == {f"{D}getetag"}
    assert answer.properties("/files/a", FAILED).keys() == {"{urn:x}new", "{urn:x}kept", f"{D}getlastmodified"}
    found = dav.propfind("/files/a").properties("/files/a")
    assert "{urn:x}kept" in found
    assert "{urn:x}new" not in found
    assert found[f"{D}getlastmodified"].text != LONG_AGO


def test_changes_happen_in_the_order_of_the_document(dav: Dav) -> None:
    dav.put("/files/a")
    steps = ["<D:set><D:prop><a>1</a><b>1</b></D:prop></D:set>", "<D:remove><D:prop><a/></D:prop></D:remove>"]
    steps += ["<D:remove><D:prop><c/></D:prop></D:remove>", "<D:set><D:prop><c>2</c><b>2</b></D:prop></D:set>"]

    answer = dav("PROPPATCH", "/files/a", f"<D:propertyupdate xmlns:D='DAV:'>{''.join(steps)}</D:propertyupdate>")

    assert answer.properties("/files/a").keys() == {"a", "b", "c"}
    assert "a" in dav.propfind("/files/a", "{}a").properties("/files/a", MISSING)
    found = dav.propfind("/files/a", "{}b", "{}c").properties("/files/a")
    assert (found["b"].text, found["c"].text) == ("2", "2")


def test_removing_what_is_not_there_succeeds(dav: Dav) -> None:
    dav.put("/files/a")
    body = (
        "<D:propertyupdate xmlns:D='DAV:'><D:remove><D:prop><x xmlns='urn:x'/></D:prop></D:remove></D:propertyupdate>"
    )

    assert dav("PROPPATCH", "/files/a", body).properties("/files/a").keys() == {"{urn:x}x"}


@pytest.mark.parametrize(
    "value",
    [
        "<x:p xmlns:x='urn:x' xml:lang='de'>Grün</x:p>",
        "<x:p xmlns:x='urn:x'>mixed <b>bold</b> tail <i xmlns='urn:i' a='1' x:b='2'/>&amp;&lt;]]&gt; end</x:p>",
        "<x:p xmlns:x='urn:x'>  white \n\t space  </x:p>",
        "<x:p xmlns:x='urn:x'>\U0001d11e\U0010ffff\ue000</x:p>",
        "<x:p xmlns:x='urn:x'>&#13;&#9;&#10;</x:p>",
        "<x:p xmlns:x='urn:x' a='&#13;&#9;&#10;&quot;'/>",
        "<x:p xmlns:x='urn:x'><![CDATA[<not> & markup]]></x:p>",
        "<x:p xmlns:x='urn:x' xmlns:q='urn:q' type='q:name'>q:value</x:p>",
        f"<x:p xmlns:x='urn:x'>{'v' * 65_536}</x:p>",
        "<x:p xmlns:x='urn:x'>" + "<a>" * 200 + "</a>" * 200 + "</x:p>",
    ],
)
def test_t11_values_keep_their_infoset(dav: Dav, value: str) -> None:
    dav.put("/files/a")
    assert dav("PROPPATCH", "/files/a", set_property(value)).properties("/files/a").keys() == {"{urn:x}p"}

    for answer in (dav.propfind("/files/a", "{urn:x}p"), dav.propfind("/files/a")):
        found = answer.properties("/files/a")["{urn:x}p"]
        assert canonical(etree.tostring(found, with_tail=False)) == canonical(value)


def test_t11_inherited_language_and_namespaces_are_kept(dav: Dav) -> None:
    dav.put("/files/a")
    dav(
        "PROPPATCH",
        "/files/a",
        "<D:propertyupdate xmlns:D='DAV:' xmlns:q='urn:q' xml:lang='fr'><D:set><D:prop>"
        "<x xmlns='urn:x'>q:value</x></D:prop></D:set><D:set xml:lang='en'><D:prop>"
        "<y xmlns='urn:x' xml:lang=''/></D:prop></D:set></D:propertyupdate>",
    )

    found = dav.propfind("/files/a", "{urn:x}x", "{urn:x}y").properties("/files/a")

    language = "{http://www.w3.org/XML/1998/namespace}lang"
    assert found["{urn:x}x"].get(language) == "fr"
    assert found["{urn:x}x"].nsmap["q"] == "urn:q"
    assert found["{urn:x}y"].get(language) == ""


def test_t11_two_hundred_properties_at_once(dav: Dav) -> None:
    dav.put("/files/a")
    tags = {f"{{urn:x}}p{number}" for number in range(200)}

    body = "".join(f"<p{number} xmlns='urn:x'>{number}</p{number}>" for number in range(200))
    assert dav("PROPPATCH", "/files/a", set_property(body)).properties("/files/a").keys() == tags

    found = dav.propfind("/files/a", *tags).properties("/files/a")
    assert {tag: element.text for tag, element in found.items()} == {tag: tag[len("{urn:x}p") :] for tag in tags}


def test_t11_a_body_beyond_the_limit_is_refused(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav("PROPPATCH", "/files/a", set_property(f"<x>{'v' * 1_100_000}</x>")).status == 413


@pytest.mark.parametrize("headers", [{"depth": "1"}, {"content_type": "application/x-www-form-urlencoded"}])
def test_t12_depth_and_content_type_do_not_matter(dav: Dav, headers: dict[str, str]) -> None:
    dav.put("/files/a")

    assert dav("PROPPATCH", "/files/a", set_property("<x>1</x>"), **headers).properties("/files/a").keys() == {"x"}


def test_t13_a_dead_property_changes_neither_etag_nor_time(dav: Dav) -> None:
    dav.put("/files/a", x_oc_mtime="784111777")
    before = dav("HEAD", "/files/a").headers

    dav("PROPPATCH", "/files/a", set_property("<x>1</x>" + _executable("T")))

    assert dav("HEAD", "/files/a").headers == before


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<propertyupdate",
        "<propertyupdate xmlns='DAV:'/>",
        "<other xmlns='DAV:'/>",
        "<!DOCTYPE a [<!ENTITY e 'x'>]><propertyupdate xmlns='DAV:'><set><prop><a/></prop></set></propertyupdate>",
    ],
)
def test_malformed_bodies_are_refused(dav: Dav, body: str) -> None:
    dav.put("/files/a")

    assert dav("PROPPATCH", "/files/a", body).status == 400


def test_what_is_not_there_is_not_found(dav: Dav) -> None:
    assert dav("PROPPATCH", "/files/none", set_property("<x>1</x>")).status == 404


def test_a_condition_that_does_not_hold_refuses(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav("PROPPATCH", "/files/a", set_property("<x>1</x>"), if_match='"other"').status == 412
    assert "x" in dav.propfind("/files/a", "{}x").properties("/files/a", MISSING)


def test_l16_the_owner_of_a_lock_needs_no_token_for_the_properties_of_windows(dav: Dav) -> None:
    dav.put("/files/a")
    bob, admin = (dav.signed_in(name, USERS[name]) for name in ("bob", "admin"))
    assert bob("LOCK", "/files/a", LOCKINFO).status == 200

    mine, others = (client("PROPPATCH", "/files/a", set_property(FROM_WINDOWS)) for client in (bob, admin))

    assert mine.properties("/files/a").keys() == NAMES_FROM_WINDOWS
    assert others.status == 423


def test_l17_other_properties_of_a_locked_file_need_the_token(dav: Dav) -> None:
    dav.put("/files/a")
    token = dav("LOCK", "/files/a", LOCKINFO).header("Lock-Token")

    refused = dav("PROPPATCH", "/files/a", set_property("<x>1</x>"))
    granted = dav("PROPPATCH", "/files/a", set_property("<x>1</x>"), **{"if": f"({token})"})

    assert refused.status == 423
    assert granted.properties("/files/a").keys() == {"x"}


def test_names_are_answered_under_the_path_as_the_client_spelled_it(dav: Dav) -> None:
    dav.make("/files/%C3%BC")

    assert dav("PROPPATCH", "/files/%c3%bc", set_property("<x>1</x>")).hrefs == ["/files/%c3%bc/"]


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=40),
    namespace=st.sampled_from(["urn:x", "http://a.b/c?d=1&e='x'", "relative", "DAV:"]),
)
def test_t11_any_text_survives_in_elements_and_attributes(dav: Dav, value: str, namespace: str) -> None:
    dav.put("/files/a")
    text, told = (re.sub("[&<>']", lambda found: f"&#{ord(found[0])};", each) for each in (value, namespace))
    element = f"<p:thing xmlns:p='{told}' at='{text}'>{text}<p:in/>{text}</p:thing>"
    tag = f"{{{namespace}}}thing"
    assert dav("PROPPATCH", "/files/a", set_property(element)).properties("/files/a").keys() == {tag}

    body = f"<D:propfind xmlns:D='DAV:'><D:prop><p:thing xmlns:p='{told}'/></D:prop></D:propfind>"
    for answer in (dav("PROPFIND", "/files/a", body, depth="0"), dav.propfind("/files/a")):
        found = answer.properties("/files/a")[tag]
        assert (found.text or "", found[0].tail or "", found.get("at")) == (value, value, value)
