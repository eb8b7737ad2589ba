"""What lies below a prefix on an S3 server, proved to be all of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import StorageUnavailable
from .s3_place import Place

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

PAGE = 1000


def listed(place: Place, below: str = "", page_size: int = PAGE) -> "Iterator[ObjectTypeDef]":
    """Everything below the prefix and `below`. Raises StorageUnavailable unless the server says that it was all.

    Each page has as many items as it says; each but the last names the place where the next begins, which is a new
    one; the last one says that nothing follows.
    """
    asked: dict[str, Any] = {"Bucket": place.bucket, "Prefix": place.name(below), "MaxKeys": page_size}
    places: set[str] = set()
    while True:
        with place.words(""):
            page = place.client.list_objects_v2(**asked)
        items = page.get("Contents", [])
        if page.get("KeyCount", len(items)) != len(items):
            raise StorageUnavailable(place.storage, "its listing is not complete: a page has gaps")
        yield from items
        if page.get("IsTruncated") is False:
            return
        following = page.get("NextContinuationToken", "")
        if not following or following in places:
            raise StorageUnavailable(place.storage, "its listing is not complete: it does not go on")
        places.add(following)
        asked["ContinuationToken"] = following
