"""Drafts that are written anywhere, as an open file is: all who write a node share one, and it is sealed often."""

import ctypes
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .appending import LENGTH, Appender, appender
from .direct import PAGE
from .errors import TooLarge
from .model import Digest, Instant
from .staging import Block, DraftFile, Sealed, is_kept, translated

COPY_BLOCK = 1 << 20
KEEP_SIZE, PUNCH_HOLE = 1, 2
SECTOR = 512
"""Bytes of what `st_blocks` counts."""
LARGEST = 1 << 44
"""Bytes. More is refused, holes or not, whatever the file system of the staging directory takes."""
CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What the kernel says where it cannot copy between two files."""
_zeros = memoryview(bytes(COPY_BLOCK))
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate


class RandomDraft:
    """In memory up to `spill_above` bytes, then in a file of the staging directory.

    What is written in order is hashed as it passes; anything else is hashed when the draft is sealed. What is appended
    beyond `cached` bytes may still be on its way to the file until the draft is settled, as all but appending does.
    """

    def __init__(self, directory: Path, spill_above: int, limit: int | None, cached: int | None = None) -> None:
        self.size = 0
        self._directory = directory
        self._spill_above = spill_above
        self._limit = limit
        self._memory = bytearray()
        self._file: DraftFile | None = None
        self._hash = hashlib.sha256()
        self._hashed: int | None = 0
        self._has_room_behind = False
        self._cached = cached
        self._appender: Appender | None = None

    @property
    def descriptor(self) -> int | None:
        """Of the file; None while it is in memory."""
        return self._file.descriptor if self._file else None

    @property
    def path(self) -> Path | None:
        return self._file.path if self._file else None

    def start_from(self, content: int | bytes | BinaryIO, size: int) -> None:
        """The draft holds a content. A file's, of which the descriptor is given, never passes through here: its blocks
        are shared where the file system can do that, and else copied by the kernel, holes left out."""
        self._reserve(size)
        self._hashed = None
        if self._file is None:
            self._memory[:] = os.pread(content, size, 0) if isinstance(content, int) else _start_of(content, size)
        else:
            with translated(self._directory):
                if isinstance(content, int):
                    _copy(content, self._file.descriptor, size)
                else:
                    _fill(content, self._file.descriptor)
                os.ftruncate(self._file.descriptor, size)
        self.size = size

    def write(self, block: Block, offset: int) -> int:
        """Raises TooLarge, StorageFull; also for what was written before, if that was on its way."""
        length = memoryview(block).nbytes
        end = offset + length
        self._reserve(end)
        if self._is_appended(offset, length):
            self._append(memoryview(block))
            self._hash_along(block, offset, length)
            self.size = end
            return length
        self.settle()
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

    def _is_appended(self, offset: int, length: int) -> bool:
        """Whether the block goes to the end of the file past the cache. Once one did not, none does."""
        if self._cached is None or not self._file or offset < self._cached or not self._hashed == offset == self.size:
            return False
        if self._appender is None and offset % PAGE == 0:
            self._appender = appender(self._file.descriptor, offset)
        return self._appender is not None and length <= LENGTH

    def _append(self, block: memoryview) -> None:
        assert self._appender
        with translated(self._directory):
            self._appender.append(block)

    def settle(self) -> None:
        """All that was written is in the file. Raises StorageFull."""
        if self._appender:
            with translated(self._directory):
                self._appender.settle()
            self._close_appender()

    def _close_appender(self) -> None:
        if self._appender:
            self._appender.close()
            self._appender, self._cached = None, None

    def _hash_along(self, block: Block, offset: int, length: int) -> None:
        if self._hashed == offset:
            self._hash.update(block)
            self._hashed = offset + length
        elif self._hashed is not None and offset < self._hashed:
            self._hashed = None

    def copy_from(self, source: int, start: int, length: int, offset: int) -> int:
        """As `write`, of what another file has from `start` on. Returns how many bytes came, of which there are fewer
        where it ends, or where something went wrong on the way."""
        length = min(length, max(0, os.fstat(source).st_size - start))
        if length == 0:
            return 0
        self.settle()
        self._reserve(offset + length)
        with translated(self._directory):
            if self._file is None:
                return self.write(os.pread(source, length, start), offset)
            done = _copy_some(source, self._file.descriptor, start, length, offset)
            for at in range(offset, offset + done, COPY_BLOCK):
                size = min(COPY_BLOCK, offset + done - at)
                block = os.pread(self._file.descriptor, size, at) if self._hashed == at else b""
                self._hash_along(block, at, size)
        self.size = max(self.size, offset + done)
        return done

    def read(self, size: int, offset: int) -> bytes:
        self.settle()
        if self._file is None:
            return bytes(self._memory[offset : offset + size])
        with translated(self._directory):
            return os.pread(self._file.descriptor, size, offset)

    def truncate(self, size: int) -> None:
        self.settle()
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

    def allocate(self, offset: int, length: int, *, keep_size: bool) -> None:
        """There is room for the range, to the end of which the file reaches at least, unless `keep_size`.

        Raises TooLarge, StorageFull.
        """
        end = offset + length
        self.settle()
        self._reserve(end)
        if self._file is not None:
            with translated(self._directory):
                _check_room(self._file.descriptor, length)
                self._has_room_behind = True
                if keep_size:
                    _change_room(self._file.descriptor, KEEP_SIZE, offset, length)
                else:
                    os.posix_fallocate(self._file.descriptor, offset, length)
        if not keep_size and end > self.size:
            self.truncate(end)

    def punch(self, offset: int, length: int) -> None:
        """That part of what is there reads as zeros."""
        self.settle()
        end = min(self.size, offset + length)
        if end <= offset:
            return
        if self._file is None:
            self._memory[offset:end] = bytes(end - offset)
        else:
            with translated(self._directory):
                _change_room(self._file.descriptor, KEEP_SIZE | PUNCH_HOLE, offset, end - offset)
            self._hashed = None

    def _reserve(self, size: int) -> None:
        limit = LARGEST if self._limit is None else min(LARGEST, self._limit)
        if size > limit:
            raise TooLarge(reason=f"the content is larger than {limit} bytes")
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
        self.settle()
        if self._file is None:
            data = bytes(self._memory)
            digest = hashlib.sha256(data).hexdigest()
            return Sealed(Digest(digest), len(data), data, None, {"sha256": digest})
        with translated(self._directory):
            if self._has_room_behind:
                os.ftruncate(self._file.descriptor, self.size)
                self._has_room_behind = False
            if self._hashed != self.size:
                self._hash, self._hashed = _hash_of(self._file.descriptor, self.size), self.size
        digest = self._hash.hexdigest()
        return Sealed(Digest(digest), self.size, None, self._file.path, {"sha256": digest})

    @property
    def is_whole_write(self) -> bool:
        """It was written from its first byte to its last, so that its digest is known."""
        return self._file is None or self._hashed == self.size

    def keep(self, modified: Instant | None) -> None:
        """The bytes are on disk, and will be there when the process is not. `modified` is what they are dated."""
        self.settle()
        if self._file is None:
            self._spill()
        assert self._file
        if modified is not None:
            os.utime(self._file.descriptor, ns=(modified, modified))
        self._file.keep()

    @property
    def kept(self) -> str | None:
        """The file's name, once `keep` was called."""
        return self._file.path.name if self._file and is_kept(self._file.path) else None

    def leave(self) -> None:
        """What was kept stays; nothing else does."""
        self._close_appender()
        self._memory = bytearray()
        if self._file and self.kept:
            self._file.leave()
        elif self._file:
            self._file.discard()

    def discard(self) -> None:
        self._close_appender()
        self._memory = bytearray()
        if self._file:
            self._file.discard()


def _start_of(content: bytes | BinaryIO, size: int) -> bytes:
    if isinstance(content, bytes):
        return content[:size]
    content.seek(0)
    return content.read(size)


def _fill(content: bytes | BinaryIO, target: int) -> None:
    if isinstance(content, bytes):
        os.pwrite(target, content, 0)
        return
    content.seek(0)
    offset = 0
    while block := content.read(COPY_BLOCK):
        _write_at(target, block, offset)
        offset += len(block)


def digest_of(descriptor: int, size: int) -> Digest:
    """Of a file's first `size` bytes. Raises OSError."""
    return Digest(_hash_of(descriptor, size).hexdigest())


def _hash_of(descriptor: int, size: int):
    found = hashlib.sha256()
    for block in _blocks(descriptor, size):
        found.update(block)
    return found


def _blocks(descriptor: int, size: int) -> Iterator[memoryview]:
    """A file from its first byte on. Holes are not read: all their zeros are the same ones."""
    buffer, done = memoryview(bytearray(COPY_BLOCK)), 0
    for start, end in (*_extents(descriptor, size), (size, size)):
        for at in range(done, start, COPY_BLOCK):
            yield _zeros[: start - at]
        done = start
        while done < end and (count := os.preadv(descriptor, [buffer[: end - done]], done)):
            yield buffer[:count]
            done += count


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data, from where to where: the rest are holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield min(start, size), min(end, size)


def _copy(source: int, target: int, size: int) -> None:
    for start, end in _extents(source, size):
        _copy_range(source, target, start, end)


def _copy_some(source: int, target: int, start: int, length: int, offset: int) -> int:
    """How many bytes came. Raises OSError where that is none."""
    done = 0
    try:
        while done < length:
            count = os.copy_file_range(source, target, length - done, start + done, offset + done)
            if count == 0:
                break
            done += count
    except OSError as error:
        if done == 0 and error.errno in CANNOT_COPY:
            block = os.pread(source, min(length, COPY_BLOCK), start)
            _write_at(target, block, offset)
            return len(block)
        if done == 0:
            raise
    return done


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        done = os.copy_file_range(source, target, end - start, start, start)
        if done == 0:
            return
        start += done


def _write_at(descriptor: int, block: Block, offset: int) -> None:
    rest = memoryview(block)
    while rest:
        done = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[done:], offset + done


def _check_room(descriptor: int, length: int) -> None:
    """Raises OSError where so many bytes are more than the disk has: ext4 takes all that there is before it says so."""
    disk = os.fstatvfs(descriptor)
    if length - os.fstat(descriptor).st_blocks * SECTOR > disk.f_bavail * disk.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _change_room(descriptor: int, mode: int, offset: int, length: int) -> None:
    """Raises OSError."""
    if _fallocate(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
