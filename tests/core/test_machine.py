"""The core does what the model of the namespace says, whatever two callers do."""

import pytest

from tests.core.conftest import OpenStore
from tests.machines import namespace
from tests.machines.drivers import CoreDriver
from tests.parts.scale import soak


@pytest.mark.slow
@pytest.mark.timeout(soak(300, 14_400))
def test_the_core_behaves_like_the_model(checked: OpenStore):
    namespace.run(CoreDriver(checked()), examples=soak(15, 2_000), steps=soak(25, 50))
