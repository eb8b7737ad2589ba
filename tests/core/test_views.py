"""The trash and the versions as trees, on each database: found by name, taken out, ended; each verb all or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import event

from core import stamps
from core.errors import AlreadyExists, Forbidden, NotFound, PreconditionFailed
from core.model import Expect, Instant, Kind, Look, Node, Path, Removal, Version
from core.namespace import Namespace
from core.paths import NAME_BYTES
from core.store import Store
from core.trash_tree import TrashTree
from core.version_tree import VersionTree
from core.views import View
from tests.parts.stores import ANN, BOB, content, put

TRASH, VERSIONS = ("gone",), ("older",)
BIG = b"a content that has a blob of its own"
MIDNIGHT = Instant(1_795_305_599_000_000_000)
UID = "01a200c3-56a0-75a4-a795-6edc0badcafe"


@pytest.fixture
def trash(ann: Namespace) -> View:
    return View(ann, TrashTree(), TRASH)


@pytest.fixture
def older(ann: Namespace) -> View:
    return View(ann, VersionTree(), VERSIONS)


def shown(view: View, path: Path, page: int = 2) -> list[Node]:
    return [node for nodes in view.children_of(view.node(path), page) for node in nodes]


def read(view: View, node: Node) -> bytes:
    with view.open(node) as file:
        return file.read()


@contextmanager
def failing(store: Store, nth: int) -> Iterator[None]:
    """The n-th statement of this thread's transactions that changes something fails."""
    left = nth

    def count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        nonlocal left
        if statement.split(maxsplit=1)[0] in {"INSERT", "UPDATE", "DELETE"}:
            left -= 1
            if left == 0:
                raise InterruptedError

    event.listen(store.database.engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(store.database.engine, "before_cursor_execute", count)


def test_every_entry_is_found_by_the_name_under_which_it_is_listed(ann: Namespace, trash: View):
    ann.make_collection(("files", "c"))
    put(ann, ("files", "c", "inside"), BIG)
    for n in range(5):
        put(ann, ("files", "same.txt"), b"%d" % n)
        ann.delete(("files", "same.txt"))
    ann.delete(("files", "c"))

    listed = shown(trash, (*TRASH, "files"))

    assert [trash.node(node.path) for node in listed] == listed
    assert [read(trash, node) for node in listed[1:]] == [b"4", b"3", b"2", b"1", b"0"]
    assert shown(trash, (*TRASH, "media")) == []
    (inside,) = shown(trash, listed[0].path)
    assert inside.path == (*listed[0].path, "inside")
    assert read(trash, trash.node(inside.path)) == BIG
    assert isinstance(listed[0].past, Removal)
    assert (listed[0].past.path, listed[0].past.by) == (("files", "c"), "ann")


def test_a_member_leaves_the_trash_alone_and_the_rest_can_follow(ann: Namespace, trash: View):
    ann.make_collection(("files", "c"))
    node = put(ann, ("files", "c", "inside"), BIG).node
    ann.delete(("files", "c"))
    (top,) = shown(trash, (*TRASH, "files"))

    outcome = trash.move((*top.path, "inside"), ("files", "inside"))

    assert outcome.created
    assert (outcome.node.uid, outcome.node.path) == (node.uid, ("files", "inside"))
    assert shown(trash, top.path) == []
    assert trash.move(top.path, ("media", "c")).node.uid == top.uid
    assert trash.find(top.path) is None


def test_a_copy_out_of_the_trash_refers_to_the_same_object(ann: Namespace, trash: View):
    put(ann, ("files", "a"), BIG)
    ann.delete(("files", "a"))
    (entry,) = shown(trash, (*TRASH, "files"))

    made = trash.copy(entry.path, ("files", "b")).node

    assert made.object == entry.object
    assert made.uid != entry.uid


def test_what_came_back_to_another_bucket_has_its_versions_there(ann: Namespace, trash: View, older: View):
    put(ann, ("files", "a"), BIG)
    put(ann, ("files", "a"), b"present")
    ann.delete(("files", "a"))
    (entry,) = shown(trash, (*TRASH, "files"))

    trash.move(entry.path, ("media", "a"))

    (version,) = shown(older, (*VERSIONS, "media", "a"))
    assert read(older, version) == BIG
    assert version.bucket == ann.node(("media",)).bucket


def test_a_version_is_found_by_the_name_under_which_it_is_listed(store: Store, ann: Namespace, older: View):
    bob = store.namespace(BOB)
    put(ann, ("files", "a.txt"), BIG)
    put(bob, ("files", "a.txt"), b"1")
    put(ann, ("files", "a.txt"), b"2")

    listed = shown(older, (*VERSIONS, "files", "a.txt"))

    assert [older.node(node.path) for node in listed] == listed
    assert [read(older, node) for node in listed] == [b"1", BIG]
    assert [node.past.author for node in listed if isinstance(node.past, Version)] == ["bob", "ann"]


def test_a_version_taken_to_another_bucket_has_an_object_there(ann: Namespace, older: View):
    put(ann, ("files", "a"), BIG)
    put(ann, ("files", "a"), b"present")
    (version,) = shown(older, (*VERSIONS, "files", "a"))

    made = older.move(version.path, ("media", "a")).node

    assert content(ann, ("media", "a")) == BIG
    assert made.object != version.object
    assert shown(older, (*VERSIONS, "files", "a")) == []


def test_expectations_see_the_view_and_the_namespace(ann: Namespace, trash: View):
    put(ann, ("files", "a"), BIG)
    ann.delete(("files", "a"))
    put(ann, ("files", "b"), b"there")
    (entry,) = shown(trash, (*TRASH, "files"))
    seen: list[str | None] = []

    def check(look: Look) -> None:
        for path in (entry.path, ("files", "b"), (*TRASH, "files", "a")):
            node = look.node(path)
            seen.append(node and node.etag)
        raise PreconditionFailed(entry.path)

    with pytest.raises(PreconditionFailed):
        trash.move(entry.path, ("files", "c"), expect=Expect(check))

    assert seen == [entry.etag, ann.node(("files", "b")).etag, None]
    assert trash.find(entry.path) == entry


@pytest.mark.parametrize("nth", range(1, 12))
def test_taking_out_over_a_file_happens_whole_or_not_at_all(store: Store, ann: Namespace, trash: View, nth: int):
    put(ann, ("files", "a"), BIG)
    ann.delete(("files", "a"))
    put(ann, ("files", "a"), b"in the way")
    before = (ann.node(("files", "a")), shown(trash, (*TRASH, "files")))
    (entry,) = before[1]

    try:
        with failing(store, nth):
            trash.move(entry.path, ("files", "a"))
    except InterruptedError:
        assert (ann.node(("files", "a")), shown(trash, (*TRASH, "files"))) == before
    else:
        assert content(ann, ("files", "a")) == BIG


@pytest.mark.parametrize("nth", range(1, 9))
def test_moving_a_version_over_its_file_happens_whole_or_not_at_all(
    store: Store, ann: Namespace, older: View, nth: int
):
    put(ann, ("files", "a"), BIG)
    put(ann, ("files", "a"), b"present")
    before = (ann.node(("files", "a")), shown(older, (*VERSIONS, "files", "a")))
    (version,) = before[1]

    try:
        with failing(store, nth):
            older.move(version.path, ("files", "a"))
    except InterruptedError:
        assert (ann.node(("files", "a")), shown(older, (*VERSIONS, "files", "a"))) == before
    else:
        assert content(ann, ("files", "a")) == BIG


@pytest.mark.parametrize("path", [TRASH, (*TRASH, "files")])
def test_lists_are_not_taken_out(trash: View, path: Path):
    with pytest.raises(Forbidden):
        trash.move(path, ("files", "x"))


@pytest.mark.parametrize("act", [View.move, View.copy])
def test_nothing_is_replaced_where_that_is_not_wanted(ann: Namespace, trash: View, act: Callable[..., object]):
    put(ann, ("files", "a"), BIG)
    ann.delete(("files", "a"))
    put(ann, ("files", "a"), b"in the way")
    (entry,) = shown(trash, (*TRASH, "files"))

    with pytest.raises(AlreadyExists):
        act(trash, entry.path, ("files", "a"), overwrite=False)
    with pytest.raises(NotFound):
        act(trash, (*TRASH, "files", "no"), ("files", "b"))


def test_readers_change_nothing(store: Store, ann: Namespace, trash: View):
    put(ann, ("files", "a"), BIG)
    ann.delete(("files", "a"))
    (entry,) = shown(trash, (*TRASH, "files"))
    reader = View(store.namespace(replace(ANN, may_write=False)), TrashTree(), TRASH)

    with pytest.raises(Forbidden):
        reader.delete(entry.path)
    with pytest.raises(Forbidden):
        reader.move(entry.path, ("files", "a"))
    assert reader.find(entry.path) == entry


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a.txt", Kind.FILE, "a.2026-11-21T23-59-59Z.0badcafe.txt"),
        ("a.txt", Kind.COLLECTION, "a.txt.2026-11-21T23-59-59Z.0badcafe"),
        (".profile", Kind.FILE, ".profile.2026-11-21T23-59-59Z.0badcafe"),
        ("no extension at all. This is a sentence", Kind.FILE, None),
        ("Ω" * 127, Kind.FILE, None),
        ("x" * 240 + ".jpeg", Kind.FILE, None),
    ],
)
def test_a_stamped_name_tells_when_and_fits(name: str, kind: Kind, expected: str | None):
    stamped = stamps.stamped(name, kind, MIDNIGHT, UID)

    assert stamped == (expected or stamped)
    assert len(stamped.encode()) <= NAME_BYTES
    assert stamps.read(stamped) == (MIDNIGHT, "0badcafe")


@pytest.mark.parametrize("name", ["a.txt", "2026-11-21T23-59-59Z", "2026-13-21T23-59-59Z.0badcafe", "x.0badcafe"])
def test_a_name_without_a_stamp_has_none(name: str):
    assert stamps.read(name) is None
