"""Inode numbers: a node's id and one, as 0 means nothing to the kernel and 1 is the mount point."""

import itertools
from collections import OrderedDict

from core.inode_rows import Inode
from core.model import NodeId

ROOT = 1
FIRST_ALIAS = 1 << 62
REMOVED = 1024
"""Removed nodes that may still be somebody's working directory, or be held by a descriptor that opened nothing."""


class Numbers:
    """A database may give a dropped node's id to a new one, while programs still hold the old one open: then the new
    one gets another number."""

    def __init__(self, top: NodeId) -> None:
        self.top = top
        self._held: set[NodeId] = set()
        self._aliases: dict[NodeId, int] = {}
        self._nodes: dict[int, NodeId] = {}
        self._next = itertools.count(FIRST_ALIAS)

    def of(self, node: NodeId) -> int:
        if node == self.top:
            return ROOT
        if node in self._aliases:
            return self._aliases[node]
        if node in self._held:
            number = self._aliases[node] = next(self._next)
            self._nodes[number] = node
            return number
        return node + 1

    def node(self, number: int) -> NodeId:
        if number == ROOT:
            return self.top
        return self._nodes[number] if number in self._nodes else NodeId(number - 1)

    def hold(self, node: NodeId) -> None:
        """The node is gone, but its number is in use."""
        self._aliases.pop(node, None)
        self._held.add(node)

    def release(self, node: NodeId) -> None:
        self._held.discard(node)


class Removed:
    """The last nodes that lost their names here, and that nobody has open as files, by their numbers."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._inodes: OrderedDict[int, Inode] = OrderedDict()
        self._ended: set[int] = set()

    def add(self, number: int, inode: Inode, *, for_good: bool) -> None:
        """`for_good`: the row is gone too, and another node may get its id."""
        self._inodes[number] = inode._replace(links=0)
        if for_good:
            self._ended.add(number)
            self._numbers.hold(inode.id)
        if len(self._inodes) > REMOVED:
            oldest, gone = self._inodes.popitem(last=False)
            if oldest in self._ended:
                self._ended.discard(oldest)
                self._numbers.release(gone.id)

    def get(self, number: int) -> Inode | None:
        return self._inodes.get(number)

    def ended(self, number: int) -> Inode | None:
        """One whose row is gone: the number is nobody else's."""
        return self._inodes.get(number) if number in self._ended else None
