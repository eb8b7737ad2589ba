"""Open collections: pages of members, with offsets that stay what they were while the collection changes."""

import stat
import threading
from collections.abc import Callable
from typing import NamedTuple

from core.inode_rows import Inode

Member = tuple[int, Inode]
"""A number and its node."""


class Named(NamedTuple):
    """A name with its number and its mode; and with its node, where that was asked for, and it is not `.` or `..`."""

    name: bytes
    number: int
    mode: int
    inode: Inode | None = None


Page = Callable[[str, int, bool], list[Named]]
"""So many members whose names follow one, in order; with their nodes if that is true, and maybe also if it is not."""
LENGTH, FIRST = 1000, 100
"""Members read at once: without their nodes, and with them, as which the kernel asks for the first ones of all."""


class Listing:
    """One reader of a collection. Offset n continues after the n-th name that was ever shown."""

    def __init__(self, page: Page, number: int, parent: int) -> None:
        self._page_after = page
        self._dots = [Named(b".", number, stat.S_IFDIR), Named(b"..", parent, stat.S_IFDIR)]
        self._lock = threading.Lock()
        self._names: list[bytes] = []
        self._start = 0
        self._page: list[Named] = []

    def after(self, offset: int, *, nodes: bool) -> list[Named]:
        """What follows the first `offset` names, some of it; nothing at the end. Offset 0 begins anew."""
        with self._lock:
            if offset == 0:
                self._names, self._page, self._start = [], [], 0
            if offset < len(self._dots):
                return self._dots[offset:]
            return self._members(offset - len(self._dots), nodes=nodes)

    def _members(self, offset: int, *, nodes: bool) -> list[Named]:
        is_here = self._start <= offset < self._start + len(self._page)
        if not is_here or (nodes and self._page[0].inode is None):
            self._turn(offset, nodes=nodes)
        return self._page[offset - self._start :]

    def _turn(self, offset: int, *, nodes: bool) -> None:
        if offset > len(self._names):
            self._page = []
            return
        last = self._names[offset - 1].decode() if offset else ""
        self._page = self._page_after(last, FIRST if nodes else LENGTH, nodes)
        self._start = offset
        self._names[offset:] = [named.name for named in self._page]
