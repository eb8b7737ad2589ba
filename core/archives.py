"""Where backups go: files that are written once, whole and on disk or not at all, and never change.

blobs/<d[0:2]>/<d[2:4]>/<digest>     every content once, whichever buckets and snapshots hold it
snapshots/<name>/SHA256SUMS          `sha256sum -c` reads it from the archive's top
snapshots/<name>/tables/<table>.jsonl.gz
snapshots/<name>/backup.json         written last: without it there is no snapshot
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import uuid4

from .errors import NotFound, Unusable
from .model import Digest
from .staging import make_directories, sync, translated

BLOCK = 1 << 20
UNFINISHED = ".unfinished."


class Archive(Protocol):
    where: str
    """For people: a path or an address."""

    def add(self, name: str, source: BinaryIO) -> None:
        """All that the source still has is at `name`, durably; what was there before, if anything, until then.

        Raises StorageUnavailable, StorageFull, and whatever the source raises: then nothing changed.
        """
        ...

    def open(self, name: str) -> BinaryIO:
        """Raises NotFound, StorageUnavailable."""
        ...

    def files(self, below: str) -> Iterator[tuple[str, int]]:
        """Name and size of every file whose name begins with `below`, which ends at a slash. Raises as `open` does."""
        ...


def blob_name(digest: Digest) -> str:
    return f"blobs/{digest[:2]}/{digest[2:4]}/{digest}"


class DirectoryArchive:
    """An archive in a directory, for this user only: it holds what passwords are checked against."""

    def __init__(self, root: Path) -> None:
        self.where = str(root)
        self._root = root
        self._made: set[Path] = set()

    def add(self, name: str, source: BinaryIO) -> None:
        final = self._root / name
        unfinished = final.with_name(f"{UNFINISHED}{uuid4().hex}")
        with translated(self._root):
            self._make(final.parent)
            try:
                with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    while block := source.read(BLOCK):
                        file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.rename(final)
                sync(final.parent)
            finally:
                with suppress(FileNotFoundError):
                    unfinished.unlink()

    def _make(self, directory: Path) -> None:
        if directory not in self._made:
            make_directories(directory, durable=True)
            self._made.add(directory)

    def open(self, name: str) -> BinaryIO:
        with translated(self._root):
            try:
                return open(self._root / name, "rb")
            except (FileNotFoundError, NotADirectoryError):
                raise NotFound(f"{self.where}/{name}", "is not in the archive") from None

    def files(self, below: str) -> Iterator[tuple[str, int]]:
        with translated(self._root):
            if not self._root.is_dir():
                raise Unusable(self._root, "is no directory; name the one that a backup went to")
            for directory, _, names in os.walk(self._root / below, onerror=_raise):
                for name in names:
                    if not name.startswith(UNFINISHED):
                        path = Path(directory, name)
                        yield path.relative_to(self._root).as_posix(), path.stat().st_size


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
