"""Three gateways of two workers each, one PostgreSQL, one S3 server, nginx in front."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.parts.nginx import Nginx
from tests.parts.postgresql import Cluster
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import ROOT, DavServer

GATEWAYS, WORKERS = 3, 2
CONFIG = """
[server]
workers = {workers}
[database]
url = "{url}"
[storages.s3main]
type = "s3"
bucket = "{bucket}"
endpoint = "{endpoint}"
region = "us-east-1"
redirect_min = 100000
[buckets.files]
storage = "s3main"
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
        self.config.write_text(
            CONFIG.format(workers=WORKERS, url=self.url, bucket=self.bucket, endpoint=seaweedfs.endpoint)
        )
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self.gateways = [starting.enter_context(self.gateway(n)) for n in range(GATEWAYS)]
            servers = "\n        ".join(f"server 127.0.0.1:{gateway.port} max_fails=0;" for gateway in self.gateways)
            first = self.gateways[0].port
            self.nginx = starting.enter_context(
                Nginx(self.root / "nginx", first, self.root, {f"server 127.0.0.1:{first} max_fails=0;": servers})
            )
            self._ending = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, error, trace)

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
