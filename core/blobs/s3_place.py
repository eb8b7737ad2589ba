"""One bucket and prefix of an S3 server: what the parts of an S3 storage share."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Place:
    storage: str
    """The storage's name, for refusals."""
    client: "S3Client"
    patient: "S3Client"
    """For what takes a server its time."""
    bucket: str
    prefix: str
    words: Callable[[str], AbstractContextManager[None]]
    """Failures inside come in our words: NotFound, Taken, Conflict, StorageFull, Misconfigured, StorageUnavailable."""
    code: Callable[[BaseException], str]
    """What the server said that made a refusal; "" where it said nothing."""

    def name(self, key: str) -> str:
        """The object's, in the bucket."""
        return self.prefix + key
