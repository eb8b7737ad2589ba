"""A mounted session: libfuse shakes hands with the kernel, and Python's threads carry requests until it ends."""

import ctypes
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from ctypes import byref
from pathlib import Path
from typing import Any

from core.errors import Unusable

from . import library
from .library import Arguments, Buffer, Callbacks, libfuse

THREADS = 10
GRACE = 5.0
DETACH = 2
log = logging.getLogger(__name__)
_umount2 = ctypes.CDLL(None, use_errno=True).umount2


class Session:
    """The kernel's requests to one mount point are answered by `callbacks`."""

    def __init__(self, mountpoint: Path, options: Sequence[str]) -> None:
        self._mountpoint = mountpoint
        words = (b"davstore", *(word.encode() for option in options for word in ("-o", option)))
        self._words = (ctypes.c_char_p * (len(words) + 1))(*words, None)
        self._callbacks = Callbacks()
        self._session: int | None = None
        self._threads: list[threading.Thread] = []
        self.ended = threading.Event()

    def start(self, callbacks: Mapping[str, Callable[..., None]]) -> None:
        """The tree is mounted. Raises Unusable."""
        bound = {"init": _negotiate, **callbacks}
        self._callbacks = Callbacks(**{name: library.callback(name, act) for name, act in bound.items()})
        arguments, size = Arguments(len(self._words) - 1, self._words, 0), ctypes.sizeof(self._callbacks)
        self._session = libfuse.fuse_session_new(byref(arguments), byref(self._callbacks), size, None)
        if not self._session:
            raise Unusable(self._mountpoint, "libfuse does not take these mount options")
        if libfuse.fuse_session_mount(self._session, str(self._mountpoint).encode()):
            raise Unusable(self._mountpoint, "cannot be mounted on; libfuse says why above")
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

    def forget_attributes(self, number: int) -> None:
        """The kernel asks again what it remembered of a node."""
        libfuse.fuse_lowlevel_notify_inval_inode(self._session, number, -1, 0)

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
    try:
        subprocess.run(["fusermount3", "-u", "-z", "--", str(mountpoint)], check=False, capture_output=True)
    except FileNotFoundError:
        if _umount2(bytes(mountpoint), DETACH):
            log.error("%s stays mounted, since fusermount3 is not in the PATH; unmount it as root", mountpoint)


def _negotiate(_data: int, connection: Any) -> None:
    """Pages go when a file is opened whose content is another, not whenever its time is."""
    asked = connection.contents
    wanted = library.SPLICE_WRITE | library.SPLICE_MOVE
    unwanted = library.HANDLE_KILLPRIV | library.SPLICE_READ | library.AUTO_INVAL_DATA
    asked.want = (asked.want | asked.capable & wanted) & ~unwanted
    asked.time_gran = 1
