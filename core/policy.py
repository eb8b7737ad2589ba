"""What a bucket does with the files that it is given: the keys of `[buckets.NAME]` and of `davstore bucket set`."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .model import INLINE, Presign
from .quantities import Duration, OptionalDuration, OptionalSize, SmallSize, Words, off_is_none

RESERVED = frozenset(
    ("assets", "o", "file", "api", "healthz", "metrics", "-", "remote.php", "ocs", "status.php"),
)
"""Top-level names that mean something else (docs/design.md, section 7)."""

TEMPORARY = timedelta(hours=2)
"""The retention of a bucket whose files expire, unless it has one of its own."""

LISTS: Mapping[str, tuple[str, ...]] = {
    "memos": (
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"),
        *("video/mp4", "video/quicktime", "video/webm", "audio/mpeg", "audio/ogg", "audio/wav"),
        *("application/pdf", "text/plain", "text/markdown"),
        *("application/zip", "application/x-tar", "application/gzip"),
    ),
    "penpot-images": ("image/jpeg", "image/png", "image/webp", "image/gif", "image/svg+xml"),
    "penpot-fonts": ("font/ttf", "font/otf", "font/woff", "font/woff2"),
}
"""What the upstream projects take, for a bucket's `types`."""

_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_media_type = re.compile(r"(\*|[\w.+-]+)/(\*|[\w.+*-]+)", re.ASCII)


def bucket_name(name: str) -> str:
    """The name, if a bucket may have it; raises ValueError with the remedy."""
    if name.lower() in RESERVED:
        raise ValueError("this name is reserved; choose another")
    return _fitting(name)


def storage_name(name: str) -> str:
    """The name, if a storage may have it; raises ValueError with the remedy."""
    if name == INLINE:
        raise ValueError("this name is reserved; choose another")
    return _fitting(name)


def _fitting(name: str) -> str:
    if not _name.fullmatch(name):
        raise ValueError("a name has 1 to 63 letters, digits, dots, dashes and underscores, a letter or digit first")
    return name


class Versions(BaseModel):
    """The older contents that a file keeps: the last `keep`, each until it is `age` old."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: int = Field(default=20, ge=0, le=1_000_000)
    age: Duration = timedelta(days=90)


class Reference(BaseModel):
    """A host application's column that keeps objects alive: an indexed foreign key to objects.uid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(min_length=1)
    column: str = Field(min_length=1)


def _versions(value: object) -> object:
    """`20, 90d`, a bare count, or off (which keeps none)."""
    if off_is_none(value) is None:
        return {"keep": 0}
    if isinstance(value, str | int) and not isinstance(value, bool):
        return dict(zip(("keep", "age"), str(value).split(","), strict=False))
    return value


def _media_types(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns, with the names of lists replaced by what they list."""
    named = [each for pattern in patterns for each in LISTS.get(pattern, (pattern,))]
    wrong = [pattern for pattern in named if not _media_type.fullmatch(pattern)]
    if wrong:
        lists = ", ".join(LISTS)
        raise ValueError(f"{wrong[0]!r} is not a media type; write for example image/* or application/pdf, or {lists}")
    return tuple(dict.fromkeys(named))


class BucketPolicy(BaseModel):
    """A bucket's policy. None means no limit; empty `types` take every media type; `trash` None keeps no trash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    storage: str = "local"
    inline_below: SmallSize = 64 << 10
    types: Annotated[Words, AfterValidator(_media_types)] = ()
    max_size: OptionalSize = None
    quota: OptionalSize = None
    dedup: bool = True
    versions: Annotated[Versions, BeforeValidator(_versions)] = Versions()
    trash: OptionalDuration = timedelta(days=30)
    retention: Duration = timedelta(days=7)
    expire_after: OptionalDuration = None
    visibility: Literal["private", "protected", "public"] = "private"
    presign: Presign = "on-demand"
    thumbnails: bool = False
    presets: Words = ()
    documents: Words = ()
    media_grace: Duration = timedelta(days=2)
    references: tuple[Reference, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _temporary(cls, given: object) -> object:
        """Where files are temporary, their bytes are too: the default retention is shorter."""
        if not isinstance(given, Mapping):
            return given
        keys = cast("Mapping[str, object]", given)
        is_temporary = off_is_none(keys.get("expire_after")) is not None
        return {"retention": TEMPORARY} | dict(keys) if is_temporary else keys
