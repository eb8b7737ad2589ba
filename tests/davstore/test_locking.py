"""RFC 4918 sections 6, 7, 9.10 and 9.11 and what clients need of them: the L rows of the compatibility checklist."""

import re
import time
from hashlib import sha256

import pytest

from core.store import Store
from davstore.app import application
from tests.davstore.client import Answer, D, Dav, canonical, set_property
from tests.davstore.conftest import USERS

EMPTY = f'"{sha256(b"").hexdigest()}"'
OWNER = "<D:owner xmlns:D='DAV:'><D:href>http://www.apple.com/webdav_fs/</D:href></D:owner>"


def lockinfo(scope: str = "exclusive", owner: str = OWNER, more: str = "") -> str:
    return (
        f"<D:lockinfo xmlns:D='DAV:'>{more}<D:lockscope><D:{scope}/></D:lockscope>"
        f"<D:locktype><D:write/></D:locktype>{owner}</D:lockinfo>"
    )


def locked(answer: Answer) -> str:
    """The token of a granted lock."""
    assert answer.status in {200, 201}, answer
    header = answer.header("Lock-Token") or ""
    assert re.fullmatch("<urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}>", header)
    return header[1:-1]


def active(answer: Answer) -> list[str]:
    """The tokens in a lockdiscovery, in order."""
    return [element.text for element in answer.xml.iter(f"{D}href") if element.getparent().tag == f"{D}locktoken"]


def timeout(answer: Answer) -> int:
    return int(next(answer.xml.iter(f"{D}timeout")).text.removeprefix("Second-"))


def status_with(dav: Dav, method: str, target: str, condition: str, body: bytes = b"") -> int:
    return dav(method, target, body, **{"if": condition}).status


@pytest.fixture
def admin(dav: Dav) -> Dav:
    return dav.signed_in("admin", USERS["admin"])


def test_l01_a_lock_is_told_in_header_and_body(dav: Dav) -> None:
    dav.put("/files/a")

    answer = dav("LOCK", "/files/a", lockinfo(), depth="0")

    token = locked(answer)
    assert (answer.status, answer.xml.tag) == (200, f"{D}prop")
    assert active(answer) == [token]
    (lock,) = answer.xml.find(f"{D}lockdiscovery")
    assert lock.findtext(f"{D}depth") == "0"
    assert lock.findtext(f"{D}lockroot/{D}href") == "/files/a"
    assert lock.find(f"{D}lockscope")[0].tag == f"{D}exclusive"


def test_l02_an_unmapped_url_becomes_an_empty_file(dav: Dav) -> None:
    answer = dav("LOCK", "/files/new.txt", lockinfo())

    token = locked(answer)
    assert answer.status == 201
    head = dav("HEAD", "/files/new.txt")
    assert (head.status, head.header("Content-Length"), head.header("ETag")) == (200, "0", EMPTY)
    saved = dav(
        "PUT", "/files/new.txt", b"x", if_match=EMPTY, **{"if": f"<http://dav.example/files/new.txt> (<{token}>)"}
    )
    assert saved.status == 204


def test_l03_an_empty_file_stays_after_its_lock(dav: Dav) -> None:
    token = locked(dav("LOCK", "/files/new.txt", lockinfo()))

    assert dav("UNLOCK", "/files/new.txt", lock_token=f"<{token}>").status == 204
    assert dav("GET", "/files/new.txt").body == b""


@pytest.mark.parametrize("target", ["/files/none/new", "/files/a/new", "/nobucket/new"])
def test_l02_without_a_parent_nothing_is_made(dav: Dav, target: str) -> None:
    dav.put("/files/a")

    assert dav("LOCK", target, lockinfo()).status == 409


def test_l04_without_depth_the_lock_is_infinite(dav: Dav) -> None:
    dav.make("/files/d")

    answer = dav("LOCK", "/files/d", lockinfo(), timeout="Second-3600")

    token = locked(answer)
    assert answer.xml.find(f".//{D}depth").text == "infinity"
    assert answer.xml.find(f".//{D}lockroot/{D}href").text == "/files/d/"
    assert dav("PUT", "/files/d/a", b"x").status == 423
    assert status_with(dav, "PUT", "/files/d/a", f"</files/d/> (<{token}>)") == 201


def test_a_lock_of_depth_0_guards_the_member_list_alone(dav: Dav) -> None:
    dav.make("/files/d")
    dav.put("/files/d/a")
    locked(dav("LOCK", "/files/d", lockinfo(), depth="0"))

    assert dav("PUT", "/files/d/a", b"changed").status == 204
    assert dav("PUT", "/files/d/b", b"new").status == 423
    assert dav("DELETE", "/files/d/a").status == 423


def test_a_depth_of_1_is_refused(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav("LOCK", "/files/a", lockinfo(), depth="1").status == 400


@pytest.mark.parametrize(
    "owner",
    [
        OWNER,
        "<D:owner xmlns:D='DAV:'>LibreOffice - Ünicode &amp; &lt;text&gt;</D:owner>",
        "<D:owner xmlns:D='DAV:'><x:who xmlns:x='urn:x' x:id='1'>me</x:who> and <y/> you</D:owner>",
        "",
    ],
)
def test_l06_the_owner_comes_back_verbatim(dav: Dav, owner: str) -> None:
    dav.put("/files/a")

    given = dav(
        "LOCK", "/files/a", lockinfo(owner=owner, more="\n  <x:unknown xmlns:x='urn:x'><D:shared/></x:unknown>")
    )

    later = dav.propfind("/files/a", f"{D}lockdiscovery")
    for answer in (given, later):
        found = re.search(b"<D:owner.*</D:owner>", answer.body)
        assert canonical(found[0]) == canonical(owner) if found else not owner


@pytest.mark.parametrize(
    "body",
    [
        "<lockinfo",
        "<other xmlns='DAV:'/>",
        "<lockinfo xmlns='DAV:'/>",
        "<lockinfo xmlns='DAV:'><lockscope/><locktype><write/></locktype></lockinfo>",
        "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype/></lockinfo>",
        "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope></lockinfo>",
        "<!DOCTYPE a [<!ENTITY e 'x'>]>" + lockinfo(),
    ],
)
def test_malformed_bodies_lock_nothing(dav: Dav, body: str) -> None:
    assert dav("LOCK", "/files/new", body).status == 400
    assert dav("HEAD", "/files/new").status == 404


def test_l07_a_locked_resource_is_not_locked_again(dav: Dav, bob: Dav) -> None:
    dav.put("/files/a b")
    locked(dav("LOCK", "/files/a%20b", lockinfo()))

    for somebody in (dav, bob):
        for scope in ("exclusive", "shared"):
            answer = somebody("LOCK", "/files/a%20b", lockinfo(scope))
            assert answer.status == 423
            assert answer.xml.findtext(f"{D}no-conflicting-lock/{D}href") == "/files/a%20b"


def test_l08_shared_locks_live_side_by_side_and_the_new_one_comes_first(dav: Dav) -> None:
    dav.put("/files/a")

    first = dav("LOCK", "/files/a", lockinfo("shared"))
    second = dav("LOCK", "/files/a", lockinfo("shared"))

    tokens = [locked(first), locked(second)]
    assert tokens[0] != tokens[1]
    assert active(second) == [tokens[1], tokens[0]]
    assert active(dav.propfind("/files/a", f"{D}lockdiscovery")) == [tokens[1], tokens[0]]
    assert dav("LOCK", "/files/a", lockinfo("exclusive")).status == 423
    assert [dav("UNLOCK", "/files/a", lock_token=f"<{token}>").status for token in tokens] == [204, 204]
    assert active(dav.propfind("/files/a", f"{D}lockdiscovery")) == []


@pytest.mark.parametrize("headers", [{}, {"content_type": "text/xml"}, {"depth": "1"}])
def test_l09_a_refreshed_lock_keeps_its_token(dav: Dav, headers: dict[str, str]) -> None:
    dav.put("/files/a")
    token = locked(dav("LOCK", "/files/a", lockinfo(), timeout="Second-100"))

    answer = dav("LOCK", "/files/a", timeout="Second-500", **headers, **{"if": f"(<{token}>)"})

    assert (answer.status, active(answer), answer.header("Lock-Token")) == (200, [token], None)
    assert 490 <= timeout(answer) <= 500


def test_l09_a_member_refreshes_the_lock_that_covers_it(dav: Dav) -> None:
    dav.make("/files/d")
    dav.put("/files/d/a")
    token = locked(dav("LOCK", "/files/d", lockinfo()))

    answer = dav("LOCK", "/files/d/a", **{"if": f"(<{token}>)"})

    assert (answer.status, active(answer)) == (200, [token])
    assert answer.xml.find(f".//{D}lockroot/{D}href").text == "/files/d/"


def test_l09_only_a_lock_that_is_there_is_refreshed(dav: Dav, bob: Dav) -> None:
    dav.put("/files/a")
    dav.put("/files/b")
    token = locked(dav("LOCK", "/files/a", lockinfo()))

    assert dav("LOCK", "/files/a").status == 400
    assert status_with(dav, "LOCK", "/files/a", "(<urn:uuid:3c4f0f0e-0000-4000-8000-000000000000>)") == 412
    assert status_with(dav, "LOCK", "/files/b", f"(<{token}>)") == 412
    assert status_with(bob, "LOCK", "/files/a", f"(<{token}>)") == 403


@pytest.mark.parametrize(
    ("wanted", "granted"),
    [
        ("Second-600", 600),
        ("second-600", 600),
        ("Seconds-600", 600),
        ("Foo-1, Second-600", 600),
        ("Infinite", 86_400),
        ("Infinite, Second-4100000000", 86_400),
        ("Second-4100000000", 86_400),
        ("Second-600, Infinite", 600),
        ("garbage", 3_600),
        (None, 3_600),
    ],
)
def test_timeouts_are_understood_and_capped(dav: Dav, wanted: str | None, granted: int) -> None:
    dav.put("/files/a")

    answer = dav("LOCK", "/files/a", lockinfo(), **({"timeout": wanted} if wanted else {}))

    assert granted - 5 <= timeout(answer) <= granted


def test_l11_a_lock_survives_a_restart_and_every_worker_sees_it(dav: Dav, opened: Store) -> None:
    dav.put("/files/a")
    token = locked(dav("LOCK", "/files/a", lockinfo()))

    other = Dav(application(opened, opened.settings)).signed_in("admin", USERS["admin"])

    assert active(other.propfind("/files/a", f"{D}lockdiscovery")) == [token]
    assert other("PUT", "/files/a", b"x").status == 423


@pytest.mark.slow
def test_l12_a_lock_ends_by_itself(dav: Dav, bob: Dav) -> None:
    dav.put("/files/a")
    locked(dav("LOCK", "/files/a", lockinfo(), timeout="Second-1"))

    time.sleep(1.2)

    assert active(dav.propfind("/files/a", f"{D}lockdiscovery")) == []
    assert bob("PUT", "/files/a", b"x").status == 204


@pytest.mark.parametrize(
    "condition",
    [
        "(<{token}>)",
        "<http://dav.example/files/%C3%BC> (<{token}>)",
        "<http://DAV.example/files/%c3%bc> (<{token}>)",
        "</files/%C3%BC> (<{token}>)",
        "(<{token}> [{etag}])",
        "(<{token}>) (Not <DAV:no-lock>)",
    ],
)
def test_l13_every_spelling_of_the_token_opens_the_lock(dav: Dav, condition: str) -> None:
    dav.put("/files/%C3%BC", b"old")
    token = locked(dav("LOCK", "/files/%C3%BC", lockinfo()))
    etag = f'"{sha256(b"old").hexdigest()}"'

    assert dav("PUT", "/files/%C3%BC", b"new").status == 423
    assert status_with(dav, "PUT", "/files/%C3%BC", condition.format(token=token, etag=etag), b"new") == 204


def test_l13_another_user_cannot_use_the_token(dav: Dav, bob: Dav) -> None:
    dav.put("/files/a")
    token = locked(dav("LOCK", "/files/a", lockinfo()))

    assert status_with(bob, "PUT", "/files/a", f"(<{token}>)", b"x") == 423


@pytest.mark.parametrize("form", ["<{token}>", "{token}", " <{token}> "])
def test_l18_a_lock_is_taken_off_by_its_token(dav: Dav, form: str) -> None:
    dav.put("/files/a")
    token = locked(dav("LOCK", "/files/a", lockinfo()))

    answer = dav("UNLOCK", "/files/a", lock_token=form.format(token=token), content_length="0")

    assert (answer.status, answer.body) == (204, b"")
    assert dav("PUT", "/files/a", b"x").status == 204


def test_l18_an_unknown_token_is_told_with_its_condition(dav: Dav) -> None:
    dav.put("/files/a")
    dav.put("/files/b")
    token = locked(dav("LOCK", "/files/b", lockinfo()))

    for wrong in ("urn:uuid:3c4f0f0e-0000-4000-8000-000000000000", token):
        answer = dav("UNLOCK", "/files/a", lock_token=f"<{wrong}>")
        assert answer.status == 409
        assert answer.xml.find(f"{D}lock-token-matches-request-uri") is not None
    assert dav("UNLOCK", "/files/a").status == 400


def test_l18_a_member_can_name_the_lock_that_covers_it(dav: Dav) -> None:
    dav.make("/files/d")
    dav.put("/files/d/a")
    token = locked(dav("LOCK", "/files/d", lockinfo()))

    assert dav("UNLOCK", "/files/d/a", lock_token=f"<{token}>").status == 204
    assert active(dav.propfind("/files/d/", f"{D}lockdiscovery")) == []


def test_l19_only_its_owner_or_an_administrator_takes_a_lock_off(dav: Dav, bob: Dav, admin: Dav) -> None:
    dav.put("/files/a")
    token = locked(bob("LOCK", "/files/a", lockinfo()))

    assert dav("UNLOCK", "/files/a", lock_token=f"<{token}>").status == 403
    assert admin("UNLOCK", "/files/a", lock_token=f"<{token}>").status == 204


def test_l21_a_locked_member_keeps_the_whole_from_being_locked(dav: Dav) -> None:
    dav.make("/files/d")
    dav.put("/files/d/a")
    dav.put("/files/d/b")
    token = locked(dav("LOCK", "/files/d/a", lockinfo()))

    answer = dav("LOCK", "/files/d", lockinfo(), depth="infinity")

    assert answer.status == 207
    told = {each.findtext(f"{D}href"): each.findtext(f"{D}status") for each in answer.xml}
    assert told == {"/files/d/a": "HTTP/1.1 423 Locked", "/files/d/": "HTTP/1.1 424 Failed Dependency"}
    assert active(dav.propfind("/files/d/", f"{D}lockdiscovery", depth="1")) == [token]


@pytest.mark.parametrize("method", ["DELETE", "MOVE"])
def test_l22_a_lock_ends_with_its_resource(dav: Dav, method: str) -> None:
    dav.put("/files/a")
    token = locked(dav("LOCK", "/files/a", lockinfo()))

    gone = dav(method, "/files/a", destination="/files/b", **{"if": f"(<{token}>)"})

    assert gone.status in {201, 204}
    assert dav("LOCK", "/files/a", lockinfo()).status == 201
    assert dav("LOCK", "/files/b", lockinfo()).status in {200, 201}


def test_l24_windows_copies_a_file_in(dav: Dav) -> None:
    target, headers = "/files/new.txt", {"user_agent": "Microsoft-WebDAV-MiniRedir/10.0.19045", "translate": "f"}
    times = "".join(
        f"<Z:{name} xmlns:Z='urn:schemas-microsoft-com:'>Wed, 11 May 2022 09:30:00 GMT</Z:{name}>"
        for name in ("Win32CreationTime", "Win32LastAccessTime", "Win32LastModifiedTime")
    )
    attributes = "<Z:Win32FileAttributes xmlns:Z='urn:schemas-microsoft-com:'>00000020</Z:Win32FileAttributes>"

    steps = [dav("PROPFIND", target, depth="0", **headers), dav("PUT", target, b"", **headers)]
    lock = dav("LOCK", target, lockinfo(owner="<D:owner>PC\\user</D:owner>"), timeout="Second-3600", **headers)
    held = {**headers, "if": f"(<{locked(lock)}>)"}
    steps += [lock, dav("PROPPATCH", target, set_property(times + attributes), **held), dav("HEAD", target, **headers)]
    steps += [
        dav("PUT", target, b"content", **held),
        dav("PROPPATCH", target, set_property(times + attributes), **held),
    ]
    steps += [dav("UNLOCK", target, lock_token=f"<{locked(lock)}>", **headers)]

    assert [step.status for step in steps] == [404, 201, 200, 207, 200, 204, 207, 204]
    assert all(b"200 OK" in step.body and b"40" not in step.body for step in steps if step.status == 207)
    assert dav("HEAD", target).header("Last-Modified") == "Wed, 11 May 2022 09:30:00 GMT"
    assert dav("GET", target).body == b"content"


def test_l26_office_opens_and_saves(dav: Dav, bob: Dav) -> None:
    dav.put("/files/a.docx", b"old")
    date = "Wed, 11 May 2022 09:30:00 GMT"
    modified = f"<Z:Win32LastModifiedTime xmlns:Z='urn:schemas-microsoft-com:'>{date}</Z:Win32LastModifiedTime>"

    steps = [bob("OPTIONS", "/files/"), bob("HEAD", "/files/a.docx"), bob("LOCK", "/files/a.docx", lockinfo())]
    token = locked(steps[-1])
    steps.append(bob("GET", "/files/a.docx", depth="0", translate="f"))
    steps.append(bob("PUT", "/files/a.docx", b"new", **{"if": f"(<{token}>)"}))
    steps.append(bob("PROPPATCH", "/files/a.docx", set_property(modified)))
    steps.append(bob("LOCK", "/files/a.docx", timeout="Second-3600", **{"if": f"(<{token}>)"}))
    steps.append(bob("UNLOCK", "/files/a.docx", lock_token=f"<{token}>"))

    assert [step.status for step in steps] == [200, 200, 200, 200, 204, 207, 200, 204]
    assert steps[0].header("MS-Author-Via") == "DAV"
    assert b"200 OK" in steps[5].body
    assert dav("GET", "/files/a.docx").body == b"new"
    assert dav("HEAD", "/files/a.docx").header("Last-Modified") == date


def test_l27_libreoffice_saves_a_new_document(dav: Dav) -> None:
    assert dav("OPTIONS", "/files/lo.odt").header("DAV") == "1, 2, 3"
    assert dav.propfind("/files/lo.odt", f"{D}supportedlock").status == 404
    lock = dav("LOCK", "/files/lo.odt", lockinfo(owner="<D:owner>LibreOffice</D:owner>"), timeout="Second-180")
    assert 175 <= timeout(lock) <= 180
    assert dav("HEAD", "/files/lo.odt").status == 200
    assert status_with(dav, "PUT", "/files/lo.odt", f"(<{locked(lock)}>)", b"document") == 204
    assert dav("UNLOCK", "/files/lo.odt", lock_token=f"<{locked(lock)}>").status == 204
    assert active(dav.propfind("/files/lo.odt", f"{D}lockdiscovery")) == []


@pytest.mark.parametrize("target", ["/", "/files/"])
def test_the_top_cannot_be_locked_and_a_bucket_can(dav: Dav, target: str) -> None:
    assert dav("LOCK", target, lockinfo()).status == (403 if target == "/" else 200)


def test_a_condition_that_does_not_hold_locks_nothing(dav: Dav) -> None:
    dav.put("/files/a")

    assert dav("LOCK", "/files/a", lockinfo(), if_match='"other"').status == 412
    assert active(dav.propfind("/files/a", f"{D}lockdiscovery")) == []


def test_no_empty_file_is_left_by_a_lock_that_was_refused(dav: Dav, bob: Dav) -> None:
    dav.make("/files/d")
    locked(dav("LOCK", "/files/d", lockinfo()))

    assert bob("LOCK", "/files/d/new", lockinfo()).status == 423
    assert dav("HEAD", "/files/d/new").status == 404
