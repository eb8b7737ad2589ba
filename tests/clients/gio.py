"""gio and gvfsd, the engine of GNOME's file manager, on a session bus of their own."""

import os
import shlex
import shutil
import subprocess
from tempfile import mkdtemp
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tests.clients.programs import Outcome, attempt
from tests.parts import processes
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.tools import tool


class Gio:
    """The server's mount, for as long as the context lasts."""

    def __init__(self, server: DavServer) -> None:
        self._root = f"dav://127.0.0.1:{server.port}/files/"

    def __enter__(self) -> Self:
        self._home = mkdtemp(prefix="davstore-gio-")
        self._environ = {
            "HOME": self._home,
            "XDG_RUNTIME_DIR": self._home,
            "XDG_DATA_HOME": f"{self._home}/data",
            "GVFS_REMOTE_VOLUME_MONITOR_IGNORE": "1",
            "GVFS_DISABLE_FUSE": "1",
            "GIO_USE_VOLUME_MONITOR": "unix",
        }
        self._bus = subprocess.Popen(
            [tool("dbus-daemon", "dbus"), "--session", "--nofork", "--print-address"],
            env=os.environ | self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._bus.stdout is not None
        self._environ["DBUS_SESSION_BUS_ADDRESS"] = self._bus.stdout.readline().strip()
        try:
            self("mount", self._root, stdin=f"{USER}\n{PASSWORD}\n")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        started = [pid for pid in processes.children(os.getpid()) if self._is_ours(pid)]
        processes.kill(started)
        self._bus.terminate()
        self._bus.wait(10)
        assert self._bus.stdout is not None
        self._bus.stdout.close()
        assert processes.ended(started)
        processes.reap(started)
        shutil.rmtree(self._home)

    def url(self, name: str = "") -> str:
        return self._root + quote(name)

    def attempt(self, *words: str, stdin: str = "") -> Outcome:
        return attempt(tool("gio", "libglib2.0-bin"), *words, environ=self._environ, stdin=stdin)

    def __call__(self, *words: str, stdin: str = "") -> str:
        outcome = self.attempt(*words, stdin=stdin)
        assert outcome.code == 0, f"gio {shlex.join(words)}: {outcome.text}"
        return outcome.text

    def _is_ours(self, pid: int) -> bool:
        """Daemons that the bus started, by the home that they were given."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return pid != self._bus.pid and f"XDG_RUNTIME_DIR={self._home}".encode() in file.read().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
