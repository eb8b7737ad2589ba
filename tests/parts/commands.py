"""`davstore` in this process: what it prints, and the one line in which it refuses."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from davstore.cli import app


@dataclass(frozen=True)
class Davstore:
    """Runs command lines, on a data directory if there is one."""

    data: Path | None = None

    def __call__(self, *words: str, **given: Any) -> Result:
        there = () if self.data is None else ("--data", str(self.data))
        return CliRunner().invoke(app, [*words, *there], prog_name="davstore", **given)


def printed(result: Result) -> Any:
    """The JSON that a command printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result, code: int = 1) -> str:
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.startswith("davstore: ")
    assert result.stderr.count("\n") == 1
    return result.stderr
