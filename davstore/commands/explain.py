"""`davstore explain`: why bytes are kept, or what let them go."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.explain import Explanation

About = Annotated[
    str,
    typer.Argument(
        metavar="PATH|UID|DIGEST",
        help="A file's path (/BUCKET/…), an object's uid, or the SHA-256 of a content.",
        show_default=False,
    ),
]


def explain(about: About, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Tell what keeps a content alive, or what let it go, when, and until when it can come back."""
    with opened(data, config) as store:
        found = store.explain(about)
    if json:
        output.as_json([_described(each) for each in found])
    else:
        output.say("\n".join(output.visible(line) for each in found for line in _lines(each)))


def _described(found: "Explanation") -> dict[str, object]:
    events = [asdict(event) | {"at": output.time(event.at)} for event in found.events]
    return asdict(found) | {"events": events, "until": output.time(found.until)}


def _lines(found: "Explanation") -> Iterator[str]:
    yield f"Object {found.uid} of bucket {found.bucket} is {found.state}: {output.size(found.size)}, {found.digest}."
    yield from (f"  kept by {reference}" for reference in found.references)
    if not found.references:
        yield "  nothing refers to it"
    if found.verdict in {"lost", "corrupt"}:
        yield f"  its bytes were found {found.verdict}; an upload of the same content to the bucket repairs it"
    if found.until is not None:
        yield f"  until {output.time(found.until)} at least `davstore gc revive {found.uid} --to PATH` brings it back"
    yield from (f"  {output.time(event.at)} {event.event}: {event.reason}" for event in found.events)
