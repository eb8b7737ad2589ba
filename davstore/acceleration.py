"""X-Accel: nginx in front of us sends a file's bytes, from the disk or the storage, once we have said what and where.

config/nginx.conf is the other side of it.
"""

import hmac
import time

from core.links import sign
from core.model import Descriptor, Instant, Node
from core.quantities import nanoseconds
from core.storage_settings import LocalStorage, S3Storage

from . import ranges
from .live import media_type
from .ranges import Span
from .request import Headers, Request, Response

FILES, STORAGE = "/-/blobs", "/-/s3"
"""nginx's internal locations."""
CARRIED = {"Cache-Control": "X-Davstore-Cache-Control", "Content-Disposition": "X-Davstore-Disposition"}
"""What nginx would keep even where it finds no bytes and asks us again: these it copies only when it has some."""
OWN = "Accept-Ranges"
"""What nginx says by itself."""


def hand_over(request: Request, node: Node, headers: Headers, span: Span | None) -> Response | None:
    """The answer that makes nginx send the content, or the span of it; None where nginx does not ask for such.

    `headers` are those of the answer that the client would get from us, and gets from nginx.
    """
    if node.content is None or request.method != "GET" or not _is_nginx(request):
        return None
    name = node.content.storage
    storage = request.settings.storages.get(name)
    if not (isinstance(storage, S3Storage) or (isinstance(storage, LocalStorage) and ranges.is_plain(request, span))):
        return None
    described = [(CARRIED.get(name, name), value) for name, value in headers if name != OWN]
    described.append(("Content-Type", media_type(node)))
    if not request.namespace.contents.is_whole(node.content):
        return None
    if isinstance(storage, S3Storage):
        return _from_storage(request, storage, node.content, described, span)
    return Response(200, [*described, ("X-Accel-Redirect", f"{FILES}/{name}/{node.content.key}")])


def _is_nginx(request: Request) -> bool:
    """Only who knows the secret is told where bytes are; what it is told no client ever sees."""
    server = request.settings.server
    given = request.header("X-Davstore-Accel")
    return server.delivery == "x-accel" and hmac.compare_digest(given.encode(), server.accel_secret.encode())


def _from_storage(
    request: Request, storage: S3Storage, blob: Descriptor, headers: Headers, span: Span | None
) -> Response:
    """nginx takes the range from us: the client's own may be conditional, or one that the storage does not know."""
    told = dict(headers)
    kind, disposition = told["Content-Type"], told[CARRIED["Content-Disposition"]]
    store = request.namespace.contents.presigners[blob.storage]
    link = sign(store, blob.key, nanoseconds(storage.presign_ttl), Instant(time.time_ns()), kind, disposition)
    wanted = [("X-Davstore-Range", f"bytes={span.start}-{span.end - 1}")] if span else []
    return Response(200, [*headers, ("X-Accel-Redirect", STORAGE), ("X-Davstore-Url", link.url), *wanted])
