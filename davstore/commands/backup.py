"""`davstore backup` and `davstore restore`: a copy of everything, taken while the server runs, and the way back."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .installation import Config, Data, Json, load, opened, unusable

if TYPE_CHECKING:
    from core.archives import Archive
    from core.backup import Progress
    from core.model import Digest
    from core.snapshots import Snapshot

LOST = 1
COPY = "./davstore-archive"

Where = Annotated[str, typer.Argument(metavar="WHERE", help="A directory, or s3://BUCKET/PREFIX.")]
Name = Annotated[
    str | None, typer.Option("--snapshot", metavar="NAME", help="Which one; without it the newest.", show_default=False)
]
Listing = Annotated[bool, typer.Option("--list", help="Only list the snapshots that are there.")]
Partial = Annotated[bool, typer.Option("--partial", help="Go on without contents that the archive has lost.")]


def backup(where: Where, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Add a snapshot of everything to an archive, copying only contents that it does not have."""
    with opened(data, config) as store, progress("Copying", shown=not json) as show:
        saved = store.back_up(_archive(where), show)
    snapshot = saved.snapshot
    if json:
        output.as_json(asdict(saved))
    else:
        output.say(f"Snapshot {snapshot.name}: {snapshot.contents} contents of {output.size(snapshot.bytes)}, ")
        output.say(f"of which {saved.copied} of {output.size(saved.copied_bytes)} were new to {where}.")
        output.say(f"Check it with: {_check(where, snapshot.name)}")
    _fail(snapshot.missing, "is lost or corrupt in the store and not in the backup; `davstore fsck --deep` tells more")


def restore(
    where: Where,
    snapshot: Name = None,
    listing: Listing = False,
    partial: Partial = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a store of a snapshot, in an empty data directory or database."""
    from core.restoring import restore as restored
    from core.snapshots import names, read

    archive = _archive(where)
    if listing:
        _list([read(archive, name) for name in names(archive)], json)
        return
    with unusable():
        settings = load(data, config)
    with progress("Restoring", shown=not json) as show:
        result = restored(settings, archive, snapshot, show, partial=partial)
    if json:
        output.as_json(asdict(result))
    else:
        tables = result.snapshot.tables
        output.say(f"Restored {tables['nodes']} nodes in {tables['buckets']} buckets, as of {result.snapshot.name}.")
    _fail(result.lost, "has no bytes in the backup; an upload of the same content repairs it")


def _check(where: str, snapshot: str) -> str:
    """A command for a shell, which knows files only: what is on S3 is fetched first."""
    directory, fetch = where, ""
    if where.startswith("s3://"):
        directory = COPY
        endpoint = ' --s3-endpoint "$AWS_S3_ENDPOINT"' if os.environ.get("AWS_S3_ENDPOINT") else ""
        there = shlex.quote(f":s3:{where.removeprefix('s3://')}")
        fetch = f"rclone copy --s3-env-auth{endpoint} {there} {COPY} && "
    return f"{fetch}cd {shlex.quote(directory)} && sha256sum --quiet -c snapshots/{snapshot}/SHA256SUMS"


def _archive(where: str) -> "Archive":
    if where.startswith("s3://"):
        from core.s3_archive import S3Archive

        return S3Archive(where, os.environ)
    from core.archives import DirectoryArchive

    return DirectoryArchive(Path(where))


def _list(known: "list[Snapshot]", json: bool) -> None:
    if json:
        output.as_json([asdict(each) for each in known])
        return
    rows = [
        (each.name, output.time(each.taken), str(each.tables["nodes"]), str(each.contents), output.size(each.bytes))
        for each in known
    ]
    output.as_table(("SNAPSHOT", "TAKEN", "NODES", "CONTENTS", "BYTES"), rows, none="There are no snapshots.")


def _fail(digests: "list[Digest]", why: str) -> None:
    for digest in digests:
        typer.echo(f"davstore: {digest} {why}", err=True)
    if digests:
        raise typer.Exit(LOST)


@contextmanager
def progress(what: str, *, shown: bool) -> "Iterator[Progress]":
    """Bytes done and to do, on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
