"""What a server's data directory holds, as its commands and the operating system tell it."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.clients.programs import run
from tests.parts.server import ROOT, DavServer
from tests.parts.tools import tool


@dataclass(frozen=True)
class Stored:
    files: int
    logical_bytes: int
    unique_bytes: int
    blob_kilobytes: int
    """Of `du -sk` on the blobs of storage `local`."""


def stored(server: DavServer) -> Stored:
    (bucket,) = command(server, "du", "--json")
    kilobytes = run(tool("du", "coreutils"), "-sk", server.data / "blobs").split()[0]
    return Stored(bucket["files"], bucket["logical_bytes"], bucket["unique_bytes"], int(kilobytes))


def command(server: DavServer, *words: str) -> list[dict[str, int]]:
    """The JSON that a command prints while the server runs."""
    program = [sys.executable, "-m", "davstore", *words, "--data", str(server.data)]
    return json.loads(run(*program, environ={"PYTHONPATH": str(ROOT)}))


def blob_bytes(data: Path) -> int:
    """Of every blob that is a file."""
    return sum(file.stat().st_size for file in (data / "blobs").rglob("*") if file.is_file() and file.name[0] != ".")
