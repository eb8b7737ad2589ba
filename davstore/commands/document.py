"""`davstore document`: collections that say who may read what is in them."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InvalidSetting

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.model import Node

app = typer.Typer(help="Documents and libraries: who may read what is in a collection.")


class Visible(StrEnum):
    PRIVATE = "private"
    PROTECTED = "protected"
    PUBLIC = "public"
    INHERIT = "inherit"


Where = Annotated[str, typer.Argument(metavar="PATH", help="The collection, as /BUCKET/NAME.", show_default=False)]


@app.command()
def ls(json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the documents and libraries."""
    with opened(data, config) as store:
        found = store.documents()
    if json:
        output.as_json([_described(node) for node in found])
    else:
        heads = ("PATH", "OWNER", "VISIBILITY", "LIBRARY")
        output.as_table(heads, map(_row, found), none="There are no documents; `davstore document set` makes one.")


@app.command(name="set")
def set_(
    path: Where,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="Whose document it is; '' for nobody's.")] = None,
    visibility: Annotated[Visible | None, typer.Option(help="Who else may read it.")] = None,
    library: Annotated[
        bool | None, typer.Option("--library/--no-library", help="Whether its media are for others to attach.")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a collection a document, or change what it is."""
    from core.model import OPERATOR, Rules
    from core.paths import parse

    if owner is None and visibility is None and library is None:
        raise InvalidSetting(path, "say what to set: --owner, --visibility or --library")
    with opened(data, config) as store:
        if owner and owner not in {user.name for user in store.accounts.every()}:
            raise InvalidSetting(owner, "there is no such user; `davstore user ls` lists them")
        is_local = None if library is None else not library
        rules = Rules(None if visibility is None else visibility.value, is_local, owner)
        store.namespace(OPERATOR).set_properties(parse(path), (), rules=rules)


def _described(node: "Node") -> dict[str, object]:
    from core.paths import text

    access = node.access
    assert access
    return {
        "path": text(node.path),
        "uid": node.uid,
        "owner": access.owner or None,
        "visibility": access.visibility,
        "library": not access.is_local,
    }


def _row(node: "Node") -> tuple[str | None, ...]:
    told = _described(node)
    return (
        str(told["path"]),
        node.access and node.access.owner,
        str(told["visibility"]),
        "yes" if told["library"] else "no",
    )
