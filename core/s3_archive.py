"""Backups on an S3 server: `s3://BUCKET/PREFIX`, at the address and with the credentials that the environment has."""

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pydantic import ValidationError

from .blobs.s3 import S3Blobs
from .blobs.s3_listing import listed
from .errors import NotFound, Unusable
from .storage_settings import S3Storage, from_aws

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

NAME = "archive"
CHECKED = {"ChecksumAlgorithm": "SHA256"}


class S3Archive:
    """Every file is one object, sent with its SHA-256."""

    def __init__(self, where: str, environ: Mapping[str, str]) -> None:
        """`where` is s3://BUCKET/PREFIX. Raises Unusable."""
        self.where = where
        bucket, _, prefix = where.removeprefix("s3://").partition("/")
        said = from_aws({NAME: {"type": "s3"}}, environ).get(NAME, {})
        try:
            storage = S3Storage.model_validate({**said, "type": "s3", "bucket": bucket, "prefix": prefix})
        except ValidationError as error:
            raise Unusable(where, f"{error.errors()[0]['msg']}; write s3://BUCKET/PREFIX") from None
        self._place = S3Blobs(where, storage, Path(tempfile.gettempdir())).place

    def add(self, name: str, source: BinaryIO) -> None:
        with self._place.words(name):
            self._place.client.upload_fileobj(
                source, self._place.bucket, self._place.name(name), ExtraArgs=dict(CHECKED)
            )

    def open(self, name: str) -> BinaryIO:
        try:
            with self._place.words(name):
                answer = self._place.client.get_object(Bucket=self._place.bucket, Key=self._place.name(name))
        except NotFound:
            raise NotFound(f"{self.where}/{name}", "is not in the archive") from None
        return io.BufferedReader(_Download(answer["Body"], partial(self._place.words, name)), 1 << 20)

    def files(self, below: str) -> Iterator[tuple[str, int]]:
        for item in listed(self._place, below):
            yield item.get("Key", "").removeprefix(self._place.prefix), item.get("Size", 0)


class _Body(Protocol):
    def read(self, amt: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Download(io.RawIOBase):
    """A file as it comes; a body that breaks off raises StorageUnavailable."""

    def __init__(self, body: _Body, words: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._body = body
        self._words = words

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        target = memoryview(buffer).cast("B")
        with self._words():
            found = self._body.read(len(target))
        target[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._body.close()
        super().close()
