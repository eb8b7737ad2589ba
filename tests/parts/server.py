"""`davstore serve` in processes of its own."""

import base64
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts import processes
from tests.parts.tools import tool

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "admin", "correct horse"
UNEXPECTED = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^Traceback |^Exception ignored|\w+Warning: ")

CHAINS = ("The above exception ", "During handling of the above ")
CAUSE = re.compile(r"[A-Za-z_][\w.]*(: |$)")
"""A traceback's last line; in a chain of them others follow."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class DavServer:
    """A server on `data`, which may outlive it. A warning in its log that was not announced fails the test.

    `wrapper` comes before the command (for example `strace -D -f -o FILE`, which leaves `pid` the server's own).
    Start it from the test's own thread: the kernel ends it when that thread ends.
    """

    def __init__(
        self,
        data: Path,
        *options: str,
        environ: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        patience: float = 30.0,
    ) -> None:
        self.data = data
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.with_name(f"{data.name}-{self.port}.log")
        self.patience = patience
        self._environ = environ or {}
        self._expected: list[str] = []
        setpriv = [tool("setpriv", "util-linux"), "--pdeathsig", "TERM"]
        command = [sys.executable, "-m", "davstore", "serve", "--data", str(data)]
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        self.command = [*setpriv, *wrapper, *command, *address, *options]

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, env=environment(self._environ), cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self.kill9()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill9()
            print(self.log_text()[-20_000:])
            return
        if self._process.returncode is None:
            self.terminate()
        unexpected = self.unexpected_lines()
        assert not unexpected, f"unexpected in the server's log:\n{self.log_text()[-20_000:]}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """The server and its workers, parents first."""
        return processes.tree(self.pid)

    def terminate(self) -> None:
        """Asks it to end, as an administrator would: exit code 0, and no process remains."""
        pids = self.pids
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(self.patience)
        assert code == 0, f"the server ended with {code}:\n{self.log_text()[-20_000:]}"
        assert processes.ended(pids), "a worker outlived its server"

    def kill9(self) -> None:
        """Ends all its processes at once, without warning. Repeating it is harmless."""
        pids = self.pids
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        processes.kill(pid for pid in pids if pid != self.pid)
        self._process.wait(self.patience)
        assert processes.ended(pids), "a process survived kill -9"

    def expect_log(self, *patterns: str) -> None:
        """Lines that match one of the patterns may be warnings or errors, with the traceback below them."""
        self._expected += patterns

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def unexpected_lines(self) -> list[str]:
        return unexpected(self.log_text().splitlines(), self._expected)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        user: str | None = USER,
        password: str = PASSWORD,
    ) -> Answer:
        """One request on a connection of its own; `path` as it goes over the wire; user None sends no credentials."""
        sent = ({"Authorization": basic(user, password)} if user is not None else {}) | dict(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def _wait_until_healthy(self) -> None:
        limit = time.monotonic() + self.patience
        while not self._is_healthy():
            code = self._process.poll()
            assert code is None, f"the server ended with {code}:\n{self.log_text()[-20_000:]}"
            assert time.monotonic() < limit, f"the server does not answer:\n{self.log_text()[-20_000:]}"
            time.sleep(0.02)

    def _is_healthy(self) -> bool:
        try:
            return self.request("GET", "/healthz", user=None).status == 200
        except (OSError, http.client.HTTPException):
            return False


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def environment(given: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DAVSTORE_")}
    python = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return ours | python | {"DAVSTORE_ADMIN_PASSWORD": PASSWORD} | dict(given)


def unexpected(lines: Iterable[str], expected: Sequence[str]) -> list[str]:
    """A traceback belongs to the line above it, so it is expected if that one is."""
    found: list[str] = []
    is_forgiven = False
    for line in lines:
        if is_forgiven and (not line or line.startswith((" ", "Traceback ", *CHAINS)) or CAUSE.match(line)):
            continue
        is_forgiven = any(re.search(pattern, line) for pattern in expected)
        if UNEXPECTED.search(line) and not is_forgiven:
            found.append(line)
    return found
