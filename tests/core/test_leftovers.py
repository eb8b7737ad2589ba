"""Drafts that outlived their mounts: the newest content stays the newest, and nothing that was promised is lost."""

import errno
import os
from pathlib import Path

import pytest

from core import kept_drafts
from core.errors import Locked, Refusal, StorageUnavailable, UnsupportedMediaType
from core.inode_rows import TOP, Inode
from core.inodes import Inodes, New
from core.leftovers import Leftovers
from core.model import OPERATOR, Caller, Instant, Kind, LockRequest, NodeId
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.store import Store
from tests.core.conftest import OpenStore
from tests.parts import stores

LARGE = os.urandom(200_000)
DOWN = StorageUnavailable("the storage", "is down")


@pytest.fixture
def inodes(store: Store) -> Inodes:
    return store.inodes(OPERATOR)


@pytest.fixture
def leftovers(store: Store) -> Leftovers:
    return store.leftovers


@pytest.fixture
def top(inodes: Inodes) -> NodeId:
    found = inodes.member(TOP, "files")
    assert found
    return found.id


def make(inodes: Inodes, parent: NodeId, name: str = "f") -> Inode:
    return inodes.make(parent, name, New(Kind.FILE, 0o644, 0, 0))


def write(inodes: Inodes, inode: Inode, content: bytes) -> Inode:
    draft = inodes.draft(inode)
    draft.write(content, 0)
    try:
        return inodes.write(inode.id, draft, None, durable=False)
    finally:
        draft.discard()


def leave(inodes: Inodes, inode: Inode, content: bytes, refusal: Refusal | None = None) -> None:
    """What a mount leaves behind that synchronised a draft, or could not publish it, and is gone."""
    draft = inodes.draft(inode)
    draft.write(content, 0)
    inodes.keep(inode, draft, Instant(5), refusal)
    draft.leave()


def content(inodes: Inodes, inode: Inode | None) -> bytes:
    assert inode
    found = inodes.find(inode.id)
    assert found
    if not found.size:
        return b""
    with inodes.open(found) as reader:
        return reader.read()


def older(store: Store, name: str = "f") -> list[tuple[int, str]]:
    """The sizes and authors of a file's versions, the newest first."""
    found = store.recovery(Caller("admin", admin=True)).versions(("files", name))
    return [(version.size, version.author) for version in found]


def test_a_kept_draft_is_published_once_its_owner_is_gone(
    inodes: Inodes, leftovers: Leftovers, top: NodeId, tmp_path: Path
):
    made = make(inodes, top)
    draft = inodes.draft(made)
    draft.write(b"promised", 0)
    inodes.keep(made, draft, Instant(5))
    assert leftovers.publish(inodes) == []
    assert [kept.path for kept in leftovers.listed()] == [("files", "f")]

    draft.leave()
    assert leftovers.publish(inodes) == []

    assert content(inodes, made) == b"promised"
    assert leftovers.listed() == []
    assert not list(tmp_path.rglob("kept.*"))


def test_a_kept_draft_survives_the_opening_of_its_directory(inodes: Inodes, checked: OpenStore, top: NodeId):
    made = make(inodes, top)
    leave(inodes, made, LARGE, DOWN)

    other = checked()

    (kept,) = other.leftovers.listed()
    assert (kept.size, kept.error) == (len(LARGE), "the storage: is down")
    assert other.leftovers.publish(inodes) == []
    assert content(inodes, made) == LARGE


def test_what_was_put_after_a_draft_was_synchronised_stays_and_the_draft_is_a_version(
    inodes: Inodes, leftovers: Leftovers, ann: Namespace, store: Store, top: NodeId, tmp_path: Path
):
    made = make(inodes, top)
    leave(inodes, made, LARGE)
    stores.put(ann, ("files", "f"), b"newer")

    assert leftovers.publish(inodes) == []

    assert content(inodes, made) == b"newer"
    assert older(store) == [(len(LARGE), OPERATOR.name)]
    assert leftovers.listed() == []
    assert not list(tmp_path.rglob("kept.*"))


def test_a_draft_counts_as_its_writers(inodes: Inodes, leftovers: Leftovers, store: Store, top: NodeId):
    made = write(inodes, make(inodes, top), b"first")
    leave(inodes, made, b"of the operator")

    leftovers.publish(store.inodes(Caller("bob", admin=True)))
    write(store.inodes(Caller("bob", admin=True)), made, b"of bob")

    assert older(store) == [(len(b"of the operator"), OPERATOR.name), (len(b"first"), OPERATOR.name)]


def test_a_chmod_or_a_second_write_of_the_same_bytes_does_not_make_a_draft_old(
    inodes: Inodes, leftovers: Leftovers, top: NodeId
):
    made = write(inodes, make(inodes, top), b"first")
    leave(inodes, made, b"promised")
    inodes.change(made.id, mode=0o600, modified=7)
    write(inodes, made, b"first")

    leftovers.publish(inodes)

    assert content(inodes, made) == b"promised"


def test_the_newest_of_several_drafts_is_the_content_and_the_others_are_versions(
    inodes: Inodes, leftovers: Leftovers, store: Store, top: NodeId
):
    made = make(inodes, top)
    for text in (b"1", b"22", b"333"):
        leave(inodes, made, text)

    assert leftovers.publish(inodes) == []

    assert content(inodes, made) == b"333"
    assert sorted(size for size, _ in older(store)) == [1, 2]


def test_a_draft_stays_the_newest_however_often_it_is_refused(checked: OpenStore):
    store = checked(small=BucketPolicy(quota=1000))
    inodes, leftovers = store.inodes(OPERATOR), store.leftovers
    top = inodes.member(TOP, "small")
    assert top
    made = make(inodes, top.id)
    leave(inodes, made, b"x" * 2000, DOWN)
    leave(inodes, made, b"y" * 3000, DOWN)

    assert len(leftovers.publish(inodes)) == 1
    assert len(leftovers.publish(inodes)) == 1
    store.change_bucket("small", BucketPolicy(quota=10_000))
    assert leftovers.publish(store.inodes(OPERATOR)) == []

    assert content(inodes, made) == b"y" * 3000


def test_the_newest_of_several_drafts_stays_the_newest_however_often_all_are_refused(
    inodes: Inodes, leftovers: Leftovers, ann: Namespace, top: NodeId
):
    made = make(inodes, top)
    for text in (b"1", b"22"):
        leave(inodes, made, text, DOWN)
    lock = ann.lock(("files", "f"), LockRequest()).lock
    for _ in range(3):
        assert [type(refusal) for refusal in leftovers.publish(inodes)] == [Locked, Locked]

    ann.unlock(("files", "f"), lock.token)
    assert leftovers.publish(inodes) == []

    assert content(inodes, made) == b"22"


def test_a_draft_of_unknown_beginning_is_the_content_and_what_it_replaces_is_a_version(
    inodes: Inodes, leftovers: Leftovers, store: Store, top: NodeId
):
    """As a program of the revision before records it."""
    made = write(inodes, make(inodes, top), b"first")
    leave(inodes, made._replace(digest=None), b"promised")
    write(inodes, made, b"second")

    leftovers.publish(inodes)

    assert content(inodes, made) == b"promised"
    assert older(store)[0][0] == len(b"second")


def test_a_write_that_succeeds_drops_what_was_refused_before(
    inodes: Inodes, leftovers: Leftovers, store: Store, top: NodeId, tmp_path: Path
):
    made = make(inodes, top)
    leave(inodes, made, LARGE, DOWN)

    write(inodes, made, b"NEW")

    assert leftovers.listed() == []
    assert not list(tmp_path.rglob("kept.*"))
    leftovers.publish(inodes)
    assert content(inodes, made) == b"NEW"
    assert older(store) == []


def test_a_write_is_done_although_what_was_refused_before_cannot_be_dropped(
    inodes: Inodes, leftovers: Leftovers, store: Store, top: NodeId, monkeypatch: pytest.MonkeyPatch
):
    made = make(inodes, top)
    leave(inodes, made, LARGE, DOWN)

    def broken(file: Path) -> int:
        raise OSError(errno.EIO, "the disk is broken", file)

    with monkeypatch.context() as disk:
        disk.setattr(kept_drafts, "take_over", broken)
        write(inodes, made, b"NEW")
    assert content(inodes, made) == b"NEW"

    assert leftovers.publish(inodes) == []
    assert content(inodes, made) == b"NEW"
    assert older(store) == [(len(LARGE), OPERATOR.name)]


def test_a_write_that_succeeds_keeps_what_another_was_promised(
    inodes: Inodes, leftovers: Leftovers, store: Store, top: NodeId
):
    made = make(inodes, top)
    leave(inodes, made, b"synchronised")
    draft = inodes.draft(made)
    draft.write(b"still open", 0)
    inodes.keep(made, draft, None, DOWN)

    write(inodes, made, b"NEW")

    assert len(leftovers.listed()) == 2
    draft.discard()
    leftovers.publish(inodes)
    assert content(inodes, made) == b"NEW"
    assert older(store) == [(len(b"synchronised"), OPERATOR.name)]


def test_what_its_bucket_does_not_take_stays_listed_and_is_tried_when_asked(checked: OpenStore):
    store = checked(pictures=BucketPolicy(types=("image/*",)))
    inodes, leftovers = store.inodes(OPERATOR), store.leftovers
    top = inodes.member(TOP, "pictures")
    assert top
    made = make(inodes, top.id, "f.txt")
    leave(inodes, made, b"no picture", UnsupportedMediaType("f.txt", "is text"))

    assert leftovers.publish(inodes) == []
    assert [(kept.error, kept.is_final) for kept in leftovers.listed()] == [("f.txt: is text", True)]
    assert len(leftovers.publish(inodes, final=True)) == 1

    store.change_bucket("pictures", BucketPolicy())
    assert leftovers.publish(store.inodes(OPERATOR), final=True) == []
    assert content(inodes, made) == b"no picture"


@pytest.mark.parametrize(("name", "data"), [("f.txt", b"no picture"), ("f.png", b"<html>no picture")])
def test_what_its_bucket_does_not_take_goes_with_its_file(checked: OpenStore, tmp_path: Path, name: str, data: bytes):
    store = checked(pictures=BucketPolicy(types=("image/*",)))
    inodes, leftovers = store.inodes(OPERATOR), store.leftovers
    top = inodes.member(TOP, "pictures")
    assert top
    leave(inodes, make(inodes, top.id, name), data, UnsupportedMediaType(name, "is text"))

    inodes.remove(top.id, name, collection=False)
    assert leftovers.publish(inodes) == []

    assert leftovers.listed() == []
    assert not list(tmp_path.rglob("kept.*"))
