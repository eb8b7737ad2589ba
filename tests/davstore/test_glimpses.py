"""A file that is read again, or part by part, is looked up once; nothing is shown that was changed or forbidden."""

import os
from collections.abc import Iterator

import pytest

from core import store as stores
from core.model import Caller
from core.store import Store
from davstore.glimpses import CAPACITY, Glimpses
from tests.davstore.client import Dav
from tests.davstore.test_answers import REVOKED, transactions

LARGE = os.urandom(200_000)
ADMIN = Caller("admin", admin=True)


@pytest.fixture(params=["this process", "another"])
def changer(opened: Store, request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "this process":
        yield opened
        return
    other = stores.open(opened.settings)
    yield other
    other.close()


def part(client: Dav, start: int) -> tuple[int, bytes]:
    answer = client("GET", "/files/a", Range=f"bytes={start}-{start + 999}")
    return answer.status, answer.body


def test_only_the_first_part_of_a_file_is_looked_up(bob: Dav, admin: Dav, opened: Store) -> None:
    admin.put("/files/a", LARGE)
    part(bob, 0)

    with transactions(opened) as begun:
        found = [part(bob, start) for start in range(1, 100_000, 10_000)]

    assert found == [(206, LARGE[start : start + 1000]) for start in range(1, 100_000, 10_000)]
    assert begun == []


@pytest.mark.parametrize("name", REVOKED)
def test_what_is_taken_back_is_not_read_on(bob: Dav, admin: Dav, changer: Store, name: str) -> None:
    revoke, status = REVOKED[name]
    admin.put("/files/a", LARGE)
    assert part(bob, 0)[0] == 206

    revoke(changer)

    assert part(bob, 1000)[0] == status


def test_another_content_is_read_from_its_first_part_on(bob: Dav, admin: Dav) -> None:
    for content in (LARGE, LARGE[::-1], LARGE[:100]):
        admin.put("/files/a", content)
        assert part(bob, 0) == (206, content[:1000])


def test_each_caller_sees_their_own(bob: Dav, admin: Dav, alone: Dav) -> None:
    admin("MKCOL", "/files/mine")
    admin.put("/files/mine/a", LARGE)
    admin(
        "PROPPATCH",
        "/files/mine",
        b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><v:visibility xmlns:v="urn:davstore:">private</v:visibility>'
        b"</D:prop></D:set></D:propertyupdate>",
    )

    found = [client("GET", "/files/mine/a").status for client in (admin, bob, alone) * 2]

    assert found == [200, 404, 401] * 2


def test_so_many_are_remembered_and_no_more(opened: Store) -> None:
    namespace = opened.namespace(ADMIN)
    glimpses = Glimpses(opened.database.version)

    for _ in range(2):
        for number in range(CAPACITY):
            caller = Caller(f"user {number}", admin=True)
            glimpses.node(opened.namespace(caller), ("files",))
    glimpses.node(namespace, ("files",))

    assert len(glimpses._kept) == 1


def test_without_a_version_each_look_is_a_new_one(opened: Store) -> None:
    namespace, glimpses = opened.namespace(ADMIN), Glimpses(lambda: None)

    with transactions(opened) as begun:
        first, second = (glimpses.node(namespace, ("files",)) for _ in range(2))

    assert first == second
    assert len(begun) == 2
