"""A mounted session: libfuse shakes hands with the kernel, and Python's threads carry requests until it ends."""

import ctypes
import errno
import logging
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ctypes import byref
from pathlib import Path
from typing import Any

from core.errors import Unusable

from . import library
from .library import Arguments, Buffer, Callbacks, libfuse

SPARE, MOST = 10, 256
"""Threads that wait for a request, and all of them: what waits for a storage that is far takes one."""
BACKGROUND = MOST // 2
"""Reads ahead and the like that the kernel sends at once; it counts those of all files together."""
FLAGS = struct.Struct("=I")
ASKED, ANSWERED = 52, 28
"""Where the flags stand in FUSE_INIT and its answer, behind their heads of 40 and 16 bytes (linux/fuse.h)."""
HANDSHAKE = 4096
"""Bytes that no answer to FUSE_INIT reaches."""
GRACE = 5.0
DETACH = 2
log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)
_umount2, _free = _libc.umount2, _libc.free
_free.restype, _free.argtypes = None, (ctypes.c_void_p,)


class Session:
    """The kernel's requests to one mount point are answered by `callbacks`."""

    def __init__(self, mountpoint: Path, options: Sequence[str]) -> None:
        self._mountpoint = mountpoint
        words = (b"davstore", *(word.encode() for option in options for word in ("-o", option)))
        self._words = (ctypes.c_char_p * (len(words) + 1))(*words, None)
        self._callbacks = Callbacks()
        self._session: int | None = None
        self._threads = self._waiting = 0
        self._changed = threading.Condition(threading.Lock())
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
        buffer = Buffer()
        if self._receive(buffer):
            self._shake_hands(buffer)
        _free(buffer.mem)
        with self._changed:
            for _ in range(SPARE):
                self._add_thread()

    def _shake_hands(self, buffer: Buffer) -> None:
        """libfuse's answer to the kernel's first request is taken from it and sent with what libfuse does not know."""
        device = libfuse.fuse_session_fd(self._session)
        kernel = os.dup(device)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, os.fdopen(kernel, "wb", buffering=0) as to_kernel:
            os.dup2(theirs.fileno(), device, inheritable=False)
            libfuse.fuse_session_process_buf(self._session, byref(buffer))
            os.dup2(kernel, device, inheritable=False)
            answer = ours.recv(HANDSHAKE, socket.MSG_DONTWAIT)
            to_kernel.write(amended(answer, ctypes.string_at(buffer.mem, buffer.size)))

    def _add_thread(self) -> None:
        threading.Thread(target=self._serve, name="fuse", daemon=True).start()
        self._threads += 1
        self._waiting += 1

    def _serve(self) -> None:
        """One thread's work, until the session ends, or until there are threads to spare."""
        buffer = Buffer()
        while self._receive(buffer):
            with self._changed:
                self._waiting -= 1
                if self._waiting == 0 and self._threads < MOST:
                    # Where the process may not have one more, requests wait.
                    with suppress(RuntimeError):
                        self._add_thread()
            libfuse.fuse_session_process_buf(self._session, byref(buffer))
            with self._changed:
                if self._waiting == SPARE:
                    break
                self._waiting += 1
        _free(buffer.mem)
        with self._changed:
            self._threads -= 1
            self._changed.notify_all()

    def _receive(self, buffer: Buffer) -> bool:
        """Whether there is a request."""
        while not libfuse.fuse_session_exited(self._session):
            size = libfuse.fuse_session_receive_buf(self._session, byref(buffer))
            if size > 0:
                return True
            if size != -errno.EINTR:
                libfuse.fuse_session_exit(self._session)
        self.ended.set()
        return False

    def forget_attributes(self, number: int) -> None:
        """The kernel asks again what it remembered of a node."""
        libfuse.fuse_lowlevel_notify_inval_inode(self._session, number, -1, 0)

    def stop(self, grace: float = GRACE) -> None:
        """The mount point is free. Programs that hold files open have `grace` seconds to close them."""
        if not libfuse.fuse_session_exited(self._session):
            detach(self._mountpoint)
        with self._changed:
            is_over = self._changed.wait_for(lambda: self._threads == 0, grace)
        if is_over:
            libfuse.fuse_session_unmount(self._session)
            libfuse.fuse_session_destroy(self._session)


def detach(mountpoint: Path) -> None:
    """No new program gets in; the file system ends when the last one leaves."""
    try:
        subprocess.run(["fusermount3", "-u", "-z", "--", str(mountpoint)], check=False, capture_output=True)
    except FileNotFoundError:
        if _umount2(bytes(mountpoint), DETACH):
            log.error("%s stays mounted, since fusermount3 is not in the PATH; unmount it as root", mountpoint)


def amended(answer: bytes, request: bytes) -> bytes:
    """The answer to FUSE_INIT, which also takes HANDLE_KILLPRIV_V2 where the kernel offers it.

    Without it the kernel asks for the attribute `security.capability` before each write.
    """
    if len(answer) < ANSWERED + FLAGS.size or len(request) < ASKED + FLAGS.size:
        return answer
    (offered,), (taken,) = FLAGS.unpack_from(request, ASKED), FLAGS.unpack_from(answer, ANSWERED)
    flags = FLAGS.pack(taken | offered & library.HANDLE_KILLPRIV_V2)
    return answer[:ANSWERED] + flags + answer[ANSWERED + FLAGS.size :]


def _negotiate(_data: int, connection: Any) -> None:
    """Pages go when a file is opened whose content is another, not whenever its time is."""
    asked = connection.contents
    wanted = library.SPLICE_WRITE | library.SPLICE_MOVE
    unwanted = library.HANDLE_KILLPRIV | library.SPLICE_READ | library.AUTO_INVAL_DATA
    asked.want = (asked.want | asked.capable & wanted) & ~unwanted
    asked.max_background = BACKGROUND
    asked.time_gran = 1
