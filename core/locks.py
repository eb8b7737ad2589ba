"""Write locks (RFC 4918, sections 6 and 7), in the database, so that all workers agree. Keyed by node."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, insert, select, update

from . import subtrees
from .database import AnyRow, Query, Transaction
from .errors import Forbidden, LockConflict, Locked, NoSuchLock, PreconditionFailed
from .model import Caller, Expect, Instant, Lock, LockRequest, NodeId, Path, Scope
from .places import Place
from .schema import locks, nodes
from .tree import path_of

MOST_SHARED = 100
"""Shared locks with one root: each is read by every write below, and told in every listing."""
_ANY = select(locks.c.token).limit(1)


def are_none(tx: Transaction) -> bool:
    """Nothing is locked anywhere, as mostly."""
    return tx.scalar(_ANY) is None


def covering(tx: Transaction, place: Place) -> tuple[Lock, ...]:
    """Live locks on the place itself, and those that its ancestors pass down; newest first."""
    chain = _chain(place)
    live = _live(tx).where(locks.c.node.in_(list(chain)))
    own = place.node.id if place.node else None
    return tuple(_lock(tx, row, chain[row.node]) for row in tx.execute(live) if row.infinite or row.node == own)


def of_members(tx: Transaction, members: Sequence[NodeId]) -> dict[NodeId, list[Lock]]:
    """Live locks whose root is one of these nodes."""
    found: dict[NodeId, list[Lock]] = {}
    for row in tx.execute(_live(tx).where(locks.c.node.in_(members))):
        found.setdefault(row.node, []).append(_lock(tx, row, path_of(tx, row.node) or ()))
    return found


def every(tx: Transaction) -> list[Lock]:
    return [_lock(tx, row, path_of(tx, row.node) or ()) for row in tx.execute(_live(tx))]


def _live(tx: Transaction) -> Query:
    return select(locks).where(locks.c.expires > tx.now).order_by(locks.c.created.desc(), locks.c.token)


def _chain(place: Place) -> dict[NodeId, Path]:
    ids = [*place.parents, *([place.node.id] if place.node else [])]
    return {node: place.path[: n + 1] for n, node in enumerate(ids)}


def _lock(tx: Transaction, row: AnyRow, root: Path) -> Lock:
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
    if are_none(tx):
        return
    guards = list(covering(tx, place))
    if member and place.parent:
        guards += [lock for lock in of_members(tx, [place.parent]).get(place.parent, []) if not lock.infinite]
    if inside and place.node:
        guards += _inside(tx, place.node.id)
    roots: dict[Path, bool] = {}
    for lock in guards:
        passes = lock.principal == caller.name and (lock.token in expect.tokens or expect.as_lock_owner)
        roots[lock.root] = roots.get(lock.root, False) or passes
    blocked = [root for root, passes in roots.items() if not passes]
    if blocked:
        raise Locked(blocked)


def _inside(tx: Transaction, top: NodeId) -> list[Lock]:
    below = _live(tx).where(locks.c.token.in_(subtrees.locks_below(tx, top)))
    return [_lock(tx, row, path_of(tx, row.node) or ()) for row in tx.execute(below)]


def acquire(tx: Transaction, caller: Caller, place: Place, request: LockRequest, timeout: int) -> Lock:
    """A new lock on the node at `place`. Raises LockConflict where another lock excludes it."""
    assert place.node
    others = (*covering(tx, place), *(_inside(tx, place.node.id) if request.infinite else ()))
    exclusive = request.scope is Scope.EXCLUSIVE
    against = {lock.root for lock in others if exclusive or lock.scope is Scope.EXCLUSIVE}
    if against:
        raise LockConflict(sorted(against))
    if len({lock.token for lock in others if lock.root == place.path}) >= MOST_SHARED:
        raise LockConflict([place.path], f"{MOST_SHARED} shared locks are on it")
    mine = select(nodes.c.id).where(nodes.c.bucket == place.bucket.id)
    tx.execute(delete(locks).where(locks.c.expires <= tx.now, locks.c.node.in_(mine)))
    values: dict[str, Any] = {
        "token": uuid4().urn,
        "infinite": request.infinite,
        "owner": request.owner,
        "principal": caller.name,
        "timeout": timeout,
        "expires": tx.now + timeout,
    }
    tx.execute(insert(locks).values(node=place.node.id, exclusive=exclusive, created=tx.now, **values))
    return Lock(root=place.path, scope=request.scope, remaining=timeout, **values)


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
            remove(tx, [token])
            return
    raise NoSuchLock(place.path, "no lock of that token covers it")


def remove(tx: Transaction, tokens: Sequence[str]) -> int:
    return tx.execute(delete(locks).where(locks.c.token.in_(tokens))).rowcount


def remove_below(tx: Transaction, top: NodeId) -> None:
    """The subtree goes elsewhere or away; locks do not move (RFC 4918, section 7.7)."""
    tx.execute(delete(locks).where(locks.c.token.in_(subtrees.locks_below(tx, top))))


def pass_on(tx: Transaction, replaced: NodeId, heir: NodeId) -> None:
    """The locks of a file that another was renamed over hold the other now."""
    tx.execute(update(locks).where(locks.c.node == replaced).values(node=heir))
