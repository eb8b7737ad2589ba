"""X-Accel: nginx in front of us sends a file's bytes, from the disk or the storage, once we have said what and where.

config/nginx.conf is the other side of it.
"""

import hmac
import time

from core.blobs import BlobStore, Presigner
from core.errors import StorageUnavailable
from core.links import sign
from core.model import Descriptor, Instant, Node
from core.quantities import nanoseconds

from . import ranges
from .live import media_type
from .ranges import Span
from .request import Headers, Request, Response

FILES, STORAGE = "/-/blobs", "/-/s3"
"""nginx's internal locations."""
OWN = frozenset(("Accept-Ranges",))
"""What nginx says itself of the files that it sends."""


def hand_over(request: Request, node: Node, headers: Headers, span: Span | None) -> Response | None:
    """The answer that makes nginx send the content, or the span of it; None where nginx does not ask for such.

    `headers` are those of the answer that the client would get from us, and gets from nginx.
    """
    if node.content is None or request.method != "GET" or not _is_nginx(request):
        return None
    contents, name = request.namespace.contents, node.content.storage
    described = [*headers, ("Content-Type", media_type(node))]
    if name in contents.presigners:
        return _from_storage(request, contents.presigners[name], node.content, described, span)
    is_file = name in contents.stores and contents.stores[name].type == "local" and ranges.are_plain(request)
    if not is_file or _size(contents.stores[name], node.content) != node.size:
        return None
    place = ("X-Accel-Redirect", f"{FILES}/{name}/{node.content.key}")
    return Response(200, [*(header for header in described if header[0] not in OWN), place])


def _is_nginx(request: Request) -> bool:
    """Only who knows the secret is told where bytes are; what it is told no client ever sees."""
    server = request.settings.server
    given = request.header("X-Davstore-Accel")
    return server.delivery == "x-accel" and hmac.compare_digest(given.encode(), server.accel_secret.encode())


def _size(store: BlobStore, blob: Descriptor) -> int | None:
    """The file's own length, which nginx would believe."""
    try:
        return store.size(blob.key)
    except StorageUnavailable:
        return None


def _from_storage(
    request: Request, store: Presigner, blob: Descriptor, headers: Headers, span: Span | None
) -> Response:
    """nginx takes the range from us: the client's own may be conditional, or one that the storage does not know."""
    ttl = nanoseconds(request.settings.storages[store.name].presign_ttl)
    link = sign(store, blob.key, ttl, Instant(time.time_ns()), dict(headers)["Content-Type"])
    wanted = [("X-Davstore-Range", f"bytes={span.start}-{span.end - 1}")] if span else []
    return Response(200, [*headers, ("X-Accel-Redirect", STORAGE), ("X-Davstore-Url", link.url), *wanted])
