"""`davstore du` and `davstore fsck`: what is stored, and whether all of it is right."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.model import Findings, Usage

PROBLEMS = 1


def du(json: Json = False, data: Data = None, config: Config = None) -> None:
    """Tell what each bucket holds: bytes as its users see them, and bytes as stored once."""
    with opened(data, config) as store:
        usages = store.usage()
    if json:
        output.as_json([asdict(usage) for usage in usages])
    else:
        heads = ("BUCKET", "FILES", "LOGICAL", "UNIQUE", "CONDEMNED", "IN TRASH", "QUOTA")
        output.as_table(heads, map(_row, usages), none="There are no buckets.")


def fsck(
    deep: Annotated[bool, typer.Option("--deep", help="Read every content too, and compare its digest.")] = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Check every invariant, and change nothing; exit code 1 says that there are problems."""
    from rich.console import Console

    with opened(data, config) as store, Console(stderr=True).status("Checking…"):
        findings = store.verify(deep=deep)
    if json:
        output.as_json(asdict(findings) | {"counts": dict(findings.counts)})
    else:
        _report(findings)
    if findings.problems:
        raise typer.Exit(PROBLEMS)


def _row(usage: "Usage") -> tuple[str | None, ...]:
    sizes = usage.logical_bytes, usage.unique_bytes, usage.condemned_bytes, usage.trashed_bytes, usage.quota
    return usage.bucket, str(usage.files), *map(output.size, sizes)


def _report(findings: "Findings") -> None:
    for problem in findings.problems:
        output.say(output.visible(f"{problem.kind}: {problem.subject}: {problem.detail}"))
    reclaimable = Counter(blob.kind for blob in findings.reclaimable)
    output.say(f"Checked: {_counted(findings.counts)}.")
    if reclaimable:
        output.say(f"Reclaimable blobs: {_counted(reclaimable)}.")
    output.say(f"Problems: {len(findings.problems) or 'none'}.")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
