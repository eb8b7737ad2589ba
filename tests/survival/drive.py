"""The drive as a client sees it, over one connection that is kept."""

import hashlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote
from xml.etree import ElementTree

from tests.parts.scale import soak
from tests.parts.server import PASSWORD, ROOT, USER, Answer, basic

Tree = Mapping[str, str | None]
"""Paths to the SHA-256 of a file, or to None for a collection."""

BLOCK = 1 << 20
CREDENTIALS = {"Authorization": basic(USER, PASSWORD)}
RESOURCE_TYPE = b'<propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>'
MULTISTATUS, OK = 207, 200


class Drive:
    def __init__(self, port: int, patience: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        """An iterable body goes in chunks."""
        answer = self._begin(method, path, body, headers)
        return Answer(answer.status, answer.headers, answer.read())

    def digest(self, path: str) -> str:
        """The SHA-256 of what GET gives, of which no more than a block is kept."""
        answer = self._begin("GET", path, None, {})
        assert answer.status == OK, (path, answer.status, answer.read())
        found, size = hashlib.sha256(), 0
        while block := answer.read(BLOCK):
            found.update(block)
            size += len(block)
        assert size == int(answer.headers["Content-Length"]), f"{path} broke off"
        return found.hexdigest()

    def tree(self, top: str) -> dict[str, str | None]:
        """All that is visible below a collection, read in full."""
        found: dict[str, str | None] = {}
        for path, is_collection in self._members(top):
            found[path] = None if is_collection else self.digest(path)
            if is_collection:
                found |= self.tree(path)
        return found

    def _members(self, collection: str) -> Iterator[tuple[str, bool]]:
        answer = self.ask("PROPFIND", collection, RESOURCE_TYPE, {"Depth": "1"})
        assert answer.status == MULTISTATUS, (collection, answer)
        for response in ElementTree.fromstring(answer.body).iter("{DAV:}response"):
            path = unquote(response.findtext("{DAV:}href", "")).rstrip("/")
            if path != collection.rstrip("/"):
                yield path, response.find(".//{DAV:}collection") is not None

    def _begin(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        self._connection.request(method, path, body, CREDENTIALS | dict(headers))
        return self._connection.getresponse()


def davstore(
    *arguments: str | Path, environ: Mapping[str, str] | None = None, wrapper: Iterable[str | Path] = ()
) -> "subprocess.CompletedProcess[str]":
    """One command, to its end."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DAVSTORE_")}
    return subprocess.run(
        [*wrapper, sys.executable, "-m", "davstore", *arguments],
        cwd=ROOT,
        env=ours | dict(environ or {}),
        capture_output=True,
        text=True,
        timeout=soak(120, 1_800),
    )


def fsck(data: Path, environ: Mapping[str, str] | None = None, *options: str) -> dict[str, Any]:
    """What `davstore fsck --json` finds; that there are no problems is asserted."""
    checked = davstore("fsck", "--json", *options, "--data", data, environ=environ)
    assert checked.returncode in {0, 1}, checked.stderr
    findings = json.loads(checked.stdout)
    assert not findings["problems"]
    assert checked.returncode == 0
    return findings


def drafts(data: Path) -> list[str]:
    """What lies in staging."""
    return [str(path.relative_to(data)) for path in data.rglob("draft.*")]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
