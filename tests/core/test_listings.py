"""Members as columns: they tell what the nodes do, on each database, however they are cut into pages."""

from dataclasses import fields

import pytest

from core import listings
from core.inodes import New
from core.listings import Members
from core.model import Caller, Instant, Kind, LockRequest, Node, NodeId, Path, PropertyChange, PropertyName, Rules
from core.namespace import Namespace
from core.store import Store
from tests.parts.stores import ANN, put

D = ("files", "d")
NAMES = ("a", "B", "c d", "e%20f", "g&h<i>", "\u00e9", "\u00f6", "\u65e5\u672c", "\U0001f600", "'\"", "z.txt", "Z")
COLOUR = PropertyName("urn:x", "colour")
EVERYTHING = frozenset(field.name for field in fields(Members))
COLUMNS = ("name", "id", "uid", "size", "media_type", "created", "modified", "mode", "expires", "etag")
OWNER = Caller("operator", admin=True, unbound=True)


@pytest.fixture
def filled(ann: Namespace) -> Namespace:
    ann.make_collection(D)
    for n, name in enumerate(NAMES):
        if n % 3:
            put(ann, (*D, name), name.encode() * n)
        else:
            ann.make_collection((*D, name))
    return ann


def pages(namespace: Namespace, path: Path, limit: int) -> list[Members]:
    return list(namespace.members_of(namespace.node(path), EVERYTHING, limit))


def nodes(namespace: Namespace, path: Path) -> list[Node]:
    return [node for page in namespace.children(path) for node in page if node.kind in listings.SHOWN]


def rows(found: list[Members]) -> list[tuple[object, ...]]:
    return [row for page in found for row in zip(*(getattr(page, column) for column in COLUMNS), strict=True)]


@pytest.mark.parametrize("limit", [1, 2, 5, len(NAMES), 100])
def test_columns_tell_what_nodes_do(filled: Namespace, limit: int) -> None:
    expected = nodes(filled, D)

    found = pages(filled, D, limit)

    assert rows(found) == [tuple(getattr(node, column) for column in COLUMNS) for node in expected]
    assert [page.path(n) for page in found for n in range(len(page))] == [node.path for node in expected]
    assert [Kind(kind) for page in found for kind in page.kind] == [node.kind for node in expected]
    assert [uid or "" for page in found for uid in page.object_uid] == [node.object_uid for node in expected]
    assert [digest for page in found for digest in page.digest] == [
        node.content.digest if node.content else None for node in expected
    ]
    assert all(len(page) <= limit for page in found)


def test_nothing_is_read_that_nobody_wants(filled: Namespace) -> None:
    (page,) = filled.members_of(filled.node(D), frozenset(("size",)))

    assert len(page.size) == len(page.name) == len(page.kind) == len(NAMES)
    assert (page.id, page.uid, page.etag, page.digest, page.access) == ((), (), (), (), ())
    assert (page.locks, page.properties, page.pictures) == (None, None, None)


def test_what_only_posix_knows_is_not_listed(store: Store, filled: Namespace) -> None:
    inodes = store.inodes(ANN)
    inodes.make(filled.node(D).id, "link", New(Kind.SYMLINK, 0o777, 0, 0, target="a"))

    assert "link" not in [name for page in pages(filled, D, 3) for name in page.name]
    assert "link" in [node.name for page in filled.children(D) for node in page]


def test_each_member_has_its_dead_properties(filled: Namespace) -> None:
    expected: dict[NodeId, dict[PropertyName, str]] = {}
    for name in NAMES[::2]:
        xml = f"<x:colour xmlns:x='urn:x'>{len(name)}</x:colour>"
        node = filled.set_properties((*D, name), [PropertyChange(COLOUR, xml)])
        expected[node.id] = {COLOUR: xml}

    found = [page.properties for page in pages(filled, D, 4)]

    assert {node: kept for page in found if page for node, kept in page.items()} == expected


def test_a_page_ends_before_its_dead_properties_are_too_many(
    filled: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "MOST_XML", 100)
    for name in NAMES[:6]:
        filled.set_properties((*D, name), [PropertyChange(COLOUR, "x" * 60)])

    found = pages(filled, D, 100)

    assert [name for page in found for name in page.name] == [node.name for node in nodes(filled, D)]
    assert max(len(page.properties or {}) for page in found) == 1
    assert sum(len(page.properties or {}) for page in found) == 6


def test_each_member_has_the_locks_that_cover_it(filled: Namespace) -> None:
    own = filled.lock((*D, "a"), LockRequest(infinite=False)).lock

    found = {node: locks for page in pages(filled, D, 4) for node, locks in (page.locks or {}).items()}

    assert {node: [lock.token for lock in locks] for node, locks in found.items()} == {
        filled.node((*D, "a")).id: [own.token]
    }
    assert [lock.root for locks in found.values() for lock in locks] == [(*D, "a")]


def test_what_the_caller_may_not_read_is_not_listed(store: Store, filled: Namespace, bob: Namespace) -> None:
    operator = store.namespace(OWNER)
    operator.set_properties((*D, "a"), (), rules=Rules(owner=ANN.name, visibility="private"))
    operator.set_properties((*D, "\u00f6"), (), rules=Rules(owner=ANN.name, visibility="public"))

    for namespace, is_hidden in ((filled, False), (bob, True)):
        found = pages(namespace, D, 3)
        told = [(page.name[n], access) for page in found for n, access in enumerate(page.access)]
        assert told == [(node.name, node.access) for node in nodes(namespace, D)]
        assert ("a" not in dict(told)) == is_hidden
        assert [access.visibility for name, access in told if name == "\u00f6" and access] == ["public"]


def test_a_collection_without_members_has_no_page(ann: Namespace) -> None:
    ann.make_collection(D)

    assert pages(ann, D, 10) == []


def test_the_root_lists_the_buckets(ann: Namespace) -> None:
    assert [page.name for page in pages(ann, (), 10)] == [["files", "media"]]


def test_times_before_1970_are_listed(ann: Namespace) -> None:
    ann.make_collection(D, modified=Instant(-1))

    (page,) = pages(ann, ("files",), 10)

    assert page.modified == (-1,)
