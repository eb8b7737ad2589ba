"""Each operation's answer in libfuse's form, and each refusal as its errno."""

import ctypes
import errno
import struct
from collections.abc import Callable
from ctypes import byref
from typing import Any

from core.inode_rows import Inode

from . import attributes, library
from .errors import errno_of
from .library import Entry, OneBuffer, Stat, StatVfs, add_direntry_plus, libfuse, request_context
from .listings import Member
from .operations import Operations

BLOCK = 4096
DIRENT = struct.Struct("=QQII")
"""The head of struct fuse_dirent (linux/fuse.h), which the name follows: number, offset behind it, length, type."""
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
        self._timeout = timeout

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

    def _listing(self, name: str, listed: Callable[[int, int, int, Any], bytes]) -> Callable[..., None]:
        def answer(request: int, _number: int, size: int, offset: int, info: Any) -> None:
            try:
                data = listed(request, size, offset, info)
            except BaseException as error:
                libfuse.fuse_reply_err(request, errno_of(error, name))
            else:
                libfuse.fuse_reply_buf(request, data, len(data))

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

    def _made(self, member: Member) -> Entry:
        number, inode = member
        entry = Entry(ino=number, attr_timeout=self._timeout, entry_timeout=self._timeout)
        attributes.fill(entry.attr, inode, number)
        return entry

    def _entry(self, request: int, member: Member, _arguments: Any) -> None:
        libfuse.fuse_reply_entry(request, byref(self._made(member)))

    def _created(self, request: int, member: Member, arguments: Any) -> None:
        libfuse.fuse_reply_create(request, byref(self._made(member)), arguments[-1])

    def _attributes(self, request: int, inode: Inode, arguments: Any) -> None:
        into = Stat()
        attributes.fill(into, inode, arguments[0])
        libfuse.fuse_reply_attr(request, byref(into), self._timeout)

    def _link(self, request: int, target: bytes, _arguments: Any) -> None:
        libfuse.fuse_reply_readlink(request, target)

    def _opened(self, request: int, _result: None, arguments: Any) -> None:
        libfuse.fuse_reply_open(request, arguments[-1])

    def _data(self, request: int, data: Any, _arguments: Any) -> None:
        if isinstance(data, bytes):
            libfuse.fuse_reply_buf(request, data, len(data))
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
            libfuse.fuse_reply_buf(request, value, len(value))

    def _names(self, _request: int, size: int, offset: int, info: Any) -> bytes:
        """Entries as the kernel takes them, as many as there is room for."""
        entries: list[bytes] = []
        while members := self._operations.listed(info, offset, nodes=False):
            for name, number, mode, _ in members:
                offset += 1
                entry = DIRENT.pack(number, offset, len(name), mode >> TYPE) + name
                entry += bytes(-len(entry) % ALIGNED)
                size -= len(entry)
                if size < 0:
                    return b"".join(entries)
                entries.append(entry)
        return b"".join(entries)

    def _nodes(self, request: int, size: int, offset: int, info: Any) -> bytes:
        """As `_names`, with attributes. One structure serves for all of a reply."""
        buffer = ctypes.create_string_buffer(size)
        entry = Entry(attr_timeout=self._timeout, entry_timeout=self._timeout)
        pointer, start, used = byref(entry), ctypes.addressof(buffer), 0
        while members := self._operations.listed(info, offset, nodes=True):
            for name, number, mode, inode in members:
                entry.ino, entry.attr.st_ino, entry.attr.st_mode = 0, number, mode
                if inode:
                    entry.ino = number
                    attributes.fill(entry.attr, inode, number)
                length = add_direntry_plus(request, start + used, size - used, name, pointer, offset + 1)
                if used + length > size:
                    return buffer.raw[:used]
                used, offset = used + length, offset + 1
        return buffer.raw[:used]
