"""Three gateways of two workers each, one PostgreSQL, one S3 server, nginx in front."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.parts.nginx import CONFIG as NGINX
from tests.parts.nginx import Nginx
from tests.parts.postgresql import Cluster
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import ROOT, DavServer

GATEWAYS = 3
CONFIG = ROOT / "config" / "scale-out"
"""What an administrator copies; nothing is changed but what has to be."""
QUICK = """
[collector]
interval = "1s"
grace = "0s"
"""


class Fleet:
    """Gateways that keep nothing: each has a data directory of its own, for what is on its way."""

    def __init__(self, root: Path, cluster: Cluster, seaweedfs: SeaweedFS) -> None:
        self.root = root
        self.environ = seaweedfs.environ
        self.config = root / "davstore.toml"
        self.url = cluster.url(cluster.create())
        self.bucket = seaweedfs.bucket()
        self.config.write_text(self._config(seaweedfs.endpoint) + QUICK)
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self.gateways = [starting.enter_context(self.gateway(n)) for n in range(GATEWAYS)]
            ports = [gateway.port for gateway in self.gateways]
            self.nginx = starting.enter_context(Nginx(self.root / "nginx", ports[0], self.root, self._upstream(ports)))
            self._ending = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, error, trace)

    def _config(self, endpoint: str) -> str:
        text = (CONFIG / "davstore.toml").read_text()
        (url,) = re.findall(r'^url = "(.*)"$', text, re.MULTILINE)
        changes = {
            url: self.url,
            "/var/lib/davstore": str(self.root / "commands"),
            'bucket = "davstore"': f'bucket = "{self.bucket}"',
            "https://s3.internal": endpoint,
            'endpoint = "': 'redirect_min = 100000\nendpoint = "',
        }
        return changed(text, changes)

    def _upstream(self, ports: Sequence[int]) -> dict[str, str]:
        """What takes the place of the one gateway in the example for nginx."""
        gateways = {f"gateway{n}.internal:8080": f"127.0.0.1:{port}" for n, port in enumerate(ports, 1)}
        (one,) = re.findall(r"^    upstream davstore \{.*?^    \}\n", NGINX.read_text(), re.MULTILINE | re.DOTALL)
        return {one.replace("8080", str(ports[0])): changed((CONFIG / "upstream.conf").read_text(), gateways)}

    def gateway(self, n: int) -> DavServer:
        """One more, not started yet."""
        options = ["--config", str(self.config)]
        return DavServer(self.root / f"gateway{n}", *options, environ=self.environ)

    def command(self, *words: str) -> Any:
        """The JSON that a command prints, on any machine of the fleet."""
        return json.loads(self.run(*words, "--json"))

    def run(self, *words: str, given: str = "") -> str:
        """What a command prints that finds `given` on its standard input."""
        command = [sys.executable, "-m", "davstore", *words, "--config", str(self.config)]
        environ = os.environ | self.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, input=given, env=environ, cwd=self.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def changed(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert text.count(old) == 1, f"the example has not one {old}"
        text = text.replace(old, new)
    return text
