"""Each operation's answer in libfuse's form, and each refusal as its errno."""

import ctypes
from collections.abc import Callable
from ctypes import byref
from typing import Any

from core.inodes import Inode

from . import attributes, library
from .errors import errno_of
from .library import Entry, OneBuffer, Stat, StatVfs, libfuse
from .operations import Operations

BLOCK = 4096
NAME_BYTES = 255
WITH_CONTEXT = {"mknod", "mkdir", "symlink", "create"}
NO_ANSWER = {"forget", "forget_multi"}


class Replies:
    """The callbacks of one mount. `timeout` is how many seconds the kernel may remember names and attributes."""

    def __init__(self, operations: Operations, timeout: float) -> None:
        self._operations = operations
        self._timeout = timeout

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {name: self._bound(name) for name in library.SIGNATURES if hasattr(self, f"_on_{name}")} | {
            name: self._bound(name)
            for name in library.SIGNATURES
            if hasattr(self._operations, name) or name in {"readdir", "readdirplus"}
        }

    def _bound(self, name: str) -> Callable[..., None]:
        act: Callable[..., Any] = getattr(self, f"_on_{name}", None) or getattr(self._operations, name)
        reply: Callable[..., None] = {
            "lookup": self._entry,
            "mknod": self._entry,
            "mkdir": self._entry,
            "symlink": self._entry,
            "link": self._entry,
            "create": self._created,
            "getattr": self._attributes,
            "setattr": self._attributes,
            "readlink": self._link,
            "open": self._opened,
            "opendir": self._opened,
            "read": self._data,
            "write": self._count,
            "readdir": self._bytes,
            "readdirplus": self._bytes,
            "statfs": self._room,
            "getxattr": self._value,
            "listxattr": self._value,
        }.get(name, self._done)
        with_context = name in WITH_CONTEXT
        reply_err, context = libfuse.fuse_reply_err, libfuse.fuse_req_ctx

        def answer(request: int, *arguments: Any) -> None:
            try:
                if with_context:
                    result = act(context(request).contents, *arguments)
                elif name in {"readdir", "readdirplus"}:
                    result = self._listed(request, name == "readdirplus", *arguments)
                else:
                    result = act(*arguments)
            except BaseException as error:
                reply_err(request, errno_of(error, name))
            else:
                reply(request, result, arguments)

        return answer

    def _on_readdir(self) -> None: ...

    def _on_readdirplus(self) -> None: ...

    def _made(self, inode: Inode) -> Entry:
        number = self._operations.number(inode.id)
        entry = Entry(ino=number, attr_timeout=self._timeout, entry_timeout=self._timeout)
        attributes.fill(entry.attr, inode, number)
        return entry

    def _entry(self, request: int, inode: Inode, _arguments: Any) -> None:
        libfuse.fuse_reply_entry(request, byref(self._made(inode)))

    def _created(self, request: int, inode: Inode, arguments: Any) -> None:
        libfuse.fuse_reply_create(request, byref(self._made(inode)), arguments[-1])

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

    def _bytes(self, request: int, data: Any, _arguments: Any) -> None:
        buffer, length = data
        libfuse.fuse_reply_buf(request, ctypes.cast(buffer, ctypes.c_char_p), length)

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
            libfuse.fuse_reply_err(request, 34)
        else:
            libfuse.fuse_reply_buf(request, value, len(value))

    def _listed(self, request: int, plus: bool, number: int, size: int, offset: int, info: Any) -> tuple[Any, int]:
        buffer = ctypes.create_string_buffer(size)
        base, used = ctypes.addressof(buffer), 0
        while True:
            members = self._operations.listed(number, offset, info)
            for name, inode, member, behind in members:
                length = self._add(request, plus, base + used, size - used, name, inode, member, behind)
                if used + length > size:
                    return buffer, used
                used, offset = used + length, behind
            if not members:
                return buffer, used

    def _add(
        self,
        request: int,
        plus: bool,
        at: int,
        rest: int,
        name: bytes,
        inode: Inode | None,
        number: int,
        behind: int,
    ) -> int:
        if plus:
            entry = self._made(inode) if inode else Entry()
            if inode is None:
                entry.attr.st_ino, entry.attr.st_mode = number, 0o40000
            return libfuse.fuse_add_direntry_plus(request, at, rest, name, byref(entry), behind)
        into = Stat()
        into.st_ino = number
        into.st_mode = attributes.mode_of(inode) if inode else 0o40000
        return libfuse.fuse_add_direntry(request, at, rest, name, byref(into), behind)
