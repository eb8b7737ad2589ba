"""Write locks (RFC 4918, sections 6 and 7), in the database, so that all workers agree. Keyed by node."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import bindparam, delete, insert, literal, select, update

from . import subtrees
from .batches import among
from .database import AnyRow, Transaction
from .errors import Forbidden, LockConflict, Locked, NoSuchLock, PreconditionFailed
from .model import Caller, Expect, Instant, Lock, LockRequest, NodeId, Path, Scope
from .places import Place
from .prepared import Asked, Prepared
from .schema import locks, nodes
from .tree import path_of

MOST_SHARED = 100
"""Shared locks with one root: each is read by every write below, and told in every listing."""
_ANY = Prepared(select(locks.c.token).limit(1))
_LIVE = select(locks).where(locks.c.expires > bindparam("now")).order_by(locks.c.created.desc(), locks.c.token)
_BELOW = Prepared(_LIVE.where(locks.c.token.in_(subtrees.locks_below(bindparam("now"), bindparam("top")))))
_IN_BUCKET = select(nodes.c.id).where(nodes.c.id == locks.c.node, nodes.c.bucket == bindparam("bucket"))
_EXPIRED = Prepared(delete(locks).where(locks.c.expires <= bindparam("now"), _IN_BUCKET.exists()))
_FIELDS = ("token", "node", "infinite", "exclusive", "owner", "principal", "timeout", "expires", "created")
_INSERT = Prepared(insert(locks).values({name: bindparam(name) for name in _FIELDS}))
_REMOVE = Prepared(delete(locks).where(locks.c.token == bindparam("wanted")))


@lru_cache
def _of_nodes(count: int) -> Prepared:
    return Prepared(_LIVE.where(locks.c.node.in_([bindparam(f"node{n}") for n in range(count)])))


def are_none(tx: Asked) -> bool:
    """Nothing is locked anywhere, as mostly."""
    return tx.first(_ANY, {}) is None


def covering(tx: Transaction, place: Place) -> tuple[Lock, ...]:
    """Live locks on the place itself, and those that its ancestors pass down; newest first."""
    chain = _chain(place)
    wanted = {f"node{n}": node for n, node in enumerate(chain)}
    own = place.node.id if place.node else None
    rows = map(_Row._make, tx.rows(_of_nodes(len(chain)), {"now": tx.now, **wanted}))
    return tuple(_lock(tx, row, chain[row.node]) for row in rows if row.infinite or row.node == own)


def of_members(tx: Transaction, members: Mapping[NodeId, Path]) -> dict[NodeId, list[Lock]]:
    """Live locks whose root is one of these nodes."""
    found: dict[NodeId, list[Lock]] = {}
    for row in tx.execute(_LIVE.where(among(tx, locks.c.node, members)), {"now": tx.now}):
        found.setdefault(row.node, []).append(_lock(tx, row, members[row.node]))
    return found


def every(tx: Transaction) -> list[Lock]:
    return [_lock(tx, row, path_of(tx, row.node) or ()) for row in tx.execute(_LIVE, {"now": tx.now})]


class _Row(NamedTuple):
    """A row of the table."""

    token: str
    node: NodeId
    infinite: bool
    exclusive: bool
    owner: str
    principal: str
    timeout: int
    expires: Instant
    created: Instant


def _chain(place: Place) -> dict[NodeId, Path]:
    ids = [*place.parents, *([place.node.id] if place.node else [])]
    return {node: place.path[: n + 1] for n, node in enumerate(ids)}


def _lock(tx: Transaction, row: _Row | AnyRow, root: Path) -> Lock:
    scope = Scope.EXCLUSIVE if row.exclusive else Scope.SHARED
    return Lock(
        row.token, root, row.infinite, scope, row.owner, row.principal, row.timeout, row.expires, row.expires - tx.now
    )


def require(
    tx: Transaction, caller: Caller, expect: Expect, place: Place, *, member: bool = False, inside: bool = False
) -> None:
    """The caller may change the place: for each locked resource on the way it submits one of its own tokens.

    `member`: a name comes to or goes from the parent, which any lock on the parent guards. `inside`: all below changes
    too. Raises Locked with the roots that stand in the way.
    """
    if not place.may_be_locked:
        return
    guards = list(covering(tx, place))
    if member and place.parent:
        above = of_members(tx, {place.parent: place.path[:-1]})
        guards += [lock for lock in above.get(place.parent, []) if not lock.infinite]
    if inside and place.node and place.node.is_collection:
        guards += _inside(tx, place.node.id)
    roots: dict[Path, bool] = {}
    for lock in guards:
        passes = lock.principal == caller.name and (lock.token in expect.tokens or expect.as_lock_owner)
        roots[lock.root] = roots.get(lock.root, False) or passes
    blocked = [root for root, passes in roots.items() if not passes]
    if blocked:
        raise Locked(blocked)


def _inside(tx: Transaction, top: NodeId) -> list[Lock]:
    rows = map(_Row._make, tx.rows(_BELOW, {"now": tx.now, "top": top}))
    return [_lock(tx, row, path_of(tx, row.node) or ()) for row in rows]


def acquire(
    tx: Transaction, caller: Caller, place: Place, request: LockRequest, timeout: int
) -> tuple[Lock, tuple[Lock, ...]]:
    """A new lock on the node at `place`, and those that covered it before, newest first.

    Raises LockConflict where another lock excludes it.
    """
    assert place.node
    is_deep = request.infinite and place.node.is_collection
    above = covering(tx, place) if place.may_be_locked else ()
    others = (*above, *(_inside(tx, place.node.id) if is_deep and place.may_be_locked else ()))
    exclusive = request.scope is Scope.EXCLUSIVE
    against = {lock.root for lock in others if exclusive or lock.scope is Scope.EXCLUSIVE}
    if against:
        raise LockConflict(sorted(against))
    if len({lock.token for lock in others if lock.root == place.path}) >= MOST_SHARED:
        raise LockConflict([place.path], f"{MOST_SHARED} shared locks are on it")
    if place.may_be_locked:
        tx.count(_EXPIRED, {"now": tx.now, "bucket": place.bucket.id})
    values: dict[str, Any] = {
        "token": uuid4().urn,
        "infinite": request.infinite,
        "owner": request.owner,
        "principal": caller.name,
        "timeout": timeout,
        "expires": tx.now + timeout,
    }
    tx.count(_INSERT, {"node": place.node.id, "exclusive": exclusive, "created": tx.now, **values})
    return Lock(root=place.path, scope=request.scope, remaining=timeout, **values), above


def refresh(
    tx: Transaction, caller: Caller, place: Place, tokens: frozenset[str], timeout: int | None, cap: int
) -> Lock:
    """The submitted lock that covers the place lives on. Raises PreconditionFailed, Forbidden for another's lock."""
    for lock in covering(tx, place):
        if lock.token in tokens:
            if lock.principal != caller.name:
                raise Forbidden(place.path, "the lock is another user's")
            granted = min(timeout or lock.timeout, cap)
            expires = Instant(tx.now + granted)
            tx.execute(update(locks).where(locks.c.token == lock.token).values(timeout=granted, expires=expires))
            return Lock(
                lock.token, lock.root, lock.infinite, lock.scope, lock.owner, lock.principal, granted, expires, granted
            )
    raise PreconditionFailed(place.path, "none of the submitted lock tokens covers it")


def release(tx: Transaction, caller: Caller, place: Place, token: str) -> None:
    """Raises NoSuchLock, and Forbidden for another's lock unless the caller is an administrator."""
    for lock in covering(tx, place):
        if lock.token == token:
            if lock.principal != caller.name and not caller.admin:
                raise Forbidden(place.path, "the lock is another user's")
            tx.count(_REMOVE, {"wanted": token})
            return
    raise NoSuchLock(place.path, "no lock of that token covers it")


def remove(tx: Transaction, tokens: Sequence[str]) -> int:
    return tx.execute(delete(locks).where(locks.c.token.in_(tokens))).rowcount


def remove_below(tx: Transaction, top: NodeId) -> None:
    """The subtree goes elsewhere or away; locks do not move (RFC 4918, section 7.7)."""
    tx.execute(delete(locks).where(locks.c.token.in_(subtrees.locks_below(literal(tx.now), literal(top)))))


def pass_on(tx: Transaction, replaced: NodeId, heir: NodeId) -> None:
    """The locks of a file that another was renamed over hold the other now."""
    tx.execute(update(locks).where(locks.c.node == replaced).values(node=heir))
