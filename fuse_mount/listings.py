"""Open collections: pages of members, with offsets that stay what they were while the collection changes."""

import threading
from collections.abc import Callable

from core.inode_rows import Inode

Member = tuple[int, Inode]
"""A number and its node."""
Named = tuple[bytes, int, Inode | None]
"""A name with its number and node, which `.` and `..` are shown without."""
Page = Callable[[str, int], list[tuple[str, Member]]]
"""So many members whose names follow one, in order."""
LENGTH = 1000


class Listing:
    """One reader of a collection. Offset n continues after the n-th name that was ever shown."""

    def __init__(self, page: Page, number: int, parent: int) -> None:
        self._page_after = page
        self._dots: list[Named] = [(b".", number, None), (b"..", parent, None)]
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._start = 0
        self._page: list[Named] = []

    def after(self, offset: int) -> list[Named]:
        """What follows the first `offset` names, some of it; nothing at the end. Offset 0 begins anew."""
        with self._lock:
            if offset == 0:
                self._names, self._page, self._start = [], [], 0
            if offset < len(self._dots):
                return self._dots[offset:]
            return self._members(offset - len(self._dots))

    def _members(self, offset: int) -> list[Named]:
        if not self._start <= offset < self._start + len(self._page):
            self._turn(offset)
        return self._page[offset - self._start :]

    def _turn(self, offset: int) -> None:
        if offset > len(self._names):
            self._page = []
            return
        found = self._page_after(self._names[offset - 1] if offset else "", LENGTH)
        self._start = offset
        self._page = [(name.encode(), number, inode) for name, (number, inode) in found]
        self._names[offset:] = [name for name, _ in found]
