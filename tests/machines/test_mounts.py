"""Mounts do what the model of the namespace says: two of them alone, and one beside a server on the same tree."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.machines import namespace
from tests.machines.dav import DavDriver
from tests.machines.drivers import CoreDriver
from tests.machines.mounts import MountDriver
from tests.parts import stores
from tests.parts.scale import soak
from tests.parts.server import DavServer

PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}
EXAMPLES, STEPS = soak(3, 300), soak(30, 50)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(soak(300, 14_400))]


def run(driver: MountDriver) -> None:
    """A few runs may ask nothing of a mount, by chance. Then there are more."""
    for _ in range(10):
        namespace.run(driver, examples=EXAMPLES, steps=STEPS, shrinks=False)
        if driver.calls:
            return
    pytest.fail("no mount was asked for anything")


def test_two_mounts_behave_like_the_model(tmp_path: Path):
    data = tmp_path / "data"
    with (
        closing(stores.opened(f"sqlite:///{data / 'davstore.db'}", data)) as store,
        closing(MountDriver(CoreDriver(store), tmp_path, data, ("ann", "bob"))) as driver,
    ):
        run(driver)


def test_a_mount_beside_a_server_behaves_like_the_model(serve: Callable[..., DavServer], tmp_path: Path):
    data = tmp_path / "data"
    with closing(stores.opened(f"sqlite:///{data / 'davstore.db'}", data)) as store:
        for name, password in PASSWORDS.items():
            store.accounts.add(name, password)
        with (
            closing(DavDriver([serve()], store, PASSWORDS)) as dav,
            closing(MountDriver(dav, tmp_path, data, ("ann",))) as driver,
        ):
            run(driver)
