"""What is given again, and that nothing is which was changed, taken back or forbidden since."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event

from core import store as stores
from core.model import Caller, LockRequest
from core.policy import BucketPolicy
from core.store import Store
from davstore.answers import CAPACITY, GATHERED_AT_ONCE, MOST_BYTES, OVERHEAD, Answers
from davstore.framing import HEAD
from davstore.request import Environ, Response
from tests.davstore.client import Answer, Dav
from tests.davstore.conftest import USERS
from tests.davstore.transactions import transactions

FILE = ("files", "a")
PROPFIND = {"Depth": "0"}
Change = Callable[[Store], object]


def ask(client: Dav, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
    """As our own server passes a request on: with its head as it came."""
    head = repr((method, target, headers, client.credentials)).encode()
    return Dav(client.application, client.credentials, {HEAD: head})(method, target, body, **(headers or {}))


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
    admin: Dav, opened: Store, method: str, headers: dict[str, str]
) -> None:
    write(opened, b"content")
    first = ask(admin, method, "/files/a", headers)

    with transactions(opened) as begun:
        second = ask(admin, method, "/files/a", headers)

    assert second == first
    assert first.status in {200, 207, 304}
    assert begun == []


@pytest.mark.parametrize("method", ["GET", "PROPFIND"])
def test_each_change_is_seen_by_the_next_request(admin: Dav, opened: Store, changer: Store, method: str) -> None:
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


def test_a_streamed_listing_is_given_again_without_asking_the_database(admin: Dav, long: Store) -> None:
    first = ask(admin, "PROPFIND", "/files/", LISTING)

    with transactions(long) as begun:
        second = ask(admin, "PROPFIND", "/files/", LISTING)

    assert len(first.hrefs) == 1 + MEMBERS
    assert first.header("Content-Length") is None
    assert (second.status, second.body) == (first.status, first.body)
    assert begun == []


def test_a_change_below_a_listing_is_seen_by_the_next_request(admin: Dav, long: Store, changer: Store) -> None:
    ask(admin, "PROPFIND", "/files/", LISTING)
    changer.namespace(Caller("admin", admin=True)).delete(("files", "007"))

    assert len(ask(admin, "PROPFIND", "/files/", LISTING).hrefs) == MEMBERS


def test_a_change_while_a_listing_is_sent_is_seen_by_the_next_request(admin: Dav, long: Store, changer: Store) -> None:
    head = b"the same"
    _, _, body = Dav(admin.application, admin.credentials, {HEAD: head}).start("PROPFIND", "/files/", b"", LISTING)
    sending = iter(body)
    next(sending)
    changer.namespace(Caller("admin", admin=True)).delete(("files", "007"))
    list(sending)

    again = Dav(admin.application, admin.credentials, {HEAD: head})("PROPFIND", "/files/", depth="1")

    assert len(again.hrefs) == MEMBERS


def test_a_listing_that_was_broken_off_is_not_given_again(admin: Dav, long: Store) -> None:
    head = b"the same"
    _, _, body = Dav(admin.application, admin.credentials, {HEAD: head}).start("PROPFIND", "/files/", b"", LISTING)
    next(iter(body))
    body.close()  # type: ignore[attr-defined]

    again = Dav(admin.application, admin.credentials, {HEAD: head})("PROPFIND", "/files/", depth="1")

    assert len(again.hrefs) == 1 + MEMBERS


@pytest.mark.parametrize("name", ["the password is another", "the user is gone"])
def test_a_listing_is_not_given_to_who_lost_the_right(bob: Dav, long: Store, changer: Store, name: str) -> None:
    revoke, status = REVOKED[name]
    assert [ask(bob, "PROPFIND", "/files/", LISTING).status for _ in range(2)] == [207, 207]

    revoke(changer)

    assert ask(bob, "PROPFIND", "/files/", LISTING).status == status


def test_a_listing_in_which_a_lock_is_told_is_made_each_time(admin: Dav, long: Store) -> None:
    long.namespace(Caller("admin", admin=True)).lock(("files", "149"), LockRequest())
    ask(admin, "PROPFIND", "/files/", LISTING)

    with transactions(long) as begun:
        ask(admin, "PROPFIND", "/files/", LISTING)

    assert begun


def made(answers: Answers, head: bytes, length: int, *, streamed: bool = False) -> tuple[Response, bool]:
    """An answer of so many bytes, and whether it was made anew."""
    calls: list[Environ] = []

    def make(environ: Environ) -> Response:
        calls.append(environ)
        blocks = (bytes(length // 2), bytes(length - length // 2))
        return Response(207, [], iter(blocks) if streamed else blocks, repeatable=True)

    response = answers.answer({HEAD: head, "REQUEST_METHOD": "PROPFIND", "REMOTE_ADDR": "::1"}, make)
    return response, bool(calls)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("length", "is_kept"), [(MOST_BYTES, True), (MOST_BYTES + 1, False)])
def test_only_answers_up_to_a_mebibyte_are_kept(length: int, is_kept: bool, streamed: bool) -> None:
    answers = Answers(lambda: 1)
    first, _ = made(answers, b"a", length, streamed=streamed)
    assert sum(map(len, first.body)) == length

    second, is_new = made(answers, b"a", length, streamed=streamed)

    assert sum(map(len, second.body)) == length
    assert is_new == (not is_kept)


def test_the_oldest_answers_make_room_for_new_ones() -> None:
    answers = Answers(lambda: 1)
    fitting = CAPACITY // (MOST_BYTES + OVERHEAD + len(b"0" + b"::1"))

    for n in range(fitting + 1):
        made(answers, b"%d" % n, MOST_BYTES)

    assert [made(answers, b"%d" % n, MOST_BYTES)[1] for n in range(fitting, 0, -1)] == [False] * fitting
    assert made(answers, b"0", MOST_BYTES)[1]


def test_few_streamed_answers_are_gathered_at_one_time() -> None:
    answers = Answers(lambda: 1)
    slow = [iter(made(answers, b"%d" % n, 1000, streamed=True)[0].body) for n in range(GATHERED_AT_ONCE + 1)]
    for body in slow:
        next(body)
    for body in slow:
        list(body)

    assert [made(answers, b"%d" % n, 1000)[1] for n in range(len(slow))] == [False] * GATHERED_AT_ONCE + [True]


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
def test_what_is_taken_back_is_not_given_again(bob: Dav, opened: Store, changer: Store, name: str) -> None:
    revoke, status = REVOKED[name]
    methods = ("GET", "HEAD", "PROPFIND")
    write(opened, b"content")
    assert all(ask(bob, method, "/files/a", PROPFIND).status // 100 == 2 for method in methods * 2)

    revoke(changer)

    assert [ask(bob, method, "/files/a", PROPFIND).status for method in methods] == [status] * 3


@pytest.mark.parametrize("name", REVOKED)
def test_what_is_taken_back_while_an_answer_is_made_is_not_given_again(
    bob: Dav, opened: Store, changer: Store, name: str
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


def test_an_answer_is_for_the_one_who_asked(admin: Dav, alone: Dav, opened: Store) -> None:
    write(opened, b"content")

    assert ask(admin, "GET", "/files/a").status == 200
    assert ask(alone, "GET", "/files/a").status == 401
    assert ask(alone.signed_in("admin", USERS["bob"]), "GET", "/files/a").status == 401


def test_a_bucket_that_becomes_private_is_so_for_the_next_request(admin: Dav, opened: Store, changer: Store) -> None:
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
def test_what_a_disk_has_room_for_is_asked_each_time(admin: Dav, opened: Store, body: bytes) -> None:
    ask(admin, "PROPFIND", "/files/", PROPFIND, body)

    with transactions(opened) as begun:
        ask(admin, "PROPFIND", "/files/", PROPFIND, body)

    assert begun


def test_how_long_a_lock_lasts_is_told_as_it_is_now(admin: Dav, opened: Store) -> None:
    write(opened, b"content")
    opened.namespace(Caller("admin", admin=True)).lock(FILE, LockRequest())
    ask(admin, "PROPFIND", "/files/a", PROPFIND)

    with transactions(opened) as begun:
        ask(admin, "PROPFIND", "/files/a", PROPFIND)

    assert begun


def test_requests_that_differ_in_their_bodies_alone_get_their_own_answers(admin: Dav, opened: Store) -> None:
    write(opened, b"content")
    asked = b"<D:propfind xmlns:D='DAV:'><D:prop><D:%s/></D:prop></D:propfind>"
    first = ask(admin, "PROPFIND", "/files/a", PROPFIND, asked % b"getetag")
    second = ask(admin, "PROPFIND", "/files/a", PROPFIND, asked % b"getcontentlength")

    assert b"getetag" in first.body
    assert b"getcontentlength" in second.body
