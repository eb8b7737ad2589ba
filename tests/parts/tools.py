"""Programs that the tests need. One that is missing fails the test; nothing is skipped."""

import shutil
import sys
from pathlib import Path

import pytest


def tool(name: str, package: str | None = None) -> str:
    """The path of a program that Debian's `package` brings (or the environment, for one from PyPI)."""
    beside_python = str(Path(sys.executable).parent)
    postgres = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    for folders in (beside_python, *postgres, None, "/usr/sbin:/sbin"):
        found = shutil.which(name, path=folders)
        if found:
            return found
    pytest.fail(
        f"`{name}` is missing: apt-get install {package or name} (`make test` does)",
        pytrace=False,
    )
