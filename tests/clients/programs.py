"""Running the programs of others, whose exit code and output are what a test sees."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 110.0


@dataclass(frozen=True)
class Outcome:
    code: int
    text: str
    """What it printed, errors included."""


def attempt(
    *command: str | Path,
    stdin: str = "",
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    patience: float = PATIENCE,
) -> Outcome:
    """Runs a program to its end; its output goes through a pipe of its own, and it never waits for a terminal."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin.encode(),
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environ or {})},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=patience,
    )
    return Outcome(done.returncode, done.stdout.decode(errors="surrogateescape"))


def run(
    *command: str | Path,
    stdin: str = "",
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    patience: float = PATIENCE,
) -> str:
    """What the program printed; it must succeed."""
    outcome = attempt(*command, stdin=stdin, environ=environ, folder=folder, patience=patience)
    assert outcome.code == 0, f"{command} ended with {outcome.code}:\n{outcome.text[-10_000:]}"
    return outcome.text
