"""Drafts that are written anywhere, as an open file is: all who write a node share one, and it is sealed often."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from .errors import TooLarge
from .model import Digest
from .staging import Block, DraftFile, Sealed, translated

COPY_BLOCK = 1 << 20


class RandomDraft:
    """In memory up to `spill_above` bytes, then in a file of the staging directory.

    What is written in order is hashed as it passes; anything else is hashed when the draft is sealed.
    """

    def __init__(self, directory: Path, spill_above: int, limit: int | None) -> None:
        self.size = 0
        self._directory = directory
        self._spill_above = spill_above
        self._limit = limit
        self._memory = bytearray()
        self._file: DraftFile | None = None
        self._hash = hashlib.sha256()
        self._hashed: int | None = 0

    @property
    def descriptor(self) -> int | None:
        """Of the file; None while it is in memory."""
        return self._file.descriptor if self._file else None

    @property
    def path(self) -> Path | None:
        return self._file.path if self._file else None

    def start_from(self, content: BinaryIO, size: int) -> None:
        """The draft holds a content: by reference where the file system can, else copied inside the kernel."""
        self._reserve(size)
        self._hashed = None
        if self._file is None:
            self._memory[:] = content.read(size)
        else:
            with translated(self._directory):
                _copy(content, self._file.descriptor, size)
        self.size = size

    def write(self, block: Block, offset: int) -> int:
        """Raises TooLarge, StorageFull."""
        length = memoryview(block).nbytes
        end = offset + length
        self._reserve(end)
        if self._file is None:
            if offset > len(self._memory):
                self._memory.extend(bytes(offset - len(self._memory)))
            self._memory[offset:end] = block
        else:
            with translated(self._directory):
                _write_at(self._file.descriptor, block, offset)
            self._hash_along(block, offset, length)
        self.size = max(self.size, end)
        return length

    def _hash_along(self, block: Block, offset: int, length: int) -> None:
        if self._hashed == offset:
            self._hash.update(block)
            self._hashed = offset + length
        elif self._hashed is not None and offset < self._hashed:
            self._hashed = None

    def read(self, size: int, offset: int) -> bytes:
        if self._file is None:
            return bytes(self._memory[offset : offset + size])
        with translated(self._directory):
            return os.pread(self._file.descriptor, size, offset)

    def truncate(self, size: int) -> None:
        self._reserve(size)
        if self._file is None:
            del self._memory[size:]
            self._memory.extend(bytes(size - len(self._memory)))
        else:
            with translated(self._directory):
                os.ftruncate(self._file.descriptor, size)
            if size == 0:
                self._hash, self._hashed = hashlib.sha256(), 0
            elif self._hashed is not None and size < self._hashed:
                self._hashed = None
        self.size = size

    def _reserve(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise TooLarge(reason=f"the content is larger than {self._limit} bytes")
        if self._file is None and size > self._spill_above:
            self._spill()

    def _spill(self) -> None:
        self._file = DraftFile(self._directory)
        self._file.write(self._memory)
        self._hash.update(self._memory)
        self._hashed = len(self._memory)
        self._memory = bytearray()

    def seal(self) -> Sealed:
        """The content as it is now."""
        if self._file is None:
            data = bytes(self._memory)
            digest = hashlib.sha256(data).hexdigest()
            return Sealed(Digest(digest), len(data), data, None, {"sha256": digest})
        if self._hashed != self.size:
            with translated(self._directory), open(self._file.path, "rb") as file:
                self._hash = hashlib.file_digest(file, "sha256")  # type: ignore[assignment]
            self._hashed = self.size
        digest = self._hash.hexdigest()
        return Sealed(Digest(digest), self.size, None, self._file.path, {"sha256": digest})

    def discard(self) -> None:
        self._memory = bytearray()
        if self._file:
            self._file.discard()


def _copy(content: BinaryIO, target: int, size: int) -> None:
    try:
        source = content.fileno()
    except OSError:
        while block := content.read(COPY_BLOCK):
            os.write(target, block)
        return
    offset = 0
    while offset < size:
        done = os.copy_file_range(source, target, size - offset, offset, offset)
        if done == 0:
            return
        offset += done


def _write_at(descriptor: int, block: Block, offset: int) -> None:
    rest = memoryview(block)
    while rest:
        done = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[done:], offset + done
