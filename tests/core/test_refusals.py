"""Every verb against every reason to refuse it; after each refusal everything is as it was (I5)."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from core.errors import (
    AlreadyExists,
    Forbidden,
    InvalidMove,
    InvalidPath,
    IsACollection,
    LockConflict,
    Locked,
    NameTooLong,
    NoParent,
    NoSuchLock,
    NotACollection,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    Refusal,
    TooLarge,
    UnsupportedMediaType,
)
from core.model import Caller, Expect, LockRequest, Look, Path, PropertyChange, PropertyName, Scope
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.store import Store
from tests.core.conftest import OpenStore
from tests.machines.drivers import wipe
from tests.parts import stores
from tests.parts.snapshots import Snapshot, snapshot

D, F, G, SUB, NEW = (("files", *rest) for rest in (("d",), ("d", "f"), ("d", "sub", "g"), ("d", "sub"), ("d", "new")))
FILE, FREE, ABROAD = ("files", "file"), ("files", "free"), ("media", "free")
TOKEN = "urn:uuid:00000000-0000-4000-8000-000000000000"
KEEP = PropertyName("urn:example", "keep")

Act = Callable[[Namespace, Path, Expect], object]


def copy_to(namespace: Namespace, path: Path, expect: Expect) -> object:
    return namespace.copy(FILE, path, expect=expect)


def move_to(namespace: Namespace, path: Path, expect: Expect) -> object:
    return namespace.move(FILE, path, expect=expect)


def set_property(namespace: Namespace, path: Path, expect: Expect) -> object:
    return namespace.set_properties(path, [PropertyChange(KEEP, "<changed/>")], expect=expect)


def token_of(expect: Expect) -> str:
    return next(iter(expect.tokens), TOKEN)


VERBS: dict[str, Act] = {
    "put": lambda ns, path, expect: stores.put(ns, path, b"new", expect),
    "check_put": lambda ns, path, expect: ns.check_put(path, size=3, expect=expect),
    "make_collection": lambda ns, path, expect: ns.make_collection(path, expect=expect),
    "delete": lambda ns, path, expect: ns.delete(path, expect=expect),
    "copy_from": lambda ns, path, expect: ns.copy(path, FREE, expect=expect),
    "copy_abroad": lambda ns, path, expect: ns.copy(path, ABROAD, expect=expect),
    "copy_to": copy_to,
    "copy_to_new": lambda ns, path, expect: ns.copy(FILE, path, overwrite=False, expect=expect),
    "move_from": lambda ns, path, expect: ns.move(path, FREE, expect=expect),
    "move_abroad": lambda ns, path, expect: ns.move(path, ABROAD, expect=expect),
    "move_to": move_to,
    "move_to_new": lambda ns, path, expect: ns.move(FILE, path, overwrite=False, expect=expect),
    "set_properties": set_property,
    "lock": lambda ns, path, expect: ns.lock(path, LockRequest(), expect=expect),
    "lock_flat": lambda ns, path, expect: ns.lock(path, LockRequest(infinite=False), expect=expect),
    "lock_shared": lambda ns, path, expect: ns.lock(path, LockRequest(Scope.SHARED), expect=expect),
    "refresh": lambda ns, path, expect: ns.refresh(path, None, expect=expect),
    "unlock": lambda ns, path, expect: ns.unlock(path, token_of(expect)),
}
PUTS, LOCKS = ("put", "check_put"), ("lock", "lock_flat", "lock_shared")
COMES, GOES = ("copy_to", "copy_to_new", "move_to", "move_to_new"), ("delete", "move_from", "move_abroad")
SOURCES = (*GOES, "copy_from", "copy_abroad")
MAKES = (*PUTS, "make_collection", *COMES, *LOCKS)
OVERWRITES = ("copy_to", "move_to")


@dataclass(frozen=True)
class Cell:
    verbs: tuple[str, ...]
    path: Path
    refusal: type[Refusal] | None


BY_PATH = [
    Cell((*SOURCES, "set_properties", "refresh"), ("files", "none"), NotFound),
    Cell(("unlock",), ("files", "none"), NoSuchLock),
    *(
        cell
        for nowhere in (("files", "none", "x"), ("files", "file", "x"), ("files", "none", "far", "x"))
        for cell in (
            Cell(MAKES, nowhere, NoParent),
            Cell((*SOURCES, "set_properties", "refresh"), nowhere, NotFound),
            Cell(("unlock",), nowhere, NoSuchLock),
        )
    ),
    Cell(MAKES, ("none", "x"), NoParent),
    Cell((*SOURCES, "set_properties", "refresh", "unlock"), ("none", "x"), NotFound),
    Cell((*PUTS, "make_collection", *COMES), ("none",), Forbidden),
    Cell(("delete", "copy_from", "set_properties", *LOCKS, "refresh", "unlock"), ("none",), NotFound),
    Cell((*PUTS,), ("files",), IsACollection),
    Cell(("delete", *COMES, "move_from", "move_abroad"), ("files",), Forbidden),
    Cell(("make_collection",), ("files",), AlreadyExists),
    Cell(("copy_from",), ("files",), InvalidMove),
    Cell((*PUTS,), (), IsACollection),
    Cell(("make_collection",), (), AlreadyExists),
    Cell(tuple(verb for verb in VERBS if verb not in {*PUTS, "make_collection"}), (), Forbidden),
    Cell((*PUTS,), D, IsACollection),
    Cell(("make_collection", "copy_to_new", "move_to_new"), D, AlreadyExists),
    Cell(("make_collection", "copy_to_new", "move_to_new"), F, AlreadyExists),
    Cell(COMES, FILE, InvalidMove),
    Cell(("unlock",), F, NoSuchLock),
    Cell(("refresh",), F, PreconditionFailed),
]


def cells(table: list[Cell]) -> list[object]:
    return [
        pytest.param(verb, cell.path, cell.refusal, id=f"{verb}-/{'/'.join(cell.path)}")
        for cell in table
        for verb in cell.verbs
    ]


def fill(store: Store) -> Store:
    wipe(store)
    namespace = store.namespace(stores.BOB)
    for collection in (D, SUB):
        namespace.make_collection(collection)
    for file, data in ((F, b"f"), (G, b"a content with a blob of its own"), (FILE, b"file")):
        stores.put(namespace, file, data)
        namespace.set_properties(file, [PropertyChange(KEEP, "<kept/>")])
    return store


@pytest.fixture(scope="module")
def steady(untouched: Store) -> tuple[Store, Snapshot]:
    return fill(untouched), snapshot(untouched)


@pytest.fixture
def filled(lasting: Store) -> Store:
    return fill(lasting)


@pytest.mark.parametrize(("verb", "path", "refusal"), cells(BY_PATH))
def test_what_a_path_cannot_take_is_refused(
    steady: tuple[Store, Snapshot], verb: str, path: Path, refusal: type[Refusal]
):
    is_refused(steady, stores.ANN, verb, path, Expect(), refusal)


@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.parametrize(
    ("source", "target"), [(D, D), (D, NEW), (D, (*SUB, "far")), (SUB, D), (F, D), (G, D), (F, F)], ids=str
)
def test_nothing_goes_into_itself_or_onto_what_holds_it(
    steady: tuple[Store, Snapshot], verb: str, source: Path, target: Path
):
    store, before = steady

    with pytest.raises(InvalidMove):
        getattr(store.namespace(stores.ANN), verb)(source, target)

    assert snapshot(store) == before


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "check_put"])
def test_who_may_not_write_changes_nothing(steady: tuple[Store, Snapshot], verb: str):
    is_refused(steady, stores.READER, verb, NEW if verb in MAKES else F, Expect(), Forbidden)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "unlock"])
def test_an_expectation_that_fails_stops_every_verb(steady: tuple[Store, Snapshot], verb: str):
    def fails(look: Look) -> None:
        assert look.node(FILE)
        raise PreconditionFailed(FILE)

    is_refused(steady, stores.ANN, verb, NEW if verb in MAKES else F, Expect(fails), PreconditionFailed)


BY_LOCK: dict[str, tuple[Path, bool, list[Cell]]] = {
    "on itself": (
        F,
        False,
        [
            Cell((*PUTS, *GOES, *OVERWRITES, "set_properties"), F, Locked),
            Cell(LOCKS, F, LockConflict),
            Cell(("copy_from", "copy_abroad"), F, None),
        ],
    ),
    "on the parent alone": (
        D,
        False,
        [
            Cell((*GOES, *OVERWRITES), F, Locked),
            Cell((*PUTS, "make_collection", *COMES, *LOCKS), NEW, Locked),
            Cell((*PUTS, "set_properties", *LOCKS, "copy_from"), F, None),
            Cell((*GOES, *OVERWRITES, *PUTS, "copy_from"), G, None),
            Cell(("set_properties", *GOES, *OVERWRITES), D, Locked),
            Cell(LOCKS, D, LockConflict),
        ],
    ),
    "on all above": (
        D,
        True,
        [
            Cell((*PUTS, *GOES, *OVERWRITES, "set_properties"), G, Locked),
            Cell((*PUTS, "make_collection", *COMES), (*SUB, "new"), Locked),
            Cell(("lock", "lock_flat"), G, LockConflict),
            Cell(LOCKS, (*SUB, "new"), Locked),
            Cell(("copy_from", "copy_abroad"), G, None),
        ],
    ),
    "on a member below": (
        G,
        False,
        [
            Cell((*GOES, *OVERWRITES), D, Locked),
            Cell(("lock", "lock_shared"), D, LockConflict),
            Cell(("lock_flat", "set_properties", "copy_from"), D, None),
            Cell((*PUTS, "make_collection", *COMES), (*SUB, "new"), None),
        ],
    ),
}


@pytest.mark.parametrize("where", BY_LOCK)
def test_a_lock_stops_all_but_its_holder(lasting: Store, where: str):
    """The token of another, or of a lock elsewhere, opens nothing; the holder's own does."""
    root, infinite, table = BY_LOCK[where]
    for verb, path, refusal in ((verb, cell.path, cell.refusal) for cell in table for verb in cell.verbs):
        ann, bob = fill(lasting).namespace(stores.ANN), lasting.namespace(stores.BOB)
        held = bob.lock(root, LockRequest(infinite=infinite))[0].token
        mine = ann.lock(("files", "mine"), LockRequest())[0].token
        if refusal is None:
            VERBS[verb](ann, path, Expect())
            continue
        steady = lasting, snapshot(lasting)
        for tokens in ((), (held,), (mine,)):
            is_refused(steady, stores.ANN, verb, path, Expect(tokens=frozenset(tokens)), refusal)
        if refusal is Locked and not (infinite and verb in LOCKS):
            VERBS[verb](bob, path, Expect(tokens=frozenset({held})))


def test_another_users_lock_can_neither_be_refreshed_nor_given_up(filled: Store):
    held, *_ = filled.namespace(stores.BOB).lock(F, LockRequest())
    steady, theirs = (filled, snapshot(filled)), Expect(tokens=frozenset({held.token}))

    is_refused(steady, stores.ANN, "refresh", F, theirs, Forbidden)
    is_refused(steady, stores.ANN, "unlock", F, theirs, Forbidden)
    is_refused(steady, stores.ANN, "unlock", FILE, theirs, NoSuchLock)
    is_refused(steady, stores.ANN, "refresh", FILE, theirs, PreconditionFailed)


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("x" * 256, NameTooLong),
        ("\u20ac" * 86, NameTooLong),
        ("", InvalidPath),
        (".", InvalidPath),
        ("..", InvalidPath),
        ("a/b", InvalidPath),
        ("a\0b", InvalidPath),
        ("\udc80", InvalidPath),
    ],
)
@pytest.mark.parametrize("verb", [verb for verb in MAKES if verb != "check_put"])
def test_a_name_that_cannot_be_is_never_made(
    steady: tuple[Store, Snapshot], verb: str, name: str, refusal: type[Refusal]
):
    is_refused(steady, stores.ANN, verb, ("files", name), Expect(), refusal)


BIG = b"0123456789"
COMING_IN: dict[str, Callable[[Namespace, Path, Path], object]] = {
    "put": lambda ns, _, target: stores.put(ns, target, BIG),
    "check_put": lambda ns, _, target: ns.check_put(target, size=len(BIG)),
    "copy": lambda ns, source, target: ns.copy(source, target),
    "move": lambda ns, source, target: ns.move(source, target),
}
LIMITS = {
    "quota": (BucketPolicy(quota=9), QuotaExceeded),
    "max_size": (BucketPolicy(max_size=9), TooLarge),
    "types": (BucketPolicy(types=("image/*",)), UnsupportedMediaType),
}


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("verb", COMING_IN)
@pytest.mark.parametrize("over", [False, True], ids=["new", "over"])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_buckets_policy_holds_for_whatever_comes_in(
    checked: OpenStore, limit: str, over: bool, verb: str, is_known: bool
):
    policy, refusal = LIMITS[limit]
    store = checked(strict=policy)
    ann = store.namespace(stores.ANN)
    stores.put(ann, ("files", "big.txt"), BIG)
    if over:
        stores.put(ann, ("strict", "big.txt"))
    if is_known:
        knows(store, policy)
    before = snapshot(store)

    with pytest.raises(refusal):
        COMING_IN[verb](ann, ("files", "big.txt"), ("strict", "big.txt"))

    assert snapshot(store) == before


def knows(store: Store, strict: BucketPolicy) -> None:
    """The strict bucket has an object of the content that it would refuse, from before it became strict."""
    ann = store.namespace(stores.ANN)
    store.change_bucket("strict", BucketPolicy())
    stores.put(ann, ("strict", "before"), BIG)
    ann.delete(("strict", "before"))
    store.recovery(stores.ANN).empty_trash("strict")
    store.change_bucket("strict", strict)


@pytest.mark.parametrize(("free", "refused"), [(10, False), (9, True)])
def test_a_quota_is_full_to_the_byte_with_the_trash_counted(checked: OpenStore, free: int, refused: bool):
    store = checked(strict=BucketPolicy(quota=100))
    ann = store.namespace(stores.ANN)
    stores.put(ann, ("strict", "gone"), b"x" * (100 - free))
    ann.delete(("strict", "gone"))

    if refused:
        with pytest.raises(QuotaExceeded):
            stores.put(ann, ("strict", "ten"), BIG)
    else:
        stores.put(ann, ("strict", "ten"), BIG)


def test_what_shrinks_an_overfull_bucket_is_taken(checked: OpenStore):
    store = checked(strict=BucketPolicy(quota=100))
    ann = store.namespace(stores.ANN)
    stores.put(ann, ("strict", "file"), b"x" * 100)
    store.change_bucket("strict", BucketPolicy(quota=10))

    ann.check_put(("strict", "file"), size=50)
    stores.put(ann, ("strict", "file"), b"y" * 50)


def test_a_restore_is_refused_where_the_name_is_taken_or_impossible(filled: Store):
    ann = filled.namespace(stores.ANN)
    ann.delete(F)
    stores.put(ann, F, b"another")
    uid, before = filled.recovery(stores.ANN).trashed()[0].uid, snapshot(filled)

    for to, refusal in (
        (None, AlreadyExists),
        (FILE, AlreadyExists),
        ((*FILE, "x"), NotACollection),
        (("media", "x"), Forbidden),
        (("files",), Forbidden),
        ((), Forbidden),
        (("files", "a/b"), InvalidPath),
    ):
        with pytest.raises(refusal):
            filled.recovery(stores.ANN).restore(uid, to)
        assert snapshot(filled) == before, to
    with pytest.raises(NotFound):
        filled.recovery(stores.ANN).restore("no such uid")
    with pytest.raises(Forbidden):
        filled.recovery(stores.READER).restore(uid, NEW)
    assert snapshot(filled) == before


def test_a_restore_needs_the_lock_on_the_collection_that_it_fills(filled: Store):
    ann, bob = filled.namespace(stores.ANN), filled.namespace(stores.BOB)
    ann.delete(F)
    uid = filled.recovery(stores.ANN).trashed()[0].uid
    bob.lock(D, LockRequest(infinite=False))
    before = snapshot(filled)

    with pytest.raises(Locked):
        filled.recovery(stores.ANN).restore(uid)
    assert snapshot(filled) == before

    assert filled.recovery(stores.BOB).restore(uid).path == F


def is_refused(
    steady: tuple[Store, Snapshot], caller: Caller, verb: str, path: Path, expect: Expect, refusal: type[Refusal]
) -> None:
    store, before = steady

    with pytest.raises(refusal) as told:
        VERBS[verb](store.namespace(caller), path, expect)

    assert told.type is refusal
    assert snapshot(store) == before
