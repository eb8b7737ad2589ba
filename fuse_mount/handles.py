"""Open files: what all who opened a node share, and the draft that their writes go to."""

import os
import threading
import time
from dataclasses import dataclass, field
from typing import BinaryIO

from core.drafts import RandomDraft
from core.errors import NotFound
from core.inodes import Inode, Inodes
from core.model import Instant, NodeId
from core.staging import Block


class Descriptor:
    """A descriptor that is open as long as somebody refers to it, so that a reply under way can finish."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


Span = tuple[Descriptor, int, int]
"""Bytes of a file: its descriptor, the offset, how many at most."""
Base = Descriptor | bytes | BinaryIO


@dataclass(slots=True)
class OpenFile:
    """A node while it is open. All who opened it read one content, and write one draft."""

    inode: Inode
    lock: threading.RLock = field(default_factory=threading.RLock)
    handles: int = 0
    base: Base = b""
    draft: RandomDraft | None = None
    draft_reader: Descriptor | None = None
    dirty: bool = False
    modified: Instant | None = None
    """What the draft's content will be dated; None: when it is published."""
    removed: bool = False

    @property
    def shown(self) -> Inode:
        """The node with its draft's size and time."""
        seen = self.inode
        if self.removed:
            seen = seen._replace(links=0)
        if self.draft and self.dirty:
            at = self.modified or seen.modified
            seen = seen._replace(size=self.draft.size, modified=at, changed=max(at, seen.changed))
        return seen


class OpenFiles:
    """The nodes that are open on this mount."""

    def __init__(self, inodes: Inodes) -> None:
        self._inodes = inodes
        self._lock = threading.Lock()
        self._files: dict[NodeId, OpenFile] = {}

    def find(self, node: NodeId) -> OpenFile | None:
        return self._files.get(node)

    def all(self) -> list[OpenFile]:
        with self._lock:
            return list(self._files.values())

    def open(self, inode: Inode, *, truncate: bool = False) -> OpenFile:
        """One more handle; it reads the newest content, unless a draft is newer."""
        with self._lock:
            file = self._files.setdefault(inode.id, OpenFile(inode))
            file.handles += 1
        try:
            with file.lock:
                self._refresh(file, inode, truncate=truncate)
        except BaseException:
            self._drop(file)
            raise
        return file

    def _refresh(self, file: OpenFile, inode: Inode, *, truncate: bool) -> None:
        if truncate:
            self._begin(file, empty=True)
            self._resize(file, 0)
        elif file.draft is None and (file.inode.object != inode.object or file.base == b""):
            file.base = self._content(inode)
        if file.draft is None:
            file.inode = inode

    def created(self, inode: Inode) -> OpenFile:
        """A new, empty file, opened by who made it."""
        with self._lock:
            file = self._files[inode.id] = OpenFile(inode, handles=1)
        return file

    def close(self, file: OpenFile) -> None:
        """One handle less; the last one publishes what no flush did."""
        try:
            with file.lock:
                if file.handles == 1:
                    self.publish(file, durable=False)
        finally:
            self._drop(file)

    def _drop(self, file: OpenFile) -> None:
        with self._lock:
            file.handles -= 1
            if file.handles == 0 and self._files.get(file.inode.id) is file:
                del self._files[file.inode.id]
        if file.handles == 0 and file.draft:
            file.draft.discard()

    def _content(self, inode: Inode) -> Base:
        if inode.size == 0:
            return b""
        content = self._inodes.open(inode)
        try:
            number = os.dup(content.fileno())
        except OSError:
            return content.read() if inode.storage == "inline" else content
        content.close()
        return Descriptor(number)

    def read(self, file: OpenFile, size: int, offset: int) -> bytes | Span:
        with file.lock:
            if file.draft:
                return (file.draft_reader, offset, size) if file.draft_reader else file.draft.read(size, offset)
            match file.base:
                case Descriptor():
                    return file.base, offset, size
                case bytes():
                    return file.base[offset : offset + size]
                case content:
                    content.seek(offset)
                    return _read_fully(content, size)

    def write(self, file: OpenFile, block: Block, offset: int, *, append: bool) -> int:
        with file.lock:
            draft = self._begin(file)
            done = draft.write(block, draft.size if append else offset)
            self._wrote(file, draft)
            return done

    def truncate(self, file: OpenFile, size: int) -> None:
        with file.lock:
            self._begin(file, empty=size == 0)
            self._resize(file, size)

    def _resize(self, file: OpenFile, size: int) -> None:
        assert file.draft
        file.draft.truncate(size)
        self._wrote(file, file.draft)

    def _begin(self, file: OpenFile, *, empty: bool = False) -> RandomDraft:
        if file.draft is None:
            draft = self._inodes.draft(file.inode)
            if file.inode.size and not empty:
                with self._inodes.open(file.inode) as content:
                    draft.start_from(content, file.inode.size)
            file.draft = draft
        return file.draft

    def _wrote(self, file: OpenFile, draft: RandomDraft) -> None:
        file.dirty = True
        file.modified = Instant(time.time_ns())
        if file.draft_reader is None and draft.descriptor is not None:
            file.draft_reader = Descriptor(os.dup(draft.descriptor))

    def publish(self, file: OpenFile, *, durable: bool) -> None:
        """The draft's bytes are the node's content. Nothing happens for a removed node, or without a draft."""
        with file.lock:
            draft = file.draft
            if draft is None or not file.dirty or file.removed:
                return
            try:
                file.inode = self._inodes.write(file.inode.id, draft.seal(), file.modified, durable=durable)
            except NotFound:
                file.removed = True
                return
            file.base = file.draft_reader or draft.read(draft.size, 0)
            file.draft, file.draft_reader, file.dirty, file.modified = None, None, False, None
            draft.discard()


def _read_fully(content: BinaryIO, size: int) -> bytes:
    blocks: list[bytes] = []
    while size and (block := content.read(size)):
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)
