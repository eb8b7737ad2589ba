"""The tree by node ids, on both databases; every test ends with `verify`."""

import os
from collections.abc import Callable

import pytest
from sqlalchemy import text

from core.errors import AlreadyExists, InvalidMove, InvalidPath, Locked, NotEmpty, NotFound, QuotaExceeded
from core.inode_rows import TOP, Inode
from core.inodes import Inodes, New
from core.model import OPERATOR, Instant, Kind, LockRequest, NodeId, PropertyChange, PropertyName
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.store import Store
from tests.core.conftest import OpenStore
from tests.parts import stores

LARGE = os.urandom(200_000)


@pytest.fixture
def inodes(store: Store) -> Inodes:
    return store.inodes(OPERATOR)


@pytest.fixture
def top(inodes: Inodes) -> NodeId:
    found = inodes.member(TOP, "files")
    assert found
    return found.id


def make(inodes: Inodes, parent: NodeId, name: str, kind: Kind = Kind.FILE) -> Inode:
    return inodes.make(parent, name, New(kind, 0o644, 0, 0))


def write(inodes: Inodes, inode: Inode, content: bytes) -> Inode:
    draft = inodes.draft(inode)
    draft.write(content, 0)
    try:
        return inodes.write(inode.id, draft, None, durable=False)
    finally:
        draft.discard()


def content(inodes: Inodes, inode: Inode | None) -> bytes:
    assert inode
    with inodes.open(inode) as reader:
        return reader.read()


def test_what_is_made_by_ids_is_there_by_paths(inodes: Inodes, ann: Namespace, top: NodeId):
    made = make(inodes, make(inodes, top, "d", Kind.COLLECTION).id, "f.txt")

    write(inodes, made, b"hello")

    node = ann.node(("files", "d", "f.txt"))
    assert (node.id, node.size, node.media_type) == (made.id, 5, "text/plain")
    assert ann.open(node).read() == b"hello"


def test_a_collection_is_read_in_pages_by_name(inodes: Inodes, top: NodeId):
    for name in "bca":
        make(inodes, top, name)

    assert [name for name, _ in inodes.members(top, "", 2)] == ["a", "b"]
    assert [name for name, _ in inodes.members(top, "b", 2)] == ["c"]


def test_a_name_that_is_taken_stays(inodes: Inodes, top: NodeId):
    make(inodes, top, "f")

    with pytest.raises(AlreadyExists):
        make(inodes, top, "f", Kind.COLLECTION)


def test_a_second_name_counts_and_keeps_the_node(inodes: Inodes, top: NodeId):
    made = write(inodes, make(inodes, top, "f"), b"shared")

    assert inodes.link(made.id, top, "g").links == 2
    inodes.remove(top, "f", collection=False)

    left = inodes.member(top, "g")
    assert left
    assert left.links == 1
    assert content(inodes, left) == b"shared"


def test_a_file_renamed_over_another_is_a_new_version_of_it(inodes: Inodes, ann: Namespace, store: Store, top: NodeId):
    write(inodes, make(inodes, top, "f.html"), b"old")
    uid = ann.node(("files", "f.html")).uid
    write(inodes, make(inodes, top, "f.tmp"), b"new")

    inodes.rename(top, "f.tmp", top, "f.html", replace=True)

    node = ann.node(("files", "f.html"))
    assert (node.uid, node.media_type) == (uid, "text/html")
    assert ann.open(node).read() == b"new"
    assert [version.size for version in store.recovery(stores.ANN).versions(("files", "f.html"))] == [3]


def test_two_nodes_exchange_their_names(inodes: Inodes, top: NodeId):
    file = write(inodes, make(inodes, top, "f"), b"file")
    folder = make(inodes, top, "d", Kind.COLLECTION)
    inner = make(inodes, folder.id, "inner")

    inodes.exchange(top, "f", top, "d")

    found = inodes.member(top, "f"), inodes.member(top, "d")
    assert [inode and inode.id for inode in found] == [folder.id, file.id]
    assert inodes.member(folder.id, "inner") == inner


def test_a_collection_does_not_come_to_lie_in_itself(inodes: Inodes, top: NodeId):
    folder = make(inodes, top, "d", Kind.COLLECTION)
    below = make(inodes, folder.id, "below", Kind.COLLECTION)

    with pytest.raises(InvalidPath):
        inodes.rename(top, "d", below.id, "d", replace=True)


def test_what_has_members_is_neither_removed_nor_replaced(inodes: Inodes, top: NodeId):
    folder = make(inodes, top, "d", Kind.COLLECTION)
    make(inodes, folder.id, "f")
    make(inodes, top, "e", Kind.COLLECTION)

    with pytest.raises(NotEmpty):
        inodes.remove(top, "d", collection=True)
    with pytest.raises(NotEmpty):
        inodes.rename(top, "e", top, "d", replace=True)


def test_nothing_is_made_in_what_was_removed(inodes: Inodes, top: NodeId):
    folder = make(inodes, top, "d", Kind.COLLECTION)
    inodes.remove(top, "d", collection=True)

    with pytest.raises(NotFound):
        make(inodes, folder.id, "f")


def test_a_bucket_without_trash_keeps_nothing_and_touches_what_it_held(checked: OpenStore):
    store = checked(quick=BucketPolicy(trash=None))
    inodes = store.inodes(OPERATOR)
    top = inodes.member(TOP, "quick")
    assert top
    write(inodes, make(inodes, top.id, "f"), LARGE)

    inodes.remove(top.id, "f", collection=False)

    usage = {bucket.bucket: bucket for bucket in store.usage()}["quick"]
    assert (usage.files, usage.logical_bytes) == (0, 0)
    assert store.collect_garbage(grace=0, retention=0).purged >= 1


def test_buckets_are_apart(checked: OpenStore):
    store = checked(other=BucketPolicy())
    inodes = store.inodes(OPERATOR)
    here, there = inodes.member(TOP, "files"), inodes.member(TOP, "other")
    assert here
    assert there
    made = make(inodes, here.id, "f")

    with pytest.raises(InvalidMove):
        inodes.rename(here.id, "f", there.id, "f", replace=True)
    with pytest.raises(InvalidMove):
        inodes.link(made.id, there.id, "f")


def test_a_lock_stands_in_the_way_of_all_changes(inodes: Inodes, ann: Namespace, top: NodeId):
    made = write(inodes, make(inodes, top, "f"), b"locked")
    ann.lock(("files", "f"), LockRequest())

    with pytest.raises(Locked):
        inodes.check_writable(made.id)
    with pytest.raises(Locked):
        write(inodes, made, b"changed")
    with pytest.raises(Locked):
        inodes.remove(top, "f", collection=False)
    with pytest.raises(Locked):
        inodes.rename(top, "f", top, "g", replace=True)


def test_the_quota_counts(checked: OpenStore):
    store = checked(small=BucketPolicy(quota=100_000))
    inodes = store.inodes(OPERATOR)
    top = inodes.member(TOP, "small")
    assert top
    made = make(inodes, top.id, "f")

    with pytest.raises(QuotaExceeded):
        write(inodes, made, LARGE)

    assert content(inodes, inodes.find(made.id)) == b""


def test_times_are_exact_before_and_after_1970(inodes: Inodes, top: NodeId):
    made = make(inodes, top, "f")

    changed = inodes.change(made.id, modified=-1_000_000_001, accessed=4_102_444_800_000_000_001)

    assert (changed.modified, changed.accessed) == (-1_000_000_001, 4_102_444_800_000_000_001)


def test_a_draft_written_anywhere_has_the_bytes_of_all_writes(inodes: Inodes, top: NodeId):
    made = write(inodes, make(inodes, top, "f"), LARGE)
    draft = inodes.draft(made)
    with inodes.open(made) as reader:
        draft.start_from(reader.fileno(), made.size)

    draft.write(b"middle", 100_000)
    draft.punch(10, 20)
    draft.truncate(150_000)
    inodes.write(made.id, draft, Instant(7), durable=True)
    draft.discard()

    expected = bytearray(LARGE[:150_000])
    expected[100_000:100_006], expected[10:30] = b"middle", bytes(20)
    found = inodes.find(made.id)
    assert found
    assert found.modified == 7
    assert content(inodes, found) == expected


def test_there_is_no_room_where_there_is_no_bucket(store: Store, inodes: Inodes):
    with store.database.write() as tx:
        tx.execute(text("DELETE FROM nodes"))
        tx.execute(text("DELETE FROM buckets"))

    assert inodes.room(TOP) == (0, 0, 0)


@pytest.mark.parametrize("above", [0o755, 0o2755], ids=["usual", "gives-its-group"])
@pytest.mark.parametrize(
    "new",
    [
        New(Kind.FILE, 0o640, 4242, 4300),
        New(Kind.COLLECTION, 0o751, 4242, 4300),
        New(Kind.SYMLINK, 0o777, 4242, 4300, target="é/elsewhere"),
        New(Kind.SPECIAL, 0o010600, 4242, 4300, rdev=77),
    ],
    ids=lambda new: new.kind.value,
)
def test_a_new_node_is_given_as_it_is_read_later(inodes: Inodes, top: NodeId, new: New, above: int):
    folder = inodes.make(top, "d", New(Kind.COLLECTION, above, 0, 4400))

    made = inodes.make(folder.id, "made", new)

    assert made == inodes.get(made.id)
    assert made.gid_number == (4400 if above == 0o2755 else 4300)


@pytest.mark.parametrize("length", [5, 5000], ids=["inline", "blob"])
def test_a_written_file_is_given_as_it_is_read_later(inodes: Inodes, top: NodeId, length: int):
    made = make(inodes, top, "f")
    draft = inodes.draft(made)
    draft.write(os.urandom(length), 0)

    written = inodes.write(made.id, draft, Instant(7), accessed=Instant(5), durable=True)

    draft.discard()
    assert written == inodes.get(made.id)
    assert (written.modified, written.accessed, written.size) == (7, 5, length)
    assert content(inodes, written) != b""


CHANGES: list[Callable[[Inodes, NodeId, Inode], object]] = [
    lambda inodes, folder, file: write(inodes, file, b"there, longer"),
    lambda inodes, folder, file: inodes.change(file.id, mode=0o600),
    lambda inodes, folder, file: inodes.set_property(file.id, PropertyChange(PropertyName("urn:x", "p"), "<p/>")),
    lambda inodes, folder, file: inodes.link(file.id, folder, "g"),
    lambda inodes, folder, file: inodes.rename(folder, "f", folder, "g", replace=True),
    lambda inodes, folder, file: inodes.exchange(folder, "f", folder, "other"),
    lambda inodes, folder, file: inodes.remove(folder, "f", collection=False),
    lambda inodes, folder, file: make(inodes, folder, "new"),
]


@pytest.mark.parametrize(
    "change", CHANGES, ids=["write", "change", "set_property", "link", "rename", "exchange", "remove", "make"]
)
def test_what_was_moved_to_another_bucket_is_changed_there(
    inodes: Inodes, ann: Namespace, store: Store, top: NodeId, change: Callable[[Inodes, NodeId, Inode], object]
):
    folder = make(inodes, top, "d", Kind.COLLECTION)
    make(inodes, folder.id, "other")
    file = write(inodes, make(inodes, folder.id, "f"), b"here")
    inodes.change(folder.id, mode=0o700)
    ann.move(("files", "d"), ("media", "d"))
    assert inodes.get(file.id).bucket != file.bucket
    before = {bucket.name: bucket.seq for bucket in store.buckets()}

    change(inodes, folder.id, inodes.get(file.id))

    after = {bucket.name: bucket.seq for bucket in store.buckets()}
    assert after["files"] == before["files"]
    assert after["media"] > before["media"]


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE objects SET state = 'condemned', condemned = 1",
        "UPDATE objects SET verdict = 'lost'",
        "DELETE FROM blob_data",
        "UPDATE blob_data SET data = x'00'",
    ],
    ids=["condemned", "lost", "gone", "longer"],
)
def test_a_new_file_makes_the_empty_content_whole(inodes: Inodes, store: Store, top: NodeId, harm: str):
    """However it was found: other empty files have the same one."""
    make(inodes, top, "old")
    with store.database.write() as tx:
        tx.execute(text(harm if tx.dialect == "sqlite" else harm.replace("x'00'", "'\\x00'")))

    made = make(inodes, top, "new")

    with store.database.read() as tx:
        rows = tx.execute(text("SELECT id, state, condemned, verdict, size FROM objects")).all()
        stored = tx.execute(text("SELECT n, length(data) FROM blob_data")).all()
    assert [tuple(row) for row in rows] == [(made.object, "live", None, None, 0)]
    assert (0, 0) in [tuple(row) for row in stored]
    assert content(inodes, made) == b""
