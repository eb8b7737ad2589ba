"""`davstore du`: what is stored."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.model import Usage


def du(json: Json = False, data: Data = None, config: Config = None) -> None:
    """Tell what each bucket holds: bytes as its users see them, and bytes as stored once."""
    with opened(data, config) as store:
        usages = store.usage()
    if json:
        output.as_json([asdict(usage) for usage in usages])
    else:
        heads = ("BUCKET", "FILES", "LOGICAL", "UNIQUE", "CONDEMNED", "IN TRASH", "QUOTA")
        output.as_table(heads, map(_row, usages), none="There are no buckets.")


def _row(usage: "Usage") -> tuple[str | None, ...]:
    sizes = usage.logical_bytes, usage.unique_bytes, usage.condemned_bytes, usage.trashed_bytes, usage.quota
    return usage.bucket, str(usage.files), *map(output.size, sizes)
