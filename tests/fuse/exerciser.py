"""Random operations on one file through several handles, each checked against an image of it in memory."""

import mmap
import os
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tests.fuse.calls import KEEP_SIZE, PUNCH_HOLE, fallocate

LARGEST = 300_000
"""Beyond what is kept inline, and more than one request of the kernel."""
HANDLES = 4
LOOK_EVERY = 50
REMEMBERED = 40
PAGE = mmap.PAGESIZE


class Exerciser:
    """The same seed does the same. A difference raises with the operations that led to it."""

    def __init__(self, file: Path, seed: int) -> None:
        self._file = file
        self._random = random.Random(seed)
        self._image = bytearray()
        self._handles: list[int] = []
        self._last: deque[str] = deque(maxlen=REMEMBERED)
        self._operations: list[tuple[int, Callable[[], None]]] = [
            (10, self._read),
            (10, self._write),
            (3, self._append),
            (3, self._write_beyond),
            (3, self._truncate),
            (2, self._truncate_by_path),
            (4, self._read_memory),
            (4, self._write_memory),
            (2, self._punch),
            (2, self._reserve),
            (2, self._copy_within),
            (5, self._open),
            (4, self._close),
            (2, self._synchronise),
            (1, self._rename),
            (1, self._save_anew),
        ]

    def run(self, count: int) -> None:
        os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_RDWR))
        choices = [operation for _, operation in self._operations]
        weights = [weight for weight, _ in self._operations]
        try:
            for number, operation in enumerate(self._random.choices(choices, weights, k=count)):
                operation()
                if number % LOOK_EVERY == 0:
                    self._look()
            self._close_all()
            self._look()
        except BaseException as error:
            error.add_note("\n".join(self._last))
            raise
        finally:
            for fd in self._handles:
                os.close(fd)

    def _look(self) -> None:
        assert os.stat(self._file).st_size == len(self._image)
        self._same(self._file.read_bytes(), 0, len(self._image))

    def _read(self) -> None:
        start, length = self._span(LARGEST)
        self._did("read", start, length)
        self._same(os.pread(self._handle(), length, start), start, length)

    def _write(self) -> None:
        start, length = self._span(len(self._image))
        self._put(start, length, "write")

    def _write_beyond(self) -> None:
        self._put(self._random.randrange(LARGEST), self._length(), "write beyond")

    def _put(self, start: int, length: int, word: str) -> None:
        data = self._random.randbytes(length)
        self._did(word, start, length)
        assert os.pwrite(self._handle(), data, start) == length
        self._changed(start, data)

    def _append(self) -> None:
        data = self._random.randbytes(self._length())
        self._did("append", len(self._image), len(data))
        fd = os.open(self._file, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        self._changed(len(self._image), data)

    def _truncate(self) -> None:
        size = self._size()
        self._did("truncate", size)
        os.ftruncate(self._handle(), size)
        self._resized(size)

    def _truncate_by_path(self) -> None:
        size = self._size()
        self._did("truncate by path", size)
        os.truncate(self._file, size)
        self._resized(size)

    def _read_memory(self) -> None:
        if not self._image:
            return
        start, length = self._span(len(self._image))
        self._did("read memory", start, length)
        with mmap.mmap(self._handle(), 0, prot=mmap.PROT_READ) as memory:
            assert len(memory) == len(self._image)
            self._same(memory[start : start + length], start, length)

    def _write_memory(self) -> None:
        if not self._image:
            return
        start, length = self._span(len(self._image))
        data = self._random.randbytes(min(length, len(self._image) - start))
        self._did("write memory", start, len(data))
        with mmap.mmap(self._handle(), 0) as memory:
            memory[start : start + len(data)] = data
            if self._random.random() < 0.5:
                memory.flush()
        self._changed(start, data)

    def _punch(self) -> None:
        start, length = self._span(len(self._image))
        self._did("punch", start, length)
        fallocate(self._handle(), PUNCH_HOLE | KEEP_SIZE, start, length)
        end = min(start + length, len(self._image))
        self._changed(start, bytes(max(0, end - start)))

    def _reserve(self) -> None:
        start, length = self._span(LARGEST)
        keeps_size = self._random.random() < 0.5
        self._did("reserve", start, length, keeps_size)
        fallocate(self._handle(), KEEP_SIZE if keeps_size else 0, start, length)
        if not keeps_size and start + length > len(self._image):
            self._resized(start + length)

    def _copy_within(self) -> None:
        """From the first half to the second, since ranges of one file must not overlap."""
        half = len(self._image) // 2
        if not half:
            return
        start = self._random.randrange(half)
        length = self._random.randrange(1, half - start + 1)
        self._did("copy", start, half, length)
        copied = os.copy_file_range(self._handle(), self._handle(), length, start, half)
        assert 0 < copied <= length
        self._changed(half, bytes(self._image[start : start + copied]))

    def _open(self) -> None:
        self._did("open")
        if len(self._handles) == HANDLES:
            self._close()
        self._handles.append(os.open(self._file, os.O_RDWR))

    def _close(self) -> None:
        if self._handles:
            self._did("close")
            os.close(self._handles.pop(self._random.randrange(len(self._handles))))

    def _close_all(self) -> None:
        while self._handles:
            self._close()

    def _synchronise(self) -> None:
        self._did("fsync")
        os.fsync(self._handle())

    def _rename(self) -> None:
        self._did("rename")
        target = self._file.with_name(f"{self._file.name.partition('~')[0]}~{self._random.randrange(10)}")
        os.rename(self._file, target)
        self._file = target

    def _save_anew(self) -> None:
        """As editors do: another file takes the name, while handles of the old one are closed before or after."""
        data = self._random.randbytes(self._length())
        before = self._random.random() < 0.5
        self._did("save anew", len(data), "closed before" if before else "closed after")
        if before:
            self._close_all()
        new = self._file.with_name("new")
        new.write_bytes(data)
        os.rename(new, self._file)
        self._close_all()
        self._image = bytearray(data)

    def _handle(self) -> int:
        if not self._handles:
            self._open()
        return self._random.choice(self._handles)

    def _span(self, limit: int) -> tuple[int, int]:
        return self._random.randrange(limit + 1), self._length()

    def _length(self) -> int:
        near_a_page = PAGE * self._random.randrange(1, 10) + self._random.randrange(-2, 3)
        return self._random.choice((self._random.randrange(1, 100), near_a_page, self._random.randrange(1, 140_000)))

    def _size(self) -> int:
        return self._random.choice((0, self._random.randrange(200), self._random.randrange(LARGEST)))

    def _changed(self, start: int, data: bytes) -> None:
        if start > len(self._image) and data:
            self._resized(start)
        self._image[start : start + len(data)] = data

    def _resized(self, size: int) -> None:
        del self._image[size:]
        self._image.extend(bytes(size - len(self._image)))

    def _same(self, seen: bytes, start: int, length: int) -> None:
        wanted = self._image[start : start + length]
        if seen == wanted:
            return
        first = next((n for n, (a, b) in enumerate(zip(seen, wanted, strict=False)) if a != b), None)
        raise AssertionError(f"{len(seen)} bytes for {len(wanted)} at {start}, the first difference at {first}")

    def _did(self, *words: object) -> None:
        self._last.append(f"{words} size {len(self._image)}, {len(self._handles)} handles")
