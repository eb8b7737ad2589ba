"""The tree as WsgiDAV's provider contract, for reading: what is written goes through our own handlers.

The namespace that a request may use stands in its environ under `davstore.namespace`.
"""

# pyright: reportIncompatibleMethodOverride=false
# WsgiDAV has no annotations; what is inferred of its stubs is narrower than its contract.

from typing import BinaryIO

from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider

from core import paths
from core.model import SECOND, Node
from core.namespace import Namespace

from .request import Environ

NAMESPACE = "davstore.namespace"
Resource = DAVCollection | DAVNonCollection


class Provider(DAVProvider):
    """The whole tree, its buckets at the top."""

    def is_readonly(self) -> bool:
        return True

    def get_resource_inst(self, path: str, environ: Environ) -> Resource | None:
        environ.setdefault("wsgidav.provider", self)
        node = _namespace(environ).find(paths.parse(path))
        return node and _resource(node, environ)


class Collection(DAVCollection):
    def __init__(self, node: Node, environ: Environ) -> None:
        super().__init__(paths.text(node.path), environ)
        self.node = node

    def get_creation_date(self) -> float:
        return self.node.created / SECOND

    def get_last_modified(self) -> float:
        return self.node.modified / SECOND

    def get_etag(self) -> str:
        return self.node.etag

    def support_etag(self) -> bool:
        return True

    def get_used_bytes(self) -> int:
        return _namespace(self.environ).quota(self.node.path)[0]

    def get_available_bytes(self) -> int:
        return _namespace(self.environ).quota(self.node.path)[1]

    def get_member_names(self) -> list[str]:
        return [member.name for page in _namespace(self.environ).children_of(self.node) for member in page]

    def get_member(self, name: str) -> Resource | None:
        node = _namespace(self.environ).find((*self.node.path, name))
        return node and _resource(node, self.environ)


class File(DAVNonCollection):
    def __init__(self, node: Node, environ: Environ) -> None:
        super().__init__(paths.text(node.path), environ)
        self.node = node

    def get_content_length(self) -> int:
        return self.node.size

    def get_content_type(self) -> str:
        return self.node.media_type

    def get_creation_date(self) -> float:
        return self.node.created / SECOND

    def get_last_modified(self) -> float:
        return self.node.modified / SECOND

    def get_etag(self) -> str:
        return self.node.etag

    def support_etag(self) -> bool:
        return True

    def support_ranges(self) -> bool:
        return True

    def get_content(self) -> BinaryIO:
        return _namespace(self.environ).open(self.node)


def _namespace(environ: Environ) -> Namespace:
    return environ[NAMESPACE]


def _resource(node: Node, environ: Environ) -> Resource:
    return Collection(node, environ) if node.is_collection else File(node, environ)
