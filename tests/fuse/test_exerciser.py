"""A file has the bytes that a file of its history has, whatever is done to it through however many handles."""

import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuse.exerciser import Exerciser
from tests.parts.scale import soak

pytestmark = pytest.mark.timeout(soak(120, 14_400))


def test_a_file_is_like_its_image_in_memory(mount: Path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")

    Exerciser(mount / "f", seed).run(soak(4000, 900_000))


def test_files_that_are_changed_at_once_do_not_disturb_each_other(mount: Path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    exercisers = []
    for n in range(4):
        (mount / str(n)).mkdir()
        exercisers.append(Exerciser(mount / str(n) / "f", seed + n))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda exerciser: exerciser.run(soak(250, 25_000)), exercisers))


def test_the_exerciser_sees_a_byte_that_is_wrong(tmp_path: Path):
    """On a bare directory, with somebody else who writes."""

    class Disturbed(Exerciser):
        def _append(self) -> None:
            super()._append()
            with self._file.open("r+b") as file:
                file.write(bytes(byte ^ 1 for byte in self._image[:1]))

    with pytest.raises(AssertionError, match=re.compile("first difference at 0")):
        Disturbed(tmp_path / "f", 1).run(2000)
