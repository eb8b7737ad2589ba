"""A mounted session: libfuse shakes hands with the kernel, and Python's threads carry requests until it ends."""

import ctypes
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from ctypes import byref
from pathlib import Path
from typing import Any

from core.errors import Unusable

from . import library
from .library import Arguments, Buffer, Callbacks, libfuse

THREADS = 10
GRACE = 5.0


class Session:
    """The kernel's requests to one mount point are answered by `callbacks`."""

    def __init__(self, mountpoint: Path, callbacks: dict[str, Callable[..., None]], options: Sequence[str]) -> None:
        self._mountpoint = mountpoint
        bound = callbacks | {"init": _negotiate}
        self._callbacks = Callbacks(**{name: library.callback(name, act) for name, act in bound.items()})
        words = (b"davstore", *(word.encode() for option in options for word in ("-o", option)))
        self._words = (ctypes.c_char_p * (len(words) + 1))(*words, None)
        arguments = Arguments(len(words), self._words, 0)
        self._session = libfuse.fuse_session_new(
            byref(arguments), byref(self._callbacks), ctypes.sizeof(self._callbacks), None
        )
        if not self._session:
            raise Unusable(mountpoint, "libfuse does not take these mount options")
        self._threads: list[threading.Thread] = []
        self.ended = threading.Event()

    def start(self) -> None:
        """The tree is mounted. Raises Unusable."""
        if libfuse.fuse_session_mount(self._session, str(self._mountpoint).encode()):
            raise Unusable(self._mountpoint, "cannot be mounted on; see the message of fusermount3 above")
        self._threads = [threading.Thread(target=self._serve, name=f"fuse-{n}", daemon=True) for n in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        buffer = Buffer()
        while not libfuse.fuse_session_exited(self._session):
            size = libfuse.fuse_session_receive_buf(self._session, byref(buffer))
            if size > 0:
                libfuse.fuse_session_process_buf(self._session, byref(buffer))
            elif size != -4:
                break
        libfuse.fuse_session_exit(self._session)
        self.ended.set()

    def stop(self, grace: float = GRACE) -> None:
        """The mount point is free. Programs that hold files open have `grace` seconds to close them."""
        if not libfuse.fuse_session_exited(self._session):
            detach(self._mountpoint)
        until = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0, until - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            libfuse.fuse_session_unmount(self._session)
            libfuse.fuse_session_destroy(self._session)


def detach(mountpoint: Path) -> None:
    """No new program gets in; the file system ends when the last one leaves."""
    subprocess.run(["fusermount3", "-u", "-z", "--", str(mountpoint)], check=False, capture_output=True)


def _negotiate(_data: int, connection: Any) -> None:
    asked = connection.contents
    wanted = library.SPLICE_WRITE | library.SPLICE_MOVE
    asked.want = (asked.want | asked.capable & wanted) & ~(library.HANDLE_KILLPRIV | library.SPLICE_READ)
    asked.time_gran = 1
