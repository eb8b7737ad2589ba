"""One state machine for every way to the namespace: each step is done to the model and to the store."""

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from core.model import Caller
from tests.machines.drivers import Driver, restore
from tests.parts.model import Lock, Model, Path, Refused
from tests.parts.scale import SOAKING

BUCKETS = ("files", "media")
NAMES = ("a", "A", "caf\u00e9", "cafe\u0301", "50%2F #?;&+", "\ufb01\U0001f4be")
CONTENTS = (b"", b"a", b"b", b"larger than what is inline", b"another that has a blob of its own")

Where = Path | int | tuple[int, str]
"""A path; or which of the things that are there; or a name below one of them."""

Outcome = tuple[Any, set[str]]
"""A result, and the reasons where there is none."""

callers = st.sampled_from(("ann", "bob"))
names = st.sampled_from(NAMES)
paths = st.builds(lambda bucket, rest: (bucket, *rest), st.sampled_from(BUCKETS), st.lists(names, max_size=3))
something = st.integers(0, 99)
anywhere = st.tuples(something, names) | paths
places = anywhere | something
contents = st.sampled_from(CONTENTS)
submitted = st.sampled_from(("own", "none", "all"))
changes = st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from(("1", "2", None))), min_size=1, max_size=3)


class NamespaceMachine(RuleBasedStateMachine):
    driver: ClassVar[Driver]

    def __init__(self) -> None:
        super().__init__()
        self.driver.renew()
        self.model = Model(BUCKETS)
        self.locks: list[Lock] = []

    @rule(by=callers, where=anywhere, content=contents, with_tokens=submitted, only_new=st.booleans())
    def put_somewhere(self, by: str, where: Where, content: bytes, with_tokens: str, only_new: bool) -> None:
        self.both("put", by, self.path(where), content, self.tokens(by, with_tokens), only_new)

    @rule(by=callers, which=something, content=contents, with_tokens=submitted)
    def put_over(self, by: str, which: int, content: bytes, with_tokens: str) -> None:
        self.both("put", by, self.path(which), content, self.tokens(by, with_tokens), False)

    @rule(by=callers, where=anywhere, with_tokens=submitted)
    def make_collection(self, by: str, where: Where, with_tokens: str) -> None:
        path = self.path(where)
        if len(path) > 1:
            self.both("make_collection", by, path, self.tokens(by, with_tokens))

    @rule(by=callers, where=places, changes=changes, with_tokens=submitted)
    def set_properties(self, by: str, where: Where, changes: list[tuple[str, str | None]], with_tokens: str) -> None:
        self.both("set_properties", by, self.path(where), changes, self.tokens(by, with_tokens))

    @rule(by=callers, where=places, with_tokens=submitted)
    def delete(self, by: str, where: Where, with_tokens: str) -> None:
        self.both("delete", by, self.path(where), self.tokens(by, with_tokens))

    @rule(by=callers, source=places, to=places, with_tokens=submitted, deep=st.booleans(), overwrite=st.booleans())
    def copy(self, by: str, source: Where, to: Where, with_tokens: str, deep: bool, overwrite: bool) -> None:
        tokens = self.tokens(by, with_tokens)
        self.both("copy", by, self.path(source), self.path(to), tokens, deep=deep, overwrite=overwrite)

    @rule(by=callers, source=places, to=places, with_tokens=submitted, overwrite=st.booleans())
    def move(self, by: str, source: Where, to: Where, with_tokens: str, overwrite: bool) -> None:
        tokens = self.tokens(by, with_tokens)
        self.both("move", by, self.path(source), self.path(to), tokens, overwrite=overwrite)

    @rule(by=callers, where=places, with_tokens=submitted, infinite=st.booleans(), exclusive=st.booleans())
    def lock(self, by: str, where: Where, with_tokens: str, infinite: bool, exclusive: bool) -> None:
        path, tokens = self.path(where), self.tokens(by, with_tokens)
        given, told = _outcome(lambda: self.driver.lock(by, path, tokens, infinite=infinite, exclusive=exclusive))
        created, token = given or (None, "refused")
        lock = Lock(token, by, infinite, exclusive)
        self.agree("lock", (created, told), _outcome(lambda: self.model.lock(by, path, lock, tokens)))
        self.locks += [] if told else [lock]

    @rule(by=callers, which=something, where=places, at_root=st.booleans())
    def unlock(self, by: str, which: int, where: Where, at_root: bool) -> None:
        token = self.token(which)
        self.both("unlock", by, self.root(token) if at_root else self.path(where), token)

    @rule(by=callers, which=something, where=places, at_root=st.booleans())
    def refresh(self, by: str, which: int, where: Where, at_root: bool) -> None:
        token = self.token(which)
        self.both("refresh", by, self.root(token) if at_root else self.path(where), token)

    @rule(by=callers, which=something)
    def restore(self, by: str, which: int) -> None:
        if not self.model.trash:
            return
        n = which % len(self.model.trash)
        _, told = _outcome(lambda: restore(self.driver.store, n, by))
        _, reasons = _outcome(lambda: self.model.restore(n, by))
        assert bool(told) == bool(reasons), (told, reasons)
        assert told <= reasons

    @invariant()
    def both_have_the_same(self) -> None:
        """The quick run asks once, at the end, whether an invariant is broken."""
        self.tree_is_the_same()
        self.versions_are_the_same()
        self.trash_is_the_same()
        assert not SOAKING or self.driver.store.verify().problems == ()

    def tree_is_the_same(self) -> None:
        expected = {
            path: (
                entry.content,
                entry.properties,
                frozenset(lock.token for locks in self.model.covering(path).values() for lock in locks),
            )
            for path, entry in self.model.tree.items()
        }
        assert self.driver.tree(self.model) == expected

    def versions_are_the_same(self) -> None:
        recovery = self.driver.store.recovery(_anybody())
        for path, entry in self.model.tree.items():
            kept = [(version.size, version.digest) for version in recovery.versions(path)]
            assert sorted(kept) == sorted((len(content), _digest(content)) for content in entry.versions), path

    def trash_is_the_same(self) -> None:
        trashed = self.driver.store.recovery(_anybody()).trashed()
        assert [(entry.path, entry.size) for entry in reversed(trashed)] == [
            (path, sum(len(entry.content or b"") for entry in removed.values())) for path, removed in self.model.trash
        ]

    def teardown(self) -> None:
        assert self.driver.store.verify(deep=True).problems == ()

    def both(self, verb: str, *arguments: object, **named: object) -> None:
        """Does it to both."""
        given = _outcome(lambda: getattr(self.driver, verb)(*arguments, **named))
        self.agree(verb, given, _outcome(lambda: getattr(self.model, verb)(*arguments, **named)))

    def agree(self, verb: str, given: Outcome, expected: Outcome) -> None:
        """They refused for the same reason or gave the same result."""
        words = self.driver.words(verb, expected[1])
        assert bool(given[1]) == bool(expected[1]), f"the store: {given}, the model: {expected}"
        assert given[1] <= words, f"the store says {given[1]}, the model {words}"
        assert given[0] == expected[0]

    def path(self, where: Where) -> Path:
        there = list(self.model.tree)
        if isinstance(where, int):
            return there[where % len(there)]
        match where:
            case (int() as n, str() as name):
                return (*there[n % len(there)], name)
            case _:
                return where

    def tokens(self, by: str, which: str) -> frozenset[str]:
        return frozenset(lock.token for lock in self.locks if which == "all" or (which == "own" and lock.by == by))

    def token(self, which: int) -> str:
        return self.locks[which % len(self.locks)].token if self.locks else "urn:uuid:no-such-lock"

    def root(self, token: str) -> Path:
        """Where the lock is; any place for one that is gone."""
        return next(
            (path for path, entry in self.model.tree.items() if token in {lock.token for lock in entry.locks}),
            BUCKETS[:1],
        )


def run(driver: Driver, examples: int, steps: int, *, shrinks: bool = True) -> None:
    """As many runs of as many steps each on an otherwise unused store. What fails is told as short as can be, unless
    that takes too long."""
    machine = type("Machine", (NamespaceMachine,), {"driver": driver})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[phase for phase in Phase if shrinks or phase is not Phase.shrink],
            suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much),
        ),
    )


def _outcome(act: Callable[[], Any]) -> Outcome:
    try:
        return act(), set()
    except Refused as refused:
        return None, refused.reasons


def _anybody() -> Caller:
    return Caller("ann")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
