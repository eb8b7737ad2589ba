"""PROPFIND (RFC 4918, section 9.1), streamed page by page: constant memory, a microsecond or two for each member."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from wsgidav.dav_error import (
    HTTP_BAD_REQUEST,
    HTTP_FORBIDDEN,
    DAVError,
    PRECONDITION_CODE_PropfindFiniteDepth,
)

from core import listings
from core.errors import NotFound
from core.listings import SHOWN, Members
from core.model import Node, Path, PropertyName

from . import asking, hrefs, multistatus, xml
from .asking import Question
from .live import ALWAYS, COLLECTION, COMPACT, PAST, Scene
from .request import Headers, Request, Response
from .weaving import Piece, woven
from .xml import DAV, Element

T = TypeVar("T")

MORE = 1000
"""Members read at once."""
REMEMBERED = 4 << 10
"""Bytes of a body whose question is remembered: programs ask the same one again and again."""


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
    is_locked = "locks" in question.wanted and request.tree.has_locks()
    own = _itself(request, node, question, is_locked=is_locked)
    is_listing = node.is_collection and depth == "1"
    responses = _responses(request, node, question, own, is_listing=is_listing)
    answer = multistatus.answer(responses, applied, accepted=request.header("Accept-Encoding"))
    tells_locks = is_locked if is_listing else bool(own.locks)
    return replace(answer, repeatable=question.is_steady and not tells_locks)


def _itself(request: Request, node: Node, question: Question, *, is_locked: bool) -> Members:
    """The node that the request names, alone."""
    return listings.of_nodes(
        [node],
        locks=request.tree.locks([node]) if is_locked else None,
        properties=request.tree.properties([node]) if "properties" in question.wanted else None,
        pictures=request.tree.pictures([node]) if "pictures" in question.wanted else None,
    )


def _responses(request: Request, node: Node, question: Question, own: Members, *, is_listing: bool) -> Iterator[str]:
    href = hrefs.spelled(request, is_collection=node.is_collection)
    start = f"{multistatus.RESPONSE}<D:href>{xml.text(href)}"
    without_self = node.is_collection and "noroot" in request.header("Depth").lower()
    scene_of = _scenes(request)
    if not without_self:
        yield from _written([start], question, scene_of(own))
    if is_listing:
        for page in _pages(request, node, question):
            yield from _written([start, _segments(page)], question, scene_of(page))


def _written(hrefs: Sequence[Piece], question: Question, scene: Scene) -> Iterator[str]:
    propstats = question.propstats(scene)
    return woven([*hrefs, "</D:href>", *propstats, multistatus.RESPONSE_END], len(scene.nodes))


def _pages(request: Request, node: Node, question: Question) -> Iterator[Members]:
    """The members that DAV shows; a collection that vanishes while it is read has no more of them."""
    try:
        yield from request.tree.members_of(node, question.wanted, MORE)
    except NotFound:
        return


def _segments(members: Members) -> Sequence[str]:
    segments = hrefs.segments(members.name)
    if COLLECTION not in members.kind:
        return segments
    return [
        segment + "/" if kind == COLLECTION else segment for segment, kind in zip(segments, members.kind, strict=True)
    ]


def _scenes(request: Request) -> Callable[[Members], Scene]:
    depth = len(request.view.at) + 1 if request.view else 1
    quota, visibility = _once(request.tree.quota, depth), _once(request.tree.visibility, depth)
    return lambda nodes: Scene(nodes, request.href, quota, visibility)


def _once(ask: Callable[[Path], T], depth: int) -> Callable[[Path], T]:
    """What is the same for a whole bucket, whose path has so many names, is asked once."""
    known: dict[Path, T] = {}

    def told(path: Path) -> T:
        bucket = path[:depth]
        if bucket not in known:
            known[bucket] = ask(bucket)
        return known[bucket]

    return told


def _is_minimal(request: Request) -> bool:
    preferences = request.header("Prefer").lower().replace(" ", "").replace('"', "")
    return "return=minimal" in re.split("[,;]", preferences) or request.header("Brief").lower() == "t"


def _question(request: Request) -> Question:
    body = request.body(xml.BODY_LIMIT)
    is_windows = request.header("User-Agent").startswith("Microsoft-WebDAV-MiniRedir")
    ask = _remembered if len(body) <= REMEMBERED else _asked
    return ask(body, is_windows=is_windows, is_past=request.view is not None, is_minimal=_is_minimal(request))


def _asked(body: bytes, *, is_windows: bool, is_past: bool, is_minimal: bool) -> Question:
    root = xml.document(body)
    always = {**ALWAYS, **PAST} if is_past else ALWAYS
    if root is None:
        return asking.everything(COMPACT if is_windows else always)
    if root.tag != f"{{{DAV}}}propfind":
        raise DAVError(HTTP_BAD_REQUEST, "the body's element should be DAV: propfind")
    asked = next(xml.children(root, "prop", "allprop", "propname"), None)
    if asked is None:
        raise DAVError(HTTP_BAD_REQUEST, "propfind asks for prop, allprop or propname")
    if xml.name_of(asked).name == "propname":
        return asking.names()
    names = _names_in(asked)
    if xml.name_of(asked).name == "prop" and names:
        return asking.named(names, is_minimal=is_minimal)
    include = xml.child(root, "include")
    return asking.everything(always, () if include is None else _names_in(include))


_remembered = lru_cache(256)(_asked)


def _names_in(element: Element) -> tuple[PropertyName, ...]:
    return tuple(dict.fromkeys(xml.name_of(each) for each in xml.few(xml.children(element))))
