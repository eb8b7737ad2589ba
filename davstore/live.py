"""The live properties: what the server itself knows of a node (RFC 4918, section 15; RFC 4331; urn:davstore:).

Each is written as its whole element, or None where the node has none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core import paths
from core.model import SECOND, Kind, Lock, Node, NodeId, Path, PropertyName, Removal, Scope, Version, Visibility
from core.pictures import Picture

from . import xml
from .dates import http_date, iso_date
from .xml import DAV

DAVSTORE = "urn:davstore:"
APACHE = "http://apache.org/dav/props/"
MICROSOFT = "urn:schemas-microsoft-com:"
WIN32_MODIFIED = PropertyName(MICROSOFT, "Win32LastModifiedTime")
EXECUTABLE = 0o111
SHOWN = frozenset({Kind.COLLECTION, Kind.FILE})
"""The kinds that HTTP shows; the others are for POSIX."""
UNKNOWN_TYPE = "application/octet-stream"

Quota = Callable[[Path], tuple[int, int]]


class Href(Protocol):
    def __call__(self, path: Path, /, *, is_collection: bool = False) -> str:
        """The URL path of a path."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What was read about a page of nodes besides the nodes."""

    href: Href
    quota: Quota
    visibility: Callable[[Path], Visibility]
    locks: Mapping[NodeId, tuple[Lock, ...]] = field(default_factory=dict[NodeId, tuple[Lock, ...]])
    dead: Mapping[NodeId, Mapping[PropertyName, str]] = field(default_factory=dict[NodeId, Mapping[PropertyName, str]])
    pictures: Mapping[NodeId, Picture] = field(default_factory=dict[NodeId, Picture])


Property = Callable[[Node, Scene], str | None]


def media_type(node: Node) -> str:
    """As in the Content-Type of a GET."""
    return node.media_type or UNKNOWN_TYPE


def creationdate(node: Node, scene: Scene) -> str | None:
    return f"<D:creationdate>{iso_date(node.created)}</D:creationdate>"


def displayname(node: Node, scene: Scene) -> str | None:
    return f"<D:displayname>{xml.text(node.path[-1])}</D:displayname>" if node.path else None


def getcontentlength(node: Node, scene: Scene) -> str | None:
    return None if node.is_collection else f"<D:getcontentlength>{node.size}</D:getcontentlength>"


def getcontenttype(node: Node, scene: Scene) -> str | None:
    return None if node.is_collection else f"<D:getcontenttype>{xml.text(media_type(node))}</D:getcontenttype>"


def getetag(node: Node, scene: Scene) -> str | None:
    return f'<D:getetag>"{node.etag}"</D:getetag>'


def getlastmodified(node: Node, scene: Scene) -> str | None:
    return f"<D:getlastmodified>{http_date(node.modified)}</D:getlastmodified>"


def resourcetype(node: Node, scene: Scene) -> str | None:
    return "<D:resourcetype><D:collection/></D:resourcetype>" if node.is_collection else "<D:resourcetype/>"


SUPPORTED_LOCK = (
    "<D:supportedlock>"
    "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    "<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    "</D:supportedlock>"
)


def supportedlock(node: Node, scene: Scene) -> str | None:
    return SUPPORTED_LOCK


def lockdiscovery(node: Node, scene: Scene) -> str | None:
    locks = scene.locks.get(node.id)
    if not locks:
        return "<D:lockdiscovery/>"
    active = "".join(activelock(lock, node.path, node.is_collection, scene.href) for lock in locks)
    return f"<D:lockdiscovery>{active}</D:lockdiscovery>"


def activelock(lock: Lock, path: Path, is_collection: bool, href: Href) -> str:
    """A lock that covers the path, as RFC 4918, section 14.1 has it; its root is an ancestor's or the path's own."""
    root = href(lock.root, is_collection=is_collection or len(lock.root) < len(path))
    scope = "exclusive" if lock.scope is Scope.EXCLUSIVE else "shared"
    return (
        f"<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{scope}/></D:lockscope>"
        f"<D:depth>{'infinity' if lock.infinite else '0'}</D:depth>{lock.owner}"
        f"<D:timeout>Second-{lock.remaining // SECOND}</D:timeout>"
        f"<D:locktoken><D:href>{xml.text(lock.token)}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{xml.text(root)}</D:href></D:lockroot></D:activelock>"
    )


def quota_used_bytes(node: Node, scene: Scene) -> str | None:
    if not node.is_collection:
        return None
    return f"<D:quota-used-bytes>{max(0, scene.quota(node.path)[0])}</D:quota-used-bytes>"


def quota_available_bytes(node: Node, scene: Scene) -> str | None:
    if not node.is_collection:
        return None
    return f"<D:quota-available-bytes>{max(0, scene.quota(node.path)[1])}</D:quota-available-bytes>"


def executable(node: Node, scene: Scene) -> str | None:
    if node.is_collection:
        return None
    return f'<A:executable xmlns:A="{APACHE}">{"T" if node.mode & EXECUTABLE else "F"}</A:executable>'


def uid(node: Node, scene: Scene) -> str | None:
    return _own("uid", node.uid)


def object_uid(node: Node, scene: Scene) -> str | None:
    return _own("object-uid", node.object_uid) if node.object_uid else None


def sha256(node: Node, scene: Scene) -> str | None:
    return _own("sha256", node.content.digest) if node.content else None


def visibility(node: Node, scene: Scene) -> str | None:
    """The one in force, wherever on its path it was set."""
    return _own("visibility", node.access.visibility if node.access else scene.visibility(node.path))


def expires(node: Node, scene: Scene) -> str | None:
    """When the file goes by itself; most have none."""
    return None if node.expires is None else _own("expires", iso_date(node.expires))


def is_local(node: Node, scene: Scene) -> str | None:
    return _own("is-local", "true" if node.access is None or node.access.is_local else "false")


def width(node: Node, scene: Scene) -> str | None:
    """Of a picture, in pixels, as it is displayed."""
    picture = scene.pictures.get(node.id)
    return _own("width", str(picture.width)) if picture and picture.width else None


def height(node: Node, scene: Scene) -> str | None:
    picture = scene.pictures.get(node.id)
    return _own("height", str(picture.height)) if picture and picture.height else None


def thumbnail(node: Node, scene: Scene) -> str | None:
    """Where a picture's thumbnail is; none is told of what is not known to have one."""
    picture = scene.pictures.get(node.id)
    if picture is None or not picture.has_renditions:
        return None
    return _own("thumbnail", f'<D:href xmlns:D="{DAV}">/assets/by-file-media-id/{node.uid}/thumbnail</D:href>')


def original_path(node: Node, scene: Scene) -> str | None:
    return _own("original-path", xml.text(paths.text(node.past.path))) if isinstance(node.past, Removal) else None


def deleted_by(node: Node, scene: Scene) -> str | None:
    return _own("deleted-by", xml.text(node.past.by)) if isinstance(node.past, Removal) else None


def deleted_at(node: Node, scene: Scene) -> str | None:
    return _own("deleted-at", iso_date(node.past.at)) if isinstance(node.past, Removal) else None


def until(node: Node, scene: Scene) -> str | None:
    if not isinstance(node.past, Removal) or node.past.until is None:
        return None
    return _own("until", iso_date(node.past.until))


def author(node: Node, scene: Scene) -> str | None:
    return _own("author", xml.text(node.past.author)) if isinstance(node.past, Version) else None


def replaced(node: Node, scene: Scene) -> str | None:
    return _own("replaced", iso_date(node.past.replaced)) if isinstance(node.past, Version) else None


def _own(name: str, value: str) -> str:
    return f'<S:{name} xmlns:S="{DAVSTORE}">{value}</S:{name}>'


ALWAYS: Mapping[PropertyName, Property] = {
    PropertyName(DAV, "resourcetype"): resourcetype,
    PropertyName(DAV, "creationdate"): creationdate,
    PropertyName(DAV, "getlastmodified"): getlastmodified,
    PropertyName(DAV, "getcontentlength"): getcontentlength,
    PropertyName(DAV, "getcontenttype"): getcontenttype,
    PropertyName(DAV, "getetag"): getetag,
    PropertyName(DAV, "displayname"): displayname,
    PropertyName(DAV, "supportedlock"): supportedlock,
    PropertyName(DAV, "lockdiscovery"): lockdiscovery,
    PropertyName(DAVSTORE, "uid"): uid,
    PropertyName(DAVSTORE, "object-uid"): object_uid,
    PropertyName(DAVSTORE, "sha256"): sha256,
    PropertyName(DAVSTORE, "visibility"): visibility,
    PropertyName(DAVSTORE, "is-local"): is_local,
    PropertyName(DAVSTORE, "expires"): expires,
    PropertyName(DAVSTORE, "width"): width,
    PropertyName(DAVSTORE, "height"): height,
    PropertyName(DAVSTORE, "thumbnail"): thumbnail,
}
"""What allprop tells."""

OF_PICTURES = frozenset(PropertyName(DAVSTORE, name) for name in ("width", "height", "thumbnail"))

PAST: Mapping[PropertyName, Property] = {
    PropertyName(DAVSTORE, "original-path"): original_path,
    PropertyName(DAVSTORE, "deleted-by"): deleted_by,
    PropertyName(DAVSTORE, "deleted-at"): deleted_at,
    PropertyName(DAVSTORE, "until"): until,
    PropertyName(DAVSTORE, "author"): author,
    PropertyName(DAVSTORE, "replaced"): replaced,
}
"""What only entries of the trash and versions have; allprop tells it in their views."""

COMPACT: Mapping[PropertyName, Property] = {
    name: ALWAYS[name]
    for name in (
        PropertyName(DAV, "resourcetype"),
        PropertyName(DAV, "creationdate"),
        PropertyName(DAV, "getlastmodified"),
        PropertyName(DAV, "getcontentlength"),
    )
}
"""What the Windows redirector uses; it refuses listings with more than a million bytes of properties."""

LIVE: Mapping[PropertyName, Property] = {
    **ALWAYS,
    **PAST,
    PropertyName(DAV, "quota-available-bytes"): quota_available_bytes,
    PropertyName(DAV, "quota-used-bytes"): quota_used_bytes,
    PropertyName(APACHE, "executable"): executable,
}
"""All of them: these are protected but for the few that `proppatch` knows to set."""
