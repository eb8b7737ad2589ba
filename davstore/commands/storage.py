"""`davstore storage` and `davstore move-blobs`: places for blobs, what they can do, and the way from one to another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.blobs.store import Capability
    from core.moving import Moved

FAILED = 1

app = typer.Typer(help="Storages, the places for blobs.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The storage's name.", show_default=False)]
From = Annotated[str, typer.Option("--from", metavar="NAME", help="The storage that they leave.", show_default=False)]
To = Annotated[str, typer.Option("--to", metavar="NAME", help="The storage that takes them.", show_default=False)]
Keep = Annotated[
    timedelta | None,
    typer.Option(
        metavar="DURATION",
        parser=output.duration,
        help="How long old blobs stay for downloads that are under way; without it as long as URLs to them live.",
    ),
]


@app.command()
def ls(json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the storages, and what the objects amount to that are there."""
    with opened(data, config) as store:
        storages = store.storages()
    if json:
        output.as_json([asdict(storage) for storage in storages])
    else:
        rows = [(each.name, each.type, str(each.objects), output.size(each.bytes), each.place) for each in storages]
        output.as_table(("NAME", "TYPE", "OBJECTS", "SIZE", "PLACE"), rows, none="There are no storages.")


@app.command()
def check(name: Name, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Try on the storage all that it needs to be able to do; exit code 1 says that something needed is missing."""
    with opened(data, config, may_be_new=True) as store:
        found: list[Capability] = []
        for capability in store.check_storage(name):
            found.append(capability)
            if not json:
                output.say(output.visible(_line(capability)))
    if json:
        output.as_json([asdict(capability) for capability in found])
    if any(capability.missing and capability.needed for capability in found):
        raise typer.Exit(FAILED)


def _line(capability: "Capability") -> str:
    if not capability.missing:
        return f"yes      {capability.name}"
    return f"{'MISSING' if capability.needed else 'no     '}  {capability.name}: {capability.missing}"


def move_blobs(
    source: From, target: To, keep: Keep = None, json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Move the blobs of one storage to another, while servers serve both; what was interrupted can be repeated."""
    from core.quantities import nanoseconds

    with opened(data, config) as store, _progress(shown=not json) as tell:
        moved = store.move_blobs(source, target, tell, None if keep is None else nanoseconds(keep))
        still = [bucket.name for bucket in store.buckets() if bucket.storage == source]
    if json:
        output.as_json(asdict(moved))
    else:
        output.say(f"Moved: {moved.moved} blobs of {output.size(moved.moved_bytes)} from {source} to {target}.")
        if moved.left:
            output.say(f"Still in {source}: {moved.left} blobs of {output.size(moved.left_bytes)}.")
        for name in still:
            output.say(
                f"New contents of {name} go to {source}; `davstore bucket set {name} storage={target}` ends that."
            )
    for line in moved.failed:
        typer.echo(f"davstore: {output.visible(line)}", err=True)
    if moved.failed:
        raise typer.Exit(FAILED)


@contextmanager
def _progress(*, shown: bool) -> "Iterator[Callable[[Moved], None]]":
    """Blobs and bytes done and to do, and how long it will take, on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = TextColumn("Moving {task.fields[blobs]} blobs"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("", total=None, blobs="")

        def tell(moved: "Moved") -> None:
            blobs = f"{moved.moved}/{moved.moved + moved.left}"
            bar.update(task, completed=moved.moved_bytes, total=moved.moved_bytes + moved.left_bytes, blobs=blobs)

        yield tell
