"""Inode numbers: a node's id and one, as 0 means nothing to the kernel and 1 is the mount point."""

import itertools

from core.model import NodeId

ROOT = 1
FIRST_ALIAS = 1 << 62


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
