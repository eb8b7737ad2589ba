"""Open collections: pages of members, with offsets that stay what they were while the collection changes."""

import threading

from core.inodes import Inode, Inodes
from core.model import NodeId

PAGE = 1000


class Listing:
    """One reader of a collection. Offset n continues after the n-th member that was ever shown."""

    def __init__(self, inodes: Inodes, node: NodeId) -> None:
        self._inodes = inodes
        self.node = node
        self.lock = threading.Lock()
        self._names: list[str] = []
        self._start = 0
        self._page: list[tuple[str, Inode]] = []

    def after(self, offset: int) -> list[tuple[str, Inode]]:
        """Members that follow the first `offset` ones; none at the end. Offset 0 begins anew."""
        if offset == 0:
            self._names, self._page, self._start = [], [], 0
        if not self._start <= offset < self._start + len(self._page):
            self._turn(offset)
        return self._page[offset - self._start :]

    def _turn(self, offset: int) -> None:
        last = self._names[offset - 1] if 0 < offset <= len(self._names) else ""
        self._page = self._inodes.members(self.node, last, PAGE) if last or not offset else []
        self._start = offset
        self._names[offset:] = [name for name, _ in self._page]
