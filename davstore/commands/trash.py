"""`davstore trash`: what was deleted and can be restored."""

from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InvalidSetting

from . import output
from .installation import Config, Data, Json, Yes, opened

if TYPE_CHECKING:
    from core.model import Trashed


app = typer.Typer(help="What was deleted and can be restored.")

OfBucket = Annotated[str | None, typer.Argument(metavar="[BUCKET]", help="Of this bucket only.", show_default=False)]


@app.command()
def ls(bucket: OfBucket = None, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List what can be restored, newest first."""
    from core.model import OPERATOR

    with opened(data, config) as store:
        entries = store.recovery(OPERATOR).trashed(bucket)
    if json:
        output.as_json([_described(entry) for entry in entries])
    else:
        output.as_table(
            ("UID", "DELETED", "UNTIL", "BY", "SIZE", "PATH"), map(_row, entries), none="The trash is empty."
        )


@app.command()
def restore(
    uid: Annotated[str, typer.Argument(metavar="UID", help="As `davstore trash ls` names it.", show_default=False)],
    to: Annotated[str | None, typer.Option(metavar="PATH", help="Restore to this path of the same bucket.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Bring a deleted file or folder back to where it was."""
    from core import paths
    from core.model import OPERATOR

    place = None if to is None else paths.parse(to)
    if place is not None and len(place) < 2:
        raise InvalidSetting(f"--to {to}", "names a bucket; write /BUCKET/NAME")
    with opened(data, config) as store:
        node = store.recovery(OPERATOR).restore(uid, place)
    output.say(output.visible(paths.text(node.path)))


@app.command()
def empty(bucket: OfBucket = None, yes: Yes = False, data: Data = None, config: Config = None) -> None:
    """Delete for good what is in the trash, of all buckets or of one."""
    from core.model import OPERATOR

    with opened(data, config) as store:
        recovery = store.recovery(OPERATOR)
        count = len(recovery.trashed(bucket))
        if count and not yes:
            _ask(f"Delete {_entries(count)} of {bucket or 'all buckets'} for good?")
        output.say(f"{_entries(recovery.empty_trash(bucket))} deleted.")


def _ask(question: str) -> None:
    try:
        typer.confirm(question, abort=True, err=True)
    except typer.Abort:
        typer.echo(err=True)
        raise InvalidSetting("the trash", "is as it was; --yes answers the question") from None


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _described(entry: "Trashed") -> dict[str, object]:
    from core import paths

    return {
        "uid": entry.uid,
        "path": paths.text(entry.path),
        "kind": entry.kind.value,
        "size": entry.size,
        "by": entry.by,
        "at": output.time(entry.at),
        "until": output.time(entry.until),
    }


def _row(entry: "Trashed") -> tuple[str | None, ...]:
    from core import paths

    path = paths.text(entry.path) + ("/" if entry.kind == "collection" else "")
    return entry.uid, output.time(entry.at), output.time(entry.until), entry.by, output.size(entry.size), path
