"""One server with a bucket on each storage, and nginx in front of it."""

import http.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.parts.nginx import SECRET, Nginx
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import DavServer
from tests.serving import routes
from tests.serving.routes import Address
from tests.serving.rows import FILES, File

OF_THE_CONNECTION = {"date", "server", "connection", "keep-alive"}
HOST = "localhost"
"""The name by which clients know the server: another than the storage's, which is an address."""
PRESIGN_TTL = 4
"""Seconds, of storage `brief`."""
CONFIG = """
[server]
anonymous = "read"
delivery = "x-accel"
accel_secret = "SECRET"

[collector]
enabled = false

[storages.rows]
type = "db"

[storages.brief]
type = "s3"
prefix = "brief"
redirect = "always"
redirect_min = 0
presign_ttl = "TTLs"

[storages.s3main]
type = "s3"
prefix = "main"

[storages.named]
type = "s3"
prefix = "named"
endpoint = "NAMED"

[buckets.files]
storage = "named"
inline_below = 0

[buckets.local]
inline_below = 0

[buckets.rows]
storage = "rows"
inline_below = 0

[buckets.s3]
storage = "s3main"
inline_below = 0

[buckets.brief]
storage = "brief"
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
    seaweedfs: SeaweedFS
    environ: Mapping[str, str]
    """The server's, with the credentials of its storages."""
    buckets: Sequence[str] = ("local", "rows", "inline", "s3")
    """One for each storage on which the contract holds."""
    addresses: dict[tuple[str, str, str], Address] = field(default_factory=dict[tuple[str, str, str], Address])

    @property
    def blobs(self) -> Path:
        """The directory of storage `local`."""
        return self.server.data / "blobs"

    @contextmanager
    def front(self, folder: Path) -> Iterator[tuple[DavServer, Nginx]]:
        """The server as clients see it through an nginx that only passes on what they say, and logs it."""
        with Nginx(folder, self.server.port, self.blobs, {SECRET: "the-secret-of-others"}) as nginx:
            front = copy(self.server)
            front.port, front.url = nginx.port, nginx.url
            yield front, nginx

    def port(self, mode: str) -> int:
        return self.nginx.port if mode == "x-accel" else self.server.port

    def fill(self) -> None:
        """Every bucket has every file."""
        for bucket in (*self.buckets, "brief"):
            for file in FILES:
                routes.put(self.server, f"/{bucket}/{file.url}", file)

    def address(self, route: str, bucket: str, file: File) -> Address:
        """Where the file is shown by that kind of URL; made when it is asked for first."""
        key = route, bucket, file.url
        if key not in self.addresses:
            self.addresses[key] = routes.ROUTES[route](self.server, bucket, file)
        return self.addresses[key]


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


def configured(folder: Path, seaweedfs: SeaweedFS) -> Path:
    file = folder / "davstore.toml"
    named = f"http://localhost:{seaweedfs.port}"
    text = CONFIG.replace("SECRET", SECRET).replace("TTL", str(PRESIGN_TTL)).replace("NAMED", named)
    file.write_text(text)
    return file
