"""What people without a right password can do to those who have one: nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest
from wsgidav.dav_error import DAVError

from core.model import Caller
from core.store import Store
from davstore.app import application
from davstore.auth import CHECKS_IN_HAND, Credentials
from tests.davstore.client import Dav
from tests.davstore.conftest import USERS


class SlowAccounts:
    """Every check of a wrong password takes until the test lets it go."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def verify(self, name: str, password: str) -> Caller | None:
        if password == "right":
            return Caller(name)
        self.released.wait(30)
        return None

    def stamp(self, name: str) -> str | None:
        return "unchanged"


def test_guesses_beyond_a_bound_are_turned_away_and_keep_no_thread() -> None:
    accounts = SlowAccounts()
    credentials = Credentials(accounts)
    assert credentials.caller("alice", "right")

    with ThreadPoolExecutor(CHECKS_IN_HAND + 1) as pool:
        guesses = [pool.submit(credentials.caller, "alice", f"guess {n}") for n in range(CHECKS_IN_HAND + 1)]
        turned_away = next(as_completed(guesses, timeout=10))

        assert isinstance(refusal := turned_away.exception(), DAVError)
        assert refusal.value == 503
        assert credentials.caller("alice", "right") == Caller("alice")
        accounts.released.set()

    assert sum(guess.exception() is None for guess in guesses) == CHECKS_IN_HAND


def test_who_is_turned_away_is_told_to_come_back(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("davstore.auth.CHECKS_IN_HAND", 0)
    dav = Dav(application(opened, opened.settings)).signed_in("admin", USERS["admin"])

    answer = dav("GET", "/files/")

    assert answer.status == 503
    assert answer.header("Retry-After")
