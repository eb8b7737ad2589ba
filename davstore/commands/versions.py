"""`davstore versions`: older contents of files."""

from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InvalidSetting

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.model import Path, Version


app = typer.Typer(help="Older contents of files.")

File = Annotated[str, typer.Argument(metavar="PATH", help="The file's path: /BUCKET/….", show_default=False)]


@app.command()
def ls(path: File, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List a file's older contents, newest first."""
    from core.model import OPERATOR

    wanted = _file(path)
    with opened(data, config) as store:
        versions = store.recovery(OPERATOR).versions(wanted)
    if json:
        output.as_json([_described(version) for version in versions])
    else:
        heads = ("UID", "REPLACED", "MODIFIED", "BY", "SIZE", "TYPE")
        output.as_table(heads, map(_row, versions), none="The file has no older contents.")


@app.command()
def restore(
    path: File,
    uid: Annotated[str, typer.Argument(metavar="UID", help="As `davstore versions ls` names it.", show_default=False)],
    data: Data = None,
    config: Config = None,
) -> None:
    """Give a file an older content again; the one that it has becomes a version."""
    from core.model import OPERATOR

    wanted = _file(path)
    with opened(data, config) as store:
        node = store.recovery(OPERATOR).restore_version(wanted, uid)
    output.say(f"{output.size(node.size)} of {output.time(node.modified)}")


def _file(path: str) -> "Path":
    from core import paths

    parsed = paths.parse(path)
    if len(parsed) < 2:
        raise InvalidSetting(path, "names no file; write /BUCKET/NAME")
    return parsed


def _described(version: "Version") -> dict[str, object]:
    return {
        "uid": version.uid,
        "digest": version.digest,
        "size": version.size,
        "media_type": version.media_type,
        "modified": output.time(version.modified),
        "author": version.author,
        "replaced": output.time(version.replaced),
    }


def _row(version: "Version") -> tuple[str | None, ...]:
    times = output.time(version.replaced), output.time(version.modified)
    return version.uid, *times, version.author, output.size(version.size), version.media_type
