"""What a PROPFIND asks of every node (RFC 4918, section 9.1), and how its propstats are written for a page of nodes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.model import PropertyName

from . import multistatus, xml
from .dates import http_date
from .live import LIVE, MICROSOFT, WIN32_MODIFIED, Property, Scene, Values, are_all
from .weaving import Piece, each
from .xml import DAV

QUOTA = frozenset(PropertyName(DAV, f"quota-{which}-bytes") for which in ("used", "available"))
DEAD = frozenset(("properties", "id", "modified"))
"""What the values of dead properties are made of."""


@dataclass(frozen=True, slots=True)
class Question:
    """`wanted` is what is read of each node; with `is_steady` the answer follows from rows alone, not from a disk."""

    propstats: Callable[[Scene], Sequence[Piece]]
    wanted: frozenset[str]
    is_steady: bool


def named(names: Sequence[PropertyName], *, is_minimal: bool) -> Question:
    """Found properties first, then the missing ones: old clients read only the first propstat."""
    asked = [(LIVE.get(name) or _dead(name), xml.empty(name)) for name in names]

    def propstats(scene: Scene) -> Sequence[Piece]:
        found: list[Piece] = []
        missing: list[Piece] = []
        for each_of, element in asked:
            values = each_of.values(scene)
            found += each_of.elements(values)
            missing += _absent(values, element)
        ok = _propstat(found, 200, len(scene.nodes), always=is_minimal)
        return ok if is_minimal else [*ok, *_propstat(missing, 404, len(scene.nodes))]

    return Question(propstats, _wanted(each_of for each_of, _ in asked), QUOTA.isdisjoint(names))


def everything(properties: Mapping[PropertyName, Property], include: Sequence[PropertyName] = ()) -> Question:
    """All live properties of a selection, all dead ones, and those included."""
    more = [name for name in include if name not in properties]
    live = [*properties.values(), *(LIVE[name] for name in more if name in LIVE)]
    asked = [(LIVE.get(name) or _dead(name), xml.empty(name)) for name in more]

    def propstats(scene: Scene) -> Sequence[Piece]:
        found = [piece for each_of in live for piece in each_of.elements(each_of.values(scene))]
        found += _dead_pieces(scene, lambda dead: "".join(dead.values()))
        missing = [piece for each_of, element in asked for piece in _absent(each_of.values(scene), element)]
        count = len(scene.nodes)
        return [*_propstat(found, 200, count, always=True), *_propstat(missing, 404, count)]

    return Question(propstats, _wanted(live) | DEAD, QUOTA.isdisjoint(include))


def names() -> Question:
    """Every property's name, without its value."""

    def propstats(scene: Scene) -> Sequence[Piece]:
        found: list[Piece] = []
        for name, each_of in LIVE.items():
            found += _present(each_of.values(scene), xml.empty(name))
        found += _dead_pieces(scene, lambda dead: "".join(map(xml.empty, dead)))
        return _propstat(found, 200, len(scene.nodes), always=True)

    return Question(propstats, (_wanted(LIVE.values()) - {"locks"}) | DEAD, is_steady=True)


def _wanted(properties: Iterable[Property]) -> frozenset[str]:
    return frozenset[str]().union(*(each_of.reads for each_of in properties))


def _present(values: Values, element: str) -> list[Piece]:
    """The element where there is a value."""
    if values is None:
        return []
    return [element] if isinstance(values, str) or are_all(values) else [["" if v is None else element for v in values]]


def _absent(values: Values, element: str) -> list[Piece]:
    """The element where there is no value."""
    if values is None:
        return [element]
    return [] if isinstance(values, str) or are_all(values) else [[element if v is None else "" for v in values]]


def _propstat(pieces: Sequence[Piece], status: int, count: int, *, always: bool = False) -> list[Piece]:
    """The propstat of each node that has something in it, or of `always` each."""
    start, end = multistatus.around(status)
    if always or any(isinstance(piece, str) for piece in pieces):
        return [start, *pieces, end]
    return [[f"{start}{text}{end}" if text else "" for text in each(pieces, count)]] if pieces else []


def _dead(name: PropertyName) -> Property:
    def values(scene: Scene) -> Values:
        return [dead.get(name) for dead in _dead_values(scene)] if scene.nodes.properties else None

    return Property("", values, "", DEAD)


def _dead_values(scene: Scene) -> Iterator[Mapping[PropertyName, str]]:
    """Each node's dead properties; the one that Windows keeps its modification time in tells the time in force."""
    nodes = scene.nodes
    for node, modified in zip(nodes.id, nodes.modified, strict=True):
        values = (nodes.properties or {}).get(node) or {}
        if WIN32_MODIFIED in values:
            name = f'<Z:{WIN32_MODIFIED.name} xmlns:Z="{MICROSOFT}">'
            values = {**values, WIN32_MODIFIED: f"{name}{http_date(modified)}</Z:{WIN32_MODIFIED.name}>"}
        yield values


def _dead_pieces(scene: Scene, written: Callable[[Mapping[PropertyName, str]], str]) -> list[Piece]:
    return [[written(dead) for dead in _dead_values(scene)]] if scene.nodes.properties else []
