"""`davstore mount` in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts import processes
from tests.parts.server import environment, unexpected
from tests.parts.tools import tool

running: set["Mount"] = set()
"""Those of this process, so that a watch can end one that hangs."""


class Mount:
    """The tree of `data` at `point`, which may outlive it. A warning in its log that was not announced fails the test.

    Start it from the test's own thread: the kernel ends it when that thread ends.
    """

    def __init__(
        self,
        point: Path,
        data: Path,
        *options: str,
        environ: Mapping[str, str] | None = None,
        patience: float = 30.0,
    ) -> None:
        self.point = point
        self.data = data
        self.log = point.with_name(f"{point.name}.log")
        self.patience = patience
        self._environ = environ or {}
        self.clears = True
        """Whether what a broken mount has left at the point is taken away before."""
        self._expected: list[str] = []
        setpriv = [tool("setpriv", "util-linux"), "--pdeathsig", "TERM"]
        command = [sys.executable, "-m", "davstore", "mount", str(point), "--data", str(data), *options]
        self.command = [*setpriv, *command]

    def __enter__(self) -> Self:
        if self.clears:
            clear(self.point)
            self.point.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, env=environment(self._environ), stdout=log, stderr=log, start_new_session=True
            )
        running.add(self)
        try:
            self._wait_until_mounted()
        except BaseException:
            self.kill9()
            clear(self.point)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill9()
            clear(self.point)
            print(self.log_text()[-20_000:])
            return
        try:
            if self._process.returncode is None:
                self.unmount()
        finally:
            self.kill9()
            clear(self.point)
        unwanted = unexpected(self.log_text().splitlines(), self._expected)
        assert not unwanted, f"unexpected in the mount's log:\n{self.log_text()[-20_000:]}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def unmount(self) -> None:
        """As a user does it: the process ends by itself, with exit code 0."""
        unmounting = [tool("fusermount3", "fuse3"), "-u", str(self.point)]
        done = subprocess.run(unmounting, capture_output=True, text=True, timeout=self.patience)
        assert done.returncode == 0, done.stderr
        self._ends()

    def terminate(self) -> None:
        """As an administrator does it: nothing is mounted any more, exit code 0."""
        self._process.send_signal(signal.SIGTERM)
        self._ends()

    def kill9(self) -> None:
        """Ends it without warning; the mount point stays, broken, until `clear`. Repeating it is harmless."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(self.patience)
        running.discard(self)

    def forget(self) -> None:
        """What a mount that was killed has left at its point is taken away."""
        clear(self.point)

    def expect_log(self, *patterns: str) -> None:
        self._expected += patterns

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _ends(self) -> None:
        pids = processes.tree(self.pid)
        code = self._process.wait(self.patience)
        running.discard(self)
        assert code == 0, f"the mount ended with {code}:\n{self.log_text()[-20_000:]}"
        assert processes.ended(pids), "a process outlived its mount"
        assert not is_mounted(self.point)

    def _wait_until_mounted(self) -> None:
        limit = time.monotonic() + self.patience
        while not _answers(self.point):
            code = self._process.poll()
            assert code is None, f"the mount ended with {code}:\n{self.log_text()[-20_000:]}"
            assert time.monotonic() < limit, f"nothing is mounted:\n{self.log_text()[-20_000:]}"
            time.sleep(0.02)


def points(below: Path) -> list[Path]:
    """Where something of FUSE is mounted, broken ones too, the innermost first."""
    fields = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    every = [Path(_unescaped(row[4])) for row in fields if row[row.index("-") + 1].startswith("fuse")]
    return sorted((point for point in every if point.is_relative_to(below)), reverse=True)


def is_mounted(point: Path) -> bool:
    return point in points(point)


def _answers(point: Path) -> bool:
    """Not so a mount whose process is gone."""
    try:
        return is_mounted(point) and bool(os.statvfs(point))
    except OSError:
        return False


def clear(point: Path) -> None:
    """Takes away what a mount that is gone has left there."""
    for stale in points(point):
        subprocess.run([tool("fusermount3", "fuse3"), "-u", "-z", str(stale)], check=True, capture_output=True)


def end_all() -> None:
    """Whatever waits for an answer of a mount gets an error."""
    for mount in list(running):
        mount.kill9()


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), path)
