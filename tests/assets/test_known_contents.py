"""PUT of a content that the caller can read already sends no body, and tells nobody what else is stored (I9)."""

import hashlib
import io
from base64 import b64encode

import pytest

from tests.assets.conftest import document
from tests.davstore.client import Answer, Dav

SECRET, SHARED = b"what only alice has" * 5000, b"what everybody has" * 5000


class Body(io.BytesIO):
    """Tells whether anybody asked for it."""

    asked = False

    def read(self, size: int | None = -1) -> bytes:
        self.asked = True
        return super().read(size)


def put(client: Dav, target: str, content: bytes, size: int | None = None, /, **headers: str) -> tuple[Answer, bool]:
    """The answer, and whether the body was read."""
    body = Body(content)
    digest = b64encode(hashlib.sha256(content).digest()).decode()
    length = str(len(content) if size is None else size)
    waiting = {"Expect": "100-continue", "Repr-Digest": f"sha-256=:{digest}:", "Content-Length": length} | headers
    sender = Dav(client.application, client.credentials, client.environ | {"wsgi.input": body})
    return sender("PUT", target, **waiting), body.asked


def test_a_content_that_the_caller_can_read_needs_no_body(alice: Dav) -> None:
    alice.put("/files/a", SHARED)

    answers = [put(alice, "/files/b", SHARED), put(alice, "/files/b", SHARED)]

    assert [(answer.status, was_read) for answer, was_read in answers] == [(201, False), (204, False)]
    assert alice("GET", "/files/b").body == SHARED


def test_what_another_keeps_for_herself_is_as_unknown_as_what_nobody_has(alice: Dav, bob: Dav) -> None:
    alice.put(f"{document(alice, '/files/hers')}/secret", SECRET)

    stored, missing = put(bob, "/files/mine", SECRET), put(bob, "/files/other", SECRET[::-1])

    assert (stored[0].status, stored[1]) == (missing[0].status, missing[1]) == (201, True)
    assert stored[0].headers.keys() == missing[0].headers.keys()


def test_what_is_in_the_trash_or_an_older_version_needs_its_body(alice: Dav) -> None:
    for target in ("/files/a", "/files/b"):
        alice.put(target, SECRET)
    alice("DELETE", "/files/a")
    alice.put("/files/b", b"new")

    assert put(alice, "/files/c", SECRET)[1]


@pytest.mark.parametrize(
    "headers", [{"Expect": ""}, {"Repr-Digest": ""}, {"Content-MD5": b64encode(hashlib.md5(SHARED).digest()).decode()}]
)
def test_the_body_is_read_where_more_is_to_be_told_of_it(alice: Dav, headers: dict[str, str]) -> None:
    alice.put("/files/a", SHARED)

    answer, was_read = put(alice, "/files/b", SHARED, **headers)

    assert (answer.status, was_read) == (201, True)


def test_a_digest_with_another_length_is_no_known_content(alice: Dav) -> None:
    alice.put("/files/a", SHARED)

    answer, was_read = put(alice, "/files/b", SHARED, len(SHARED) - 1)

    assert (answer.status, was_read) == (400, True)
    assert alice("GET", "/files/b").status == 404


def test_a_known_content_is_refused_where_any_would_be(alice: Dav) -> None:
    alice.put("/files/a", SHARED)

    assert put(alice, "/files/a", SHARED, if_none_match="*")[0].status == 412
    assert put(alice, "/files/none/b", SHARED)[0].status == 409
