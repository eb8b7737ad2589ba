"""`davstore import`: a folder of this machine copied into the drive, without the bytes that are there already."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from davstore.importing import Drive, Imported

LEFT = 1

Folder = Annotated[
    Path, typer.Argument(metavar="SOURCE", exists=True, help="A folder or file of this machine.", show_default=False)
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="The collection that it is copied into: /BUCKET/PATH, or the URL of one on a server, "
        "http://NAME:PASSWORD@HOST/BUCKET/PATH.",
        show_default=False,
    ),
]


def import_(source: Folder, target: Target, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Copy a folder's members into a collection; contents that the drive has already are not sent."""
    from core.model import OPERATOR
    from core.paths import parse
    from davstore.importing import Remote, Store

    if target.startswith("/"):
        with opened(data, config) as store:
            _copy(source, Store(store.namespace(OPERATOR), parse(target)), json)
    else:
        with closing(Remote(target)) as drive:
            _copy(source, drive, json)


def _copy(source: Path, drive: "Drive", json: bool) -> None:
    from davstore.importing import copy

    with _progress(shown=not json) as tell:
        done = copy(source, drive, tell)
    if json:
        output.as_json(asdict(done))
    else:
        spared = f"{done.files - done.sent} of {output.size(done.bytes - done.sent_bytes)} were there already"
        output.say(f"Copied: {done.files} files of {output.size(done.bytes)}; the contents of {spared}.")
    for line in done.left:
        typer.echo(f"davstore: {output.visible(line)}", err=True)
    if done.left:
        raise typer.Exit(LEFT)


@contextmanager
def _progress(*, shown: bool) -> "Iterator[Callable[[Imported], None]]":
    """Files and bytes done, on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.fields[files]} files"), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("", total=None, files=0)
        yield lambda done: bar.update(task, completed=done.bytes, files=done.files)
