"""`/-/trash/` and `/-/versions/`: what was deleted and what was replaced, as collections to take things out of."""

from collections.abc import Mapping

from core.model import Path
from core.namespace import Namespace
from core.trash_tree import TrashTree
from core.version_tree import VersionTree
from core.views import Past, View

PLACES: Mapping[Path, Past] = {("-", "trash"): TrashTree(), ("-", "versions"): VersionTree()}


def of(namespace: Namespace, path: Path) -> View | None:
    """The view that the path leads into; None where that is the namespace."""
    past = PLACES.get(path[:2])
    return View(namespace, past, path[:2]) if past else None
