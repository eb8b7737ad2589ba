"""Whatever statement, commit or blob call fails: nothing has changed, and trying again succeeds (I5)."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from core.model import LockRequest, Node, PropertyChange, PropertyName
from core.policy import BucketPolicy
from core.store import Store
from tests.core.conftest import OpenStore
from tests.parts import stores
from tests.parts.snapshots import snapshot
from tests.parts.strikes import Countdown, Struck, blob_call_fails, drafts, statement_fails

LARGE, OTHER = b"larger than what is kept inline", b"another one of such contents, for versions"
DIRECTORY, FILE, INNER, TARGET = ("files", "d"), ("files", "f"), ("files", "d", "sub", "g"), ("files", "target")
FOLDER, ABROAD, BARE = ("files", "folder"), ("media", "abroad"), ("bare", "d")
KEEP = PropertyName("urn:example", "keep")

Act = Callable[[Store], object]


def put(path: tuple[str, ...], data: bytes) -> Act:
    return lambda store: stores.put(store.namespace(stores.ANN), path, data)


def copy(source: tuple[str, ...], target: tuple[str, ...]) -> Act:
    return lambda store: store.namespace(stores.ANN).copy(source, target)


def move(source: tuple[str, ...], target: tuple[str, ...]) -> Act:
    return lambda store: store.namespace(stores.ANN).move(source, target)


def delete(path: tuple[str, ...]) -> Act:
    return lambda store: store.namespace(stores.ANN).delete(path)


def restored(store: Store) -> Node:
    recovery = store.recovery(stores.ANN)
    return recovery.restore(recovery.trashed("files")[0].uid, ("files", "made", "again", "back"))


ACTS: dict[str, Act] = {
    "put inline": put(TARGET, b"small"),
    "put large": put(TARGET, b"a content that was never seen before"),
    "put known": put(TARGET, LARGE),
    "put over": put(FILE, b"yet another content of the same file"),
    "put by another": lambda store: stores.put(store.namespace(stores.BOB), FILE, OTHER),
    "make collection": lambda store: store.namespace(stores.ANN).make_collection(TARGET),
    "properties": lambda store: store.namespace(stores.ANN).set_properties(FILE, [PropertyChange(KEEP, None)]),
    "lock unmapped": lambda store: store.namespace(stores.ANN).lock(TARGET, LockRequest()),
    "copy file": copy(FILE, TARGET),
    "copy tree": copy(DIRECTORY, TARGET),
    "copy over file": copy(FILE, INNER),
    "copy tree over tree": copy(DIRECTORY, FOLDER),
    "copy tree over file": copy(DIRECTORY, FILE),
    "copy file abroad": copy(FILE, ABROAD),
    "copy tree abroad": copy(DIRECTORY, ABROAD),
    "copy over abroad": copy(FILE, ("media", "taken")),
    "move file": move(FILE, TARGET),
    "move tree": move(DIRECTORY, TARGET),
    "move over file": move(FILE, INNER),
    "move tree over tree": move(DIRECTORY, FOLDER),
    "move file over tree": move(FILE, DIRECTORY),
    "move file abroad": move(FILE, ABROAD),
    "move tree abroad": move(DIRECTORY, ABROAD),
    "move over abroad": move(FILE, ("media", "taken")),
    "delete file": delete(FILE),
    "delete tree": delete(DIRECTORY),
    "delete without trash": delete(BARE),
    "restore": restored,
    "forget": lambda store: store.recovery(stores.ANN).forget(store.recovery(stores.ANN).trashed("files")[0].uid),
}


def filled(store: Store) -> Store:
    ann, bob = store.namespace(stores.ANN), store.namespace(stores.BOB)
    for collection in (DIRECTORY, INNER[:-1], FOLDER, BARE):
        ann.make_collection(collection)
    for path, data in (
        *((FILE, LARGE), (FILE, OTHER), (INNER, LARGE), ((*DIRECTORY, "small"), b"s"), ((*FOLDER, "x"), b"x")),
        *((("media", "taken"), b"what is abroad in the other bucket"), ((*BARE, "y"), LARGE)),
        *((("files", "gone"), b"gone"), (("files", "gone2"), b"gone too, with a blob")),
    ):
        stores.put(ann if data != OTHER else bob, path, data)
    ann.set_properties(FILE, [PropertyChange(KEEP, "<kept/>")])
    ann.delete(("files", "gone"))
    ann.delete(("files", "gone2"))
    return store


@pytest.mark.slow
@pytest.mark.parametrize("fails", [statement_fails, blob_call_fails])
@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_fails_at_any_step_changes_nothing(
    checked: OpenStore, act: str, fails: Callable[[Store, int], AbstractContextManager[Countdown]]
):
    store = filled(checked(bare=BucketPolicy(inline_below=16, trash=None)))
    before, steps = snapshot(store), 0

    while is_struck(store, ACTS[act], fails, steps + 1):
        steps += 1
        assert snapshot(store) == before, f"step {steps}"
        assert store.verify().problems == (), f"step {steps}"
        assert not drafts(store.settings.data), f"step {steps}"

    assert snapshot(store) != before
    assert steps or fails is blob_call_fails


def is_struck(
    store: Store, act: Act, fails: Callable[[Store, int], AbstractContextManager[Countdown]], at: int
) -> bool:
    """Whether the act came so far; if not, it is done."""
    with fails(store, at) as countdown:
        if countdown.left and _raises(act, store):
            return True
    assert not countdown.has_struck
    return False


def _raises(act: Act, store: Store) -> bool:
    try:
        act(store)
    except Struck:
        return True
    return False
