"""The settings: defaults <- TOML file <- environment <- flags."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.networks import IPvAnyNetwork

from . import toml
from .misconfiguration import explained, masked
from .policy import BucketPolicy, bucket_name, storage_name
from .quantities import Duration, OptionalDuration, OptionalSize, Size, comma_separated
from .rendition_settings import Renditions
from .sources import PREFIX, Key, Source, from_environment, from_file, from_flags, merged
from .storage_settings import LONGEST_LINK, Section, Storage, from_aws, in_data, shared_places

FLAGS: Mapping[str, Key] = {
    "data": ("data",),
    "host": ("server", "host"),
    "port": ("server", "port"),
    "workers": ("server", "workers"),
    "anonymous": ("server", "anonymous"),
}
DATABASE = "sqlite:///{data}/davstore.db"


def _data(path: Path) -> Path:
    """`?` would end the path in the database's URL, and SQLite would open another file."""
    if "?" in str(path):
        raise ValueError("must not contain a question mark")
    return _home(path)


def _home(path: object) -> Path:
    return Path(os.path.expanduser(str(path)))


def _url(url: str) -> str:
    is_sqlite = url.startswith("sqlite:///") and url not in {"sqlite:///", "sqlite:///:memory:"}
    if not is_sqlite and not url.startswith("postgresql+psycopg://"):
        raise ValueError("should be sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME")
    return url


class Server(Section):
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    anonymous: Literal["none", "read", "write"] = "none"
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(comma_separated)] = Field(
        default=("127.0.0.0/8", "::1/128"),  # pyright: ignore[reportArgumentType] - validated like given ones
        validate_default=True,
    )
    progress_timeout: Duration = timedelta(seconds=60)
    idle_timeout: Duration = timedelta(seconds=60)
    drain_grace: Duration = timedelta(seconds=30)
    token_lifetime: Duration = Field(default=timedelta(minutes=15), ge=timedelta(seconds=1), le=timedelta(days=1))
    delivery: Literal["stream", "x-accel"] = "stream"
    accel_secret: str = Field(default="", pattern=r"^([!-~]{16,})?$")

    @model_validator(mode="after")
    def _nginx_can_prove_itself(self) -> Self:
        if self.delivery == "x-accel" and not self.accel_secret:
            raise ValueError("delivery x-accel needs an accel_secret, which nginx sends too; see config/nginx.conf")
        return self


class Database(Section):
    url: Annotated[str, AfterValidator(_url)] = DATABASE
    durability: Literal["fsync", "os"] = "fsync"


class Locks(Section):
    default_timeout: Duration = timedelta(hours=1)
    max_timeout: Duration = timedelta(hours=24)

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if self.default_timeout > self.max_timeout:
            raise ValueError("default_timeout must not be longer than max_timeout")
        return self


class Collector(Section):
    """The background jobs of `davstore serve`. `sweep` and `scrub` None switch those off, `enabled` false all.

    `log` None forgets nothing. `breaker` is the share of a bucket with host tables above which a run condemns nothing.
    """

    enabled: bool = True
    interval: Duration = Field(default=timedelta(minutes=10), ge=timedelta(seconds=1))
    grace: Duration = timedelta(hours=2)
    sweep: OptionalDuration = timedelta(days=7)
    scrub: OptionalDuration = timedelta(days=30)
    log: OptionalDuration = timedelta(days=365)
    breaker: float = Field(default=0.5, ge=0, le=1)


class Uploads(Section):
    """Uploads that can be resumed. `most` and `staged` are what one user may have under way; None: any size."""

    lifetime: Duration = timedelta(days=1)
    most: int = Field(default=1000, ge=1)
    staged: OptionalSize = 1 << 40


class Mount(Section):
    """`cache` is how many bytes each mount holds of what is not in files of this machine."""

    cache: Size = Field(default=1 << 30, ge=16 << 20)


class Links(Section):
    """The links that buckets with `presign` "stored" keep in the database."""

    ttl: Duration = Field(default=timedelta(days=1), ge=timedelta(hours=2), le=LONGEST_LINK)


class Settings(BaseModel):
    """Every setting, its `{data}` filled in. `Settings()` are the defaults, `load` reads what the user says."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    data: Annotated[Path, AfterValidator(_data)] = Path("./var")
    server: Server = Server()
    database: Database = Database()
    locks: Locks = Locks()
    collector: Collector = Collector()
    links: Links = Links()
    uploads: Uploads = Uploads()
    mount: Mount = Mount()
    renditions: Renditions = Renditions.model_validate({})
    storages: dict[Annotated[str, AfterValidator(storage_name)], Storage] = {}
    buckets: dict[Annotated[str, AfterValidator(bucket_name)], BucketPolicy] = {}

    @classmethod
    def load(cls, config: Path | None = None, environ: Mapping[str, str] = os.environ, **flags: object) -> Self:
        """The settings in force; flags that are None say nothing. Raises SettingsError."""
        named = environ.get(f"{PREFIX}CONFIG")
        file = config or (Path(named) if named else None)
        sources = from_flags(flags, FLAGS), from_environment(environ), from_file(file)
        given: Mapping[str, object] = {}
        for source in reversed(sources):
            given = merged(given, source.values)
        given = merged({"storages": from_aws(given.get("storages"), environ)}, given)
        try:
            return cls(**given)  # pyright: ignore[reportArgumentType] - validated here
        except ValidationError as error:
            raise explained(error, cls, sources) from None

    def described(self) -> dict[str, object]:
        """Every setting by name, in the form that a file has it, with passwords hidden."""
        given = self.model_dump(mode="json")
        given["database"]["url"] = masked(self.database.url)
        given["server"]["accel_secret"] = "***" if self.server.accel_secret else ""
        return given

    def as_toml(self) -> str:
        return toml.document(self.described())

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, given: Mapping[str, object]) -> object:
        """Storage `local` and bucket `files` are always there, and `{data}` is the data directory."""
        presets: dict[str, object] = {
            "database": {"url": DATABASE},
            "storages": in_data(given.get("storages")),
            "buckets": {"files": {}},
        }
        data = _home(given.get("data", "./var"))
        return _expanded(merged(presets, given), str(data))

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        unknown = [*_unknown_storages(self.buckets, self.storages), *_unknown_presets(self.buckets, self.renditions)]
        problems = [*unknown, *shared_places(self.storages)]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def changed(policy: BucketPolicy, **keys: object) -> BucketPolicy:
    """The policy with some keys replaced, as `davstore bucket set` writes them. Raises SettingsError."""
    try:
        return BucketPolicy.model_validate(policy.model_dump(exclude_unset=True) | keys)
    except ValidationError as error:
        raise explained(error, BucketPolicy, (Source(keys),)) from None


def _expanded(given: object, data: str) -> object:
    if isinstance(given, Mapping):
        return {name: _expanded(value, data) for name, value in cast("Mapping[str, object]", given).items()}
    return given.replace("{data}", data) if isinstance(given, str) else given


def _unknown_storages(buckets: Mapping[str, BucketPolicy], storages: Mapping[str, Storage]) -> list[str]:
    return [
        f"buckets.{name}.storage = {toml.value(bucket.storage)}: there is no such storage; "
        f"define [storages.{toml.key(bucket.storage)}]"
        for name, bucket in buckets.items()
        if bucket.storage not in storages
    ]


def _unknown_presets(buckets: Mapping[str, BucketPolicy], renditions: Renditions) -> list[str]:
    return [
        f"buckets.{name}.presets = {toml.value(preset)}: there is no such preset; "
        f"define [renditions.presets.{toml.key(preset)}]"
        for name, bucket in buckets.items()
        for preset in bucket.presets
        if preset not in renditions.presets
    ]
