"""Contents on their way to an S3 server: whole, or in parts, and never over something that is there."""

import hashlib
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import NotFound, Refusal, StorageUnavailable
from ..staging import Sealed
from .s3_errors import Misconfigured, Taken
from .s3_place import Place

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedMultipartUploadTypeDef, CompletedPartTypeDef

MOST_PARTS = 10_000
AT_ONCE = 4
"""Parts of an upload that are under way, and in memory, at the same time."""

T = TypeVar("T")
U = TypeVar("U")


class Uploads:
    """`sentinel` is an object that is there with these bytes, on which conditions are tried once."""

    def __init__(self, place: Place, part_size: int, sentinel: tuple[str, bytes]) -> None:
        self._place = place
        self._part_size = part_size
        self._sentinel = sentinel

    def put(self, key: str, content: Sealed) -> None:
        """The content is at `key`. Raises Taken, Conflict, StorageFull, StorageUnavailable."""
        if not self.are_conditional:
            self._look(key)
        if content.size > self._part_size:
            self._put_parts(key, content)
        else:
            self._put_whole(key, content)

    @cached_property
    def are_conditional(self) -> bool:
        """Whether the server heeds `If-None-Match: *`: some take it and write all the same."""
        key, data = self._sentinel
        place = self._place
        try:
            with place.words(key):
                place.client.put_object(Bucket=place.bucket, Key=place.name(key), Body=data, IfNoneMatch="*")
        except Taken:
            return True
        except Misconfigured:
            raise
        except StorageUnavailable as refused:
            if place.code(refused) not in {"NotImplemented", "InvalidArgument", "InvalidRequest", "501", "400"}:
                raise
        return False

    def _condition(self) -> dict[str, Any]:
        return {"IfNoneMatch": "*"} if self.are_conditional else {}

    def _look(self, key: str) -> None:
        """Keys are fresh, so only publishers of this very blob ever write at one: looking first is enough."""
        place = self._place
        with suppress(NotFound), place.words(key):
            place.client.head_object(Bucket=place.bucket, Key=place.name(key))
            raise Taken(key)

    def _put_whole(self, key: str, content: Sealed) -> None:
        with content.open() as source:
            data = source.read()
        place, checksum = self._place, b64encode(bytes.fromhex(content.digest)).decode()
        with place.words(key):
            place.client.put_object(
                Bucket=place.bucket, Key=place.name(key), Body=data, ChecksumSHA256=checksum, **self._condition()
            )

    def _put_parts(self, key: str, content: Sealed) -> None:
        """After a refusal the server keeps none of the parts, if it can be told."""
        place, bucket, name = self._place, self._place.bucket, self._place.name(key)
        with place.words(key):
            upload = place.client.create_multipart_upload(Bucket=bucket, Key=name, ChecksumAlgorithm="SHA256")
        id_ = upload["UploadId"]
        try:
            with place.words(key), content.open() as source:
                size = max(self._part_size, -(-content.size // MOST_PARTS))
                blocks = enumerate(iter(partial(source.read, size), b""), 1)
                parts = list(_few_at_once(partial(self._put_part, name, id_), blocks))
                whole: CompletedMultipartUploadTypeDef = {"Parts": parts}
                place.patient.complete_multipart_upload(
                    Bucket=bucket, Key=name, UploadId=id_, MultipartUpload=whole, **self._condition()
                )
        except BaseException:
            with suppress(Refusal), place.words(key):
                place.client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=id_)
            raise

    def _put_part(self, name: str, upload: str, numbered: tuple[int, bytes]) -> "CompletedPartTypeDef":
        number, block = numbered
        checksum = b64encode(hashlib.sha256(block).digest()).decode()
        answer = self._place.client.upload_part(
            Bucket=self._place.bucket,
            Key=name,
            UploadId=upload,
            PartNumber=number,
            Body=block,
            ChecksumSHA256=checksum,
        )
        return {"ETag": answer["ETag"], "PartNumber": number, "ChecksumSHA256": checksum}


def _few_at_once(do: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """What `do` gives for each, in order; no more items are taken than can be under way."""
    waiting: deque[Future[U]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for item in items:
            waiting.append(pool.submit(do, item))
            if len(waiting) >= AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
