"""PROPPATCH (RFC 4918, section 9.2): all of it or nothing, in the order of the document."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal

from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core.model import FOREVER, SECOND, Instant, Node, PropertyChange, PropertyName, Rules, Visibility

from . import hrefs, multistatus, xml
from .dates import iso_parsed, parsed
from .live import APACHE, DAVSTORE, LIVE, MICROSOFT, WIN32_MODIFIED
from .request import Request, Response
from .xml import DAV, Element

EXECUTABLE = PropertyName(APACHE, "executable")
EXPIRES = PropertyName(DAVSTORE, "expires")
VISIBILITY = PropertyName(DAVSTORE, "visibility")
IS_LOCAL = PropertyName(DAVSTORE, "is-local")
ACTIVE = frozenset({EXECUTABLE, EXPIRES, VISIBILITY, IS_LOCAL})
"""Those that do something."""
LIVE_TIMES = frozenset({PropertyName(DAV, "getlastmodified"), PropertyName(DAV, "lastmodified")})
"""Names of the modification time that are never stored."""
TIMES = LIVE_TIMES | {WIN32_MODIFIED}
PROTECTED = "<D:cannot-modify-protected-property/>"
SECONDS = re.compile(r"-?\d{1,10}(?:\.\d*)?", re.ASCII)
FURTHEST = (1 << 63) // SECOND - 1
"""Seconds since 1970 that an Instant can hold."""


class Unacceptable(Exception):
    """Why one property cannot be changed as asked."""

    def __init__(self, status: HTTPStatus, condition: str = "") -> None:
        self.status = status
        self.condition = condition


@dataclass(frozen=True, slots=True)
class Instruction:
    """Sets a property to an element's content, or removes it where that is None."""

    name: PropertyName
    element: Element | None


@dataclass(slots=True)
class Patch:
    """What the instructions come to."""

    changes: list[PropertyChange]
    modified: Instant | None = None
    executable: bool | None = None
    expires: Instant | None = None
    rules: Rules | None = None


def handle(request: Request) -> Response:
    """Answers 207 with what became of each property.

    The owner of a lock needs no token for Windows' own properties: Office sends none when it saves.

    Raises NotFound, Locked, PreconditionFailed, DAVError 400 and 413.
    """
    instructions = _instructions(xml.document(request.body(xml.BODY_LIMIT)))
    node = None if all(map(_is_plain, instructions)) else request.namespace.node(request.path)
    patch, problems = Patch([]), dict[PropertyName, Unacceptable]()
    for instruction in instructions:
        try:
            _apply(instruction, patch, is_collection=node is not None and node.is_collection)
        except Unacceptable as problem:
            problems[instruction.name] = problem
    names = tuple(dict.fromkeys(instruction.name for instruction in instructions))
    if node and problems:
        return _answer(request, node, _refused(names, problems))
    is_windows = all(name.namespace == MICROSOFT for name in names)
    expect = replace(request.expect, as_lock_owner=is_windows)
    changed = request.namespace.set_properties(
        request.path,
        patch.changes,
        modified=patch.modified,
        executable=patch.executable,
        expires=patch.expires,
        rules=patch.rules,
        expect=expect,
    )
    return _answer(request, changed, multistatus.propstat("".join(map(xml.empty, names)), HTTPStatus.OK))


def _instructions(root: Element | None) -> tuple[Instruction, ...]:
    if root is None or root.tag != f"{{{DAV}}}propertyupdate":
        raise DAVError(HTTP_BAD_REQUEST, "the body should be a DAV: propertyupdate")
    instructions = tuple(xml.few(_listed(root)))
    if not instructions:
        raise DAVError(HTTP_BAD_REQUEST, "propertyupdate names no property")
    return instructions


def _listed(root: Element) -> Iterator[Instruction]:
    for action in xml.children(root, "set", "remove"):
        for properties in xml.children(action, "prop"):
            for element in xml.children(properties):
                is_set = xml.name_of(action).name == "set"
                yield Instruction(xml.name_of(element), element if is_set else None)


def _is_plain(instruction: Instruction) -> bool:
    """It means something to its client only, so that it is the same for every node."""
    name = instruction.name
    return not (name in LIVE or name in TIMES or name in ACTIVE or name.namespace == DAVSTORE)


def _apply(instruction: Instruction, patch: Patch, *, is_collection: bool) -> None:
    """Raises Unacceptable, unless it is plain."""
    name, element = instruction.name, instruction.element
    if element is not None and name in TIMES:
        patch.modified = _time(element)
    elif element is not None and name == EXECUTABLE and not is_collection:
        patch.executable = _flag(element)
    elif name == EXPIRES and not is_collection:
        patch.expires = FOREVER if element is None else _time(element)
    elif name == VISIBILITY:
        patch.rules = replace(patch.rules or Rules(), visibility=_visibility(element))
    elif name == IS_LOCAL and is_collection:
        patch.rules = replace(patch.rules or Rules(), is_local=_is_local(element))
    elif name in LIVE or name.namespace == DAVSTORE:
        raise Unacceptable(HTTPStatus.FORBIDDEN, PROTECTED)
    if name not in LIVE and name not in LIVE_TIMES:
        patch.changes.append(PropertyChange(name, None if element is None else xml.standalone(element)))


def _time(element: Element) -> Instant:
    """Seconds since 1970, an HTTP date or an RFC 3339 time."""
    text = (element.text or "").strip()
    at = Instant(int(text.partition(".")[0]) * SECOND) if SECONDS.fullmatch(text) else parsed(text) or iso_parsed(text)
    if at is None or abs(at) > FURTHEST * SECOND:
        raise Unacceptable(HTTPStatus.CONFLICT)
    return at


def _visibility(element: Element | None) -> Visibility | Literal["inherit"]:
    """Without one it is inherited."""
    match "inherit" if element is None else (element.text or "").strip():
        case "private" | "protected" | "public" | "inherit" as visibility:
            return visibility
        case _:
            raise Unacceptable(HTTPStatus.CONFLICT)


def _is_local(element: Element | None) -> bool:
    text = "true" if element is None else (element.text or "").strip()
    if text not in {"true", "false"}:
        raise Unacceptable(HTTPStatus.CONFLICT)
    return text == "true"


def _flag(element: Element) -> bool:
    text = (element.text or "").strip().upper()
    if text not in {"T", "F"}:
        raise Unacceptable(HTTPStatus.CONFLICT)
    return text == "T"


def _refused(names: Sequence[PropertyName], problems: Mapping[PropertyName, Unacceptable]) -> str:
    """A property that is not to blame failed because of those that are (RFC 4918, section 9.2.1)."""
    groups: dict[tuple[HTTPStatus, str], list[str]] = {}
    for name in names:
        problem = problems.get(name) or Unacceptable(HTTPStatus.FAILED_DEPENDENCY)
        groups.setdefault((problem.status, problem.condition), []).append(xml.empty(name))
    return "".join(multistatus.propstat("".join(group), *why) for why, group in groups.items())


def _answer(request: Request, node: Node, propstats: str) -> Response:
    return multistatus.answer(
        [multistatus.response(hrefs.spelled(request, is_collection=node.is_collection), propstats)]
    )
