"""Media types: what a name or a client says that a content is, and what a bucket takes."""

import mimetypes
import re
from fnmatch import fnmatchcase

from .errors import TooLarge, UnsupportedMediaType
from .model import Bucket, Path

UNKNOWN = "application/octet-stream"
_SAYS_NOTHING = "application/x-www-form-urlencoded"
"""What some clients declare of whatever they send."""
_TYPES = mimetypes.MimeTypes()
"""The standard library's table alone, so that every machine agrees."""
_media_type = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.ASCII)


def type_of(name: str, declared: str) -> str:
    """The type by the name's extension; else as declared, if it is one (RFC 6838, section 4.2); else unknown bytes."""
    by_name, encoding = _TYPES.guess_type(name, strict=False)
    if by_name and not encoding:
        return by_name
    said = declared.partition(";")[0].strip().lower()
    return said if _media_type.fullmatch(said) and said != _SAYS_NOTHING else UNKNOWN


def admit(bucket: Bucket, path: Path, media_type: str, size: int | None) -> None:
    """Raises TooLarge or UnsupportedMediaType for what the bucket does not take. Empty files pass."""
    if size is not None and bucket.max_size is not None and size > bucket.max_size:
        raise TooLarge(path, f"{size} bytes are more than the {bucket.max_size} that the bucket takes")
    if size != 0 and bucket.types and not any(fnmatchcase(media_type, pattern) for pattern in bucket.types):
        raise UnsupportedMediaType(path, f"is {media_type}; the bucket takes {', '.join(bucket.types)}")
