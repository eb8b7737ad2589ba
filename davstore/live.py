"""The live properties: what the server itself knows of a node (RFC 4918, section 15; RFC 4331; urn:davstore:).

Each tells the values of a page of nodes at once, and the element around each value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeGuard, TypeVar

from core import paths
from core.listings import Members
from core.model import SECOND, Kind, Lock, Node, Path, PropertyName, Removal, Scope, Version, Visibility
from core.pictures import Picture

from . import xml
from .dates import http_dates, iso_date, iso_dates
from .weaving import Piece
from .xml import DAV

DAVSTORE = "urn:davstore:"
APACHE = "http://apache.org/dav/props/"
MICROSOFT = "urn:schemas-microsoft-com:"
WIN32_MODIFIED = PropertyName(MICROSOFT, "Win32LastModifiedTime")
EXECUTABLE = 0o111
UNKNOWN_TYPE = "application/octet-stream"
COLLECTION = Kind.COLLECTION.value

Values = Sequence[str | None] | str | None
"""Of each node, None for those that have none; or of all of them alike."""
Said = TypeVar("Said")


class Href(Protocol):
    def __call__(self, path: Path, /, *, is_collection: bool = False) -> str:
        """The URL path of a path."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """A page of nodes, and what can be asked besides."""

    nodes: Members
    href: Href
    quota: Callable[[Path], tuple[int, int]]
    visibility: Callable[[Path], Visibility]


@dataclass(frozen=True, slots=True)
class Property:
    """`reads` are what `values` looks at of `Scene.nodes`."""

    start: str
    values: Callable[[Scene], Values]
    end: str
    reads: frozenset[str]

    def elements(self, values: Values) -> list[Piece]:
        """The elements, with nothing where there is no value."""
        if values is None:
            return []
        if isinstance(values, str):
            return [self.start + values + self.end]
        if are_all(values):
            return [self.start, values, self.end]
        return [["" if value is None else self.start + value + self.end for value in values]]


def are_all(values: Sequence[str | None]) -> TypeGuard[Sequence[str]]:
    """Every node has one."""
    return all(values) or None not in values


def media_type(node: Node) -> str:
    """As in the Content-Type of a GET."""
    return node.media_type or UNKNOWN_TYPE


def _creationdate(scene: Scene) -> Values:
    return iso_dates(scene.nodes.created)


def _displayname(scene: Scene) -> Values:
    """Of all but the root."""
    names = xml.text("/".join(scene.nodes.name)).split("/")
    return names if all(names) else None


def _getcontentlength(scene: Scene) -> Values:
    return _of_files(scene, list(map(str, scene.nodes.size)))


def _getcontenttype(scene: Scene) -> Values:
    types = scene.nodes.media_type
    written = {each: xml.text(each or UNKNOWN_TYPE) for each in set(types)}
    return _of_files(scene, [written[each] for each in types])


def _getetag(scene: Scene) -> Values:
    return scene.nodes.etag


def _getlastmodified(scene: Scene) -> Values:
    return http_dates(scene.nodes.modified)


def _resourcetype(scene: Scene) -> Values:
    return ["><D:collection/></D:resourcetype>" if kind == COLLECTION else "/>" for kind in scene.nodes.kind]


SUPPORTED_LOCK = (
    ">"
    "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    "<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    "</D:supportedlock>"
)


def _lockdiscovery(scene: Scene) -> Values:
    nodes, locks = scene.nodes, scene.nodes.locks
    if not locks:
        return "/>"
    found = (locks.get(node, ()) for node in nodes.id)
    return [_active(each, scene, n) if each else "/>" for n, each in enumerate(found)]


def _active(locks: Sequence[Lock], scene: Scene, n: int) -> str:
    is_collection = scene.nodes.kind[n] == COLLECTION
    active = (activelock(lock, scene.nodes.path(n), is_collection, scene.href) for lock in locks)
    return f">{''.join(active)}</D:lockdiscovery>"


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


def _quota(which: int, scene: Scene) -> Values:
    nodes = scene.nodes
    return [
        str(max(0, scene.quota(nodes.path(n))[which])) if kind == COLLECTION else None
        for n, kind in enumerate(nodes.kind)
    ]


def _executable(scene: Scene) -> Values:
    return _of_files(scene, ["T" if mode & EXECUTABLE else "F" for mode in scene.nodes.mode])


def _uid(scene: Scene) -> Values:
    return scene.nodes.uid


def _object_uid(scene: Scene) -> Values:
    return scene.nodes.object_uid


def _sha256(scene: Scene) -> Values:
    return scene.nodes.digest


def _visibility(scene: Scene) -> Values:
    """The one in force, wherever on its path it was set."""
    nodes = scene.nodes
    if not nodes.access:
        return scene.visibility(nodes.path(0))
    return [access.visibility if access else scene.visibility(nodes.path(n)) for n, access in enumerate(nodes.access)]


def _is_local(scene: Scene) -> Values:
    if not scene.nodes.access:
        return "true"
    return ["true" if access is None or access.is_local else "false" for access in scene.nodes.access]


def _expires(scene: Scene) -> Values:
    """When the file goes by itself; most have none."""
    times = scene.nodes.expires
    is_alike = times.count(None) == len(times)
    return None if is_alike else [None if at is None else iso_date(at) for at in times]


def _of_picture(told: Callable[[Picture, str], str | None], scene: Scene) -> Values:
    nodes, pictures = scene.nodes, scene.nodes.pictures
    if not pictures:
        return None
    found = ((pictures.get(node), uid) for node, uid in zip(nodes.id, nodes.uid, strict=True))
    return [told(picture, uid) if picture else None for picture, uid in found]


def _width(picture: Picture, uid: str) -> str | None:
    """Pixels, as it is displayed."""
    return str(picture.width) if picture.width else None


def _height(picture: Picture, uid: str) -> str | None:
    return str(picture.height) if picture.height else None


def _thumbnail(picture: Picture, uid: str) -> str | None:
    """Where a picture's thumbnail is; none is told of what is not known to have one."""
    if not picture.has_renditions:
        return None
    return f'<D:href xmlns:D="{DAV}">/assets/by-file-media-id/{uid}/thumbnail</D:href>'


def _of_past(kind: type[Said], told: Callable[[Said], str | None], scene: Scene) -> Values:
    past = scene.nodes.past
    return [told(each) if isinstance(each, kind) else None for each in past] if past else None


def _of_files(scene: Scene, values: Sequence[str]) -> Values:
    kinds = scene.nodes.kind
    if COLLECTION not in kinds:
        return values
    return [None if kind == COLLECTION else value for kind, value in zip(kinds, values, strict=True)]


def _dav(name: str, values: Callable[[Scene], Values], *reads: str) -> tuple[PropertyName, Property]:
    return PropertyName(DAV, name), Property(f"<D:{name}>", values, f"</D:{name}>", frozenset(reads))


def _dav_whole(name: str, values: Callable[[Scene], Values], *reads: str) -> tuple[PropertyName, Property]:
    """The values begin where the element's name ends, and end with it."""
    return PropertyName(DAV, name), Property(f"<D:{name}", values, "", frozenset(reads))


def _own(name: str, values: Callable[[Scene], Values], *reads: str) -> tuple[PropertyName, Property]:
    start, end = f'<S:{name} xmlns:S="{DAVSTORE}">', f"</S:{name}>"
    return PropertyName(DAVSTORE, name), Property(start, values, end, frozenset(reads))


def _picture(name: str, told: Callable[[Picture, str], str | None]) -> tuple[PropertyName, Property]:
    return _own(name, partial(_of_picture, told), "pictures", "uid")


def _removal(name: str, told: Callable[[Removal], str | None]) -> tuple[PropertyName, Property]:
    return _own(name, partial(_of_past, Removal, told), "past")


def _version(name: str, told: Callable[[Version], str | None]) -> tuple[PropertyName, Property]:
    return _own(name, partial(_of_past, Version, told), "past")


ALWAYS: Mapping[PropertyName, Property] = dict(
    (
        _dav_whole("resourcetype", _resourcetype),
        _dav("creationdate", _creationdate, "created"),
        _dav("getlastmodified", _getlastmodified, "modified"),
        _dav("getcontentlength", _getcontentlength, "size"),
        _dav("getcontenttype", _getcontenttype, "media_type"),
        (
            PropertyName(DAV, "getetag"),
            Property('<D:getetag>"', _getetag, '"</D:getetag>', frozenset(("etag",))),
        ),
        _dav("displayname", _displayname),
        _dav_whole("supportedlock", lambda scene: SUPPORTED_LOCK),
        _dav_whole("lockdiscovery", _lockdiscovery, "locks"),
        _own("uid", _uid, "uid"),
        _own("object-uid", _object_uid, "object_uid"),
        _own("sha256", _sha256, "digest"),
        _own("visibility", _visibility, "access"),
        _own("is-local", _is_local, "access"),
        _own("expires", _expires, "expires"),
        _picture("width", _width),
        _picture("height", _height),
        _picture("thumbnail", _thumbnail),
    )
)
"""What allprop tells."""

PAST: Mapping[PropertyName, Property] = dict(
    (
        _removal("original-path", lambda removal: xml.text(paths.text(removal.path))),
        _removal("deleted-by", lambda removal: xml.text(removal.by)),
        _removal("deleted-at", lambda removal: iso_date(removal.at)),
        _removal("until", lambda removal: None if removal.until is None else iso_date(removal.until)),
        _version("author", lambda version: xml.text(version.author)),
        _version("replaced", lambda version: iso_date(version.replaced)),
    )
)
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
    **dict(
        (
            _dav("quota-available-bytes", partial(_quota, 1)),
            _dav("quota-used-bytes", partial(_quota, 0)),
            (
                PropertyName(APACHE, "executable"),
                Property(f'<A:executable xmlns:A="{APACHE}">', _executable, "</A:executable>", frozenset(("mode",))),
            ),
        )
    ),
}
"""All of them: these are protected but for the few that `proppatch` knows to set."""
