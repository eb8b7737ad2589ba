"""Media types: what a name, a client and the bytes say that a content is, and what a bucket takes."""

import codecs
import mimetypes
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

from .errors import TooLarge, UnsupportedMediaType
from .model import Bucket, Path
from .staging import Sealed

UNKNOWN = "application/octet-stream"
_SAYS_NOTHING = frozenset({UNKNOWN, "application/x-www-form-urlencoded", "binary/octet-stream"})
"""What some clients declare of whatever they send."""
_ADDED: Mapping[str, str] = {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".js": "text/javascript",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".mkv": "video/x-matroska",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".wav": "audio/wav",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""What the standard library's table lacks in some of the versions that this runs on, or says in another way."""
_PACKED: Mapping[str, str] = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}
_SYNONYMS: Mapping[str, str] = {
    "application/font-sfnt": "font/sfnt",
    "application/font-woff": "font/woff",
    "application/x-gzip": "application/gzip",
    "application/x-zip-compressed": "application/zip",
    "audio/mp3": "audio/mpeg",
    "audio/wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "image/apng": "image/png",
    "image/jpg": "image/jpeg",
    "text/x-markdown": "text/markdown",
}
_ALIKE = (
    frozenset({"font/sfnt", "font/ttf", "font/otf"}),
    frozenset({"font/woff", "font/woff2"}),
    frozenset({"audio/ogg", "video/ogg", "application/ogg", "audio/opus"}),
    frozenset({"image/heic", "image/heif"}),
    frozenset({"audio/webm", "video/webm", "video/x-matroska", "audio/x-matroska"}),
    frozenset({"audio/mp4", "video/mp4", "video/quicktime", "video/x-m4v", "video/3gpp"}),
)
"""Types whose first bytes may be each other's."""
SIGNED = frozenset(
    (
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/heic", "image/heif"),
        *("application/pdf", "application/zip", "application/gzip", "video/webm"),
        *("font/ttf", "font/otf", "font/woff", "font/woff2"),
    )
)
"""Types whose contents always begin with what `sniffed` knows."""
_media_type = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.ASCII)


_svg = re.compile(r"\A\s*<(?:[?!][^>]*>\s*<)*svg[\s>]")


def _table() -> mimetypes.MimeTypes:
    """The standard library's own, without the machine's, so that every machine agrees."""
    table = mimetypes.MimeTypes()
    for extension, media_type in _ADDED.items():
        table.add_type(media_type, extension)
    return table


_TYPES = _table()


def type_of(name: str, declared: str, content: Sealed | None = None) -> str:
    """The type by the name's extension; else as declared, if it is one (RFC 6838, section 4.2); else by the bytes."""
    by_name, encoding = _TYPES.guess_type(name, strict=False)
    if encoding:
        return _PACKED.get(encoding, UNKNOWN)
    if by_name:
        return _canonical(by_name)
    said = _canonical(declared.partition(";")[0].strip().lower())
    if _media_type.fullmatch(said) and said not in _SAYS_NOTHING:
        return said
    return (sniffed(content.head) if content else None) or UNKNOWN


_signature = re.compile(
    rb"""
    \x00[\x00\x01a] | \x04" | \x1aE | \x1f[\x8b\x9d\xa0] | !< | [\x22-\x28]\xb5 | \#! | %[!P] | 0& | 7z | 8B | AC
    | B[MZ] | C[Wr] | F[LOW] | GI | I[DIS] | LZ | M[4MSTZ] | NE | O[Tg] | PK | [P-_]\* | R[Ia] | SQ | \{\\ | f[Lt] | gi
    | wO | \x7fE | \x89[LP] | \xce\xb2 | \xd0\xcf | \xed\xab | \xef\xbb | \xfd7 | \xff[\xd8\xf1-\xf3\xf9\xfb]
    | .{4}ftyp | .{34}LP | .{128}DIC | .{257}ustar
    """,
    re.DOTALL | re.VERBOSE,
)
"""How contents of all the types begin that filetype knows. To ask each of them takes it longer than all else that a
small upload does, and most contents that get here have no signature."""


@lru_cache(maxsize=16)
def sniffed(head: bytes) -> str | None:
    """The type that the first bytes of a content show; None for text, and for what has no signature."""
    if not _signature.match(head):
        return None
    import filetype  # pyright: ignore[reportMissingTypeStubs] - only where there are uploads

    found: str | None = filetype.guess_mime(head)  # pyright: ignore[reportUnknownMemberType] - it comes without stubs
    return _canonical(found) if found else None


def shown(head: bytes) -> str:
    """The type that the first bytes show, for a content that goes by no name: text, too, and SVG by its element."""
    found = sniffed(head)
    if found:
        return found
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return UNKNOWN
    if "\0" in text or not text:
        return UNKNOWN
    return "image/svg+xml" if _svg.search(text) else "text/plain"


def _canonical(media_type: str) -> str:
    return _SYNONYMS.get(media_type, media_type)


def admit(bucket: Bucket, path: Path, media_type: str, size: int | None) -> None:
    """Raises TooLarge or UnsupportedMediaType for what the bucket does not take. Empty files pass."""
    admit_size(bucket, path, size)
    if size != 0 and not _takes(bucket, media_type):
        raise _refused(bucket, path, f"is {media_type}")


def admit_announced(bucket: Bucket, path: Path, declared: str, size: int | None) -> None:
    """As `admit`, before the bytes are there; where neither name nor client says a type, they will."""
    announced = type_of(path[-1], declared)
    if announced == UNKNOWN:
        admit_size(bucket, path, size)
    else:
        admit(bucket, path, announced, size)


def admit_size(bucket: Bucket, path: Path, size: int | None) -> None:
    """Raises TooLarge."""
    if size is not None and bucket.max_size is not None and size > bucket.max_size:
        raise TooLarge(path, f"{size} bytes are more than the {bucket.max_size} that the bucket takes")


def admit_bytes(bucket: Bucket, path: Path, media_type: str, content: Sealed) -> None:
    """Raises UnsupportedMediaType as `admit_head` does."""
    if bucket.types:
        admit_head(bucket, path, media_type, content.head, content.size)


def admit_head(bucket: Bucket, path: Path, media_type: str, head: bytes, size: int) -> None:
    """A bucket that is choosy looks at the bytes too: they must not be what it does not take, in disguise.

    Raises UnsupportedMediaType where they are of a type that it refuses, or lack the signature of the one that they
    claim. Empty files pass.
    """
    if not bucket.types or not size:
        return
    found = sniffed(head)
    if found is None and media_type in SIGNED:
        raise _refused(bucket, path, f"is {media_type} by its name or declaration, and its bytes are not")
    if found is not None and not _alike(found, media_type) and not _takes(bucket, found):
        raise _refused(bucket, path, f"is {media_type} by its name or declaration, and {found} by its bytes")


def _takes(bucket: Bucket, media_type: str) -> bool:
    return not bucket.types or any(fnmatchcase(media_type, pattern) for pattern in bucket.types)


def _alike(found: str, media_type: str) -> bool:
    """Documents of office programs are archives inside."""
    is_inside = found == "application/zip" and media_type.startswith("application/")
    return found == media_type or is_inside or any({found, media_type} <= family for family in _ALIKE)


def _refused(bucket: Bucket, path: Path, what: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(path, f"{what}; the bucket takes {', '.join(bucket.types)}")
