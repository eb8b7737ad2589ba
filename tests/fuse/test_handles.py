"""Open files without a kernel before them: what becomes of a draft when storing it fails, or two close at once."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from ctypes import pointer
from pathlib import Path
from typing import Any

import pytest

from core import drafts
from core.errors import AlreadyExists, StorageFull, StorageUnavailable, TooLarge
from core.inode_rows import TOP, Inode
from core.inodes import New
from core.model import OPERATOR, Instant, Kind
from core.store import Store
from fuse_mount import library
from fuse_mount.errors import errno_of
from fuse_mount.handles import OpenFile, OpenFiles
from fuse_mount.numbers import ROOT
from fuse_mount.operations import Operations
from fuse_mount.past import PastTree
from tests.parts import stores

LARGE = b"a content that is no inline one; " * 10_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'davstore.db'}"
    stores.migrated(url)
    opened = stores.opened(url, tmp_path / "data")
    yield opened
    opened.close()


class Bench:
    """The files of one mount, and a file to write."""

    def __init__(self, store: Store) -> None:
        self.leftovers = store.leftovers
        self.inodes = store.inodes(OPERATOR)
        self.files = OpenFiles(self.inodes)
        top = self.inodes.member(TOP, "files")
        assert top
        self.node = self.inodes.make(top.id, "f", New(Kind.FILE, 0o644, 0, 0)).id

    @property
    def inode(self) -> Inode:
        return self.inodes.get(self.node)

    def open(self, **how: bool) -> OpenFile:
        return self.files.open(self.node + 1, self.inode, **how)[0]

    def content(self) -> bytes:
        if not self.inode.size:
            return b""
        with self.inodes.open(self.inode) as reader:
            return reader.read()


def content_of(bench: Bench, file: OpenFile) -> bytes:
    """What is read through the open file."""
    found = bench.files.read(file, len(LARGE) + 1, 0)
    return found if isinstance(found, bytes) else os.pread(found[0].number, found[2], found[1])


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store)


def down(*_given: object, **_more: object) -> None:
    raise StorageUnavailable("the database", "is away")


def wrong(*_given: object, **_more: object) -> None:
    raise ZeroDivisionError


@pytest.mark.expects_log("waits to be kept")
@pytest.mark.parametrize("fail", [down, wrong])
@pytest.mark.parametrize("data", [b"small", LARGE])
def test_what_can_neither_be_published_nor_kept_waits_and_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fail: Callable[..., None], data: bytes
):
    file = bench.open()
    bench.files.write(file, data, 0)
    with monkeypatch.context() as broken:
        broken.setattr(bench.inodes, "write", fail)
        broken.setattr(bench.inodes, "keep", fail)

        assert bench.files.close(file)
        assert not bench.files.settle()
    assert bench.content() == b""

    assert bench.files.settle()

    assert bench.content() == data
    assert bench.files.all() == []
    assert bench.leftovers.listed() == []


@pytest.mark.expects_log("waits to be kept")
def test_who_opens_a_file_that_waits_sees_what_was_written(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    file = bench.open()
    bench.files.write(file, b"written", 0)
    with monkeypatch.context() as broken:
        broken.setattr(bench.inodes, "write", down)
        broken.setattr(bench.inodes, "keep", down)
        bench.files.close(file)

    again = bench.open()

    assert again is file
    assert bench.files.read(again, 100, 0) == b"written"
    bench.files.close(again)
    assert bench.content() == b"written"


@pytest.mark.expects_log("waits to be kept", "stays at .*kept.*, unknown to the database")
def test_the_end_of_a_mount_leaves_the_file_of_what_waits(
    bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    file = bench.open()
    bench.files.write(file, LARGE, 0)
    monkeypatch.setattr(bench.inodes, "write", down)
    monkeypatch.setattr(store.database, "write", down)
    bench.files.close(file)

    bench.files.close_for_good()

    (kept,) = tmp_path.rglob("kept.*")
    assert kept.read_bytes() == LARGE


@pytest.mark.expects_log("is kept, see")
@pytest.mark.parametrize("fail", [down, wrong])
def test_what_cannot_be_published_is_kept_and_listed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fail: Callable[..., None]
):
    file = bench.open()
    bench.files.write(file, LARGE, 0)
    with monkeypatch.context() as broken:
        broken.setattr(bench.inodes, "write", fail)

        bench.files.close(file)

    assert [kept.size for kept in bench.leftovers.listed()] == [len(LARGE)]
    assert bench.leftovers.publish(bench.inodes) == []
    assert bench.content() == LARGE


def test_one_of_the_last_two_who_close_at_once_publishes(bench: Bench):
    """Both have come to where the handles are counted before either goes on."""
    file, other = bench.open(), bench.open()
    assert file is other
    bench.files.write(file, b"written", 0)
    both = threading.Barrier(2)
    inner = bench.files._lock

    class Meeting:
        """The first time that each of the two takes the lock, it waits for the other."""

        def __init__(self) -> None:
            self._met: set[int] = set()

        def __enter__(self) -> None:
            if threading.get_ident() not in self._met:
                self._met.add(threading.get_ident())
                both.wait(60)
            inner.acquire()

        def __exit__(self, *_: object) -> None:
            inner.release()

    bench.files._lock = Meeting()  # pyright: ignore[reportAttributeAccessIssue] - it is one, and slower
    closers = [threading.Thread(target=bench.files.close, args=(file,)) for _ in range(2)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()

    assert bench.content() == b"written"


def test_pages_are_kept_of_the_same_bytes_only(bench: Bench):
    """A database may give the id of an object that is gone to a new one."""
    bench.files.close(bench.open())
    _, is_cached = bench.files.open(bench.node + 1, bench.inode)
    assert is_cached

    _, is_cached = bench.files.open(bench.node + 1, bench.inode._replace(digest="0" * 64))

    assert not is_cached


def test_who_opens_an_open_file_reads_what_it_holds_now(bench: Bench):
    """Of the same object by its id, which another content may have got."""
    file = bench.open()
    bench.files.write(file, LARGE, 0)
    bench.files.publish(file)
    first = bench.inode
    bench.files.write(file, LARGE[::-1], 0)
    bench.files.close(file)
    assert bench.inode.digest != first.digest
    file, _ = bench.files.open(bench.node + 1, first)
    assert content_of(bench, file) == LARGE

    again, _ = bench.files.open(bench.node + 1, bench.inode._replace(object=first.object))

    assert again is file
    assert content_of(bench, file) == LARGE[::-1]


def test_a_file_that_is_gone_when_it_is_synchronised_is_its_openers_alone(bench: Bench):
    file = bench.open()
    bench.files.write(file, b"written", 100)
    bench.files.write(file, b"written", 0)
    file.was_synced = True
    file.inode = file.inode._replace(id=file.inode.id + 1000)  # pyright: ignore[reportArgumentType] - nobody's id

    bench.files.sync(file)

    assert file.removed
    assert file.shown.links == 0
    bench.files.close(file)
    assert bench.content() == b""


def test_what_the_disk_of_the_drafts_cannot_do_is_not_supported(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def unsupported(*_given: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "this file system reserves nothing")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    with pytest.raises(StorageUnavailable) as refused:
        bench.files.allocate(bench.open(), 0, len(LARGE), keep_size=False)

    assert errno_of(refused.value, "fallocate") == errno.EOPNOTSUPP


@pytest.mark.parametrize("act", ["truncate", "write"])
def test_a_draft_is_no_longer_than_files_can_be_whatever_its_disk_takes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, act: str
):
    monkeypatch.setattr(os, "ftruncate", lambda *_given: None)
    monkeypatch.setattr(os, "pwrite", lambda _fd, block, _offset: len(block))
    draft = bench.inodes.draft(bench.inode)
    limit = 16 << 40

    with pytest.raises(TooLarge):
        draft.truncate(limit + 1) if act == "truncate" else draft.write(b"xx", limit - 1)

    draft.discard()


def test_a_copy_that_fails_midway_tells_how_far_it_came(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    data = os.urandom(3_000_000)
    (tmp_path / "source").write_bytes(data)
    draft = bench.inodes.draft(bench.inode)
    draft.write(b"x" * 100_000, 0)
    real, count = os.copy_file_range, iter(range(10))

    def once(source: int, target: int, _length: int, start: int, offset: int) -> int:
        if next(count):
            raise OSError(5, "the disk is broken")
        return real(source, target, 2_000_000, start, offset)

    monkeypatch.setattr(os, "copy_file_range", once)
    with (tmp_path / "source").open("rb") as source:
        done = draft.copy_from(source.fileno(), 0, len(data), 100_000)
        with pytest.raises(StorageUnavailable):
            draft.copy_from(source.fileno(), done, len(data), draft.size)

    assert done == 2_000_000
    assert draft.read(draft.size, 0) == b"x" * 100_000 + data[:done]
    draft.discard()


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_copy_over_what_was_written_is_part_of_the_digest(bench: Bench, tmp_path: Path, size: int):
    data = os.urandom(size)
    (tmp_path / "source").write_bytes(data)
    draft = bench.inodes.draft(bench.inode)
    draft.write(b"x" * size, 0)

    with (tmp_path / "source").open("rb") as source:
        done = draft.copy_from(source.fileno(), 0, size // 2, 0)

    assert done == size // 2
    assert draft.seal().digest == hashlib.sha256(data[: size // 2] + b"x" * (size - size // 2)).hexdigest()
    draft.discard()


@pytest.mark.parametrize("written", [0, 200_000])
def test_a_copy_of_nothing_leaves_a_draft_as_it_was(bench: Bench, tmp_path: Path, written: int):
    (tmp_path / "source").write_bytes(b"short")
    draft = bench.inodes.draft(bench.inode)
    draft.write(b"x" * written, 0)

    with (tmp_path / "source").open("rb") as source:
        assert draft.copy_from(source.fileno(), 10, 1000, 300_000) == 0

    assert draft.size == written
    draft.discard()


def test_a_disk_is_not_filled_for_more_than_it_has(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """ext4 takes all that there is before it refuses the rest."""
    asked: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _fd, _offset, length: asked.append(length))
    monkeypatch.setattr(drafts, "_change_room", lambda _fd, _mode, _offset, length: asked.append(length))
    file = bench.open()

    for keep_size in (False, True):
        with pytest.raises(StorageFull):
            bench.files.allocate(file, 0, 8 << 40, keep_size=keep_size)

    assert not asked


def test_who_makes_a_name_that_came_meanwhile_opens_it_unless_it_must_be_new(bench: Bench):
    top = bench.inodes.member(TOP, "files")
    assert top
    operations = Operations(bench.inodes, top.id, PastTree({}, bench.inodes, "files"), lambda _number: None)
    opening = pointer(library.FileInfo(flags=os.O_CREAT | os.O_WRONLY))
    making = pointer(library.FileInfo(flags=os.O_CREAT | os.O_WRONLY | os.O_EXCL))

    number, inode = operations.create(library.Context(), ROOT, b"f", 0o644, opening)
    with pytest.raises(AlreadyExists):
        operations.create(library.Context(), ROOT, b"f", 0o644, making)

    assert (number, inode.id) == (bench.node + 1, bench.node)
    operations.release(number, opening)


def test_times_of_what_is_being_written_are_stored_with_it(bench: Bench):
    file, before = bench.open(), bench.inode
    bench.files.write(file, b"data", 0)

    assert bench.files.date(file, Instant(7), Instant(5))

    assert bench.inode == before
    bench.files.publish(file)
    assert (bench.inode.modified, bench.inode.accessed, bench.content()) == (7, 5, b"data")


def test_times_of_what_is_not_being_written_are_for_others_to_store(bench: Bench):
    file = bench.open()

    assert not bench.files.date(file, Instant(7), Instant(5))
    bench.files.write(file, b"data", 0)
    bench.files.publish(file)
    assert not bench.files.date(file, Instant(7), Instant(5))


def test_a_time_of_reading_is_given_to_one_content_only(bench: Bench):
    file = bench.open()
    bench.files.write(file, b"data", 0)
    bench.files.date(file, None, Instant(5))
    bench.files.publish(file)
    bench.inodes.change(bench.node, accessed=9)

    bench.files.write(file, b"more", 0)
    bench.files.publish(file)

    assert bench.inode.accessed == 9


@pytest.mark.expects_log("is kept, see")
def test_a_time_that_was_given_to_what_is_kept_is_not_given_to_what_comes_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    file, keep = bench.open(), bench.inodes.keep
    bench.files.write(file, b"refused", 0)
    bench.files.date(file, None, Instant(5))

    def opened_meanwhile(*given: Any) -> None:
        keep(*given)
        bench.open()

    with monkeypatch.context() as broken:
        broken.setattr(bench.inodes, "write", down)
        broken.setattr(bench.inodes, "keep", opened_meanwhile)
        bench.files.close(file)
    bench.files.write(file, b"next", 0)
    bench.files.publish(file)

    assert (bench.content(), bench.inode.accessed) == (b"next", None)
