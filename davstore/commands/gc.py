"""`davstore gc`: bytes that nothing refers to any more are let go, and what was condemned can come back."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InvalidSetting

from . import output
from .installation import Config, Data, Json, Yes, opened

if TYPE_CHECKING:
    from core.garbage import BucketState, Letter, Run, State
    from core.jobs import JobState

INCOMPLETE = 1

app = typer.Typer(help="Bytes that nothing refers to any more, and how they are let go.")


Grace = Annotated[
    timedelta | None,
    typer.Option(
        metavar="DURATION",
        parser=output.duration,
        help="Leave alone what lost a reference less than this ago; without it as the configuration says. 0s is safe.",
    ),
]
Retention = Annotated[
    timedelta | None,
    typer.Option(
        metavar="DURATION",
        parser=output.duration,
        help="Let go what was condemned longer ago than this; without it as each bucket's policy says. 0s is safe.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Condemn even what the breaker would stop.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Decide alike, and change nothing.")]


@app.command()
def run(
    grace: Grace = None,
    retention: Retention = None,
    dry_run: DryRun = False,
    force: Force = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Collect, purge and carry out the deletions that are due; exit code 1 says that something was left undone."""
    from core.quantities import nanoseconds

    with opened(data, config) as store:
        done = store.collect_garbage(
            grace=nanoseconds(store.settings.collector.grace if grace is None else grace),
            retention=None if retention is None else nanoseconds(retention),
            dry_run=dry_run,
            force=force,
        )
    _tell(done, json=json, would=dry_run)


@app.command(name="dry-run")
def dry_run(
    grace: Grace = None,
    retention: Retention = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Tell what a run would condemn and purge now, and change nothing."""
    run(grace, retention, dry_run=True, json=json, data=data, config=config)


@app.command()
def status(json: Json = False, data: Data = None, config: Config = None) -> None:
    """Tell what waits for the collector, which deletions fail, and how the background jobs fare."""
    with opened(data, config) as store:
        state, jobs = store.garbage(), store.jobs()
    if json:
        output.as_json(_described(state) | {"jobs": list(map(_job, jobs))})
    else:
        _show(state)
        output.say("")
        heads = ("JOB", "LAST RUN", "NEXT RUN", "LAST ERROR")
        output.as_table(heads, map(_job_row, jobs), none="Background jobs are switched off.")


@app.command()
def revive(
    uid: Annotated[str, typer.Argument(metavar="UID", help="As `davstore explain` names it.", show_default=False)],
    to: Annotated[str, typer.Option(metavar="PATH", help="The file that it becomes, in its own bucket.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Bring back, as a file, an object that nothing refers to any more."""
    from core import paths
    from core.model import OPERATOR

    place = paths.parse(to)
    if len(place) < 2:
        raise InvalidSetting(f"--to {to}", "names a bucket; write /BUCKET/NAME")
    with opened(data, config) as store:
        node = store.recovery(OPERATOR).revive(uid, place)
    output.say(output.visible(paths.text(node.path)))


@app.command()
def forget(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="The bucket's name.", show_default=False)],
    rule: Annotated[
        str, typer.Argument(metavar="TABLE.COLUMN", help="As `davstore gc run` names it.", show_default=False)
    ],
    yes: Yes = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """End a host table's rule that no configuration names any more, so that its bucket is collected again."""
    with opened(data, config) as store:
        if not yes:
            output.ask(f"May the objects go that only {rule} names?", "the rule is still there")
        store.forget_rule(bucket, rule)


def _tell(done: "Run", *, json: bool, would: bool) -> None:
    if json:
        output.as_json(asdict(done))
    else:
        verb = "would be" if would else "were"
        output.say(f"{done.examined} objects were examined, {done.condemned} {verb} condemned, {done.revived} revived.")
        output.say(f"{done.purged} objects of {output.size(done.purged_bytes)} {verb} purged.")
        if done.left:
            output.say(f"{done.left} objects were left for the next run: an open transaction may refer to them.")
        times = f"{done.trash_expired} trash entries, {done.versions_expired} versions and {done.files_expired} files"
        output.say(f"{times} had their time.")
        if not would:
            output.say(f"{done.media_trashed} media that no document mentions went to the trash.")
            output.say(f"{done.deleted} blobs were deleted, {done.failed} deletions failed.")
    for refusal in done.refused:
        typer.echo(f"davstore: {output.visible(refusal)}", err=True)
    if done.refused or done.failed:
        raise typer.Exit(INCOMPLETE)


def _described(state: "State") -> dict[str, object]:
    failing = [asdict(letter) | {"due": output.time(letter.due), "dead": letter.is_dead} for letter in state.failing]
    return {"buckets": list(map(asdict, state.buckets)), "pending": state.pending, "failing": failing}


def _show(state: "State") -> None:
    heads = ("BUCKET", "LIVE", "TO EXAMINE", "CONDEMNED", "SIZE")
    output.as_table(heads, map(_bucket, state.buckets), none="There are no buckets.")
    output.say(f"\nDeletions in the outbox: {state.pending or 'none'}.")
    if state.failing:
        output.as_table(("ATTEMPTS", "", "DUE", "STORAGE", "KEY", "ERROR"), _letters(state.failing), none="")


def _job(job: "JobState") -> dict[str, object]:
    times = {"last_run": output.time(job.last_run), "next_run": output.time(job.next_run)}
    return {**asdict(job), **times}


def _job_row(job: "JobState") -> tuple[str | None, ...]:
    following = "runs now" if job.running else output.time(job.next_run)
    return job.name, output.time(job.last_run), following, job.last_error


def _bucket(bucket: "BucketState") -> tuple[str | None, ...]:
    counts = str(bucket.live), str(bucket.touched), str(bucket.condemned)
    return bucket.bucket, *counts, output.size(bucket.condemned_bytes)


def _letters(failing: Iterable["Letter"]) -> Iterable[tuple[str | None, ...]]:
    for letter in failing:
        dead = "dead" if letter.is_dead else ""
        yield str(letter.attempts), dead, output.time(letter.due), letter.storage, letter.key, letter.error
