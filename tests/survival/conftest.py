"""An installation with something to lose, of which each test gets a copy."""

import shutil
from pathlib import Path

import pytest

from tests.parts.server import DavServer
from tests.survival.drive import fsck

CONTENTS = {"/files/large": bytes(range(256)) * 1000, "/files/small": b"small"}


@pytest.fixture(scope="session")
def installation_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("installation") / "data"
    with DavServer(data) as server:
        for path, content in CONTENTS.items():
            assert server.request("PUT", path, content).status == 201
    fsck(data)
    return data


@pytest.fixture
def installation(installation_template: Path, tmp_path: Path) -> Path:
    """A data directory with two files, one in the database and one beside it."""
    return shutil.copytree(installation_template, tmp_path / "data")
