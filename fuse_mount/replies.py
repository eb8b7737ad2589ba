"""Each operation's answer in libfuse's form, and each refusal as its errno."""

import errno
import struct
from collections.abc import Callable
from ctypes import byref
from typing import Any

from core.inode_rows import Inode
from core.model import SECOND

from . import attributes, library
from .errors import errno_of
from .library import OneBuffer, StatVfs, libfuse, request_context
from .listings import Member, Named
from .operations import Operations

BLOCK = 4096
ENTRY, ATTR_HEAD, OPEN = struct.Struct("=QQQQII"), struct.Struct("=QI4x"), struct.Struct("=QI4x")
"""What stands before the attributes in struct fuse_entry_out and fuse_attr_out, and struct fuse_open_out
(linux/fuse.h)."""
NONE = bytes(ENTRY.size + attributes.ATTR.size)
KEEP_CACHE = 1 << 1
DIRENT = struct.Struct("=QQII")
"""The head of struct fuse_dirent, which the name follows: number, offset behind it, length, type."""
ALIGNED, TYPE = 8, 12
"""Bytes to a multiple of which an entry is filled up, and bits of a mode below the type."""
NAME_BYTES = 255
WITH_CONTEXT = frozenset(
    {"mknod", "mkdir", "symlink", "create", "open", "setattr", "write", "fallocate", "copy_file_range"}
)
"""Operations that are told who asks."""


class Replies:
    """The callbacks of one mount. `timeout` is how many seconds the kernel may remember names and attributes."""

    def __init__(self, operations: Operations, timeout: float) -> None:
        self._operations = operations
        self._timeout = int(timeout), int(timeout % 1 * SECOND)

    def callbacks(self) -> dict[str, Callable[..., None]]:
        listings = {"readdir": self._names, "readdirplus": self._nodes}
        answered = [name for name in library.SIGNATURES if hasattr(self._operations, name)]
        bound = {name: self._bound(name, getattr(self._operations, name)) for name in answered}
        return bound | {name: self._listing(name, listed) for name, listed in listings.items()}

    def _bound(self, name: str, act: Callable[..., Any]) -> Callable[..., None]:
        reply, reply_err, context = self._reply_of(name), libfuse.fuse_reply_err, request_context
        with_context = name in WITH_CONTEXT

        def answer(request: int, *arguments: Any) -> None:
            try:
                result = act(context(request).contents, *arguments) if with_context else act(*arguments)
            except BaseException as error:
                reply_err(request, errno_of(error, name))
            else:
                reply(request, result, arguments)

        return answer

    def _listing(self, name: str, listed: Callable[[int, int, Any], bytes]) -> Callable[..., None]:
        def answer(request: int, _number: int, size: int, offset: int, info: Any) -> None:
            try:
                data = listed(size, offset, info)
            except BaseException as error:
                libfuse.fuse_reply_err(request, errno_of(error, name))
            else:
                self._reply(request, data)

        return answer

    def _reply_of(self, name: str) -> Callable[..., None]:
        entries = dict.fromkeys(("lookup", "mknod", "mkdir", "symlink", "link"), self._entry)
        others: dict[str, Callable[..., None]] = {
            "create": self._created,
            "getattr": self._attributes,
            "setattr": self._attributes,
            "readlink": self._link,
            "open": self._opened,
            "opendir": self._opened,
            "read": self._data,
            "write": self._count,
            "copy_file_range": self._count,
            "lseek": self._offset,
            "statfs": self._room,
            "getxattr": self._value,
            "listxattr": self._value,
        }
        return (entries | others).get(name, self._done)

    def _reply(self, request: int, data: bytes) -> None:
        libfuse.fuse_reply_buf(request, data, len(data))

    def _entry_of(self, number: int, inode: Inode) -> bytes:
        seconds, rest = self._timeout
        return ENTRY.pack(number, 0, seconds, seconds, rest, rest) + attributes.packed(inode, number)

    def _entry(self, request: int, member: Member, _arguments: Any) -> None:
        self._reply(request, self._entry_of(*member))

    def _created(self, request: int, member: Member, arguments: Any) -> None:
        info = arguments[-1].contents
        self._reply(request, self._entry_of(*member) + OPEN.pack(info.fh, KEEP_CACHE if info.keep_cache else 0))

    def _attributes(self, request: int, inode: Inode, arguments: Any) -> None:
        self._reply(request, ATTR_HEAD.pack(*self._timeout) + attributes.packed(inode, arguments[0]))

    def _link(self, request: int, target: bytes, _arguments: Any) -> None:
        libfuse.fuse_reply_readlink(request, target)

    def _opened(self, request: int, _result: None, arguments: Any) -> None:
        libfuse.fuse_reply_open(request, arguments[-1])

    def _data(self, request: int, data: Any, _arguments: Any) -> None:
        if isinstance(data, bytes):
            self._reply(request, data)
            return
        descriptor, offset, size = data
        vector = OneBuffer(1, 0, 0)
        vector.buf.size, vector.buf.flags = size, library.IS_FD | library.FD_SEEK
        vector.buf.fd, vector.buf.pos = descriptor.number, offset
        libfuse.fuse_reply_data(request, byref(vector), 0)

    def _count(self, request: int, count: int, _arguments: Any) -> None:
        libfuse.fuse_reply_write(request, count)

    def _offset(self, request: int, offset: int, _arguments: Any) -> None:
        libfuse.fuse_reply_lseek(request, offset)

    def _done(self, request: int, _result: None, _arguments: Any) -> None:
        libfuse.fuse_reply_err(request, 0)

    def _room(self, request: int, room: tuple[int, int, int], _arguments: Any) -> None:
        used, free, files = room
        into = StatVfs(f_bsize=BLOCK, f_frsize=BLOCK, f_namemax=NAME_BYTES, f_files=files + free // BLOCK)
        into.f_blocks, into.f_bfree = (used + free) // BLOCK, free // BLOCK
        into.f_bavail, into.f_ffree, into.f_favail = into.f_bfree, free // BLOCK, free // BLOCK
        libfuse.fuse_reply_statfs(request, byref(into))

    def _value(self, request: int, value: bytes, arguments: Any) -> None:
        size = arguments[-1]
        if size == 0:
            libfuse.fuse_reply_xattr(request, len(value))
        elif size < len(value):
            libfuse.fuse_reply_err(request, errno.ERANGE)
        else:
            self._reply(request, value)

    def _names(self, size: int, offset: int, info: Any) -> bytes:
        """Entries as the kernel takes them, as many as there is room for."""
        entries: list[bytes] = []
        while members := self._operations.listed(info, offset, nodes=False):
            for named in members:
                offset += 1
                entry = _dirent(named, offset)
                size -= len(entry)
                if size < 0:
                    return b"".join(entries)
                entries.append(entry)
        return b"".join(entries)

    def _nodes(self, size: int, offset: int, info: Any) -> bytes:
        """As `_names`, each behind its attributes; of what has no number there the kernel remembers none."""
        entries: list[bytes] = []
        while members := self._operations.listed(info, offset, nodes=True):
            for named in members:
                offset += 1
                known = NONE if named.inode is None else self._entry_of(named.number, named.inode)
                entry = known + _dirent(named, offset)
                size -= len(entry)
                if size < 0:
                    return b"".join(entries)
                entries.append(entry)
        return b"".join(entries)


def _dirent(named: Named, behind: int) -> bytes:
    entry = DIRENT.pack(named.number, behind, len(named.name), named.mode >> TYPE) + named.name
    return entry + bytes(-len(entry) % ALIGNED)
