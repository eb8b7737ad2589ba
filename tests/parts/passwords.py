"""Passwords that take no time to check, in this process; servers of the tests are processes of their own."""

from functools import partial

import pytest
from argon2 import PasswordHasher

from core import access


def make_cheap(patch: pytest.MonkeyPatch) -> None:
    """What is hashed from now on is hashed with the least that argon2 takes, and says so to whoever checks it."""
    patch.setattr(access, "PasswordHasher", partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1))
