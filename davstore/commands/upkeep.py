"""`davstore sweep` and `davstore scrub`: blobs that no row names, and whether the others are still what they were."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from . import output
from .installation import Config, Data, Json, opened

FOUND = 1

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count them.")]
OlderThan = Annotated[
    timedelta | None,
    typer.Option(
        metavar="DURATION",
        parser=output.duration,
        help="Read only what was last read longer ago than this; without it everything.",
    ),
]


def sweep(dry_run: DryRun = False, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Find blobs that no row names, and have those older than a day deleted in a week."""
    with opened(data, config) as store:
        swept = store.sweep(dry_run=dry_run)
    if json:
        output.as_json(asdict(swept))
    else:
        due = "" if dry_run or not swept.orphans else ", due for deletion in a week"
        output.say(f"Orphan blobs: {swept.orphans} of {output.size(swept.orphan_bytes)}{due}.")
    _fail(*swept.failed)


def scrub(older_than: OlderThan = None, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Read stored bytes and compare their digests; exit code 1 says that some are lost or corrupt."""
    from rich.console import Console

    from core.quantities import nanoseconds

    with opened(data, config) as store, Console(stderr=True).status("Reading…"):
        scrubbed = store.scrub(nanoseconds(older_than or timedelta(0)))
    if json:
        output.as_json(asdict(scrubbed))
    else:
        for verdict, digests in (("lost", scrubbed.lost), ("corrupt", scrubbed.corrupt)):
            for digest in digests:
                output.say(f"{digest} is {verdict}; an upload of the same content repairs it")
        output.say(f"Read: {scrubbed.verified} blobs of {output.size(scrubbed.verified_bytes)}.")
    _fail(*scrubbed.failed, is_bad=bool(scrubbed.lost or scrubbed.corrupt))


def _fail(*lines: str, is_bad: bool = False) -> None:
    for line in lines:
        typer.echo(f"davstore: {output.visible(line)}", err=True)
    if lines or is_bad:
        raise typer.Exit(FOUND)
