"""Blobs as files in a directory.

A blob appears under its key whole and on disk, or not at all: the draft's file is synced, then linked to its place,
then the directory is synced. A link never replaces what is there.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import AlreadyExists, InvalidPath, NotFound, StorageUnavailable, Unusable
from ..model import Instant
from ..staging import DraftFile, Sealed, make_directories, sync, translated
from .store import Blob, Capability, checked, is_key

STAGING = ".staging"
MARKER = ".davstore-storage"
FOREIGN = {"lost+found"}
"""What mkfs leaves in a root that is a disk of its own."""
COPY_BLOCK = 1 << 20

_no_links = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


class LocalBlobs:
    """A storage of type `local`. Several processes may use one root."""

    type = "local"

    def __init__(self, name: str, root: Path, durable: bool) -> None:
        self.name = name
        self.root = root
        self.staging = root / STAGING
        self._durable = durable
        self._uid = ""
        self._lasting: set[str] = set()

    def publish(self, key: str, content: Sealed) -> None:
        final = self._file(key)
        with translated(self.root), ExitStack() as drafts:
            file = content.file or drafts.enter_context(self._copy(content)).path
            self._sync(file)
            levels = self._make(final.parent)
            try:
                os.link(file, final)
            except FileExistsError:
                _refuse_other(final, content)
            except OSError as error:
                self._link_copy(content, final, error)
            self._settle(final.parent, levels)

    def open(self, key: str) -> BinaryIO:
        with translated(self.root):
            try:
                return open(f"{self.root}/{_proven(key)}", "rb")
            except (FileNotFoundError, NotADirectoryError):
                self._still_there()
                raise NotFound(key) from None

    def size(self, key: str) -> int | None:
        with translated(self.root):
            try:
                return self._file(key).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                self._still_there()
                return None

    def delete(self, key: str) -> None:
        """A crash may bring it back: an orphan, which is waste and no harm."""
        with translated(self.root):
            try:
                self._file(key).unlink()
            except (FileNotFoundError, NotADirectoryError):
                self._still_there()

    def blobs(self) -> Iterator[Blob]:
        with translated(self.root):
            for entry in _files(self.root, levels=3):
                blob = _blob(entry, self.root)
                if blob:
                    yield blob
            self._still_there()

    def check(self) -> Iterator[Capability]:
        yield checked("has its marker", self._still_there)
        yield checked("can be written to", lambda: DraftFile(self.staging).discard())

    def claim(self, uid: str, *, new: bool) -> None:
        try:
            with translated(self.root):
                found = self._founded(uid) if new else self._marker()
                if found == uid:
                    self.staging.mkdir(mode=0o700, exist_ok=True)
        except StorageUnavailable as error:
            remedy = "give it to this user, or correct the storage's path"
            raise Unusable(self.root, f"cannot be used ({error.reason}); {remedy}") from error
        if found != uid:
            what = f"belongs to another storage ({found})" if found else f"holds no storage ({MARKER} is missing)"
            remedy = (
                "choose another directory" if new else f"mount the disk of storage {self.name}, or correct its path"
            )
            raise Unusable(self.root, f"{what}; {remedy}")
        self._uid = uid

    def _founded(self, uid: str) -> str:
        """The uid in the root's marker, which is this one unless it had another's before."""
        make_directories(self.root, self._durable)
        others = {entry.name for entry in self.root.iterdir()} - FOREIGN - {STAGING}
        if others and MARKER not in others:
            raise Unusable(self.root, "is not empty; a new storage needs a directory of its own")
        if not others:
            self._mark(uid)
        return self._marker()

    def _mark(self, uid: str) -> None:
        self.staging.mkdir(mode=0o700, exist_ok=True)
        with DraftFile(self.staging) as draft, suppress(FileExistsError):
            draft.write(f"{uid}\n".encode())
            self._sync(draft.path)
            os.link(draft.path, self.root / MARKER)
        self._sync(self.root)

    def _marker(self) -> str:
        try:
            return (self.root / MARKER).read_text(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def _still_there(self) -> None:
        """Tells a blob that is missing from a disk that is."""
        if self._marker() != self._uid:
            raise StorageUnavailable(self.root, f"is not storage {self.name} any more; is its disk mounted?")

    def _file(self, key: str) -> Path:
        return self.root / _proven(key)

    def _copy(self, content: Sealed) -> DraftFile:
        copy = DraftFile(self.staging)
        try:
            with content.open() as source:
                while block := source.read(COPY_BLOCK):
                    copy.write(block)
        except BaseException:
            copy.discard()
            raise
        return copy

    def _link_copy(self, content: Sealed, final: Path, error: OSError) -> None:
        """For a draft on another file system, and for a file system without links."""
        if error.errno != errno.EXDEV and error.errno not in _no_links:
            raise error
        with self._copy(content) as copy:
            self._sync(copy.path)
            try:
                os.link(copy.path, final)
            except FileExistsError:
                _refuse_other(final, content)
            except OSError as refused:
                if refused.errno not in _no_links:
                    raise
                _rename(copy.path, final, content)

    def _make(self, directory: Path) -> list[Path]:
        """The three levels below the root are there; those are returned that may not be on disk, whoever made them."""
        levels = (directory.parents[1], directory.parent, directory)
        return [level for level in levels if _mkdir(level) or str(level) not in self._lasting]

    def _settle(self, directory: Path, levels: list[Path]) -> None:
        """The directory's names are on disk, and those levels in the ones above. From below: one commit takes all."""
        self._sync(directory)
        for level in reversed(levels):
            self._sync(level.parent)
        self._lasting.update(map(str, levels))

    def _sync(self, path: Path) -> None:
        if self._durable:
            sync(path)


def _proven(key: str) -> str:
    """The key. Raises InvalidPath for what is none."""
    if not is_key(key):
        raise InvalidPath(key, "is not a blob's key")
    return key


def _mkdir(directory: Path) -> bool:
    """Whether it is new."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        return False
    return True


def _rename(file: Path, final: Path, content: Sealed) -> None:
    """Without links nothing better is to be had; only publishers of this very blob ever write at its key."""
    if final.exists():
        _refuse_other(final, content)
    else:
        os.rename(file, final)


def _refuse_other(final: Path, content: Sealed) -> None:
    with open(final, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != content.digest:
            raise AlreadyExists(final, "holds other bytes")


def _files(directory: Path, levels: int) -> Iterator[os.DirEntry[str]]:
    """The files `levels` below the directory. Raises OSError for what cannot be read, rather than leaving it out."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in FOREIGN:
                continue
            if levels and entry.is_dir():
                yield from _files(Path(entry.path), levels - 1)
            elif not levels and entry.is_file():
                yield entry


def _blob(entry: os.DirEntry[str], root: Path) -> Blob | None:
    """None for what is no blob of ours, and for one that was deleted meanwhile."""
    key = str(Path(entry.path).relative_to(root))
    if not is_key(key):
        return None
    try:
        status = entry.stat()
    except FileNotFoundError:
        return None
    return Blob(key, status.st_size, Instant(status.st_mtime_ns))
