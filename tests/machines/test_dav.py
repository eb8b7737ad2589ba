"""The server does what the model of the namespace says, whatever two clients do to it over sockets."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.machines import namespace
from tests.machines.dav import DavDriver
from tests.parts import stores
from tests.parts.scale import soak
from tests.parts.server import DavServer

PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}


@pytest.mark.timeout(soak(300, 14_400))
@pytest.mark.parametrize("workers", [1, 2])
def test_the_server_behaves_like_the_model(
    serve: Callable[..., DavServer], database_url: str, tmp_path: Path, workers: int
):
    with closing(stores.opened(database_url, tmp_path / "data")) as store:
        for name, password in PASSWORDS.items():
            store.accounts.add(name, password)
        server = serve("--workers", str(workers), environ={"DAVSTORE_DATABASE__URL": database_url})
        with closing(DavDriver(server, store, PASSWORDS)) as driver:
            namespace.run(driver, examples=soak(6, 500), steps=soak(25, 50))
