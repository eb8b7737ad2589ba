"""What callers found at paths a moment ago: it is still there as long as nothing was committed to the database."""

from collections.abc import Callable

from core.model import Caller, Node, Path
from core.namespace import Namespace

CAPACITY = 1024


class Glimpses:
    """Nodes as their callers saw them. `version` is the database's, or None where it has none; threads share it."""

    def __init__(self, version: Callable[[], int | None]) -> None:
        self._version = version
        self._kept: dict[tuple[Caller, Path], tuple[int, Node]] = {}

    def node(self, namespace: Namespace, path: Path) -> Node:
        """What is there, found now or since the last commit. Raises NotFound."""
        version = self._version()
        if version is None:
            return namespace.node(path)
        kept = self._kept.get((namespace.caller, path))
        if kept and kept[0] == version:
            return kept[1]
        node = namespace.node(path)
        if len(self._kept) >= CAPACITY:
            self._kept.clear()
        self._kept[namespace.caller, path] = (version, node)
        return node
