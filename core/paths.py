"""A path is a tuple of names, the first of which is a bucket's."""

import unicodedata

from .errors import InvalidPath, NameTooLong
from .model import Path

NAME_BYTES = 255
PATH_BYTES = 4096


def checked(name: str) -> str:
    """The name, if it can be one: 1 to 255 bytes of UTF-8 without `/` and NUL, and not `.` or `..`."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise InvalidPath(name.replace("\0", "%00"), "cannot be a name")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidPath(name.encode(errors="replace").decode(), "is not Unicode text") from None
    if length > NAME_BYTES:
        raise NameTooLong(name, f"is {length} bytes long; a name has at most {NAME_BYTES}")
    return name


def parse(text: str) -> Path:
    """The path in a decoded URL path; empty and `.` segments fall away, `..` is refused."""
    names = tuple(checked(name) for name in text.split("/") if name not in {"", "."})
    if sum(len(name.encode()) + 1 for name in names) > PATH_BYTES:
        raise NameTooLong(names[:1], f"the path is longer than {PATH_BYTES} bytes")
    return names


def text(path: Path) -> str:
    return "/" + "/".join(path)


def within(path: Path, ancestor: Path) -> bool:
    """Whether `path` lies below `ancestor`, or is it."""
    return path[: len(ancestor)] == ancestor


def folded(name: str) -> str:
    """The NFC key: what macOS (NFD) and everybody else (NFC) call the same name."""
    return unicodedata.normalize("NFC", name)
