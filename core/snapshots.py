"""The rows of one moment in an archive: one file a table, JSON lines, and what `sha256sum -c` needs to check them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from gzip import GzipFile
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, cast

from .archives import Archive
from .errors import NotFound, Unusable
from .model import Digest, Instant

FORMAT = 1

Row = dict[str, object]
"""By the names of its columns."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete backup. `revision` is the schema's, `tables` maps names to numbers of rows, parents first."""

    name: str
    format: int
    revision: str
    taken: Instant
    contents: int
    bytes: int
    tables: dict[str, int]
    storages: list[str]
    missing: list[Digest]
    """Contents that the store had lost before they could be copied."""


def folder(name: str) -> str:
    return f"snapshots/{name}"


def table_file(snapshot: str, table: str) -> str:
    return f"{folder(snapshot)}/tables/{table}.jsonl.gz"


def save_rows(archive: Archive, file: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> tuple[int, str]:
    """The file begins with the columns' names. Returns the number of rows, and the file's SHA-256."""
    count = 0
    with TemporaryFile() as packed:
        with GzipFile(fileobj=packed, mode="wb", compresslevel=4, mtime=0) as lines:
            lines.write(_line(columns))
            for row in rows:
                lines.write(_line(row))
                count += 1
        return count, add(archive, file, packed)


def add(archive: Archive, file: str, content: IO[bytes]) -> str:
    """Returns the SHA-256 of the file, which is as written so far."""
    content.seek(0)
    digest = hashlib.file_digest(cast("BytesIO", content), "sha256").hexdigest()
    content.seek(0)
    archive.add(file, cast("BytesIO", content))
    return digest


def rows(archive: Archive, snapshot: str, table: str) -> Iterator[Row]:
    with archive.open(table_file(snapshot, table)) as packed, GzipFile(fileobj=packed, mode="rb") as lines:
        columns: list[str] = json.loads(lines.readline())
        for line in lines:
            yield dict(zip(columns, json.loads(line), strict=True))


def finish(archive: Archive, snapshot: Snapshot) -> None:
    """From now on the archive has this snapshot."""
    archive.add(f"{folder(snapshot.name)}/backup.json", BytesIO(json.dumps(asdict(snapshot), indent=2).encode()))


def names(archive: Archive) -> list[str]:
    """Every complete snapshot, the oldest first."""
    complete = "/backup.json"
    found = (name for name, _ in archive.files("snapshots/") if name.endswith(complete))
    return sorted(name.removeprefix("snapshots/").removesuffix(complete) for name in found)


def read(archive: Archive, name: str | None = None) -> Snapshot:
    """The snapshot of that name, or the newest. Raises NotFound, Unusable for one of a later format."""
    known = names(archive)
    if not known or name not in (None, *known):
        raise NotFound(
            archive.where, f"has no snapshot {name or ''}".rstrip() + f"; it has {', '.join(known) or 'none'}"
        )
    with archive.open(f"{folder(name or known[-1])}/backup.json") as file:
        stored = json.loads(file.read())
    if stored["format"] != FORMAT:
        raise Unusable(stored["name"], "was made by a newer davstore; install that one to restore it")
    return Snapshot(**stored)


def _line(values: Sequence[object]) -> bytes:
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
