"""The server does what the model of the namespace says, whatever two clients do to it over sockets."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from core.settings import Settings
from core.storage_settings import S3Storage
from tests.machines import namespace
from tests.machines.dav import DavDriver
from tests.parts import stores
from tests.parts.scale import soak
from tests.parts.server import DavServer

GATEWAY = """
[storages.s3main]
type = "s3"
bucket = "{bucket}"
endpoint = "{endpoint}"
region = "{region}"
[buckets.files]
storage = "s3main"
inline_below = {inline}
[buckets.media]
storage = "s3main"
inline_below = {inline}
[database]
url = "{url}"
[collector]
enabled = false
[renditions]
enabled = false
"""
QUIET = {"DAVSTORE_COLLECTOR__ENABLED": "false", "DAVSTORE_RENDITIONS__ENABLED": "false"}
"""No background jobs: the rows are taken from under them each time that the machine begins anew."""
PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}


@pytest.mark.timeout(soak(300, 14_400))
@pytest.mark.parametrize("workers", [1, 2])
def test_the_server_behaves_like_the_model(
    serve: Callable[..., DavServer], database_url: str, tmp_path: Path, workers: int
):
    with closing(stores.opened(database_url, tmp_path / "data")) as store:
        for name, password in PASSWORDS.items():
            store.accounts.add(name, password)
        server = serve("--workers", str(workers), environ={"DAVSTORE_DATABASE__URL": database_url, **QUIET})
        with closing(DavDriver([server], store, PASSWORDS)) as driver:
            namespace.run(driver, examples=soak(6, 500), steps=soak(25, 50))


@pytest.mark.timeout(soak(300, 14_400))
def test_two_gateways_in_turn_on_postgresql_and_s3_behave_like_the_model(
    postgres_url: str, s3_storage: S3Storage, serve: Callable[..., DavServer], tmp_path: Path
):
    config = tmp_path / "davstore.toml"
    given = {"bucket": s3_storage.bucket, "endpoint": s3_storage.endpoint, "region": s3_storage.region}
    config.write_text(GATEWAY.format(**given, url=postgres_url, inline=stores.INLINE_BELOW))
    settings = Settings.load(config, os.environ, data=str(tmp_path / "looking"))
    with closing(stores.stores.open(settings)) as store:
        for name, password in PASSWORDS.items():
            store.accounts.add(name, password)
        servers = [serve("--config", str(config), data=tmp_path / name) for name in ("first", "second")]
        with closing(DavDriver(servers, store, PASSWORDS)) as driver:
            namespace.run(driver, examples=soak(6, 200), steps=soak(25, 50))
