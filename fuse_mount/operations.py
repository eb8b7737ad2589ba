"""What the kernel asks, answered from the store: numbers to nodes, names to text, flags to verbs."""

import ctypes
import errno
import itertools
import os
import stat
from collections.abc import Callable
from typing import Any

from core.errors import AlreadyExists, NameTooLong, NotFound
from core.inode_rows import TOP, Inode
from core.inodes import Inodes, New
from core.model import Kind, NodeId, PropertyChange, PropertyName

from . import library, xattrs
from .attributes import PERMISSIONS, instant, mode_as
from .handles import Descriptor, OpenFile, OpenFiles, Span
from .listings import Listing, Member, Named
from .nodes import Nodes, stale
from .numbers import ROOT, Numbers
from .past import PastTree

NOREPLACE, EXCHANGE = 1, 2
NAME_BYTES = 255
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16


class Operations:
    """One mounted tree. `forget_attributes` makes the kernel ask again for a node's."""

    def __init__(self, inodes: Inodes, top: NodeId, past: PastTree, forget_attributes: Callable[[int], None]) -> None:
        self._inodes = inodes
        self._numbers = Numbers(top)
        self._past = past
        self._forget_attributes = forget_attributes
        self.files = OpenFiles(inodes)
        self._nodes = Nodes(inodes, self._numbers, self.files, forget_attributes)
        self._handles: dict[int, Any] = {}
        self._next = itertools.count(1)

    def lookup(self, parent: int, name: bytes) -> Member:
        if self._past.has(parent, name):
            return self._past.lookup(parent, name)
        if len(name) > NAME_BYTES:
            raise NameTooLong(name.decode(errors="replace"))
        found = self._inodes.member(self._numbers.node(parent), name.decode())
        if found is None:
            raise NotFound(name.decode())
        return self._nodes.member(found)

    def getattr(self, number: int, _info: Any) -> Inode:
        return self._past.get(number) if self._past.has(number) else self._nodes.get(number)

    def setattr(self, who: Any, number: int, given: Any, which: int, info: Any) -> Inode:
        self._past.refuse(number)
        values = given.contents
        if which & library.SET_SIZE:
            self._truncate(who, number, values.st_size, info)
        changes: dict[str, int] = {}
        if which & (library.SET_UID | library.SET_GID):
            changes |= self._nodes.rights_of_new_owner(number)
        if which & library.SET_MODE:
            changes["mode"] = values.st_mode & PERMISSIONS
        if which & library.SET_UID:
            changes["uid_number"] = values.st_uid
        if which & library.SET_GID:
            changes["gid_number"] = values.st_gid
        if which & library.SET_ATIME:
            changes["accessed"] = instant(values.st_atimespec)
        if which & library.SET_MTIME:
            changes["modified"] = instant(values.st_mtimespec)
        if changes or not which & library.SET_SIZE:
            return self._nodes.change(number, **changes)
        return self.getattr(number, info)

    def _truncate(self, who: Any, number: int, size: int, info: Any) -> None:
        if info:
            file = self._file(info)
            self._nodes.take_rights(file, who)
            self.files.truncate(file, size)
            return
        inode = self._nodes.there(number)
        self._inodes.check_writable(inode.id)
        file, _ = self.files.open(number, inode, truncate=size == 0)
        try:
            self._nodes.take_rights(file, who)
            self.files.truncate(file, size)
            self.files.publish(file)
        finally:
            self._close(file)

    def readlink(self, number: int) -> bytes:
        return (self._nodes.there(number).target or "").encode()

    def mkdir(self, who: Any, parent: int, name: bytes, mode: int) -> Member:
        return self._make(who, parent, name, Kind.COLLECTION, mode)

    def mknod(self, who: Any, parent: int, name: bytes, mode: int, rdev: int) -> Member:
        if stat.S_ISREG(mode):
            return self._make(who, parent, name, Kind.FILE, mode)
        return self._make(who, parent, name, Kind.SPECIAL, mode, rdev=rdev)

    def symlink(self, who: Any, target: bytes, parent: int, name: bytes) -> Member:
        return self._make(who, parent, name, Kind.SYMLINK, 0o777, target=target.decode())

    def create(self, who: Any, parent: int, name: bytes, mode: int, info: Any) -> Member:
        try:
            number, made = self._make(who, parent, name, Kind.FILE, mode)
        except AlreadyExists:
            if info.contents.flags & os.O_EXCL:
                raise
            number, _ = self.lookup(parent, name)
            self.open(who, number, info)
            try:
                return number, self._nodes.get(number)
            except BaseException:
                self.release(number, info)
                raise
        self._keep(self.files.created(number, made), info)
        info.contents.keep_cache = 1
        return number, made

    def _make(self, who: Any, parent: int, name: bytes, kind: Kind, mode: int, **rest: Any) -> Member:
        self._past.refuse(parent, name)
        kept = mode if kind is Kind.SPECIAL else mode & PERMISSIONS
        above = self._numbers.node(parent)
        made = self._inodes.make(above, name.decode(), New(kind, kept, who.uid, who.gid, **rest))
        return self._numbers.of(made.id), made

    def link(self, number: int, parent: int, name: bytes) -> Member:
        self._past.refuse(parent, name)
        self._past.refuse(number)
        linked = self._inodes.link(self._numbers.node(number), self._numbers.node(parent), name.decode())
        file = self.files.find(number)
        if file:
            file.inode = file.inode._replace(links=linked.links)
        return self._nodes.member(linked)

    def unlink(self, parent: int, name: bytes) -> None:
        if self._past.has(parent):
            return self._past.remove(parent, name)
        self._remember_properties(parent, name)
        self._lost_name(self._inodes.remove(self._numbers.node(parent), name.decode(), collection=False))
        return None

    def rmdir(self, parent: int, name: bytes) -> None:
        if self._past.has(parent):
            return self._past.remove(parent, name)
        self._lost_name(self._inodes.remove(self._numbers.node(parent), name.decode(), collection=True))
        return None

    def _remember_properties(self, parent: int, name: bytes) -> None:
        """Those of a file that somebody has open: they may go with its name."""
        found = self._inodes.member(self._numbers.node(parent), name.decode()) if self.files.all() else None
        file = self.files.find(self._numbers.of(found.id)) if found else None
        if found and file:
            file.properties = self._inodes.properties(found.id)

    def _lost_name(self, inode: Inode, *, replaced: bool = False) -> None:
        """An open file without a name is its openers' alone. One that was replaced by another is not in the trash."""
        number = self._numbers.of(inode.id)
        file = self.files.find(number)
        if file and inode.links > 1:
            file.inode = file.inode._replace(links=inode.links - 1)
        elif file:
            file.removed = True
            self._numbers.hold(inode.id)
        else:
            for_good = (replaced and inode.kind == Kind.FILE) or not self._inodes.has_trash(inode.bucket)
            if for_good or inode.is_collection:
                self._nodes.removed.add(number, inode, for_good=for_good)

    def rename(self, parent: int, name: bytes, into: int, new_name: bytes, flags: int) -> None:
        self._past.refuse(into, new_name)
        if self._past.has(parent):
            return self._past.take_out(parent, name, self._numbers.node(into), new_name)
        here, there = self._numbers.node(parent), self._numbers.node(into)
        if flags == EXCHANGE:
            return self._inodes.exchange(here, name.decode(), there, new_name.decode())
        if flags & ~NOREPLACE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._remember_properties(into, new_name)
        replaced = self._inodes.rename(here, name.decode(), there, new_name.decode(), replace=not flags)
        if replaced:
            self._lost_name(replaced, replaced=True)
        return None

    def open(self, who: Any, number: int, info: Any) -> None:
        """Who looked up a name before another file took its place reads what was there."""
        flags = info.contents.flags
        writes = flags & os.O_ACCMODE != os.O_RDONLY
        if self._past.has(number):
            self._past.refuse(number if writes else 0)
            self._keep(OpenFile(number, self._past.get(number), base=self._past.open(number)), info)
            return
        file = self.files.find(number)
        if not (file or writes) and (ended := self._nodes.removed.ended(number)):
            try:
                base = self.files.content(ended)
            except NotFound:
                raise stale() from None
            self._keep(OpenFile(number, ended, base=base), info)
            return
        inode = file.inode if file and file.removed else self._nodes.there(number)
        if writes:
            self._inodes.check_writable(inode.id)
        empties = writes and bool(flags & os.O_TRUNC)
        file, is_cached = self.files.open(number, inode, truncate=empties)
        try:
            if empties:
                self._nodes.take_rights(file, who)
        except BaseException:
            self._close(file)
            raise
        info.contents.keep_cache = is_cached
        if not is_cached:
            self._forget_attributes(number)
        self._keep(file, info)

    def _keep(self, handle: OpenFile | Listing, info: Any) -> None:
        fh = next(self._next)
        self._handles[fh] = handle
        info.contents.fh = fh

    def _file(self, info: Any) -> OpenFile:
        return self._handles[info.contents.fh]

    def read(self, _number: int, size: int, offset: int, info: Any) -> bytes | Span:
        return self.files.read(self._file(info), size, offset)

    def write(self, who: Any, _number: int, address: int, size: int, offset: int, info: Any) -> int:
        file = self._file(info)
        self._nodes.take_rights(file, who)
        block = memoryview((ctypes.c_char * size).from_address(address)).cast("B")
        append = bool(info.contents.flags & os.O_APPEND) and not info.contents.writepage
        return self.files.write(file, block, offset, append=append)

    def flush(self, _number: int, info: Any) -> None:
        self.files.publish(self._file(info))

    def fsync(self, _number: int, _datasync: int, info: Any) -> None:
        self.files.sync(self._file(info))

    def release(self, _number: int, info: Any) -> None:
        self._close(self._handles.pop(info.contents.fh))

    def _close(self, file: OpenFile) -> None:
        if self.files.close(file) and file.removed:
            self._numbers.release(file.inode.id)

    def fallocate(self, who: Any, _number: int, mode: int, offset: int, length: int, info: Any) -> None:
        file = self._file(info)
        self._nodes.take_rights(file, who)
        match mode:
            case 0 | 1:
                self.files.allocate(file, offset, length, keep_size=mode == KEEP_SIZE)
            case 3:
                self.files.punch(file, offset, length, grow=False)
            case 16 | 17:
                self.files.punch(file, offset, length, grow=mode == ZERO_RANGE)
            case _:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def lseek(self, _number: int, offset: int, whence: int, info: Any) -> int:
        """Data and holes (SEEK_DATA, SEEK_HOLE); the rest is the kernel's."""
        file = self._file(info)
        with file.lock:
            size, reader = file.shown.size, file.reader
            if offset >= size:
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
            if isinstance(reader, Descriptor):
                return min(os.lseek(reader.number, offset, whence), size)
            return offset if whence == os.SEEK_DATA else size

    def copy_file_range(
        self, who: Any, _number: int, offset: int, info: Any, _into: int, at: int, into: Any, length: int, _flags: int
    ) -> int:
        target = self._file(into)
        self._nodes.take_rights(target, who)
        return self.files.copy(self._file(info), offset, length, target, at)

    def opendir(self, number: int, info: Any) -> None:
        if self._past.has(number):
            self._keep(self._past.listing(number), info)
            return
        node = self._numbers.node(number)
        above = ROOT if node in {TOP, self._numbers.top} else self._numbers.of(self._inodes.parent(node))

        def page(after: str, limit: int, nodes: bool) -> list[Named]:
            if nodes:
                return [self._nodes.named(name, inode) for name, inode in self._inodes.members(node, after, limit)]
            rows = self._inodes.names(node, after, limit)
            return [Named(name.encode(), self._numbers.of(id_), mode_as(kind, mode)) for name, id_, kind, mode in rows]

        self._keep(Listing(page, number, above), info)

    def listed(self, info: Any, offset: int, *, nodes: bool) -> list[Named]:
        return self._handles[info.contents.fh].after(offset, nodes=nodes)

    def releasedir(self, _number: int, info: Any) -> None:
        del self._handles[info.contents.fh]

    def fsyncdir(self, _number: int, _datasync: int, _info: Any) -> None:
        self._inodes.sync()

    def statfs(self, number: int) -> tuple[int, int, int]:
        """Used and free bytes, and how many files there are."""
        return self._inodes.room(self._numbers.top if self._past.has(number) else self._numbers.node(number))

    def getxattr(self, number: int, name: bytes, _size: int) -> bytes:
        if not name.startswith(xattrs.PREFIX):
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return xattrs.value(self._properties(number), name)

    def listxattr(self, number: int, _size: int) -> bytes:
        return b"".join(name + b"\0" for name in xattrs.names(self._properties(number)))

    def _properties(self, number: int) -> dict[PropertyName, str]:
        if self._past.has(number):
            return {}
        file = self.files.find(number)
        if file and file.removed:
            return file.properties
        return self._inodes.properties(self._numbers.node(number))

    def _set_property(self, number: int, change: PropertyChange) -> None:
        file = self.files.find(number)
        if file and file.removed:
            rest = {name: xml for name, xml in file.properties.items() if name != change.name}
            file.properties = rest if change.xml is None else rest | {change.name: change.xml}
            return
        self._inodes.set_property(self._numbers.node(number), change)

    def setxattr(self, number: int, name: bytes, address: int, size: int, flags: int) -> None:
        self._past.refuse(number)
        value = ctypes.string_at(address, size) if size else b""
        self._set_property(number, xattrs.setting(self._properties(number), name, value, flags))

    def removexattr(self, number: int, name: bytes) -> None:
        self._past.refuse(number)
        self._set_property(number, xattrs.removal(self._properties(number), name))
