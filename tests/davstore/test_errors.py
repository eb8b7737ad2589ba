"""The table of refusals against the design's list (docs/design.md, section 7); bodies by RFC 4918 and RFC 9457."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs
from wsgidav.dav_error import DAVError

from core import errors as core
from core.errors import Refusal
from davstore.errors import METHODS, TABLE, allow, broken, error_xml, refused, row
from davstore.request import Environ, Response

DESIGN: dict[type[Refusal], tuple[int, str]] = {
    core.NotFound: (404, ""),
    core.NoParent: (409, ""),
    core.AlreadyExists: (409, ""),
    core.NotACollection: (409, ""),
    core.IsACollection: (405, ""),
    core.NotEmpty: (409, ""),
    core.InvalidPath: (400, ""),
    core.NameTooLong: (414, ""),
    core.InvalidMove: (403, ""),
    core.PreconditionFailed: (412, ""),
    core.Locked: (423, "lock-token-submitted"),
    core.LockConflict: (423, "no-conflicting-lock"),
    core.NoSuchLock: (409, "lock-token-matches-request-uri"),
    core.Unauthenticated: (401, ""),
    core.Forbidden: (403, ""),
    core.InvalidContent: (400, ""),
    core.IncompleteContent: (400, ""),
    core.DigestMismatch: (400, ""),
    core.InvalidSetting: (400, ""),
    core.TooLarge: (413, ""),
    core.UnsupportedMediaType: (415, ""),
    core.TooMany: (429, ""),
    core.QuotaExceeded: (507, "quota-not-exceeded"),
    core.StorageUnavailable: (503, ""),
    core.StorageFull: (507, "sufficient-disk-space"),
    core.Unusable: (503, ""),
    core.Corrupt: (500, ""),
}


def kinds(of: type[Refusal]) -> Iterator[type[Refusal]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def an(kind: type[Refusal]) -> Refusal:
    return kind([("files", "a")]) if issubclass(kind, core.Locked) else kind(("files", "a"), "that is why")


def environ(method: str, **more: str) -> Environ:
    return {"REQUEST_METHOD": method, **more}


def body(response: Response) -> bytes:
    return b"".join(response.body)


def test_every_refusal_of_the_core_has_exactly_one_row():
    ours = [kind for kind in kinds(Refusal) if kind.__module__ == core.__name__]

    assert sorted(kind.__name__ for kind in TABLE) == sorted(kind.__name__ for kind in ours)


@pytest.mark.parametrize(("kind", "expected"), DESIGN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_refusal_has_the_status_and_the_condition_of_the_design(kind: type[Refusal], expected: tuple[int, str]):
    assert tuple(row(an(kind), "PROPFIND")) == expected


@pytest.mark.parametrize(("method", "status"), [("MKCOL", 405), ("COPY", 412), ("MOVE", 412), ("POST", 409)])
def test_what_is_taken_is_refused_as_the_method_says(method: str, status: int):
    assert refused(core.AlreadyExists(("files", "a")), environ(method)).status == status


def test_a_kind_without_a_row_is_answered_like_its_parent():
    class Narrower(core.TooLarge): ...

    assert refused(Narrower(), environ("PUT")).status == 413


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"]
)
@pytest.mark.parametrize("kind", DESIGN, ids=lambda kind: kind.__name__)
def test_a_dav_method_is_answered_with_an_error_element(method: str, kind: type[Refusal]):
    response = refused(an(kind), environ(method))

    error = etree.fromstring(body(response))
    assert error.tag == "{DAV:}error"
    assert dict(response.headers)["Content-Type"] == "application/xml; charset=utf-8"
    conditions = [element.tag for element in error if element.tag.startswith("{DAV:}")]
    condition = DESIGN[kind][1]
    assert conditions == ([f"{{DAV:}}{condition}"] if condition else [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_any_other_method_is_answered_with_a_problem(method: str):
    response = refused(core.NotFound(("files", "a"), "it went"), environ(method))

    assert dict(response.headers)["Content-Type"] == "application/problem+json"
    assert json.loads(body(response)) == {"status": 404, "title": "Not Found", "detail": "/files/a: it went"}


@pytest.mark.parametrize("kind", [core.Locked, core.LockConflict])
def test_a_lock_in_the_way_is_named_by_its_href(kind: type[core.Locked]):
    response = refused(kind([("files", "ü &"), ("files", "b")]), environ("PUT", SCRIPT_NAME="/drive"))

    found = [element.text for element in etree.fromstring(body(response)).iter("{DAV:}href")]
    assert found == ["/drive/files/%C3%BC%20%26", "/drive/files/b"]


def test_401_challenges_for_basic_in_utf_8():
    response = refused(core.Unauthenticated(), environ("GET"))

    assert dict(response.headers)["WWW-Authenticate"] == 'Basic realm="davstore", charset="UTF-8"'


def test_503_says_when_to_come_back():
    response = refused(core.StorageUnavailable("db", "it does not answer"), environ("GET"))

    assert int(dict(response.headers)["Retry-After"]) > 0


def test_405_allows_all_but_what_was_refused():
    response = refused(core.IsACollection(("files",)), environ("PUT"))

    assert set(dict(response.headers)["Allow"].split(", ")) == set(METHODS) - {"PUT"}
    assert set(allow().split(", ")) == set(METHODS)


@pytest.mark.parametrize("kind", [core.StorageUnavailable, core.StorageFull, core.Corrupt, core.Unusable])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_server_failure_tells_nothing_of_the_server(kind: type[Refusal], method: str):
    response = refused(kind("/srv/davstore/blobs/ab", "disk /dev/sda"), environ(method))

    assert b"/srv" not in body(response)
    assert b"sda" not in body(response)


def test_what_nobody_foresaw_is_500_and_ends_the_connection():
    response = broken(environ("PUT"))

    assert response.status == 500
    assert ("Connection", "close") in response.headers
    assert len(body(response)) < 200


def test_a_refusal_of_http_alone_keeps_its_condition_and_headers():
    error = DAVError(403, err_condition="{DAV:}propfind-finite-depth", add_headers=[("X-More", "1")])

    response = refused(error, environ("PROPFIND"))

    assert response.status == 403
    assert ("X-More", "1") in response.headers
    assert etree.fromstring(body(response))[0].tag == "{DAV:}propfind-finite-depth"


@pytest.mark.parametrize("detail", ["<&>", "\x00\x0b", "\ud800", "\uffff", "]]>", "ü\U0001f469"])
def test_whatever_the_reason_says_the_body_is_well_formed(detail: str):
    response = refused(core.InvalidPath(detail, detail), environ("PUT"))

    parsed: Any = etree.fromstring(body(response))
    assert parsed.tag == "{DAV:}error"


def test_an_error_element_declares_what_it_uses():
    error = etree.fromstring(error_xml("quota-not-exceeded", ["/a"], "full"))

    assert [element.tag for element in error] == ["{DAV:}quota-not-exceeded", "{urn:davstore:}message"]


@pytest.mark.parametrize("kind", DESIGN, ids=lambda kind: kind.__name__)
def test_every_status_has_a_phrase(kind: type[Refusal]):
    assert refused(an(kind), environ("PUT")).line.split(" ", 1)[1] == HTTPStatus(DESIGN[kind][0]).phrase
