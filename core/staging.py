"""Bytes on their way in: a Draft is written, hashed as its blocks pass, sealed, and in the end always discarded.

    with staging.draft(spill_above=65536, limit=None) as draft:
        draft.write(b"hello")
        store.publish(key, draft.seal())

Small drafts stay in memory. Larger ones spill to a file in the staging directory, which its owner keeps locked while
it lives: a draft file that can be locked is litter of a process that died, and goes when the directory is opened.
"""

import errno
import fcntl
import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self
from uuid import uuid4

from .direct import PAGE, DirectWriter, direct_writer
from .errors import Refusal, StorageFull, StorageUnavailable, TooLarge, Unusable
from .hashing import Block, Hashing
from .model import Digest

HEAD = 4096
PORTION = 16 << 10
"""Bytes of one write to a draft's file. The kernel takes memory for a write in one piece: for small ones what it has at
hand, while behind large ones there may be none yet in a virtual machine, whose host then gives it page by page."""
CACHED = 16 << 20
"""Bytes of a content that the system may keep in memory for who reads it soon. Further ones go straight to the disk,
where they have to be in the end: that saves copies, and syncing them has nothing to wait for."""
DRAFT, KEPT = "draft.", "kept."
_draft_name = re.compile(r"draft\.[0-9a-f]{32}")
_kept_name = re.compile(r"kept\.[0-9a-f]{32}")
_no_room = {errno.ENOSPC, errno.EDQUOT}


class Staging:
    """A directory for drafts. Processes may share it; each opens it once.

    `final`: what becomes of them stays here, and is read again only when somebody asks for it.
    """

    def __init__(self, directory: Path, durable: bool, *, final: bool = False) -> None:
        self.directory = directory
        self.cached = CACHED if durable and final else None
        """Bytes of a draft after which it is written past the system's cache; None where that serves nobody."""
        try:
            make_directories(directory, durable)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            _remove_litter(directory)
        except OSError as error:
            remedy = "give it to this user, or choose another directory"
            raise Unusable(directory, f"cannot take drafts ({error.strerror}); {remedy}") from error

    def draft(self, spill_above: int, limit: int | None, also: Sequence[str] = ()) -> "Draft":
        """An empty draft that stays in memory up to `spill_above` bytes and takes at most `limit`.

        `also` names digests to make besides SHA-256: those of hashlib (sha1, md5, sha512 …), and adler32.
        """
        return Draft(self.directory, spill_above, limit, also, self.cached)


class Sealable(Protocol):
    """A content on its way in: a draft, or one that is sealed."""

    def seal(self) -> "Sealed": ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """A finished draft: bytes in memory (`data`) or in a `file` of the staging directory. Ends with its draft."""

    digest: Digest
    size: int
    data: bytes | None = field(repr=False)
    file: Path | None
    digests: Mapping[str, str]
    """SHA-256 and the digests asked for, by name, as lower-case hex."""
    start: bytes | None = field(default=None, repr=False)
    """The first bytes of a file, where they are known: as `head`."""

    @classmethod
    def of(cls, data: bytes, also: Sequence[str] = ()) -> Self:
        """A content that is here as a whole. `also` names digests to make besides SHA-256, as in `Staging.draft`."""
        hashing = Hashing(also)
        hashing.update(data)
        digests = hashing.hexdigests()
        return cls(Digest(digests["sha256"]), len(data), data, None, digests)

    @property
    def head(self) -> bytes:
        """The first bytes, enough to tell a type. Raises StorageUnavailable."""
        if self.data is not None:
            return self.data[:HEAD]
        if self.start is not None:
            return self.start
        with self.open() as file:
            return file.read(HEAD)

    def seal(self) -> "Sealed":
        """Itself: what is sealed stands wherever a draft does."""
        return self

    def open(self) -> BinaryIO:
        """A reader from the first byte. Raises StorageUnavailable."""
        if self.file is None:
            return BytesIO(self.data or b"")
        with translated(self.file):
            return open(self.file, "rb")


class Draft:
    """A content that is being written. A refused write discards it, so that it can never pass for a whole one."""

    def __init__(
        self,
        directory: Path,
        spill_above: int,
        limit: int | None,
        also: Sequence[str] = (),
        cached: int | None = None,
    ) -> None:
        self.size = 0
        self._directory = directory
        self._spill_above = spill_above
        self._limit = limit
        self._cached = cached
        self._hashing = Hashing(also)
        self._memory = bytearray()
        self._start = b""
        self._file: DraftFile | None = None
        self._sealed: Sealed | None = None
        self._discarded = False

    def write(self, block: Block) -> int:
        """Takes the whole block. Raises TooLarge before the first byte too many is written, and StorageFull."""
        if self._sealed or self._discarded:
            raise ValueError("the draft is sealed" if self._sealed else "the draft is discarded")
        length = memoryview(block).nbytes
        try:
            self._keep(block, self.size + length)
        except Refusal:
            self.discard()
            raise
        self._hashing.update(block)
        self.size += length
        return length

    def _keep(self, block: Block, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise TooLarge(reason=f"the content is larger than {self._limit} bytes")
        if self._file is None and size <= self._spill_above:
            self._memory += block
            return
        if self._file is None:
            self._file = DraftFile(self._directory, self._cached)
            self._file.write(self._memory)
            self._start = bytes(self._memory[:HEAD])
            self._memory = bytearray()
        if len(self._start) < HEAD:
            self._start += bytes(memoryview(block).cast("B")[: HEAD - len(self._start)])
        self._file.write(block)

    def seal(self) -> Sealed:
        """The finished content; the same one each time."""
        if self._discarded:
            raise ValueError("the draft is discarded")
        if self._sealed is None:
            digests = self._hashing.hexdigests()
            digest = Digest(digests["sha256"])
            if self._file:
                self._finish(self._file)
                self._sealed = Sealed(digest, self.size, None, self._file.path, digests, self._start)
            else:
                self._sealed = Sealed(digest, self.size, bytes(self._memory), None, digests)
            self._memory = bytearray()
        return self._sealed

    def _finish(self, file: "DraftFile") -> None:
        try:
            file.finish()
        except Refusal:
            self.discard()
            raise

    def discard(self) -> None:
        """Nothing is left of it in the staging directory; what was published stays."""
        self._discarded = True
        self._memory = bytearray()
        if self._file:
            self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class DraftFile:
    """A file of its own in a staging directory, locked until it is discarded.

    What is written beyond `cached` bytes goes past the system's cache, and is in the file once it is finished.
    """

    def __init__(self, directory: Path, cached: int | None = None) -> None:
        self._left = cached
        self._size = 0
        self._direct: DirectWriter | None = None
        with translated(directory):
            self.path, self.descriptor = _locked_file(directory)

    def write(self, block: Block) -> None:
        rest = memoryview(block).cast("B")
        with translated(self.path.parent):
            while rest and not self._direct:
                rest = rest[self._write(rest) :]
            if self._direct:
                self._direct.write(rest)

    def _write(self, rest: memoryview) -> int:
        """A portion of it is in the file."""
        done = os.write(self.descriptor, rest[: PORTION - self._size % PAGE])
        self._size += done
        if self._left is not None and self._size >= self._left and self._size % PAGE == 0:
            self._direct, self._left = direct_writer(self.descriptor, self._size), None
        return done

    def finish(self) -> None:
        """All that was written is in the file."""
        if self._direct:
            with translated(self.path.parent):
                self._direct.finish()
            self._direct = None

    def keep(self) -> None:
        """The file is on disk, and no litter when its owner dies."""
        with translated(self.path.parent):
            os.fsync(self.descriptor)
            if not is_kept(self.path):
                kept = self.path.with_name(self.path.name.replace(DRAFT, KEPT, 1))
                os.rename(self.path, kept)
                self.path = kept
                sync(self.path.parent)

    def leave(self) -> None:
        """The file stays, and is nobody's for now."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def discard(self) -> None:
        if self._direct:
            self._direct.close()
            self._direct = None
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.unlink(self.path)
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


@contextmanager
def translated(place: Path) -> Generator[None]:
    """The operating system's failures at `place` as StorageFull, StorageUnavailable or TooLarge."""
    try:
        yield
    except OSError as error:
        if error.errno in _no_room:
            raise StorageFull(place, "there is no room left; free some on that disk, or use a larger one") from error
        if error.errno == errno.EFBIG:
            raise TooLarge(place, "its file system takes no file of that size") from error
        raise StorageUnavailable(place, error.strerror or str(error)) from error


def make_directories(directory: Path, durable: bool) -> None:
    """The directory is there, for this user only; what is new of its path is on disk."""
    missing = [level for level in (directory, *directory.absolute().parents) if not level.exists()]
    for level in reversed(missing):
        level.mkdir(mode=0o700, exist_ok=True)
        if durable:
            sync(level.parent)


def sync(path: Path) -> None:
    """What the file or directory holds is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_kept(path: Path) -> bool:
    """Whether it is a draft that outlives its owner."""
    return _kept_name.fullmatch(path.name) is not None


def take_over(path: Path) -> int | None:
    """A descriptor of a kept draft whose owner is gone, locked for this process; None while somebody has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _locked_file(directory: Path) -> tuple[Path, int]:
    """Another process that opens the directory may take a new file for litter before it is locked: then try again."""
    while True:
        path = directory / f"draft.{uuid4().hex}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return path, descriptor
        except BaseException:
            os.unlink(path)
            os.close(descriptor)
            raise
        os.close(descriptor)


def _remove_litter(directory: Path) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            if _draft_name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError, PermissionError, BlockingIOError):
                    _remove_abandoned(Path(entry.path))


def _remove_abandoned(path: Path) -> None:
    """Raises BlockingIOError while its owner lives."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(descriptor)
