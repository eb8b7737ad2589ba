"""Open files: what all who opened a node share, and the draft that their writes go to."""

import logging
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import BinaryIO

from core.blobs.cache import Held
from core.blobs.cached import CachedReader
from core.drafts import RandomDraft
from core.errors import Corrupt, NotFound, Refusal
from core.inode_rows import Inode
from core.inodes import Inodes
from core.model import Instant, PropertyName
from core.staging import Block

REMEMBERED = 1 << 16
"""Files of which it is known which content the kernel has pages of."""
PASSED, COPIED = 1 << 20, 1 << 27
"""Bytes copied by one request, through here and in the kernel: who asked for more asks again."""
log = logging.getLogger(__name__)


class Descriptor:
    """A descriptor that is open as long as somebody refers to it, so that a reply under way can finish."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


Span = tuple[Descriptor | Held, int, int]
"""Bytes of a file: its descriptor, the offset, how many at most."""
Base = Descriptor | bytes | BinaryIO


@dataclass(slots=True)
class OpenFile:
    """A node while it is open. All who opened it read one content, and write one draft."""

    number: int
    inode: Inode
    lock: threading.RLock = field(default_factory=threading.RLock)
    handles: int = 0
    base: Base | None = None
    draft: RandomDraft | None = None
    draft_reader: Descriptor | None = None
    dirty: bool = False
    modified: Instant | None = None
    """What the draft's content will be dated."""
    accessed: Instant | None = None
    """When it will have been read, if somebody said so."""
    was_synced: bool = False
    is_waiting: bool = False
    """Nobody has it open, and its draft could neither be published nor kept."""
    removed: bool = False
    """Without a name; nobody will see what is written."""
    properties: dict[PropertyName, str] = field(default_factory=dict)
    """Of a removed one."""

    @property
    def shown(self) -> Inode:
        """The node with its draft's size and time."""
        seen = self.inode._replace(links=0) if self.removed else self.inode
        seen = seen._replace(blocks=self.blocks)
        if self.draft and self.dirty:
            at, read = self.modified or seen.modified, seen.accessed if self.accessed is None else self.accessed
            return seen._replace(size=self.draft.size, modified=at, changed=max(at, seen.changed), accessed=read)
        return seen

    @property
    def blocks(self) -> int | None:
        """Those that the bytes take which are read now, where there is a file of them."""
        with self.lock:
            reader = self.draft_reader if self.draft else self.base
            return os.fstat(reader.number).st_blocks if isinstance(reader, Descriptor) else None

    @property
    def reader(self) -> Base:
        """What is read now: the draft's bytes, or else the content."""
        if self.draft is not None:
            self.draft.settle()
            return self.draft_reader or self.draft.read(self.draft.size, 0)
        return b"" if self.base is None else self.base


class OpenFiles:
    """The nodes that are open on this mount, by number."""

    def __init__(self, inodes: Inodes) -> None:
        self._inodes = inodes
        self._lock = threading.Lock()
        self._files: dict[int, OpenFile] = {}
        self._cached: OrderedDict[int, str | None] = OrderedDict()

    def find(self, number: int) -> OpenFile | None:
        return self._files.get(number)

    def all(self) -> list[OpenFile]:
        with self._lock:
            return list(self._files.values())

    def created(self, number: int, inode: Inode) -> OpenFile:
        """A new, empty file, opened by who made it."""
        with self._lock:
            file = self._files[number] = OpenFile(number, inode, handles=1)
        self._remember(file)
        return file

    def open(self, number: int, inode: Inode, *, truncate: bool = False) -> tuple[OpenFile, bool]:
        """One more handle: it reads the newest content, unless a draft is newer. Whether the kernel's pages hold it."""
        with self._lock:
            file = self._files.get(number)
            if file is None:
                file = self._files[number] = OpenFile(number, inode)
            file.handles += 1
        try:
            with file.lock:
                return file, self._refresh(file, inode, truncate=truncate)
        except BaseException:
            self.close(file)
            raise

    def _refresh(self, file: OpenFile, inode: Inode, *, truncate: bool) -> bool:
        if file.draft is None and not file.removed:
            is_known = file.number in self._cached
            if file.base is None or file.inode.digest != inode.digest or not is_known:
                file.base = None if truncate else self.content(inode)
            file.inode = inode
        if truncate:
            self._resize(file, self._begin(file, empty=True), 0)
            return False
        is_same = file.draft is not None or self._cached.get(file.number) == file.inode.digest
        self._remember(file)
        return is_same

    def _remember(self, file: OpenFile) -> None:
        """By the digest: a database may give the id of an object that is gone to a new one."""
        self._cached[file.number] = file.inode.digest
        self._cached.move_to_end(file.number)
        if len(self._cached) > REMEMBERED:
            self._cached.popitem(last=False)

    def close(self, file: OpenFile) -> bool:
        """One handle less; the last one publishes what no flush did. Whether it was the last."""
        with self._lock:
            file.handles -= 1
            is_last = file.handles == 0
        if is_last:
            self._settle(file)
        return is_last

    def settle(self) -> bool:
        """Files that nobody has open any more, and that could neither be published nor kept, are tried again. Whether
        all are."""
        for file in self.all():
            if file.is_waiting:
                self._settle(file)
        return not any(file.is_waiting for file in self.all())

    def close_for_good(self) -> None:
        """The mount ends, whoever has its files open: what can be neither published nor kept is named in the log."""
        for file in self.all():
            with file.lock:
                is_safe, draft = self._publish_or_keep(file), file.draft
                if is_safe and draft:
                    draft.discard()
                elif draft:
                    where = f"stays at {draft.path}, unknown to the database" if draft.kept else "is lost"
                    log.error("the draft of node %d %s", file.inode.id, where)
                    draft.leave()

    def _settle(self, file: OpenFile) -> None:
        """What nobody has open is forgotten once it is published or kept; until then it waits, and openers see it."""
        with file.lock:
            if file.handles or not self._publish_or_keep(file):
                return
            with self._lock:
                if file.handles:
                    return
                if self._files.get(file.number) is file:
                    del self._files[file.number]
                file.is_waiting = False
            if file.draft:
                file.draft.discard()
                file.draft = None

    def _publish_or_keep(self, file: OpenFile) -> bool:
        """Nobody hears of a refusal any more: the draft stays, and is tried again. False: it could not even be kept."""
        try:
            self.publish(file)
        except Exception as error:
            return self._keep(file, error)
        return True

    def _keep(self, file: OpenFile, reason: Exception) -> bool:
        assert file.draft
        trace = None if isinstance(reason, Refusal) else reason
        try:
            self._inodes.keep(file.inode, file.draft, file.modified, reason)
        except NotFound:
            file.removed = True
            return True
        except Exception as error:
            if not file.is_waiting:
                log.error("a draft of node %d waits to be kept: %s; %s", file.inode.id, reason, error, exc_info=trace)
            file.is_waiting = True
            return False
        log.error("a draft of node %d is kept, see `davstore drafts`: %s", file.inode.id, reason, exc_info=trace)
        file.draft.leave()
        file.draft, file.draft_reader, file.dirty, file.is_waiting = None, None, False, False
        file.accessed = None
        return True

    def content(self, inode: Inode) -> Base:
        """Raises NotFound, Corrupt."""
        if inode.size == 0:
            return b""
        content = self._inodes.open(inode)
        try:
            number = os.dup(content.fileno())
        except OSError:
            if inode.storage != "inline":
                return content
            with content:
                return content.read()
        content.close()
        return Descriptor(number)

    def read(self, file: OpenFile, size: int, offset: int) -> bytes | Span:
        """Nobody waits for a storage with the file's lock. After wrong bytes the next `open` begins anew."""
        with file.lock:
            if file.draft is not None and file.draft_reader is None:
                return file.draft.read(size, offset)
            match file.reader:
                case Descriptor() as descriptor:
                    return descriptor, offset, size
                case bytes() as data:
                    return data[offset : offset + size]
                case CachedReader() as cached:
                    pass
                case content:
                    content.seek(offset)
                    return _read_fully(content, size)
        try:
            return cached.span(offset, size)
        except Corrupt:
            self._cached.pop(file.number, None)
            raise

    def write(self, file: OpenFile, block: Block, offset: int, *, append: bool = False) -> int:
        with file.lock:
            draft = self._begin(file)
            done = draft.write(block, draft.size if append else offset)
            self._wrote(file, draft)
            return done

    def truncate(self, file: OpenFile, size: int) -> None:
        with file.lock:
            self._resize(file, self._begin(file, empty=size == 0), size)

    def copy(self, source: OpenFile, start: int, length: int, target: OpenFile, offset: int) -> int:
        """Bytes of one file are in another, as far as they go: what lies in files does not pass through here."""
        found = self.read(source, min(length, PASSED), start)
        if not found:
            return 0
        with target.lock:
            draft = self._begin(target)
            if isinstance(found, bytes):
                done = draft.write(found, offset)
            else:
                whole = isinstance(found[0], Descriptor)
                done = draft.copy_from(found[0].number, start, min(length, COPIED) if whole else found[2], offset)
            self._wrote(target, draft)
            return done

    def allocate(self, file: OpenFile, offset: int, length: int, *, keep_size: bool) -> None:
        """There is room for the range, to the end of which the file reaches at least, unless `keep_size`."""
        with file.lock:
            draft = self._begin(file)
            draft.allocate(offset, length, keep_size=keep_size)
            self._wrote(file, draft)

    def punch(self, file: OpenFile, offset: int, length: int, *, grow: bool) -> None:
        """The range reads as zeros, and takes no room where the file system can do that."""
        with file.lock:
            draft = self._begin(file)
            draft.punch(offset, length)
            self._resize(file, draft, max(draft.size, offset + length) if grow else draft.size)

    def _resize(self, file: OpenFile, draft: RandomDraft, size: int) -> None:
        draft.truncate(size)
        self._wrote(file, draft)

    def _begin(self, file: OpenFile, *, empty: bool = False) -> RandomDraft:
        if file.draft is None:
            draft = self._inodes.draft(file.inode)
            if file.inode.size and not empty:
                if file.base is None:
                    file.base = self.content(file.inode)
                draft.start_from(file.base.number if isinstance(file.base, Descriptor) else file.base, file.inode.size)
            file.draft = draft
        return file.draft

    def _wrote(self, file: OpenFile, draft: RandomDraft) -> None:
        file.dirty = True
        file.modified = Instant(time.time_ns())
        if file.draft_reader is None and draft.descriptor is not None:
            file.draft_reader = Descriptor(os.dup(draft.descriptor))

    def date(self, file: OpenFile, modified: Instant | None, accessed: Instant | None) -> bool:
        """The draft's content will have these times, so that nothing is stored before. False where there is none."""
        with file.lock:
            if not file.dirty or file.removed:
                return False
            file.modified = file.modified if modified is None else modified
            file.accessed = file.accessed if accessed is None else accessed
            file.inode = file.inode._replace(changed=Instant(time.time_ns()))
            return True

    def sync(self, file: OpenFile) -> None:
        """What was written is on disk: as the node's content where it is new from its first byte to its last, else as
        a durable draft, so that a database does not leave a content for each of its transactions."""
        with file.lock:
            if file.draft is None or not file.dirty or file.removed:
                self._inodes.sync()
            elif file.draft.is_whole_write and not file.was_synced:
                self.publish(file, durable=True)
            else:
                self._keep_synced(file, file.draft)
            file.was_synced = True

    def _keep_synced(self, file: OpenFile, draft: RandomDraft) -> None:
        try:
            self._inodes.keep(file.inode, draft, file.modified)
        except NotFound:
            file.removed = True

    def publish(self, file: OpenFile, *, durable: bool = False) -> None:
        """The draft's bytes are the node's content. Nothing happens for a removed node, or without a draft."""
        with file.lock:
            draft = file.draft
            if draft is None or not file.dirty or file.removed:
                return
            try:
                file.inode = self._inodes.write(
                    file.inode.id, draft, file.modified, accessed=file.accessed, durable=durable
                )
            except NotFound:
                file.removed = True
                return
            file.base = file.draft_reader or draft.read(draft.size, 0)
            file.draft, file.draft_reader, file.dirty = None, None, False
            file.modified, file.accessed, file.is_waiting = None, None, False
            draft.discard()
            self._remember(file)


def _read_fully(content: BinaryIO, size: int) -> bytes:
    blocks: list[bytes] = []
    while size and (block := content.read(size)):
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)
