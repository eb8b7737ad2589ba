"""Older contents: which are kept, whose they are, and where they go with their file."""

import hashlib
from collections.abc import Callable

import pytest

from core import versions
from core.model import Caller, Path
from core.namespace import Namespace
from core.store import Store
from tests.parts import stores

FILE, OTHER, ABROAD = ("files", "file"), ("files", "other"), ("media", "file")
A, B, C, D = (f"{letter}: a content that has a blob of its own".encode() for letter in "abcd")


Kept = Callable[[Path], str]


@pytest.fixture
def kept(store: Store) -> Kept:
    """The versions of a file as the letters of their contents, oldest first."""
    letters = {hashlib.sha256(content).hexdigest(): content[:1].decode().upper() for content in (A, B, C, D)}

    def of(path: Path) -> str:
        return "".join(letters[version.digest] for version in reversed(store.recovery(stores.ANN).versions(path)))

    return of


def write(store: Store, *contents: tuple[str, bytes], path: Path = FILE) -> None:
    for by, content in contents:
        stores.put(store.namespace(Caller(by)), path, content)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ([("ann", A)], ""),
        ([("ann", A), ("ann", B)], "A"),
        ([("ann", A), ("ann", A)], ""),
        ([("ann", b""), ("ann", A)], ""),
        ([("ann", A), ("ann", b"")], "A"),
        ([("ann", A), ("ann", b""), ("ann", B), ("ann", C)], "A"),
        ([("ann", A), ("ann", B), ("ann", C), ("ann", D)], "A"),
        ([("ann", A), ("bob", B), ("ann", C)], "AB"),
        ([("ann", A), ("bob", B), ("bob", C), ("ann", D)], "AC"),
        ([("ann", A), ("ann", B), ("bob", B), ("bob", C)], "AB"),
    ],
)
def test_rewrites_by_one_principal_within_a_minute_are_one_version(
    store: Store, kept: Kept, contents: list[tuple[str, bytes]], expected: str
):
    """Empty contents and the same bytes again are none; a file's first content always is one."""
    write(store, *contents)

    assert kept(FILE) == expected


def test_a_burst_ends_a_minute_after_it_began(store: Store, kept: Kept, monkeypatch: pytest.MonkeyPatch):
    """Who saves every few seconds all day has more than the first content to go back to."""
    monkeypatch.setattr(versions, "BURST", 0)
    write(store, ("ann", A), ("ann", B), ("ann", C))

    assert kept(FILE) == "AB"


def test_a_version_says_what_it_was(store: Store, ann: Namespace):
    made = stores.put(ann, ("files", "a.txt"), A).node
    replaced = stores.put(store.namespace(stores.BOB), ("files", "a.txt"), B).node

    (version,) = store.recovery(stores.ANN).versions(("files", "a.txt"))
    assert (version.size, version.author, version.media_type) == (len(A), "ann", "text/plain")
    assert version.modified == made.modified
    assert version.replaced >= replaced.created


def test_a_save_by_rename_is_a_new_version_of_the_same_asset(store: Store, ann: Namespace, kept: Kept):
    write(store, ("ann", A), ("bob", B))
    asset = ann.node(FILE)
    stores.put(ann, OTHER, C)

    ann.move(OTHER, FILE)

    assert kept(FILE) == "AB"
    assert (ann.node(FILE).uid, ann.node(FILE).created) == (asset.uid, asset.created)
    assert stores.content(ann, FILE) == C


@pytest.mark.parametrize("source", [OTHER, ABROAD], ids=["here", "from another bucket"])
@pytest.mark.parametrize("verb", ["copy", "move"])
def test_the_same_content_over_a_file_is_no_version(store: Store, ann: Namespace, kept: Kept, verb: str, source: Path):
    for path in (FILE, source):
        stores.put(ann, path, A)

    getattr(ann, verb)(source, FILE)

    assert kept(FILE) == ""


def test_a_copy_over_a_file_keeps_what_was_there(store: Store, ann: Namespace, kept: Kept):
    stores.put(ann, FILE, A)
    stores.put(ann, OTHER, B)
    asset = ann.node(FILE)

    ann.copy(OTHER, FILE)

    assert kept(FILE) == "A"
    assert kept(OTHER) == ""
    assert ann.node(FILE).uid == asset.uid


def test_a_copy_starts_without_versions(store: Store, ann: Namespace, kept: Kept):
    write(store, ("ann", A), ("ann", B))
    ann.copy(FILE, OTHER)

    assert kept(OTHER) == ""


@pytest.mark.parametrize("target", [OTHER, ABROAD], ids=["here", "to another bucket"])
def test_versions_and_identity_go_along_with_a_move(store: Store, ann: Namespace, kept: Kept, target: Path):
    write(store, ("ann", A), ("bob", B), ("ann", C))
    asset = ann.node(FILE)

    ann.move(FILE, target)

    assert kept(target) == "AB"
    assert ann.node(target).uid == asset.uid
    assert stores.content(ann, target) == C


def test_versions_come_back_from_the_trash(store: Store, ann: Namespace, kept: Kept):
    write(store, ("ann", A), ("bob", B))
    ann.delete(FILE)
    recovery = store.recovery(stores.ANN)
    recovery.restore(recovery.trashed()[0].uid, OTHER)

    assert kept(OTHER) == "A"
