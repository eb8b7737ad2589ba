"""Storages as they are configured: the keys of `[storages.NAME]`, by type."""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from . import toml
from .quantities import Duration, Size, off_is_none

BLOBS = "{data}/blobs"
LONGEST_LINK = timedelta(days=7)
"""How long S3 lets a signature live."""
AWS = {"bucket": "AWS_S3_BUCKET", "region": "AWS_S3_REGION", "endpoint": "AWS_S3_ENDPOINT"}
"""The variables that say what a storage of type s3 does not."""

_endpoint = re.compile(r"https?://[^/?#@]+/?")


def _url(endpoint: str) -> str:
    if not _endpoint.fullmatch(endpoint):
        raise ValueError("should be http://HOST:PORT or https://HOST, without user, path or query")
    return endpoint.rstrip("/")


def _prefix(prefix: str) -> str:
    parts = prefix.rstrip("/").split("/") if prefix else []
    if any(part in {"", ".", ".."} for part in parts) or len(prefix.encode()) > 512:
        raise ValueError("should be names with slashes between them, such as davstore or team/drive")
    return "/".join(parts) + "/" if parts else ""


def _known(given: object) -> object:
    if given != "local":
        raise ValueError("should be 'local', 'db' or 's3'")
    return given


def _home(path: object) -> object:
    return os.path.expanduser(path) if isinstance(path, str) else path


OptionalText = Annotated[str | None, BeforeValidator(off_is_none)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LocalStorage(Section):
    """Files in a directory."""

    type: Annotated[Literal["local"], BeforeValidator(_known)] = "local"
    path: Path = Path(BLOBS)


class DatabaseStorage(Section):
    """Rows in the database."""

    type: Literal["db"]


class S3Storage(Section):
    """Objects of a bucket on an S3 server. Credentials come from the environment or a profile, never from here."""

    type: Literal["s3"]
    bucket: str = Field(min_length=3, max_length=255)
    prefix: Annotated[str, AfterValidator(_prefix)] = ""
    endpoint: Annotated[Annotated[str, AfterValidator(_url)] | None, BeforeValidator(off_is_none)] = None
    region: OptionalText = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    profile: OptionalText = None
    ca: Annotated[Path | None, BeforeValidator(_home), BeforeValidator(off_is_none)] = None
    connect_timeout: Duration = Field(default=timedelta(seconds=3), gt=timedelta(0))
    read_timeout: Duration = Field(default=timedelta(seconds=10), gt=timedelta(0))
    retries: int = Field(default=2, ge=0, le=10)
    part_size: Annotated[Size, Field(ge=5 << 20, le=1 << 30)] = 8 << 20
    redirect: Literal["auto", "never", "always"] = "auto"
    redirect_min: Size = 1 << 20
    presign_ttl: Duration = Field(default=timedelta(minutes=15), ge=timedelta(seconds=2), le=LONGEST_LINK)


def _type(given: object) -> str:
    """A wrong type counts as `local`, which refuses it."""
    is_table = isinstance(given, Mapping)
    said = cast("Mapping[str, object]", given).get("type") if is_table else getattr(given, "type", None)
    return said if isinstance(said, str) and said in {"db", "s3"} else "local"


Storage = Annotated[
    Annotated[LocalStorage, Tag("local")] | Annotated[DatabaseStorage, Tag("db")] | Annotated[S3Storage, Tag("s3")],
    Discriminator(_type),
]


def in_data(storages: object) -> dict[str, dict[str, str]]:
    """The paths of those storages that are directories, where they say none; `local` is always there."""
    tables = {"local": None, **_tables(storages)}
    return {name: {"path": BLOBS} for name, storage in tables.items() if _type(storage) == "local"}


def from_aws(storages: object, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What the environment says for those of the storages that are of type s3: weaker than anything they say."""
    said = {key: environ[name] for key, name in AWS.items() if environ.get(name)}
    return {name: said for name, storage in _tables(storages).items() if _type(storage) == "s3" and said}


def _tables(storages: object) -> dict[str, object]:
    return dict(cast("Mapping[str, object]", storages)) if isinstance(storages, Mapping) else {}


def shared_places(storages: Mapping[str, LocalStorage | DatabaseStorage | S3Storage]) -> list[str]:
    """Storages that would keep their blobs in one place."""
    owners: dict[object, str] = {}
    problems: list[str] = []
    for name, storage in storages.items():
        if isinstance(storage, LocalStorage):
            owner = owners.setdefault(storage.path.absolute(), name)
            problem = f"storages.{name}.path: is that of storages.{owner} too; give each a directory of its own"
        elif isinstance(storage, S3Storage):
            owner = owners.setdefault((storage.endpoint, storage.bucket, storage.prefix), name)
            where = f"{toml.value(storage.prefix)} in bucket {storage.bucket}"
            problem = f"storages.{name}.prefix: {where} is that of storages.{owner} too; give each a prefix of its own"
        else:
            continue
        if owner != name:
            problems.append(problem)
    return problems


def place(storage: Storage) -> str:
    """Where its blobs are, in one word."""
    match storage:
        case LocalStorage():
            return str(storage.path)
        case DatabaseStorage():
            return "the database"
        case S3Storage():
            return f"s3://{storage.bucket}/{storage.prefix}" + (f" at {storage.endpoint}" if storage.endpoint else "")
