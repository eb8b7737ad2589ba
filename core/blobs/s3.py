"""Blobs as objects in a bucket of an S3 server. Nothing else knows boto3.

Bytes go and come with their SHA-256: a PUT carries it, each part of a multipart upload its own, and a reader hashes
what passes. Servers differ: what one can do is tried on it once, and never assumed.
"""

import hashlib
import io
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import boto3
from botocore import UNSIGNED
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from ..errors import AlreadyExists, Corrupt, NotFound, Refusal, StorageUnavailable, Unusable
from ..model import Instant, instant, moment
from ..staging import Sealed
from ..storage_settings import S3Storage, place
from .s3_check import Check
from .s3_deletions import deleted
from .s3_errors import Conflict, Misconfigured, Taken, refusal, unanswered
from .s3_listing import listed
from .s3_place import Place
from .s3_uploads import Uploads
from .store import Blob, Capability, is_key
from .streamed import FIRST, Stream, StreamedReader

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

MARKER = ".davstore-storage"
CONNECTIONS = 512
"""Kept at most: as many as a worker has threads."""
REGION = "us-east-1"
OPENINGS = 2
"""How often a small blob is asked for whose bytes are not those of its digest."""
CONFLICTS = 5


class S3Blobs:
    """A storage of type `s3`. Any number of processes on any number of machines may use one bucket and prefix."""

    type = "s3"

    def __init__(self, name: str, storage: S3Storage, staging: Path) -> None:
        self.name = name
        self.staging = staging
        self._storage = storage
        self._uid, self._new, self._is_proved = "", False, False

    def publish(self, key: str, content: Sealed) -> None:
        self._prove()
        for _ in range(CONFLICTS):
            try:
                self._uploads.put(key, content)
            except Taken:
                self._refuse_other(key, content)
            except Conflict:
                continue
            return
        raise StorageUnavailable(self.name, "others write at the same key all the time")

    def open(self, key: str) -> BinaryIO:
        """What is read from the first byte to the last is proved by the digest in the key. Raises Corrupt as well."""
        self._prove()
        digest = key.rpartition("/")[2].partition(".")[0]
        for _ in range(OPENINGS):
            size, beginning = self._beginning(key)
            if len(beginning) < size or hashlib.sha256(beginning).hexdigest() == digest:
                reader = StreamedReader(partial(self._range, key, size), size, beginning, digest)
                return io.BufferedReader(reader, FIRST)
        raise Corrupt(key, f"storage {self.name} gives other bytes")

    def size(self, key: str) -> int | None:
        self._prove()
        try:
            with self._words(key):
                return self._at.client.head_object(**self._named(key))["ContentLength"]
        except NotFound:
            self._still_there()
            return None

    def delete(self, key: str) -> None:
        failed = self.delete_all([key])
        if key in failed:
            raise failed[key]

    def delete_all(self, keys: Sequence[str]) -> dict[str, Refusal]:
        self._prove()
        return deleted(self._at, keys)

    def blobs(self) -> Iterator[Blob]:
        self._prove()
        is_marked = False
        for item in listed(self._at):
            key = item.get("Key", "").removeprefix(self._at.prefix)
            is_marked = is_marked or key == MARKER
            if is_key(key):
                assert "Size" in item
                assert "LastModified" in item
                yield Blob(key, item["Size"], instant(item["LastModified"]))
        if not is_marked:
            raise StorageUnavailable(self.name, f"its listing is not complete: it lacks {MARKER}")
        self._still_there()

    def claim(self, uid: str, *, new: bool) -> None:
        """What has worked before is no reason not to start: it is asked again when the storage is used."""
        self._uid, self._new = uid, new
        try:
            self._claimed()
        except StorageUnavailable as refused:
            if new and isinstance(refused, Misconfigured):
                raise Unusable(place(self._storage), refused.reason) from refused
            log.warning("storage %s cannot be used until it answers: %s", self.name, refused.reason)

    def check(self) -> Iterator[Capability]:
        return Check(self._at, partial(self.presigned, seconds=60, signed_at=None), self._fetched).all()

    def presigned(self, key: str, *, seconds: int, signed_at: Instant | None, media_type: str, disposition: str) -> str:
        """See Presigner. With the credentials of a role the URL ends with them, and differs between processes."""
        carried = {"ResponseContentType": media_type, "ResponseContentDisposition": disposition}
        at = instant(datetime.now(UTC)) if signed_at is None else signed_at
        with self._words(key):
            url = self._unsigned.generate_presigned_url("get_object", Params=self._named(key) | carried)
            credentials = self._session.get_credentials()
            if credentials is None:
                raise unanswered(self.name, "NoCredentialsError")
            request = AWSRequest("GET", url)
            region = self._at.client.meta.region_name
            _QueryAuth(credentials.get_frozen_credentials(), region, seconds, at).add_auth(request)
        return cast("str", request.url)

    @property
    def place(self) -> Place:
        """Where it is, for what else there is to keep on an S3 server."""
        return self._at

    @cached_property
    def _at(self) -> Place:
        with self._words(""):
            client = self._connected("s3v4")
        return Place(self.name, client, self._storage.bucket, self._storage.prefix, self._words, _code)

    @cached_property
    def _uploads(self) -> Uploads:
        return Uploads(self._at, self._storage.part_size, (MARKER, self._mark()))

    @cached_property
    def _unsigned(self) -> "S3Client":
        """Writes URLs, and never asks anything."""
        return self._connected(UNSIGNED)

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(profile_name=self._storage.profile, region_name=self._storage.region)

    def _connected(self, signature: object) -> "S3Client":
        storage = self._storage
        options: dict[str, Any] = {
            "signature_version": signature,
            "connect_timeout": storage.connect_timeout.total_seconds(),
            "read_timeout": storage.read_timeout.total_seconds(),
            "retries": {"total_max_attempts": storage.retries + 1, "mode": "standard"},
            "max_pool_connections": CONNECTIONS,
            "s3": {"addressing_style": storage.addressing},
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        region = self._session.region_name or REGION
        verify = str(storage.ca) if storage.ca else None
        return self._session.client(  # pyright: ignore[reportUnknownMemberType] - the other services' types are missing
            "s3", region_name=region, endpoint_url=storage.endpoint, verify=verify, config=Config(**options)
        )

    @contextmanager
    def _words(self, key: str) -> Generator[None]:
        """Failures in our words: NotFound, Taken, Conflict, StorageFull, Misconfigured, StorageUnavailable."""
        try:
            yield
        except ClientError as error:
            raise refusal(self.name, key, _said(error)) from error
        except (BotoCoreError, ResponseParserError, HTTPError, OSError) as error:
            raise unanswered(self.name, type(error).__name__) from error

    def _named(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._at.bucket, "Key": self._at.name(key)}

    def _prove(self) -> None:
        """Raises StorageUnavailable until the bucket has shown our marker."""
        if not self._is_proved:
            try:
                self._claimed()
            except Unusable as refused:
                raise StorageUnavailable(self.name, refused.reason) from refused

    def _claimed(self) -> None:
        found = self._founded() if self._new else self._marker()
        if found != self._uid:
            what = f"belongs to another storage ({found})" if found else f"holds no storage ({MARKER} is missing)"
            remedy = "choose another prefix" if self._new else f"correct the bucket or prefix of storage {self.name}"
            raise Unusable(place(self._storage), f"{what}; {remedy}")
        self._is_proved = True

    def _founded(self) -> str:
        """The uid in the marker, which is this one unless the place had another's before."""
        if next(listed(self._at, page_size=1), None) is None:
            with suppress(Taken), self._words(MARKER):
                self._at.client.put_object(**self._named(MARKER), Body=self._mark())
        found = self._marker()
        if not found:
            raise Unusable(place(self._storage), "is not empty; a new storage needs a bucket or a prefix of its own")
        return found

    def _mark(self) -> bytes:
        return f"{self._uid}\n".encode()

    def _marker(self) -> str:
        try:
            with self._words(MARKER), closing(self._at.client.get_object(**self._named(MARKER))["Body"]) as body:
                return body.read(1000).decode(errors="replace").strip()
        except NotFound:
            return ""

    def _still_there(self) -> None:
        """Tells a blob that is missing from a bucket that is."""
        if self._marker() != self._uid:
            raise StorageUnavailable(self.name, f"{place(self._storage)} is not its place any more: the marker is gone")

    def _refuse_other(self, key: str, content: Sealed) -> None:
        size, beginning = self._beginning(key)
        present = StreamedReader(partial(self._range, key, size), size, beginning, None)
        with closing(present), io.BufferedReader(present) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != content.digest:
                raise AlreadyExists(key, "holds other bytes")

    def _beginning(self, key: str) -> tuple[int, bytes]:
        """How long the blob is, and its first bytes. Raises NotFound."""
        try:
            with self._words(key):
                answer = self._at.client.get_object(**self._named(key), Range=f"bytes=0-{FIRST - 1}")
                size = _total(answer.get("ContentRange", f"/{answer['ContentLength']}"))
                with closing(answer["Body"]) as body:
                    beginning = body.read(FIRST)
        except NotFound:
            self._still_there()
            raise
        except StorageUnavailable as refused:
            if _code(refused) in {"InvalidRange", "416"}:
                return 0, b""
            raise
        if len(beginning) != min(size, FIRST):
            raise StorageUnavailable(self.name, f"gave {len(beginning)} bytes of {key}, which has {size}")
        return size, beginning

    def _range(self, key: str, size: int, start: int, stop: int) -> Stream:
        try:
            with self._words(key):
                answer = self._at.client.get_object(**self._named(key), Range=f"bytes={start}-{stop - 1}")
        except NotFound:
            self._still_there()
            raise NotFound(key, "was deleted while it was read") from None
        if answer.get("ContentRange") != f"bytes {start}-{stop - 1}/{size}":
            answer["Body"].close()
            raise StorageUnavailable(self.name, f"gave another part of {key} than was asked for")
        return _Body(answer["Body"], partial(self._words, key))

    def _fetched(self, url: str) -> tuple[int, dict[str, str], bytes]:
        """What anybody gets who has the URL: status, headers, bytes."""
        with self._words(""):
            verify: Any = str(self._storage.ca) if self._storage.ca else True
            answer = URLLib3Session(verify=verify, timeout=10).send(AWSRequest("GET", url).prepare())
            return answer.status_code, dict(answer.headers), answer.content


class _Body:
    """A range on its way. Failures come in our words."""

    def __init__(self, body: "StreamingBody", words: Callable[[], AbstractContextManager[None]]) -> None:
        self._body = body
        self._words = words

    def read(self, size: int, /) -> bytes:
        with self._words():
            return self._body.read(size)

    def close(self) -> None:
        self._body.close()


class _QueryAuth(S3SigV4QueryAuth):
    """Signs a URL with a time that is given."""

    def __init__(self, credentials: "ReadOnlyCredentials", region: str, seconds: int, at: Instant) -> None:
        super().__init__(credentials, "s3", region, expires=seconds)
        self._at = at

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = moment(self._at).strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)  # pyright: ignore
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))  # pyright: ignore


def _total(content_range: str) -> int:
    return int(content_range.rpartition("/")[2])


def _said(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "an error")


def _code(refused: BaseException) -> str:
    """What the server said that made a refusal; "" where it said nothing."""
    cause = refused.__cause__
    return _said(cause) if isinstance(cause, ClientError) else ""
