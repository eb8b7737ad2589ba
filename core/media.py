"""Media types: what a name or a client says that a content is, and what a bucket takes."""

import mimetypes
from fnmatch import fnmatchcase

from .errors import TooLarge, UnsupportedMediaType
from .model import Bucket, Path

UNKNOWN = "application/octet-stream"
_SAYS_NOTHING = {"", UNKNOWN, "application/x-www-form-urlencoded"}
_TYPES = mimetypes.MimeTypes()
"""The standard library's table alone, so that every machine agrees."""


def type_of(name: str, declared: str) -> str:
    """The type by the name's extension; else as declared; else unknown bytes."""
    by_name, encoding = _TYPES.guess_type(name, strict=False)
    if by_name and not encoding:
        return by_name
    said = declared.partition(";")[0].strip().lower()
    return UNKNOWN if said in _SAYS_NOTHING or "/" not in said else said


def admit(bucket: Bucket, path: Path, media_type: str, size: int | None) -> None:
    """Raises TooLarge or UnsupportedMediaType for what the bucket does not take. Empty files pass."""
    if size is not None and bucket.max_size is not None and size > bucket.max_size:
        raise TooLarge(path, f"{size} bytes are more than the {bucket.max_size} that the bucket takes")
    if size != 0 and bucket.types and not any(fnmatchcase(media_type, pattern) for pattern in bucket.types):
        raise UnsupportedMediaType(path, f"is {media_type}; the bucket takes {', '.join(bucket.types)}")
