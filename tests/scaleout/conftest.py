from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.postgresql import Cluster
from tests.parts.seaweedfs import SeaweedFS
from tests.scaleout.fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path, postgres: Cluster, seaweedfs: SeaweedFS) -> Iterator[Fleet]:
    with Fleet(tmp_path, postgres, seaweedfs) as fleet:
        yield fleet
