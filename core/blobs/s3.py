"""Blobs as objects in a bucket of an S3 server.

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
from time import monotonic
from typing import Any, BinaryIO

from ..errors import AlreadyExists, Corrupt, NotFound, Refusal, StorageUnavailable, Unusable
from ..model import Instant, instant
from ..staging import Sealed
from ..storage_settings import S3Storage, place
from .breaker import Breaker
from .s3_check import Check
from .s3_connection import Connection, code_of, translated
from .s3_deletions import deleted
from .s3_errors import Conflict, Misconfigured, Short, Taken, Unanswered
from .s3_listing import listed
from .s3_place import Place
from .s3_uploads import Uploads
from .store import Blob, Capability, is_key
from .streamed import FIRST, Stream, StreamedReader

log = logging.getLogger(__name__)

MARKER = ".davstore-storage"
HASTE = 5.0
"""Seconds within which a beginning that is short, or not that of its digest, is asked for once more."""
CONFLICTS = 5


class S3Blobs:
    """A storage of type `s3`. Any number of processes on any number of machines may use one bucket and prefix."""

    type = "s3"

    def __init__(self, name: str, storage: S3Storage, staging: Path) -> None:
        self.name = name
        self.staging = staging
        self._storage = storage
        self._connection = Connection(storage)
        self._breaker = Breaker(name)
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
        started = monotonic()
        try:
            return self._opened(key, digest)
        except (Corrupt, Short):
            if monotonic() - started > HASTE:
                raise
            return self._opened(key, digest)

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
        with translated(self.name, key):
            return self._connection.signed(self._named(key) | carried, seconds, at)

    @property
    def place(self) -> Place:
        """Where it is, for what else there is to keep on an S3 server."""
        return self._at

    @cached_property
    def _at(self) -> Place:
        with translated(self.name, ""):
            client, patient = self._connection.client, self._connection.patient
        return Place(self.name, client, patient, self._storage.bucket, self._storage.prefix, self._words, code_of)

    @cached_property
    def _uploads(self) -> Uploads:
        return Uploads(self._at, self._storage.part_size, (MARKER, self._mark()))

    @contextmanager
    def _words(self, key: str, *, goes_on: bool = False) -> Generator[None]:
        """Failures in our words: NotFound, Taken, Conflict, StorageFull, Misconfigured, StorageUnavailable.

        Raises StorageUnavailable at once while the server does not answer, unless it `goes_on` answering.
        """
        with self._breaker.passing(goes_on=goes_on):
            try:
                with translated(self.name, key):
                    yield
            except Unanswered:
                self._breaker.failed()
                raise
            except (Refusal, Taken):
                self._breaker.answered()
                raise
            self._breaker.answered()

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

    def _opened(self, key: str, digest: str) -> BinaryIO:
        size, beginning = self._beginning(key)
        if len(beginning) == size and hashlib.sha256(beginning).hexdigest() != digest:
            raise Corrupt(key, f"storage {self.name} gives other bytes")
        return io.BufferedReader(StreamedReader(partial(self._range, key, size), size, beginning, digest), FIRST)

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
            if code_of(refused) in {"InvalidRange", "416"}:
                return 0, b""
            raise
        if len(beginning) != min(size, FIRST):
            raise Short(self.name, f"gave {len(beginning)} bytes of {key}, which has {size}")
        return size, beginning

    def _range(self, key: str, size: int, start: int, stop: int) -> Stream:
        """For readers that have been let in: the storage may be crowded by now."""
        try:
            with self._words(key, goes_on=True):
                answer = self._at.client.get_object(**self._named(key), Range=f"bytes={start}-{stop - 1}")
        except NotFound:
            self._still_there()
            raise NotFound(key, "was deleted while it was read") from None
        if answer.get("ContentRange") != f"bytes {start}-{stop - 1}/{size}":
            answer["Body"].close()
            raise StorageUnavailable(self.name, f"gave another part of {key} than was asked for")
        return _Body(answer["Body"], partial(self._words, key, goes_on=True))

    def _fetched(self, url: str) -> tuple[int, dict[str, str], bytes]:
        """What anybody gets who has the URL: status, headers, bytes."""
        with self._words(""):
            return self._connection.fetched(url)


class _Body:
    """A range on its way. Failures come in our words."""

    def __init__(self, body: Stream, words: Callable[[], AbstractContextManager[None]]) -> None:
        self._body = body
        self._words = words

    def read(self, size: int, /) -> bytes:
        with self._words():
            return self._body.read(size)

    def close(self) -> None:
        self._body.close()


def _total(content_range: str) -> int:
    return int(content_range.rpartition("/")[2])
