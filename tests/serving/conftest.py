"""A server with every storage and every way to deliver, for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.parts.nginx import Nginx
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import DavServer
from tests.serving.drive import Drive, configured


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory, seaweedfs: SeaweedFS) -> Iterator[Drive]:
    folder = tmp_path_factory.mktemp("serving")
    data = folder / "data"
    environ = {**seaweedfs.environ, "AWS_S3_BUCKET": seaweedfs.bucket(), "AWS_S3_ENDPOINT": seaweedfs.endpoint}
    server = DavServer(data, "--config", str(configured(folder, seaweedfs)), environ=environ)
    nginx = Nginx(folder / "nginx", server.port, data / "blobs")
    with server, nginx:
        drive = Drive(server, nginx, seaweedfs, environ)
        drive.fill()
        yield drive
