"""A process that does what it is told, as a certain user: `python -m tests.fuse.actor DIRECTORY UID GID GROUP…`.

It reads pickled (directory, function's name, arguments) from its standard input and writes (result, error number).
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fuse import calls
from tests.parts.server import ROOT


class Actor:
    """It works below `top`, a directory that everybody may enter; nothing above that must be open to the user."""

    def __init__(self, top: Path, uid: int, gid: int, groups: Sequence[int] = ()) -> None:
        words = [str(top), *(str(number) for number in (uid, gid, *groups))]
        self.home = "."
        self._command = [sys.executable, "-m", "tests.fuse.actor", *words]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=30)

    def __call__(self, verb: str, *arguments: Any) -> Any:
        """The result of a function of `os` or of `calls` in the directory `home`. Raises its OSError."""
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump((self.home, verb, arguments), self._process.stdin)
        self._process.stdin.flush()
        result, error = pickle.load(self._process.stdout)
        if error is not None:
            raise OSError(error, f"{verb}{arguments}: {os.strerror(error)}")
        return result


def main(directory: str, uid: str, gid: str, *groups: str) -> None:
    top = os.open(directory, os.O_RDONLY)
    os.setgroups([int(group) for group in groups])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    os.umask(0o022)
    while True:
        try:
            home, verb, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        os.fchdir(top)
        os.chdir(home)
        pickle.dump(_done(verb, arguments), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _done(verb: str, arguments: Sequence[Any]) -> tuple[Any, int | None]:
    function = getattr(calls, verb, None) or getattr(os, verb)
    try:
        result = function(*arguments)
    except OSError as error:
        return None, error.errno
    return result, None


if __name__ == "__main__":
    main(*sys.argv[1:])
