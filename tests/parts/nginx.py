"""nginx as config/nginx.conf has it, in front of a server of the tests."""

import getpass
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts import processes
from tests.parts.tools import tool

CONFIG = Path(__file__).parents[2] / "config" / "nginx.conf"
SECRET = "the-secret-of-the-tests"
PATIENCE = 20.0


class Nginx:
    """The example with nothing changed but what it says has to be. It ends with the test that started it."""

    def __init__(self, root: Path, backend: int, blobs: Path, changes: Mapping[str, str] | None = None) -> None:
        """`backend` is davstore's port, `blobs` the directory of its storage `local`."""
        self.root = root
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.logs = root / "log"
        self._backend = backend
        self._blobs = blobs
        self._changes = changes or {}

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True)
        (self.root / "nginx.conf").write_text(self._config())
        setpriv = [tool("setpriv", "util-linux"), "--pdeathsig", "TERM"]
        nginx = [tool("nginx", "nginx-light"), "-p", str(self.root), "-c", "nginx.conf", "-e", "log/davstore-error.log"]
        with (self.logs / "start").open("ab") as log:
            self._process = subprocess.Popen([*setpriv, *nginx, "-g", "daemon off;"], stdout=log, stderr=log)
        limit = time.monotonic() + PATIENCE
        while not self._answers():
            is_hopeless = self._process.poll() is not None or time.monotonic() > limit
            assert not is_hopeless, (self.logs / "start").read_text() + self.log_text()
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pids = processes.tree(self._process.pid)
        self._process.terminate()
        self._process.wait(PATIENCE)
        assert processes.ended(pids), "a worker outlived nginx"

    def log_text(self) -> str:
        """All that nginx wrote, of requests and of errors."""
        return "".join(log.read_text() for log in sorted(self.logs.iterdir()))

    def _config(self) -> str:
        text = CONFIG.read_text()
        changes = {
            "user davstore;": f"user {getpass.getuser()};",
            "worker_processes auto;": "worker_processes 1;",
            "pid /run/davstore-nginx.pid;": f"pid {self.root}/pid;",
            "/var/log/nginx/": f"{self.logs}/",
            "server 127.0.0.1:8080 ": f"server 127.0.0.1:{self._backend} ",
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            '"put-a-secret-of-your-own-here"': f'"{SECRET}"',
            "alias /var/lib/davstore/blobs/;": f"alias {self._blobs}/;",
            **self._changes,
        }
        for old, new in changes.items():
            assert old in text, f"config/nginx.conf has no {old}"
            text = text.replace(old, new)
        assert not re.search(r"/var/(?!empty)", text), "a path of the example was left in"
        return text

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
