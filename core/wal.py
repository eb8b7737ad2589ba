"""What those who share a SQLite file need besides it: a queue for writers, one fsync of the write-ahead log for all who
wait for it, and for readers the news that something has changed."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path

COMMITS = 250
"""After so many there is something to move from the log to the file: some 4,000 pages."""
CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"


class Watch:
    """Tells whether anything was committed to a SQLite file, by this process or another. It commits nothing itself."""

    def __init__(self, file: Path) -> None:
        self._turn = threading.Lock()
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)

    def version(self) -> int:
        """Another number after each commit."""
        with self._turn:
            return self._connection.execute("PRAGMA data_version").fetchone()[0]

    def close(self) -> None:
        with self._turn:
            self._connection.close()


class UnsyncedLog(Exception):
    """The log could not be written to disk."""


class FileLock:
    """A lock over processes, as a queue in the kernel. The threads of one take turns before."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)


class Checkpoints:
    """What was committed goes from the log to the file in a thread of its own.

    Most of it while others write; what they add meanwhile is little, and moved when it is nobody's turn (`alone`), so
    that the log begins anew. One that stays short is overwritten, which is synced in half the time of one that grows.
    """

    def __init__(self, file: Path) -> None:
        self.alone: Callable[[], AbstractContextManager[None]] = nullcontext
        self._file = file
        self._commits = 0
        self._due = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def count(self) -> None:
        """Something was committed. Called by one writer at a time."""
        self._commits += 1
        if self._commits < COMMITS:
            return
        self._commits = 0
        self._due.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="davstore-checkpoints", daemon=True)
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            while self._due.wait() and not self._is_closed:
                self._due.clear()
                with suppress(sqlite3.Error, OSError):
                    connection.execute(CHECKPOINT)
                    with self.alone():
                        connection.execute(CHECKPOINT)

    def close(self) -> None:
        self._is_closed = True
        self._due.set()
        if self._thread:
            self._thread.join()


class _Caller:
    """A thread that waits until an fsync has served it, or until the next one is its own to do."""

    __slots__ = ("bell", "is_served")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.is_served = False


class SharedSync:
    """Group commit. A call returns when the log holds on disk all that was written to it before the call.

    Callers that arrive while an fsync runs wait for the next one, which serves them all. After an fsync that failed
    nobody knows what the disk holds, and a second one may claim success: from then on every call fails.
    """

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._file = -1
        self._guard = threading.Lock()
        self._is_running = False
        self._waiting: list[_Caller] = []
        self._failure: UnsyncedLog | None = None

    def __call__(self) -> None:
        with self._guard:
            me = _Caller() if self._is_running else None
            if me:
                self._waiting.append(me)
            self._is_running = True
        if me:
            me.bell.acquire()
        if me is None or not me.is_served:
            self._serve()
        if self._failure:
            raise self._failure

    def _serve(self) -> None:
        """One fsync, for the calling thread and all who wait by now; then it is another's turn."""
        with self._guard:
            served, self._waiting = self._waiting, []
        try:
            if not self._failure:
                self._fsync()
        except BaseException as error:
            self._failure = UnsyncedLog(error)
            if not isinstance(error, OSError):
                raise
        finally:
            with self._guard:
                heir = self._waiting.pop(0) if self._waiting else None
                self._is_running = heir is not None
            for caller in served:
                caller.is_served = True
            for caller in [heir, *served] if heir else served:
                caller.bell.release()

    def _fsync(self) -> None:
        if self._file < 0 or os.fstat(self._file).st_nlink == 0:
            self._open()
        os.fdatasync(self._file)

    def _open(self) -> None:
        """A new log is durable once its directory is."""
        self.close()
        self._file = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
        directory = os.open(self._wal.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
