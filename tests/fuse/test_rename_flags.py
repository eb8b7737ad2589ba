"""renameat2(2)."""

import errno
import os
from pathlib import Path

from tests.fuse.calls import EXCHANGE, NOREPLACE, create, refused, renameat2


def test_noreplace_refuses_a_name_that_is_taken(mount: Path):
    create(mount / "a", b"a")
    create(mount / "b", b"b")

    with refused(errno.EEXIST):
        renameat2(mount / "a", mount / "b", NOREPLACE)
    assert (mount / "b").read_bytes() == b"b"


def test_noreplace_renames_where_nothing_is(mount: Path):
    create(mount / "a", b"a")

    renameat2(mount / "a", mount / "b", NOREPLACE)

    assert os.listdir(mount) == ["b"]


def test_an_exchange_with_what_it_is_in_is_refused(mount: Path):
    (mount / "a" / "inner").mkdir(parents=True)

    with refused(errno.EINVAL):
        renameat2(mount / "a", mount / "a" / "inner", EXCHANGE)


def test_flags_that_exclude_each_other_are_refused(mount: Path):
    create(mount / "a")
    create(mount / "b")

    with refused(errno.EINVAL):
        renameat2(mount / "a", mount / "b", NOREPLACE | EXCHANGE)
