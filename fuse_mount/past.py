"""`.trash` and `.versions` at the mount's top: what was deleted and what was replaced, to read and to take out of.

They are not listed, as snapshots are not elsewhere. A node is known by its path, to which a number is given when it
is looked up.
"""

import errno
import itertools
import os
import stat
import threading
from collections.abc import Iterator
from typing import BinaryIO

from core.errors import Forbidden, NotEmpty
from core.inode_rows import Inode
from core.inodes import Inodes
from core.model import Kind, Node, NodeId, Path
from core.views import View

from .attributes import mode_of
from .listings import Listing, Member, Named
from .numbers import ROOT

FIRST = 1 << 61
LAST = 1 << 62


class PastTree:
    """The views by the names that they have at the mount's top; `within` is the bucket that alone is mounted."""

    def __init__(self, views: dict[str, View], inodes: Inodes, within: str | None) -> None:
        self._views = views
        self._inodes = inodes
        self._within: Path = () if within is None else (within,)
        self._lock = threading.Lock()
        self._paths: dict[int, Path] = {}
        self._numbers: dict[Path, int] = {}
        self._next = itertools.count(FIRST)

    def has(self, number: int, name: bytes = b"") -> bool:
        """Whether the number, or the name at the top, is of the past."""
        return FIRST <= number < LAST or (number == ROOT and name.decode(errors="replace") in self._views)

    def refuse(self, number: int, name: bytes = b"") -> None:
        """Raises EROFS: what is past is only read, and taken out."""
        if self.has(number, name):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def lookup(self, parent: int, name: bytes) -> Member:
        path = (*self._path(parent), name.decode())
        return self._member(path, self._node(path))

    def get(self, number: int) -> Inode:
        return self._shown(self._node(self._path(number)))

    def open(self, number: int) -> BinaryIO:
        path = self._path(number)
        return self._views[path[0]].open(self._node(path))

    def listing(self, number: int) -> Listing:
        path = self._path(number)
        view = self._views[path[0]]
        pages: Iterator[list[Node]] = iter(())
        above = ROOT if len(path) == 1 else self._number(path[:-1])

        def page(after: str, _limit: int, _nodes: bool) -> list[Named]:
            nonlocal pages
            pages = pages if after else iter(view.children_of(self._node(path)))
            return [self._named(path, node) for node in next(pages, [])]

        return Listing(page, number, above)

    def _named(self, above: Path, node: Node) -> Named:
        number, inode = self._member((*above, node.name), node)
        return Named(node.name.encode(), number, mode_of(inode), inode)

    def remove(self, parent: int, name: bytes) -> None:
        """Gone for good."""
        path = (*self._path(parent), name.decode())
        view, node = self._views[path[0]], self._node(path)
        if node.is_collection and any(view.children_of(node)):
            raise NotEmpty(name.decode())
        view.delete(self._viewed(path))

    def take_out(self, parent: int, name: bytes, into: NodeId, new_name: bytes) -> None:
        """Restored, with its uid, versions and properties."""
        path, target = (*self._path(parent), name.decode()), self._inodes.path(into)
        if len(path) < 2 or not target:
            raise Forbidden(path)
        self._views[path[0]].move(self._viewed(path), (*target, new_name.decode()))

    def _node(self, path: Path) -> Node:
        return self._views[path[0]].node(self._viewed(path))

    def _viewed(self, path: Path) -> Path:
        return (*self._views[path[0]].at, *self._within, *path[1:])

    def _path(self, number: int) -> Path:
        return () if number == ROOT else self._paths[number]

    def _member(self, path: Path, node: Node) -> Member:
        return self._number(path), self._shown(node)

    def _shown(self, node: Node) -> Inode:
        """Of which type a special file is, and of which device, its row says."""
        found = self._inodes.find(node.id) if node.kind is Kind.SPECIAL else None
        if found is None:
            return _inode(node)
        mode = stat.S_IFMT(found.mode) | node.mode & READABLE
        return _inode(node)._replace(mode=mode, rdev=found.rdev)

    def _number(self, path: Path) -> int:
        with self._lock:
            number = self._numbers.get(path)
            if number is None:
                number = self._numbers[path] = next(self._next)
                self._paths[number] = path
            return number


READABLE = 0o555


def _inode(node: Node) -> Inode:
    """As the kernel sees it: nobody may write, and only those may read who might before."""
    content = node.content
    return Inode(
        *(node.id, node.bucket, node.kind.value, node.mode & READABLE, 1, node.size, node.uid_number, node.gid_number),
        *(0, node.target or None, node.created, node.modified, node.modified, None, False, node.object),
        *((content.storage, content.key, content.digest) if content else (None, None, None)),
        None,
    )
