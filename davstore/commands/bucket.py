"""`davstore bucket`: buckets and their policies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InvalidSetting, NotFound

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.model import Bucket
    from core.policy import BucketPolicy
    from core.store import Store

app = typer.Typer(help="Buckets, the top-level folders, and their policies.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The bucket's name.", show_default=False)]
POLICY = 'Keys of its policy, as in the configuration file: quota="10 GiB" versions=5 types="image/*, video/*".'


@app.command()
def create(
    name: Name,
    policy: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help=POLICY)] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a bucket."""
    from core.policy import BucketPolicy, bucket_name

    try:
        bucket_name(name)
    except ValueError as error:
        raise InvalidSetting(name, str(error)) from None
    wanted = _changed(BucketPolicy(), policy or ())
    with opened(data, config, may_be_new=True) as store:
        store.create_bucket(name, wanted)


@app.command(name="set")
def set_(
    name: Name,
    policy: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help=POLICY, show_default=False)],
    data: Data = None,
    config: Config = None,
) -> None:
    """Change a bucket's policy; contents that are there stay where they are."""
    from core import buckets

    with opened(data, config) as store:
        store.change_bucket(name, _changed(buckets.policy(_bucket(store, name)), policy))


@app.command()
def ls(json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the buckets with their policies."""
    with opened(data, config) as store:
        buckets, configured = store.buckets(), store.settings.buckets
    if json:
        output.as_json([_described(bucket, configured.get(bucket.name)) for bucket in buckets])
    else:
        heads = ("NAME", "FILES", "SIZE", "QUOTA", "STORAGE", "INLINE BELOW", "VISIBILITY")
        output.as_table(heads, map(_row, buckets), none="There are no buckets; `davstore bucket create` makes one.")


def _changed(policy: "BucketPolicy", items: Sequence[str]) -> "BucketPolicy":
    """Raises SettingsError, and InvalidSetting for what is no KEY=VALUE."""
    from core.settings import changed

    keys: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise InvalidSetting(item, 'is not KEY=VALUE; write for example quota="10 GiB"')
        keys[key.strip()] = value.strip()
    if "references" in keys:
        raise InvalidSetting("references", "stand in the configuration file, below [[buckets.NAME.references]]")
    return changed(policy, **keys)


def _bucket(store: "Store", name: str) -> "Bucket":
    for bucket in store.buckets():
        if bucket.name == name:
            return bucket
    raise NotFound(name, "there is no such bucket; `davstore bucket ls` lists them")


def _described(bucket: "Bucket", configured: "BucketPolicy | None") -> dict[str, object]:
    """Only its reference rules follow the configuration file for ever."""
    from core import buckets

    counters = {"name": bucket.name, "uid": bucket.uid, "files": bucket.files, "bytes": bucket.bytes}
    references = configured.references if configured else ()
    return counters | buckets.policy(bucket).model_copy(update={"references": references}).model_dump(mode="json")


def _row(bucket: "Bucket") -> tuple[str | None, ...]:
    limits = output.size(bucket.bytes), output.size(bucket.quota), bucket.storage, output.size(bucket.inline_below)
    return bucket.name, str(bucket.files), *limits, bucket.visibility
