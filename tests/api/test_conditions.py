"""Conditional calls of the API (RFC 9110, section 13): nothing is changed but what the client has seen."""

from collections.abc import Callable, Mapping

import pytest

from core.assets import Assets
from core.model import Node
from tests.api.conftest import attach, call, code, document, told
from tests.davstore.client import Answer, Dav

Made = tuple[str, str, str]
"""The addresses of a document, of its attachments, and of an attachment of it."""


@pytest.fixture
def made(alice: Dav) -> Made:
    doc = document(alice, visibility="public")
    attachment = attach(alice, document=doc)
    return f"/documents/{doc}", f"/documents/{doc}/attachments", f"/attachments/{attachment['id']}"


def etag(answer: Answer) -> str:
    tag = answer.header("ETag")
    assert answer.status == 200, answer
    assert tag
    assert tag.startswith('"'), "a strong one"
    return tag


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_a_client_has_already_is_not_sent_again(alice: Dav, made: Made, which: int) -> None:
    first = call(alice, "GET", made[which])

    again = call(alice, "GET", made[which], if_none_match=etag(first))

    assert (again.status, again.body, again.header("ETag")) == (304, b"", etag(first))
    assert etag(call(alice, "HEAD", made[which])) == etag(first)
    assert call(alice, "GET", made[which], if_none_match='"other"').status == 200
    assert code(call(alice, "GET", made[which], if_match='"other"')) == (412, "PRECONDITION_FAILED")
    assert first.header("Cache-Control") == "private, no-cache"


def changes(made: Made) -> Mapping[str, Callable[..., Answer]]:
    doc, held, attachment = made
    return {
        "name": lambda dav, **headers: call(dav, "PATCH", attachment, {"filename": "b.txt"}, **headers),
        "type": lambda dav, **headers: call(dav, "PATCH", attachment, {"media_type": "text/x-own"}, **headers),
        "removal": lambda dav, **headers: call(dav, "DELETE", attachment, **headers),
        "visibility": lambda dav, **headers: call(dav, "PATCH", doc, {"visibility": "private"}, **headers),
        "attachments": lambda dav, **headers: call(dav, "PUT", held, {"ids": []}, **headers),
    }


OF = {"name": 2, "type": 2, "removal": 2, "visibility": 0, "attachments": 1}


@pytest.mark.parametrize("what", OF)
@pytest.mark.parametrize("unmet", [{"if_match": '"other"'}, {"if_match": 'W/"x", "y"'}, {"if_none_match": "*"}])
def test_nothing_changes_where_the_condition_does_not_hold(
    alice: Dav, made: Made, what: str, unmet: dict[str, str]
) -> None:
    before = [call(alice, "GET", each).body for each in made]

    answer = changes(made)[what](alice, **unmet)

    assert code(answer) == (412, "PRECONDITION_FAILED")
    assert [call(alice, "GET", each).body for each in made] == before


@pytest.mark.parametrize("what", OF)
def test_the_very_tag_of_what_is_there_allows_a_change_once(alice: Dav, made: Made, what: str) -> None:
    seen = etag(call(alice, "GET", made[OF[what]]))

    first = changes(made)[what](alice, if_match=seen)
    second = changes(made)[what](alice, if_match=seen)

    assert first.status in {200, 204}
    assert second.status == (404 if what == "removal" else 412)


def test_a_change_tells_the_tag_of_what_it_made(alice: Dav, made: Made) -> None:
    changed = call(alice, "PATCH", made[2], {"filename": "b.txt"})

    assert etag(changed) == etag(call(alice, "GET", made[2]))


@pytest.mark.parametrize("what", OF)
def test_a_condition_tells_nothing_to_those_who_may_not(bob: Dav, alice: Dav, made: Made, what: str) -> None:
    seen = etag(call(alice, "GET", made[OF[what]]))

    answers = [changes(made)[what](bob, if_match=tag) for tag in (seen, '"other"')]

    assert [code(answer) for answer in answers] == [(403, "FORBIDDEN")] * 2


def test_the_condition_holds_in_the_transaction_that_changes(
    alice: Dav, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, find = etag(call(alice, "GET", made[2])), Assets.file

    def overtaken(assets: Assets, id_: str) -> Node:
        monkeypatch.undo()
        found = find(assets, id_)
        told(call(alice, "PATCH", made[2], {"media_type": "text/x-theirs"}))
        return found

    monkeypatch.setattr(Assets, "file", overtaken)

    assert code(call(alice, "PATCH", made[2], {"media_type": "text/x-ours"}, if_match=seen))[0] == 412
    assert told(call(alice, "GET", made[2]))["media_type"] == "text/x-theirs"
