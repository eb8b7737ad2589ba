"""What is given again, and that nothing is which was changed, taken back or forbidden since."""

from base64 import b64encode
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event

from core import store as stores
from core.model import Caller, LockRequest
from core.policy import BucketPolicy
from core.store import Store
from davstore import repeats, responses
from tests.connection.conftest import Site
from tests.davstore.client import Answer, Dav
from tests.davstore.conftest import USERS
from tests.davstore.transactions import transactions

FILE = ("files", "a")
PROPFIND = {"Depth": "0"}
Change = Callable[[Store], object]
Ask = Callable[..., Answer]


@pytest.fixture(autouse=True)
def within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is given again after the second of its Date; here it does not end."""
    monkeypatch.setattr(repeats, "time", lambda: 1_800_000_000.0)
    monkeypatch.setattr(responses, "time", lambda: 1_800_000_000.0)


@pytest.fixture
def ask(alone: Dav) -> Iterator[Ask]:
    """`ask(client, method, target, headers, body)`, of our own server over one connection."""
    with Site(alone.application) as site:
        peer = site.connect()

        def asked(
            client: Dav, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
        ) -> Answer:
            fields = {"Host": "h", "Content-Length": str(len(body)), **(headers or {})}
            if client.credentials:
                fields["Authorization"] = "Basic " + b64encode(":".join(client.credentials).encode()).decode()
            head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {fields[name]}\r\n" for name in fields)
            told = peer.ask(f"{head}\r\n".encode() + body, method)
            return Answer(told.status, told.fields, told.body)

        yield asked


@pytest.fixture(params=["this process", "another"])
def changer(opened: Store, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Who changes something: another process has connections of its own."""
    if request.param == "this process":
        yield opened
        return
    other = stores.open(opened.settings)
    yield other
    other.close()


def write(store: Store, content: bytes) -> None:
    tree = store.namespace(Caller("admin", admin=True))
    with tree.stage(FILE) as draft:
        draft.write(content)
        tree.put(FILE, draft)


@pytest.mark.parametrize(
    ("method", "headers"), [("GET", {}), ("HEAD", {}), ("PROPFIND", PROPFIND), ("GET", {"If-None-Match": "*"})]
)
def test_the_same_request_is_answered_again_without_asking_the_database(
    ask: Ask, admin: Dav, opened: Store, method: str, headers: dict[str, str]
) -> None:
    write(opened, b"content")
    first = ask(admin, method, "/files/a", headers)

    with transactions(opened) as begun:
        second = ask(admin, method, "/files/a", headers)

    assert second == first
    assert first.status in {200, 207, 304}
    assert begun == []


@pytest.mark.parametrize("method", ["GET", "PROPFIND"])
def test_each_change_is_seen_by_the_next_request(
    ask: Ask, admin: Dav, opened: Store, changer: Store, method: str
) -> None:
    for n in range(5):
        write(changer, b"content %d" % n)
        told = ask(admin, method, "/files/a", PROPFIND)

        etag = opened.namespace(Caller("admin", admin=True)).node(FILE).etag
        assert etag in (told.header("ETag") or told.body.decode())


MEMBERS = 150
"""Of a listing of more than two blocks."""
LISTING = {"Depth": "1"}


@pytest.fixture
def long(opened: Store) -> Store:
    tree = opened.namespace(Caller("admin", admin=True))
    for n in range(MEMBERS):
        tree.make_collection(("files", f"{n:03}"))
    return opened


def test_a_streamed_listing_is_given_again_without_asking_the_database(ask: Ask, admin: Dav, long: Store) -> None:
    first = ask(admin, "PROPFIND", "/files/", LISTING)

    with transactions(long) as begun:
        second = ask(admin, "PROPFIND", "/files/", LISTING)

    assert len(first.hrefs) == 1 + MEMBERS
    assert first.header("Content-Length") is None
    assert (second.status, second.body) == (first.status, first.body)
    assert begun == []


def test_a_change_below_a_listing_is_seen_by_the_next_request(
    ask: Ask, admin: Dav, long: Store, changer: Store
) -> None:
    ask(admin, "PROPFIND", "/files/", LISTING)
    changer.namespace(Caller("admin", admin=True)).delete(("files", "007"))

    assert len(ask(admin, "PROPFIND", "/files/", LISTING).hrefs) == MEMBERS


@pytest.mark.parametrize("name", ["the password is another", "the user is gone"])
def test_a_listing_is_not_given_to_who_lost_the_right(
    ask: Ask, bob: Dav, long: Store, changer: Store, name: str
) -> None:
    revoke, status = REVOKED[name]
    assert [ask(bob, "PROPFIND", "/files/", LISTING).status for _ in range(2)] == [207, 207]

    revoke(changer)

    assert ask(bob, "PROPFIND", "/files/", LISTING).status == status


def test_a_listing_in_which_a_lock_is_told_is_made_each_time(ask: Ask, admin: Dav, long: Store) -> None:
    long.namespace(Caller("admin", admin=True)).lock(("files", "149"), LockRequest())
    ask(admin, "PROPFIND", "/files/", LISTING)

    with transactions(long) as begun:
        ask(admin, "PROPFIND", "/files/", LISTING)

    assert begun


REVOKED: dict[str, tuple[Change, int]] = {
    "the password is another": (lambda store: store.accounts.set_password("bob", "new"), 401),
    "the user is gone": (lambda store: store.accounts.remove("bob"), 401),
    "the file is gone": (lambda store: store.namespace(Caller("admin", admin=True)).delete(FILE), 404),
    "the file is elsewhere": (
        lambda store: store.namespace(Caller("admin", admin=True)).move(FILE, ("files", "b")),
        404,
    ),
}


@pytest.mark.parametrize("name", REVOKED)
def test_what_is_taken_back_is_not_given_again(ask: Ask, bob: Dav, opened: Store, changer: Store, name: str) -> None:
    revoke, status = REVOKED[name]
    methods = ("GET", "HEAD", "PROPFIND")
    write(opened, b"content")
    assert all(ask(bob, method, "/files/a", PROPFIND).status // 100 == 2 for method in methods * 2)

    revoke(changer)

    assert [ask(bob, method, "/files/a", PROPFIND).status for method in methods] == [status] * 3


@pytest.mark.parametrize("name", REVOKED)
def test_what_is_taken_back_while_an_answer_is_made_is_not_given_again(
    ask: Ask, bob: Dav, opened: Store, changer: Store, name: str
) -> None:
    """The change comes in after each of the reads that the answer is made of."""
    revoke, status = REVOKED[name]
    write(opened, b"content")
    ask(bob, "HEAD", "/files/a")
    waiting = [lambda: revoke(changer)]

    def after_a_read(_: object) -> None:
        if waiting:
            waiting.pop()()

    event.listen(opened.database.engine, "rollback", after_a_read)
    ask(bob, "GET", "/files/a")
    event.remove(opened.database.engine, "rollback", after_a_read)

    assert not waiting
    assert ask(bob, "GET", "/files/a").status == status


def test_an_answer_is_for_the_one_who_asked(ask: Ask, admin: Dav, alone: Dav, opened: Store) -> None:
    write(opened, b"content")

    assert ask(admin, "GET", "/files/a").status == 200
    assert ask(alone, "GET", "/files/a").status == 401
    assert ask(alone.signed_in("admin", USERS["bob"]), "GET", "/files/a").status == 401


def test_a_bucket_that_becomes_private_is_so_for_the_next_request(
    ask: Ask, admin: Dav, opened: Store, changer: Store
) -> None:
    write(opened, b"content")
    told = ask(admin, "PROPFIND", "/files/a", PROPFIND)
    changer.change_bucket("files", BucketPolicy(visibility="public"))

    assert ask(admin, "PROPFIND", "/files/a", PROPFIND).body != told.body


@pytest.mark.parametrize(
    "body",
    [
        b"<D:propfind xmlns:D='DAV:'><D:prop><D:quota-available-bytes/></D:prop></D:propfind>",
        b"<D:propfind xmlns:D='DAV:'><D:allprop/><D:include><D:quota-used-bytes/></D:include></D:propfind>",
    ],
)
def test_what_a_disk_has_room_for_is_asked_each_time(ask: Ask, admin: Dav, opened: Store, body: bytes) -> None:
    ask(admin, "PROPFIND", "/files/", PROPFIND, body)

    with transactions(opened) as begun:
        ask(admin, "PROPFIND", "/files/", PROPFIND, body)

    assert begun


def test_how_long_a_lock_lasts_is_told_as_it_is_now(ask: Ask, admin: Dav, opened: Store) -> None:
    write(opened, b"content")
    opened.namespace(Caller("admin", admin=True)).lock(FILE, LockRequest())
    ask(admin, "PROPFIND", "/files/a", PROPFIND)

    with transactions(opened) as begun:
        ask(admin, "PROPFIND", "/files/a", PROPFIND)

    assert begun


def test_requests_that_differ_in_their_bodies_alone_get_their_own_answers(ask: Ask, admin: Dav, opened: Store) -> None:
    write(opened, b"content")
    asked = b"<D:propfind xmlns:D='DAV:'><D:prop><D:%s/></D:prop></D:propfind>"
    first = ask(admin, "PROPFIND", "/files/a", PROPFIND, asked % b"getetag")
    second = ask(admin, "PROPFIND", "/files/a", PROPFIND, asked % b"getcontentlength")

    assert b"getetag" in first.body
    assert b"getcontentlength" in second.body
