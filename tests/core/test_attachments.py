"""Documents and attachments on both databases, as a host or a front end of the core uses them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table, insert

from core.attachment_lists import Filter, Order
from core.errors import AlreadyExists, Forbidden, NotFound, Unauthenticated
from core.model import OPERATOR, Caller, Rules
from core.policy import BucketPolicy
from core.references import Registry, Rule
from core.schema import objects
from core.store import Store
from tests.parts import stores
from tests.parts.stores import ANN, BOB, put

NOBODY, ADMIN = Caller(), Caller("root", admin=True)
DOC = ("files", "doc")


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    store = stores.opened(database_url, tmp_path / "data")
    yield store
    assert not store.verify().problems
    store.close()


def document(store: Store, caller: Caller, path: tuple[str, ...] = DOC, **rules: object) -> str:
    namespace = store.namespace(caller)
    namespace.make_collection(path)
    given = Rules(visibility="private")
    return namespace.set_properties(path, (), rules=replace(given, **rules)).uid  # pyright: ignore[reportArgumentType]


def attached(store: Store, caller: Caller, content: bytes = b"x" * 99, document: str | None = None, **given: str):
    attachments = store.attachments(caller)
    home = attachments.home("files", document)
    with store.namespace(caller).stage((*home, "x")) as draft:
        draft.write(content)
        return attachments.create(home, draft, given.get("filename", "a.txt"), "", given.get("id_"))


def names(store: Store, caller: Caller, of: Filter = Filter(), order: Order = "filename") -> list[str]:  # noqa: B008
    found: list[str] = []
    after = None
    while True:
        page = store.list_attachments(caller, of, order, after, 2)
        found += [each.node.name for each in page.attachments]
        if page.end is None:
            return found
        after = page.end


def test_attachments_come_in_pages_of_every_order(store: Store) -> None:
    doc = document(store, ANN)
    for n, name in enumerate(("c", "ä", "B", "a", "z")):
        attached(store, ANN, b"x" * n, doc if n % 2 else None, filename=name)
    attached(store, BOB, filename="bobs")

    assert names(store, ANN) == ["B", "a", "c", "z", "ä"]
    assert names(store, ANN, order="-filename") == ["ä", "z", "c", "a", "B"]
    assert names(store, ANN, order="created") == names(store, ANN, order="size") == ["c", "ä", "B", "a", "z"]
    assert names(store, ANN, order="-created") == ["z", "a", "B", "ä", "c"]
    assert names(store, ANN, Filter(filename="A")) == ["a"]
    assert names(store, ANN, Filter(store.attachments(ANN).document(doc))) == ["a", "ä"]


def test_a_listing_shows_no_document_in_a_document_of_somebody_elses(store: Store) -> None:
    document(store, ANN)
    store.namespace(OPERATOR).make_collection((*DOC, "inner"))
    store.namespace(OPERATOR).set_properties((*DOC, "inner"), (), rules=Rules(owner="bob", visibility="private"))
    put(store.namespace(BOB), (*DOC, "inner", "his"))
    put(store.namespace(ANN), (*DOC, "hers"))

    assert names(store, ANN) == ["hers"]
    assert names(store, BOB) == ["his"]
    assert [node.name for node in stores.members(store.namespace(ANN), DOC)] == ["hers"]
    with pytest.raises(Forbidden):
        store.namespace(ANN).delete(DOC)


def test_the_operator_gives_a_document_away_and_dissolves_it(store: Store) -> None:
    document(store, ANN)
    operator = store.namespace(OPERATOR)

    operator.set_properties(DOC, (), rules=Rules(owner="bob"))
    assert (store.namespace(ANN).find(DOC), store.namespace(ADMIN).find(DOC)) == (None, None)
    assert store.namespace(BOB).find(DOC)
    operator.set_properties(DOC, (), rules=Rules(owner="", visibility="inherit"))

    assert store.namespace(ANN).find(DOC)
    with pytest.raises(Forbidden):
        store.namespace(ANN).set_properties(DOC, (), rules=Rules(owner="ann"))


def test_a_chosen_id_is_no_uid_and_goes_with_its_file(store: Store) -> None:
    made = attached(store, ANN, id_="mine")

    with pytest.raises(AlreadyExists):
        attached(store, ANN, id_="mine")
    with pytest.raises(AlreadyExists):
        attached(store, ANN, id_=made.node.uid)
    assert store.assets(ANN).file("mine").uid == store.assets(ANN).file(made.node.uid).uid
    store.attachments(ANN).delete(["mine"])
    store.recovery(OPERATOR).empty_trash()
    assert attached(store, ANN, id_="mine").id == "mine"


def test_a_name_of_a_file_with_several_shows_it_to_whom_it_is_shown(store: Store) -> None:
    put(store.namespace(ANN), ("files", "open"), b"x" * 99)
    document(store, ANN)
    inodes = store.inodes(OPERATOR)
    opened = store.namespace(ANN).node(("files", "open"))
    inodes.link(opened.id, store.namespace(ANN).node(DOC).id, "linked")

    assert store.assets(BOB).file(opened.uid).path == ("files", "open")
    assert store.assets(ANN).content(opened.object_uid).is_public is False
    store.namespace(ANN).delete(("files", "open"))
    assert store.assets(ANN).file(opened.uid).path == (*DOC, "linked")
    with pytest.raises(Forbidden):
        store.assets(BOB).file(opened.uid)


@pytest.mark.parametrize(
    ("visibility", "refused"),
    [("public", {}), ("protected", {NOBODY: Unauthenticated}), ("private", {NOBODY: Unauthenticated, BOB: Forbidden})],
)
def test_what_a_host_s_row_refers_to_is_shown_by_its_buckets_visibility(
    database_url: str, tmp_path: Path, visibility: str, refused: dict[Caller, type[Exception]]
) -> None:
    policy = BucketPolicy.model_validate({"inline_below": 16, "visibility": visibility})
    store = stores.opened(database_url, tmp_path / "data", files=policy)
    host = Table("host_rows", MetaData(), Column("photo", objects.c.uid.type, ForeignKey(objects.c.uid)))
    document(store, ANN, visibility="private")
    seen, unseen = (put(store.namespace(ANN), (*DOC, name), name.encode() * 99).node for name in ("seen", "unseen"))
    with store.database.write() as tx:
        host.create(tx.connection)
        tx.execute(insert(host).values(photo=seen.object_uid))
    rules = {seen.bucket: (Rule("host_rows.photo", host.c.photo, by_uid=True),)}
    hosting = replace(store, registry=Registry(rules))

    for caller in (NOBODY, BOB):
        with pytest.raises(Forbidden if caller.name else Unauthenticated):
            hosting.assets(caller).content(unseen.object_uid)
        if caller in refused:
            with pytest.raises(refused[caller]):
                hosting.assets(caller).content(seen.object_uid)
        else:
            assert hosting.assets(caller).content(seen.object_uid).node.size == seen.size
    with store.database.write() as tx:
        host.drop(tx.connection)
    store.close()


def test_an_object_that_nothing_shows_any_more_is_not_there(store: Store) -> None:
    node = put(store.namespace(ANN), ("files", "a"), b"x" * 99).node
    put(store.namespace(ANN), ("files", "a"), b"y" * 99)

    with pytest.raises(NotFound):
        store.assets(ANN).content(node.object_uid)


def test_a_secret_is_made_once_and_an_app_password_ends_with_its_user(store: Store) -> None:
    store.accounts.add("ann", "secret")
    _, secret = store.app_passwords.create("ann", "phone")
    assert store.app_passwords.verify("ann", secret) == Caller("ann")
    assert store.app_passwords.verify("ann", secret + "x") is None
    assert store.tokens.verify(store.tokens.issue(Caller("ann"))) == Caller("ann")

    store.accounts.add("root", "secret", admin=True)
    store.accounts.remove("ann")

    assert store.app_passwords.verify("ann", secret) is None
