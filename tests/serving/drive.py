"""One server with a bucket on each storage, and nginx in front of it."""

import http.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.parts.nginx import SECRET, Nginx
from tests.parts.server import PASSWORD, USER, DavServer, basic
from tests.serving.rows import FILES, MODIFIED

OF_THE_CONNECTION = {"date", "server", "connection", "keep-alive"}
HOST = "localhost"
"""The name by which clients know the server: another than the storage's, which is an address."""
CONFIG = f"""
[server]
anonymous = "read"
delivery = "x-accel"
accel_secret = "{SECRET}"

[storages.rows]
type = "db"

[buckets.local]
inline_below = 0

[buckets.rows]
storage = "rows"
inline_below = 0

[buckets.inline]
inline_below = "16 MiB"
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Drive:
    server: DavServer
    nginx: Nginx
    buckets: Sequence[str]

    @property
    def blobs(self) -> Path:
        """The directory of storage `local`."""
        return self.server.data / "blobs"

    def port(self, mode: str) -> int:
        return self.nginx.port if mode == "x-accel" else self.server.port

    def fill(self) -> None:
        """Every bucket has every file."""
        for bucket in self.buckets:
            for file in FILES:
                headers = {"X-OC-Mtime": str(MODIFIED), "Content-Type": file.kind}
                self.server.request("PUT", f"/{bucket}/{file.url}", file.content, headers)


def ask(url: str, method: str = "GET", sent: Mapping[str, str] | None = None, host: str = "") -> Answer:
    """One request; the answer has no header twice, and as many bytes as it says."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", place.port or 80, timeout=60)
    target = place.path + (f"?{place.query}" if place.query else "")
    try:
        named = {"Host": host} if host else {}
        connection.request(method, target, headers={**named, **dict(sent or {})})
        response = connection.getresponse()
        fields = [(name.lower(), value) for name, value in response.getheaders()]
        body = response.read()
    finally:
        connection.close()
    headers = {name: value for name, value in fields if name not in OF_THE_CONNECTION}
    assert len(headers) == len([name for name, _ in fields if name not in OF_THE_CONNECTION]), f"twice: {fields}"
    return Answer(response.status, headers, body)


def signed_in() -> dict[str, str]:
    return {"Authorization": basic(USER, PASSWORD)}


def configured(folder: Path, text: str) -> Path:
    file = folder / "davstore.toml"
    file.write_text(text)
    return file
