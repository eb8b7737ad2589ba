"""PROPFIND (RFC 4918, section 9.1), streamed page by page: constant memory, a few microseconds for each member."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from urllib.parse import quote

from wsgidav.dav_error import (
    HTTP_BAD_REQUEST,
    HTTP_FORBIDDEN,
    DAVError,
    PRECONDITION_CODE_PropfindFiniteDepth,
)

from core.errors import NotFound
from core.model import Node, Path, PropertyName, Visibility

from . import hrefs, multistatus, xml
from .dates import http_date
from .live import ALWAYS, COMPACT, LIVE, MICROSOFT, OF_PICTURES, PAST, SHOWN, WIN32_MODIFIED, Property, Scene
from .request import UNQUOTED, Headers, Request, Response
from .xml import DAV, Element

LOCKDISCOVERY = PropertyName(DAV, "lockdiscovery")
QUOTA = frozenset(PropertyName(DAV, f"quota-{which}-bytes") for which in ("used", "available"))

MORE, FEWER = 1000, 100
"""Members read at once: without and with their dead properties, which may be large."""

Render = Callable[[Node, Scene], str]
"""A node's propstats."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks of every node: the properties to render, and which further reads they need."""

    render: Render
    needs_dead: bool = True
    needs_locks: bool = True
    needs_pictures: bool = True
    is_steady: bool = True
    """The answer follows from rows, not from what a disk has room for."""


def handle(request: Request) -> Response:
    """Answers 207 with the properties asked for. Raises NotFound, DAVError 400, 403 for an infinite depth, 413."""
    question = _question(request)
    node = request.tree.node(request.path)
    if node.kind not in SHOWN:
        raise NotFound(request.path)
    depth = request.depth("infinity")
    if node.is_collection and depth == "infinity":
        raise DAVError(HTTP_FORBIDDEN, err_condition=PRECONDITION_CODE_PropfindFiniteDepth)
    if request.expect.check:
        request.tree.check(request.path, request.expect)
    applied: Headers = [("Preference-Applied", "return=minimal")] if _is_minimal(request) else []
    scene = _scene(request, [node], question)
    answer = multistatus.answer(_responses(request, node, depth, question, scene), applied)
    is_single = not (node.is_collection and depth == "1")
    return replace(answer, repeatable=is_single and question.is_steady and not scene.locks)


def _responses(request: Request, node: Node, depth: str, question: Question, scene: Scene) -> Iterator[str]:
    own = hrefs.spelled(request, is_collection=node.is_collection)
    without_self = node.is_collection and "noroot" in request.header("Depth").lower()
    if not without_self:
        yield multistatus.response(own, question.render(node, scene))
    if node.is_collection and depth == "1":
        for page in _pages(request, node, FEWER if question.needs_dead else MORE):
            scene = _scene(request, page, question)
            for member in page:
                yield multistatus.response(own + _segment(member), question.render(member, scene))


def _pages(request: Request, node: Node, limit: int) -> Iterator[list[Node]]:
    """The members that DAV shows; a collection that vanishes while it is read has no more of them."""
    try:
        for page in request.tree.children_of(node, limit):
            yield [member for member in page if member.kind in SHOWN]
    except NotFound:
        return


def _segment(member: Node) -> str:
    return quote(member.path[-1], safe=UNQUOTED) + ("/" if member.is_collection else "")


def _scene(request: Request, nodes: Sequence[Node], question: Question) -> Scene:
    return Scene(
        href=request.href,
        quota=cache(request.tree.quota),
        visibility=_visibilities(request),
        locks=request.tree.locks(nodes) if question.needs_locks else {},
        dead=request.tree.properties(nodes) if question.needs_dead else {},
        pictures=request.tree.pictures(nodes) if question.needs_pictures else {},
    )


def _visibilities(request: Request) -> Callable[[Path], Visibility]:
    """Of nodes in whose bucket nothing says anything: the bucket's, asked once."""
    by_bucket = cache(request.tree.visibility)
    depth = len(request.view.at) + 1 if request.view else 1
    return lambda path: by_bucket(path[:depth])


def _is_minimal(request: Request) -> bool:
    preferences = request.header("Prefer").lower().replace(" ", "").replace('"', "")
    return "return=minimal" in re.split("[,;]", preferences) or request.header("Brief").lower() == "t"


def _question(request: Request) -> Question:
    root = xml.document(request.body(xml.BODY_LIMIT))
    always = {**ALWAYS, **PAST} if request.view else ALWAYS
    if root is None:
        is_windows = request.header("User-Agent").startswith("Microsoft-WebDAV-MiniRedir")
        return _everything(COMPACT if is_windows else always)
    if root.tag != f"{{{DAV}}}propfind":
        raise DAVError(HTTP_BAD_REQUEST, "the body's element should be DAV: propfind")
    asked = next(xml.children(root, "prop", "allprop", "propname"), None)
    if asked is None:
        raise DAVError(HTTP_BAD_REQUEST, "propfind asks for prop, allprop or propname")
    if xml.name_of(asked).name == "propname":
        return Question(_names, needs_locks=False)
    names = _names_in(asked)
    if xml.name_of(asked).name == "prop" and names:
        return _named(names, is_minimal=_is_minimal(request))
    include = xml.child(root, "include")
    return _everything(always, () if include is None else _names_in(include))


def _names_in(element: Element) -> tuple[PropertyName, ...]:
    return tuple(dict.fromkeys(xml.name_of(each) for each in xml.few(xml.children(element))))


def _named(names: Sequence[PropertyName], *, is_minimal: bool) -> Question:
    """Found properties first, then the missing ones: old clients read only the first propstat."""
    properties = [(LIVE.get(name) or _dead(name), xml.empty(name)) for name in names]

    def render(node: Node, scene: Scene) -> str:
        found: list[str] = []
        missing: list[str] = []
        for value_of, element in properties:
            value = value_of(node, scene)
            if value is None:
                missing.append(element)
            else:
                found.append(value)
        ok = multistatus.propstat("".join(found), 200) if found or is_minimal else ""
        return ok if is_minimal or not missing else ok + multistatus.propstat("".join(missing), 404)

    has_dead = any(name not in LIVE for name in names)
    return Question(
        render,
        needs_dead=has_dead,
        needs_locks=LOCKDISCOVERY in names,
        needs_pictures=not OF_PICTURES.isdisjoint(names),
        is_steady=QUOTA.isdisjoint(names),
    )


def _dead(name: PropertyName) -> Property:
    return lambda node, scene: _dead_values(node, scene).get(name)


def _dead_values(node: Node, scene: Scene) -> Mapping[PropertyName, str]:
    """The dead properties; the one that Windows keeps its modification time in tells the time in force."""
    values = scene.dead.get(node.id) or {}
    if WIN32_MODIFIED not in values:
        return values
    name = f'<Z:{WIN32_MODIFIED.name} xmlns:Z="{MICROSOFT}">'
    return {**values, WIN32_MODIFIED: f"{name}{http_date(node.modified)}</Z:{WIN32_MODIFIED.name}>"}


def _everything(properties: Mapping[PropertyName, Property], include: Sequence[PropertyName] = ()) -> Question:
    """All live properties of a selection, all dead ones, and those included."""
    live = list(properties.values())
    more = [(name, LIVE.get(name)) for name in include if name not in properties]

    def render(node: Node, scene: Scene) -> str:
        dead = _dead_values(node, scene)
        found = [value for property_of in live if (value := property_of(node, scene)) is not None]
        missing: list[str] = []
        for name, property_of in more:
            value = property_of(node, scene) if property_of else None
            if value is not None:
                found.append(value)
            elif name not in dead:
                missing.append(xml.empty(name))
        ok = multistatus.propstat("".join(chain(found, dead.values())), 200)
        return ok + multistatus.propstat("".join(missing), 404) if missing else ok

    asked = properties.keys() | set(include)
    return Question(
        render,
        needs_locks=LOCKDISCOVERY in properties,
        needs_pictures=not OF_PICTURES.isdisjoint(asked),
        is_steady=QUOTA.isdisjoint(asked),
    )


def _names(node: Node, scene: Scene) -> str:
    live = [xml.empty(name) for name, property_of in LIVE.items() if property_of(node, scene) is not None]
    dead = [xml.empty(name) for name in _dead_values(node, scene)]
    return multistatus.propstat("".join(live + dead), 200)
