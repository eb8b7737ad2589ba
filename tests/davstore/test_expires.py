"""The property `urn:davstore: expires`: when a file goes by itself."""

import time
from datetime import datetime

import pytest

from core.store import Store
from tests.davstore.client import Dav, set_property

EXPIRES = "{urn:davstore:}expires"
CONFLICT, FORBIDDEN, MISSING = "HTTP/1.1 409 Conflict", "HTTP/1.1 403 Forbidden", "HTTP/1.1 404 Not Found"
REMOVE = (
    "<D:propertyupdate xmlns:D='DAV:'><D:remove><D:prop><expires xmlns='urn:davstore:'/></D:prop></D:remove>"
    "</D:propertyupdate>"
)


def expires(text: str) -> str:
    return set_property(f"<expires xmlns='urn:davstore:'>{text}</expires>")


@pytest.mark.parametrize("text", ["2199-11-06T08:49:37Z", "2199-11-06T09:49:37+01:00", "Wed, 06 Nov 2199 08:49:37 GMT"])
def test_a_file_is_told_when_to_go(dav: Dav, text: str) -> None:
    dav.put("/files/a")

    answer = dav("PROPPATCH", "/files/a", expires(text))

    assert answer.properties("/files/a").keys() == {EXPIRES}
    assert dav.propfind("/files/a").properties("/files/a")[EXPIRES].text == "2199-11-06T08:49:37Z"


def test_a_file_whose_time_is_over_is_gone_after_the_next_collection(dav: Dav, opened: Store) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", expires("2001-01-01T00:00:00Z"))
    before = dav("GET", "/files/a").status

    opened.collect_garbage(grace=0)

    assert (before, dav("GET", "/files/a").status) == (200, 404)


def test_without_the_property_a_file_never_goes_by_itself(dav: Dav, opened: Store) -> None:
    dav.put("/files/a")
    dav("PROPPATCH", "/files/a", expires("2001-01-01T00:00:00Z"))

    answer = dav("PROPPATCH", "/files/a", REMOVE)

    assert answer.properties("/files/a").keys() == {EXPIRES}
    assert EXPIRES in dav.propfind("/files/a", EXPIRES).properties("/files/a", MISSING)
    assert opened.collect_garbage(grace=0).files_expired == 0


@pytest.mark.parametrize("text", ["", "soon", "2199-11-06", "2199-11-06T08:49:37", "9999-12-31T00:00:00Z"])
def test_what_is_no_time_is_a_conflict(dav: Dav, text: str) -> None:
    dav.put("/files/a")

    assert EXPIRES in dav("PROPPATCH", "/files/a", expires(text)).properties("/files/a", CONFLICT)


def test_a_collection_does_not_expire(dav: Dav) -> None:
    dav.make("/files/d")

    answer = dav("PROPPATCH", "/files/d/", expires("2199-11-06T08:49:37Z"))

    assert EXPIRES in answer.properties("/files/d/", FORBIDDEN)


def test_an_upload_says_when_it_goes(dav: Dav) -> None:
    dav.put("/files/a", x_delete_at="7253311777")

    assert dav.propfind("/files/a").properties("/files/a")[EXPIRES].text == "2199-11-06T08:49:37Z"


def test_an_upload_says_how_long_it_is_kept(dav: Dav, opened: Store) -> None:
    before = time.time()
    dav.put("/files/a", x_delete_after="3600")

    told = dav.propfind("/files/a").properties("/files/a")[EXPIRES].text
    left = datetime.fromisoformat(told).timestamp() - before
    assert 3595 < left < 3700
    assert opened.collect_garbage(grace=0).files_expired == 0


@pytest.mark.slow
def test_what_was_uploaded_for_a_second_is_gone_after_it(dav: Dav, opened: Store) -> None:
    dav.put("/files/a", x_delete_after="1")
    dav.put("/files/kept")
    time.sleep(1.1)

    done = opened.collect_garbage(grace=0, retention=0)

    assert (done.files_expired, dav("GET", "/files/a").status, dav("GET", "/files/kept").status) == (1, 404, 200)


def test_an_upload_that_says_nothing_leaves_the_time_as_it_is_and_another_changes_it(dav: Dav) -> None:
    dav.put("/files/a", x_delete_at="7253311777")
    dav("PUT", "/files/a", b"other")
    kept = dav.propfind("/files/a").properties("/files/a")[EXPIRES].text
    dav("PUT", "/files/a", b"another", **{"X-Delete-At": "7253311778"})

    assert kept == "2199-11-06T08:49:37Z"
    assert dav.propfind("/files/a").properties("/files/a")[EXPIRES].text == "2199-11-06T08:49:38Z"


@pytest.mark.parametrize("name", ["X-Delete-After", "X-Delete-At"])
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", "99999999999", "1,2", "1 2", "٣"])
def test_a_lifetime_that_is_none_refuses_the_upload_and_says_what_would_be_one(dav: Dav, name: str, text: str) -> None:
    answer = dav("PUT", "/files/a", b"content", **{name: text.encode().decode("latin-1")})

    assert answer.status == 400
    assert f"{name} is not understood; it takes a whole number of seconds" in answer.body.decode()
    assert dav("GET", "/files/a").status == 404


def test_an_upload_that_would_be_over_at_once_is_refused(dav: Dav) -> None:
    answer = dav("PUT", "/files/a", b"content", **{"X-Delete-At": "5"})

    assert answer.status == 400
    assert "is over: 1970-01-01 00:00:05 UTC" in answer.body.decode()
    assert dav("GET", "/files/a").status == 404


def test_of_two_lifetimes_none_is_taken(dav: Dav) -> None:
    answer = dav("PUT", "/files/a", b"content", **{"X-Delete-After": "1", "X-Delete-At": "7253311777"})

    assert answer.status == 400
    assert dav("GET", "/files/a").status == 404
