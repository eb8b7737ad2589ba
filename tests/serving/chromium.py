"""A browser without a window, told what to do through its pipes (the DevTools protocol)."""

import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.parts import processes
from tests.parts.tools import tool

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
ALL_ARE_LOCAL = "--disable-features=LocalNetworkAccessChecks,PrivateNetworkAccessChecks"
"""A page may not ask this computer for anything, unless it is this computer's too. In a test everything is."""
PATIENCE = 60.0


class Refused(Exception):
    """As where the page is still being replaced by the one that was asked for."""


class Chromium:
    """One browser with an empty profile."""

    def __init__(self, folder: Path) -> None:
        self.downloads = folder / "downloads"
        self._folder = folder
        self._messages = 0

    def __enter__(self) -> Self:
        self.downloads.mkdir(parents=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        shell = [tool("bash"), "-c", f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}', tool("chromium")]
        profile = (f"--user-data-dir={self._folder / 'profile'}", "--remote-debugging-pipe")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*shell, *OPTIONS, ALL_ARE_LOCAL, *profile], stdout=log, stderr=log, pass_fds=(theirs_in, theirs_out)
            )
        os.close(theirs_in)
        os.close(theirs_out)
        self("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pids = processes.tree(self._process.pid)
        os.close(self._out)
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._in)
        if not processes.ended(pids, patience=5):
            processes.kill(pids)
            assert processes.ended(pids)

    def __call__(self, method: str, session: str = "", **given: Any) -> dict[str, Any]:
        """The result of a command. Raises Refused."""
        self._messages += 1
        message = {"id": self._messages, "method": method, "params": given}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := json.loads(self._received())).get("id") != self._messages:
            pass
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def open(self, url: str) -> str:
        """The session of a new tab."""
        target = self("Target.createTarget", url=url)["targetId"]
        return self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def downloaded(self, name: str) -> bytes:
        limit = time.monotonic() + PATIENCE
        while not (self.downloads / name).exists():
            assert time.monotonic() < limit, sorted(self.downloads.iterdir())
            time.sleep(0.1)
        return (self.downloads / name).read_bytes()

    def width(self, session: str, selector: str) -> int:
        """Of an element, in pixels, as soon as it has one. It takes no script, which a page may forbid."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            with suppress(Refused):
                root = self("DOM.getDocument", session)["root"]["nodeId"]
                found = self("DOM.querySelector", session, nodeId=root, selector=selector)["nodeId"]
                if width := self("DOM.getBoxModel", session, nodeId=found)["model"]["width"]:
                    return width
            time.sleep(0.1)
        raise AssertionError(f"{selector} has no width")

    def _received(self) -> bytes:
        received = b""
        while not received.endswith(b"\0"):
            block = os.read(self._in, 1)
            assert block, (self._folder / "log").read_text()
            received += block
        return received[:-1]
