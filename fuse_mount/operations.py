"""What the kernel asks, answered from the store: numbers to nodes, names to text, flags to verbs."""

import ctypes
import errno
import itertools
import os
import stat
from typing import Any

from core.errors import NotFound
from core.inodes import Inode, Inodes
from core.model import Instant, Kind, NodeId

from . import library
from .attributes import PERMISSIONS, instant
from .handles import OpenFile, OpenFiles, Span
from .listings import Listing

ROOT = 1
NOREPLACE, EXCHANGE = 1, 2
DOTS = 2
"""Offsets that `.` and `..` take."""


class Operations:
    """One mounted tree, whose top is node `top`."""

    def __init__(self, inodes: Inodes, top: NodeId) -> None:
        self.inodes = inodes
        self.top = top
        self.files = OpenFiles(inodes)
        self._handles: dict[int, OpenFile | Listing] = {}
        self._next = itertools.count(1)

    def number(self, node: NodeId) -> int:
        return ROOT if node == self.top else node + 1

    def node(self, number: int) -> NodeId:
        return self.top if number == ROOT else NodeId(number - 1)

    def lookup(self, parent: int, name: bytes) -> Inode:
        found = self.inodes.lookup(self.node(parent), name.decode())
        if found is None:
            raise NotFound(name.decode())
        return self.shown(found)

    def shown(self, inode: Inode) -> Inode:
        """The node as this mount's writers see it."""
        file = self.files.find(inode.id)
        if file is None or not file.dirty:
            return inode
        return file.shown._replace(links=inode.links, mode=inode.mode)

    def getattr(self, number: int, _info: Any) -> Inode:
        node = self.node(number)
        file = self.files.find(node)
        if file and (file.dirty or file.removed):
            return file.shown
        found = self.inodes.get(node)
        if found is None and file:
            file.removed = True
            return file.shown
        if found is None:
            raise NotFound()
        return found

    def setattr(self, number: int, given: Any, which: int, info: Any) -> Inode:
        node, values = self.node(number), given.contents
        if which & library.SET_SIZE:
            self._truncate(node, values.st_size, info)
        changes: dict[str, int] = {}
        if which & library.SET_MODE:
            changes["mode"] = values.st_mode & PERMISSIONS
        if which & library.SET_UID:
            changes["uid_number"] = values.st_uid
        if which & library.SET_GID:
            changes["gid_number"] = values.st_gid
        if which & library.SET_MTIME:
            changes["modified"] = instant(values.st_mtimespec)
        if changes:
            self._change(node, changes)
        return self.getattr(number, info)

    def _change(self, node: NodeId, changes: dict[str, int]) -> None:
        file = self.files.find(node)
        if file and file.removed:
            file.inode = file.inode._replace(**changes)
            return
        changed = self.inodes.change(node, **changes)
        if file:
            with file.lock:
                file.inode = changed._replace(object=file.inode.object, size=file.inode.size)
                if "modified" in changes and file.dirty:
                    file.modified = Instant(changes["modified"])

    def _truncate(self, node: NodeId, size: int, info: Any) -> None:
        if info:
            self.files.truncate(self._file(info), size)
            return
        file = self.files.open(self._there(node), truncate=size == 0)
        try:
            self.files.truncate(file, size)
            self.files.publish(file, durable=False)
        finally:
            self.files.close(file)

    def _there(self, node: NodeId) -> Inode:
        found = self.inodes.get(node)
        if found is None:
            raise NotFound()
        return found

    def readlink(self, number: int) -> bytes:
        return (self._there(self.node(number)).target or "").encode()

    def mkdir(self, who: Any, parent: int, name: bytes, mode: int) -> Inode:
        return self._make(who, parent, name, Kind.COLLECTION, mode)

    def mknod(self, who: Any, parent: int, name: bytes, mode: int, rdev: int) -> Inode:
        if stat.S_ISREG(mode):
            return self._make(who, parent, name, Kind.FILE, mode)
        return self._make(who, parent, name, Kind.SPECIAL, mode, rdev=rdev)

    def symlink(self, who: Any, target: bytes, parent: int, name: bytes) -> Inode:
        return self._make(who, parent, name, Kind.SYMLINK, 0o777, target=target.decode())

    def create(self, who: Any, parent: int, name: bytes, mode: int, info: Any) -> Inode:
        made = self._make(who, parent, name, Kind.FILE, mode)
        self._keep(self.files.created(made), info)
        info.contents.keep_cache = 1
        return made

    def _make(self, who: Any, parent: int, name: bytes, kind: Kind, mode: int, **rest: Any) -> Inode:
        """A collection whose group bit is set gives its group to what is made in it."""
        above = self._there(self.node(parent))
        gid = above.gid_number if above.mode & stat.S_ISGID else who.gid
        if kind is Kind.COLLECTION and above.mode & stat.S_ISGID:
            mode |= stat.S_ISGID
        kept = mode if kind is Kind.SPECIAL else mode & PERMISSIONS
        return self.inodes.make(above.id, name.decode(), kind, mode=kept, uid=who.uid, gid=gid, **rest)

    def link(self, number: int, parent: int, name: bytes) -> Inode:
        return self.shown(self.inodes.link(self.node(number), self.node(parent), name.decode()))

    def unlink(self, parent: int, name: bytes) -> None:
        self._removed(self.inodes.remove(self.node(parent), name.decode(), collection=False))

    def rmdir(self, parent: int, name: bytes) -> None:
        self.inodes.remove(self.node(parent), name.decode(), collection=True)

    def _removed(self, inode: Inode | None) -> None:
        """An open file without a name is its openers' alone."""
        file = self.files.find(inode.id) if inode and inode.links == 1 else None
        if file:
            file.removed = True

    def rename(self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int) -> None:
        if flags & ~NOREPLACE:
            raise OSError(errno.EINVAL, "")
        here, there = self.node(parent), self.node(new_parent)
        self._removed(self.inodes.rename(here, name.decode(), there, new_name.decode(), replace=not flags & NOREPLACE))

    def open(self, number: int, info: Any) -> None:
        flags = info.contents.flags
        truncates = bool(flags & os.O_TRUNC) and flags & os.O_ACCMODE != os.O_RDONLY
        node = self.node(number)
        file = self.files.find(node)
        inode = file.inode if file and file.removed else self._there(node)
        self._keep(self.files.open(inode, truncate=truncates), info)

    def _keep(self, handle: OpenFile | Listing, info: Any) -> None:
        fh = next(self._next)
        self._handles[fh] = handle
        info.contents.fh = fh

    def _file(self, info: Any) -> OpenFile:
        file = self._handles[info.contents.fh]
        assert isinstance(file, OpenFile)
        return file

    def read(self, _number: int, size: int, offset: int, info: Any) -> bytes | Span:
        return self.files.read(self._file(info), size, offset)

    def write(self, _number: int, address: int, size: int, offset: int, info: Any) -> int:
        block = memoryview((ctypes.c_char * size).from_address(address)).cast("B")
        append = bool(info.contents.flags & os.O_APPEND) and not info.contents.writepage
        return self.files.write(self._file(info), block, offset, append=append)

    def flush(self, _number: int, info: Any) -> None:
        self.files.publish(self._file(info), durable=False)

    def fsync(self, _number: int, _datasync: int, info: Any) -> None:
        self.files.publish(self._file(info), durable=True)

    def release(self, _number: int, info: Any) -> None:
        file = self._file(info)
        del self._handles[info.contents.fh]
        self.files.close(file)

    def opendir(self, number: int, info: Any) -> None:
        self._keep(Listing(self.inodes, self.node(number)), info)

    def listed(self, number: int, offset: int, info: Any) -> list[tuple[bytes, Inode | None, int, int]]:
        """Names with their nodes, numbers and the offsets behind them, from an offset on."""
        listing = self._handles[info.contents.fh]
        assert isinstance(listing, Listing)
        dots = [(b".", None, number, 1), (b"..", None, number, 2)][offset:]
        start = max(0, offset - DOTS)
        with listing.lock:
            members = listing.after(start)
        shown = [
            (name.encode(), self.shown(inode), self.number(inode.id), start + DOTS + n)
            for n, (name, inode) in enumerate(members, 1)
        ]
        return [*dots, *shown]

    def releasedir(self, _number: int, info: Any) -> None:
        del self._handles[info.contents.fh]

    def fsyncdir(self, _number: int, _datasync: int, _info: Any) -> None:
        self.inodes.sync()

    def statfs(self, number: int) -> tuple[int, int, int]:
        """Used and free bytes, and how many files there are."""
        return self.inodes.room(self.node(number))

    def getxattr(self, _number: int, _name: bytes, _size: int) -> bytes:
        raise OSError(errno.ENODATA, "")
