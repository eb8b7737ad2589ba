"""How much more fits: what a bucket may hold, and what the disk has left on which its uploads are staged."""

import shutil
from collections.abc import Sequence

from .contents import Contents
from .errors import QuotaExceeded, StorageUnavailable
from .model import Bucket, Path
from .staging import translated


def free(contents: Contents, bucket: Bucket) -> int:
    """Bytes that the disk has left. Raises StorageUnavailable."""
    staging = contents.store(bucket.storage).staging
    with translated(staging):
        return shutil.disk_usage(staging).free


def admit(contents: Contents, bucket: Bucket, path: Path, size: int, growth: int, promised: int = 0) -> None:
    """What is to come fits: so many bytes on the disk, and the growth into the quota beside what others were promised.

    Raises QuotaExceeded.
    """
    if growth > 0 and bucket.quota is not None and bucket.bytes + promised + growth > bucket.quota:
        raise QuotaExceeded(path, f"the bucket takes {bucket.quota} bytes, the trash included")
    if size > free(contents, bucket):
        raise QuotaExceeded(path, "the disk has not so much room")


def quota(contents: Contents, of: Sequence[Bucket], *, is_whole: bool) -> tuple[int, int]:
    """(used, available) bytes of these buckets, the trash included; of the whole store no quota is told.

    Where a storage does not answer there is no room.
    """
    used = sum(bucket.bytes for bucket in of)
    left = min((room for bucket in of if (room := _answered(contents, bucket)) is not None), default=0)
    rest = min((max(0, bucket.quota - bucket.bytes) for bucket in of if bucket.quota is not None), default=left)
    return used, left if is_whole else min(left, rest)


def _answered(contents: Contents, bucket: Bucket) -> int | None:
    try:
        return free(contents, bucket)
    except StorageUnavailable:
        return None
