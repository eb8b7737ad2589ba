"""`davstore fsck`: whether all that is stored is right, and with `--repair` what can be done where it is not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .installation import Config, Data, Json, Yes, opened

if TYPE_CHECKING:
    from core.model import Findings
    from core.repair import Plan
    from core.store import Store

PROBLEMS = 1

Deep = Annotated[bool, typer.Option("--deep", help="Read every content too, and compare its digest.")]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Show what can be repaired, ask, and do it; no name and no content goes."),
]


def fsck(
    deep: Deep = False,
    repair: Repair = False,
    yes: Yes = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Check every invariant; exit code 1 says that there are problems, with --repair that some are left."""
    with opened(data, config) as store:
        findings = _checked(store, deep)
        plan = store.plan_repair(findings) if repair else None
        if json:
            _print_json(findings, plan)
        else:
            _report(findings)
        if plan and plan.steps:
            _carry_out(store, plan, silent=json, yes=yes)
            findings = _checked(store, deep)
            if not json:
                output.say(f"Problems left: {len(findings.problems) or 'none'}.")
    if findings.problems:
        raise typer.Exit(PROBLEMS)


def _checked(store: "Store", deep: bool) -> "Findings":
    from rich.console import Console

    with Console(stderr=True).status("Checking…"):
        return store.verify(deep=deep)


def _print_json(findings: "Findings", plan: "Plan | None") -> None:
    described = asdict(findings) | {"counts": dict(findings.counts)}
    output.as_json(described | ({"plan": [asdict(step) for step in plan.steps]} if plan else {}))


def _report(findings: "Findings") -> None:
    for problem in findings.problems:
        output.say(output.visible(f"{problem.kind}: {problem.subject}: {problem.detail}"))
    reclaimable = Counter(blob.kind for blob in findings.reclaimable)
    output.say(f"Checked: {_counted(findings.counts)}.")
    if reclaimable:
        output.say(f"Reclaimable blobs: {_counted(reclaimable)}.")
    output.say(f"Problems: {len(findings.problems) or 'none'}.")


def _carry_out(store: "Store", plan: "Plan", *, silent: bool, yes: bool) -> None:
    """The plan stands where the question does, unless standard output is for a program that has it already."""
    if not silent:
        output.say("Repairs:")
        for step in plan.steps:
            output.say(output.visible(f"  {step.action} {step.subject}".rstrip() + f": {step.detail}"))
    if not yes:
        output.ask("Repair so?", "nothing was repaired")
    store.repair(plan)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
