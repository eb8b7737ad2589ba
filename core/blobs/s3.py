"""Blobs as objects in a bucket of an S3 server. Nothing else knows boto3.

Bytes go and come with their SHA-256: a PUT carries it, each part of a multipart upload its own, and a reader hashes
what passes. Servers differ: what one can do is tried on it once, and never assumed.
"""

import hashlib
import io
import logging
from base64 import b64encode
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
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
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from ..errors import AlreadyExists, Corrupt, NotFound, Refusal, StorageUnavailable, Unusable
from ..model import Instant, instant, moment
from ..staging import Sealed
from ..storage_settings import S3Storage
from .s3_errors import Conflict, Misconfigured, Taken, refusal, unanswered
from .store import Blob, is_key
from .streamed import FIRST, Stream, StreamedReader

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, ObjectTypeDef

log = logging.getLogger(__name__)

MARKER = ".davstore-storage"
CONNECTIONS = 512
"""Kept at most: as many as a worker has threads."""
MOST_PARTS = 10_000
BATCH = 1000
"""Keys in one request to delete them."""
OPENINGS = 2
CONFLICTS = 5
REGION = "us-east-1"
GONE = {"NoSuchKey", "NoSuchUpload"}


class S3Blobs:
    """A storage of type `s3`. Any number of processes on any number of machines may use one bucket and prefix."""

    type = "s3"

    def __init__(self, name: str, storage: S3Storage, staging: Path) -> None:
        self.name = name
        self.staging = staging
        self._storage = storage
        self._bucket, self._prefix = storage.bucket, storage.prefix
        self._uid, self._new, self._is_proved = "", False, False

    def publish(self, key: str, content: Sealed) -> None:
        self._prove()
        put = self._put if content.size <= self._storage.part_size else self._put_parts
        for _ in range(CONFLICTS):
            try:
                put(key, content)
                return None
            except Taken:
                return self._refuse_other(key, content)
            except Conflict:
                continue
        raise StorageUnavailable(self.name, "others write at the same key all the time")

    def open(self, key: str) -> BinaryIO:
        self._prove()
        digest = key.rpartition("/")[2].partition(".")[0]
        for attempt in range(OPENINGS):
            size, beginning = self._beginning(key)
            if len(beginning) < size or hashlib.sha256(beginning).hexdigest() == digest:
                reader = StreamedReader(partial(self._range, key, size), size, beginning, digest)
                return io.BufferedReader(reader, FIRST)
            log.warning("storage %s: %s has other bytes than its digest says (%s)", self.name, key, attempt + 1)
        raise Corrupt(key, "its storage gives other bytes")

    def size(self, key: str) -> int | None:
        self._prove()
        try:
            with self.words(key):
                return self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)["ContentLength"]
        except NotFound:
            self._still_there()
            return None

    def delete(self, key: str) -> None:
        failed = self.delete_all([key])
        if key in failed:
            raise failed[key]

    def delete_all(self, keys: Sequence[str]) -> dict[str, Refusal]:
        """Nothing is at these keys, but at those for which a refusal is given."""
        self._prove()
        failed: dict[str, Refusal] = {}
        for start in range(0, len(keys), BATCH):
            failed |= self._delete_batch(keys[start : start + BATCH])
        return failed

    def blobs(self) -> Iterator[Blob]:
        self._prove()
        is_marked = False
        for item in self._listed():
            key = item.get("Key", "").removeprefix(self._prefix)
            is_marked = is_marked or key == MARKER
            if is_key(key):
                assert "Size" in item
                assert "LastModified" in item
                yield Blob(key, item["Size"], instant(item["LastModified"]))
        if not is_marked:
            raise StorageUnavailable(self.name, f"its listing is not complete: it lacks {MARKER}")
        self._still_there()

    def claim(self, uid: str, *, new: bool) -> None:
        """A server that does not answer now is asked again when the storage is used."""
        self._uid, self._new = uid, new
        try:
            self._claimed()
        except Misconfigured as refused:
            raise Unusable(self._place, refused.reason) from refused
        except StorageUnavailable as refused:
            log.warning("storage %s cannot be used until it answers: %s", self.name, refused.reason)

    def presigned(self, key: str, *, seconds: int, signed_at: Instant | None, media_type: str, disposition: str) -> str:
        """See Presigner. With the credentials of a role the URL ends with them, and differs between processes."""
        wanted = {"Bucket": self._bucket, "Key": self._prefix + key}
        carried = {"ResponseContentType": media_type, "ResponseContentDisposition": disposition}
        with self.words(key):
            url = self._unsigned.generate_presigned_url("get_object", Params=wanted | carried)
            credentials = self._session.get_credentials()
            if credentials is None:
                raise unanswered(self.name, "NoCredentialsError")
            request = AWSRequest("GET", url)
            region = self._client.meta.region_name
            at = instant(datetime.now(UTC)) if signed_at is None else signed_at
            _QueryAuth(credentials.get_frozen_credentials(), region, seconds, at).add_auth(request)
        return cast("str", request.url)

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(profile_name=self._storage.profile, region_name=self._storage.region)

    @cached_property
    def _client(self) -> "S3Client":
        return self._connected("s3v4")

    @cached_property
    def _unsigned(self) -> "S3Client":
        """Writes URLs, and never asks anything."""
        return self._connected(UNSIGNED)

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

    @property
    def _place(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    @contextmanager
    def words(self, key: str = "") -> Generator[None]:
        """Failures in our words: NotFound, Taken, Conflict, StorageFull, Misconfigured, StorageUnavailable."""
        try:
            yield
        except ClientError as error:
            raise refusal(self.name, key, error.response.get("Error", {}).get("Code", "an error")) from error
        except (BotoCoreError, ResponseParserError, HTTPError, OSError) as error:
            raise unanswered(self.name, type(error).__name__) from error

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
            remedy = (
                "choose another prefix" if self._new else f"correct the bucket or the prefix of storage {self.name}"
            )
            raise Unusable(self._place, f"{what}; {remedy}")
        self._is_proved = True

    def _founded(self) -> str:
        """The uid in the marker, which is this one unless the place had another's before."""
        with self.words():
            first = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=2)
        others = {item.get("Key", "").removeprefix(self._prefix) for item in first.get("Contents", ())}
        if not others:
            with self.words(), suppress(Taken):
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + MARKER, Body=f"{self._uid}\n".encode())
        found = self._marker()
        if not found:
            raise Unusable(self._place, "is not empty; a new storage needs a bucket or a prefix of its own")
        return found

    def _marker(self) -> str:
        try:
            with self.words(MARKER):
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + MARKER)
                return answer["Body"].read(1000).decode(errors="replace").strip()
        except NotFound:
            return ""

    def _still_there(self) -> None:
        """Tells a blob that is missing from a bucket that is."""
        if self._marker() != self._uid:
            raise StorageUnavailable(self.name, f"{self._place} is not its place any more: the marker is gone")

    @cached_property
    def _absent(self) -> dict[str, Any]:
        """What makes a write fail where something is already; nothing where the server does not heed it."""
        marker = f"{self._uid}\n".encode()
        try:
            with self.words():
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + MARKER, Body=marker, IfNoneMatch="*")
        except Taken:
            return {"IfNoneMatch": "*"}
        except Misconfigured:
            raise
        except StorageUnavailable as refused:
            if not isinstance(refused.__cause__, ClientError):
                raise
        return {}

    def _put(self, key: str, content: Sealed) -> None:
        with content.open() as source:
            data = source.read()
        checksum = b64encode(bytes.fromhex(content.digest)).decode()
        with self.words(key):
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + key, Body=data, ChecksumSHA256=checksum, **self._free(key)
            )

    def _put_parts(self, key: str, content: Sealed) -> None:
        bucket, name = self._bucket, self._prefix + key
        free = self._free(key)
        with self.words(key):
            upload = self._client.create_multipart_upload(Bucket=bucket, Key=name, ChecksumAlgorithm="SHA256")[
                "UploadId"
            ]
        try:
            with self.words(key), content.open() as source:
                size = max(self._storage.part_size, -(-content.size // MOST_PARTS))
                blocks = iter(partial(source.read, size), b"")
                parts = [self._put_part(key, upload, number, block) for number, block in enumerate(blocks, 1)]
                self._client.complete_multipart_upload(
                    Bucket=bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts}, **free
                )
        except BaseException:
            with suppress(Refusal), self.words():
                self._client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload)
            raise

    def _put_part(self, key: str, upload: str, number: int, block: bytes) -> "CompletedPartTypeDef":
        checksum = b64encode(hashlib.sha256(block).digest()).decode()
        answer = self._client.upload_part(
            Bucket=self._bucket,
            Key=self._prefix + key,
            UploadId=upload,
            PartNumber=number,
            Body=block,
            ChecksumSHA256=checksum,
        )
        return {"ETag": answer["ETag"], "PartNumber": number, "ChecksumSHA256": checksum}

    def _free(self, key: str) -> dict[str, Any]:
        """The condition that the key is free, where the server heeds it; else it is looked at. Raises Taken."""
        if not self._absent and self.size(key) is not None:
            raise Taken(key)
        return self._absent

    def _refuse_other(self, key: str, content: Sealed) -> None:
        size, beginning = self._beginning(key)
        present = StreamedReader(partial(self._range, key, size), size, beginning, None)
        with closing(present), io.BufferedReader(present) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != content.digest:
                raise AlreadyExists(key, "holds other bytes")

    def _beginning(self, key: str) -> tuple[int, bytes]:
        """How long the blob is, and its first bytes. Raises NotFound."""
        try:
            with self.words(key):
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=self._prefix + key, Range=f"bytes=0-{FIRST - 1}"
                )
                size = _total(answer.get("ContentRange", f"bytes 0-/{answer['ContentLength']}"))
                with closing(answer["Body"]) as body:
                    beginning = body.read(FIRST)
        except NotFound:
            self._still_there()
            raise
        except StorageUnavailable as refused:
            if _is_empty(refused.__cause__):
                return 0, b""
            raise
        if len(beginning) != min(size, FIRST):
            raise StorageUnavailable(self.name, f"gave {len(beginning)} bytes of {key}, which has {size}")
        return size, beginning

    def _range(self, key: str, size: int, start: int, stop: int) -> Stream:
        try:
            with self.words(key):
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=self._prefix + key, Range=f"bytes={start}-{stop - 1}"
                )
        except NotFound:
            self._still_there()
            raise NotFound(key, "was deleted while it was read") from None
        if answer.get("ContentRange") != f"bytes {start}-{stop - 1}/{size}":
            answer["Body"].close()
            raise StorageUnavailable(self.name, f"gave another part of {key} than was asked for")
        return _Body(self, answer["Body"])

    def _listed(self) -> "Iterator[ObjectTypeDef]":
        """Everything below the prefix. Raises StorageUnavailable unless the server says that it was all."""
        place: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix}
        tokens: set[str] = set()
        while True:
            with self.words():
                page = self._client.list_objects_v2(**place)
            items = page.get("Contents", [])
            if page.get("KeyCount", len(items)) != len(items):
                raise StorageUnavailable(self.name, "its listing is not complete: a page has gaps")
            yield from items
            if page.get("IsTruncated") is False:
                return
            token = page.get("NextContinuationToken", "")
            if not token or token in tokens:
                raise StorageUnavailable(self.name, "its listing is not complete: it does not go on")
            tokens.add(token)
            place["ContinuationToken"] = token

    def _delete_batch(self, keys: Sequence[str]) -> dict[str, Refusal]:
        """Uploads in parts that were never finished go as well."""
        names = {self._prefix + key: key for key in keys}
        with self.words():
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": name} for name in names], "Quiet": True}
            )
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix + (keys[0] if len(keys) == 1 else "")
            )
            for page in pages:
                for upload in page.get("Uploads", []):
                    name = upload.get("Key", "")
                    if name in names:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=name, UploadId=upload.get("UploadId", "")
                        )
        errors = {error.get("Key", ""): error.get("Code", "an error") for error in answer.get("Errors", [])}
        return {names[name]: _deletion(self.name, name, code) for name, code in errors.items() if code not in GONE}


class _Body:
    """A range on its way. Failures come in our words."""

    def __init__(self, store: S3Blobs, body: "StreamingBody") -> None:
        self._store = store
        self._body = body

    def read(self, size: int, /) -> bytes:
        with self._store.words():
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


def _is_empty(error: BaseException | None) -> bool:
    """A range of nothing cannot be had."""
    return isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in {"InvalidRange", "416"}


def _deletion(storage: str, key: str, code: str) -> Refusal:
    found = refusal(storage, key, code)
    return found if isinstance(found, Refusal) else StorageUnavailable(storage, f"the server answered {code}")
