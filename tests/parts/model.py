"""The namespace as a dict: what docs/design.md (sections 5 to 7) and RFC 4918 promise, and nothing of how it is done.

A verb that may not be done raises Refused with every reason that holds; which of them is told is the store's choice.
"""

import unicodedata
from dataclasses import dataclass, field, replace

Path = tuple[str, ...]


class Refused(Exception):
    def __init__(self, reasons: set[str]) -> None:
        super().__init__(*sorted(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Lock:
    token: str
    by: str
    infinite: bool
    exclusive: bool


@dataclass(frozen=True)
class Entry:
    content: bytes | None = None
    """None for a collection."""
    properties: frozenset[tuple[str, str]] = frozenset()
    locks: frozenset[Lock] = frozenset()
    versions: tuple[bytes, ...] = ()
    author: str = ""
    is_rewrite: bool = False
    """Whether the content took the place of another one that was not empty."""


@dataclass
class Model:
    buckets: tuple[str, ...]
    tree: dict[Path, Entry] = field(default_factory=dict)
    trash: list[tuple[Path, dict[Path, Entry]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree |= {(bucket,): Entry() for bucket in self.buckets}

    def stored(self, path: Path) -> Path:
        """The path under the names it has: where no name is the same, the one that is canonically equivalent."""
        found: Path = ()
        for name in path:
            equal = [
                (*found, other) for other in (name, *self._equivalent(found, name)) if (*found, other) in self.tree
            ]
            found = equal[0] if equal else (*found, name)
        return found

    def _equivalent(self, above: Path, name: str) -> list[str]:
        members = (path[-1] for path in self.tree if path[:-1] == above)
        return [other for other in members if _nfc(other) == _nfc(name)]

    def below(self, top: Path) -> list[Path]:
        return [path for path in self.tree if path[: len(top)] == top]

    def covering(self, path: Path) -> dict[Path, frozenset[Lock]]:
        """Locks on the path itself and those of infinite depth above it, by their roots."""
        above = [path[:length] for length in range(1, len(path) + 1)]
        found = {
            root: frozenset(lock for lock in self.tree[root].locks if lock.infinite or root == path)
            for root in above
            if root in self.tree
        }
        return {root: locks for root, locks in found.items() if locks}

    def put(self, by: str, path: Path, content: bytes, tokens: frozenset[str], only_new: bool = False) -> bool:
        path = self.stored(path)
        old = self.tree.get(path)
        reasons = self._unwritable(by, path, tokens, member=old is None)
        reasons |= {"IsACollection"} if old and old.content is None else set()
        reasons |= {"PreconditionFailed"} if old and only_new else set()
        _refuse(reasons)
        self.tree[path] = self._rewritten(old, by, content) if old else Entry(content, author=by)
        return old is None

    def make_collection(self, by: str, path: Path, tokens: frozenset[str]) -> None:
        path = self.stored(path)
        _refuse(self._unwritable(by, path, tokens, member=True) | ({"AlreadyExists"} if path in self.tree else set()))
        self.tree[path] = Entry()

    def set_properties(
        self, by: str, path: Path, changes: list[tuple[str, str | None]], tokens: frozenset[str]
    ) -> None:
        path = self.stored(path)
        _refuse(self._missing(path) or self._locked(by, path, tokens))
        kept = dict(self.tree[path].properties)
        for name, value in changes:
            kept.pop(name, None)
            kept |= {} if value is None else {name: value}
        self.tree[path] = replace(self.tree[path], properties=frozenset(kept.items()))

    def delete(self, by: str, path: Path, tokens: frozenset[str]) -> None:
        path = self.stored(path)
        reasons = self._missing(path) or self._locked(by, path, tokens, member=True, inside=True)
        _refuse(reasons | ({"Forbidden"} if len(path) == 1 else set()))
        self._discard(path)

    def copy(
        self, by: str, source: Path, target: Path, tokens: frozenset[str], *, deep: bool = True, overwrite: bool = True
    ) -> bool:
        source, target = self.stored(source), self.stored(target)
        old = self.tree.get(target)
        reasons = self._missing(source) | self._unwritable(by, target, tokens, member=True, inside=True)
        reasons |= self._overlap(source, target, deep=deep)
        _refuse(reasons | ({"AlreadyExists"} if old and not overwrite else set()))
        first = self.tree[source]
        if old and old.content is not None and first.content is not None:
            self.tree[target] = replace(self._rewritten(old, by, first.content), properties=first.properties)
            return False
        copied = {
            (*target, *path[len(source) :]): Entry(entry.content, entry.properties, author=by)
            for path, entry in self.tree.items()
            if path in (self.below(source) if deep else [source])
        }
        if old:
            self._discard(target)
        self.tree |= copied
        return old is None

    def move(self, by: str, source: Path, target: Path, tokens: frozenset[str], *, overwrite: bool = True) -> bool:
        source, asked, target = self.stored(source), target, self.stored(target)
        if source == target and asked[-1] != target[-1]:
            target = (*target[:-1], asked[-1])
        old = self.tree.get(target)
        reasons = self._missing(source) or self._locked(by, source, tokens, member=True, inside=True)
        reasons |= self._unwritable(by, target, tokens, member=True, inside=True)
        reasons |= self._overlap(source, target) | ({"Forbidden"} if len(source) == 1 else set())
        _refuse(reasons | ({"AlreadyExists"} if old and not overwrite else set()))
        moved = {path: replace(self.tree.pop(path), locks=frozenset()) for path in self.below(source)}
        if old and old.content is not None and moved[source].content is not None:
            moved[source] = _heir(moved[source], old)
        elif old:
            self._discard(target)
        self.tree |= {(*target, *path[len(source) :]): entry for path, entry in moved.items()}
        return old is None

    def lock(self, by: str, path: Path, lock: Lock, tokens: frozenset[str]) -> bool:
        path = self.stored(path)
        created = path not in self.tree
        reasons = self._unwritable(by, path, tokens, member=True) if created else set[str]()
        others = self.covering(path)
        if lock.infinite:
            others |= {inner: self.tree[inner].locks for inner in self.below(path)}
        in_the_way = [other for locks in others.values() for other in locks if other.exclusive or lock.exclusive]
        _refuse(reasons | ({"LockConflict"} if in_the_way else set()))
        old = self.tree.get(path, Entry(b"", author=by))
        self.tree[path] = replace(old, locks=old.locks | {lock})
        return created

    def unlock(self, by: str, path: Path, token: str) -> None:
        root, lock = self._held(self.stored(path), token) or _no("NoSuchLock")
        _refuse({"Forbidden"} if lock.by != by else set())
        self.tree[root] = replace(self.tree[root], locks=self.tree[root].locks - {lock})

    def refresh(self, by: str, path: Path, token: str) -> None:
        path = self.stored(path)
        _refuse(self._missing(path))
        _, lock = self._held(path, token) or _no("PreconditionFailed")
        _refuse({"Forbidden"} if lock.by != by else set())

    def restore(self, n: int, by: str) -> None:
        """The n-th thing in the trash is back, and missing collections are made again."""
        path, removed = self.trash[n]
        stored = self.stored(path)
        above = [stored[:length] for length in range(1, len(stored))]
        reasons = {"AlreadyExists"} if stored in self.tree else set[str]()
        reasons |= {"NotACollection" for each in above if self.tree.get(each, Entry()).content is not None}
        new = next((each for each in (*above, stored) if each not in self.tree), stored)
        covering = self._guarding(new, member=True)
        reasons |= {"Locked"} if any(by not in {lock.by for lock in locks} for locks in covering.values()) else set()
        _refuse(reasons)
        del self.trash[n]
        self.tree |= {each: Entry() for each in above if each not in self.tree}
        self.tree |= {(*stored, *rest[len(path) :]): entry for rest, entry in removed.items()}

    def _missing(self, path: Path) -> set[str]:
        return set() if path in self.tree else {"NotFound"}

    def _unwritable(
        self, by: str, path: Path, tokens: frozenset[str], *, member: bool, inside: bool = False
    ) -> set[str]:
        parent = self.tree.get(path[:-1])
        reasons = set() if len(path) < 2 or (parent and parent.content is None) else {"NoParent"}
        reasons |= {"Forbidden"} if len(path) < 2 else set()
        return reasons | self._locked(by, path, tokens, member=member, inside=inside)

    def _guarding(self, path: Path, *, member: bool = False, inside: bool = False) -> dict[Path, frozenset[Lock]]:
        """RFC 4918, section 7: what guards the resource, with `member` the list of its parent's members, with
        `inside` all below it."""
        guarding = self.covering(path)
        if member and path[:-1] in self.tree:
            guarding |= {path[:-1]: self.tree[path[:-1]].locks}
        if inside:
            guarding |= {inner: self.tree[inner].locks | guarding.get(inner, frozenset()) for inner in self.below(path)}
        return {root: locks for root, locks in guarding.items() if locks}

    def _locked(
        self, by: str, path: Path, tokens: frozenset[str], *, member: bool = False, inside: bool = False
    ) -> set[str]:
        """Each locked resource wants one of the caller's own tokens."""
        for locks in self._guarding(path, member=member, inside=inside).values():
            if not any(lock.by == by and lock.token in tokens for lock in locks):
                return {"Locked"}
        return set()

    def _overlap(self, source: Path, target: Path, *, deep: bool = True) -> set[str]:
        inside = deep and target[: len(source)] == source
        holds = source[: len(target)] == target
        return {"InvalidMove"} if inside or holds else set()

    def _held(self, path: Path, token: str) -> tuple[Path, Lock] | None:
        for root, locks in self.covering(path).items():
            for lock in locks:
                if lock.token == token:
                    return root, lock
        return None

    def _rewritten(self, old: Entry, by: str, content: bytes) -> Entry:
        """Empty contents never become versions, and rewrites by one principal within a minute are one version."""
        if content == old.content:
            return old
        is_same_burst = old.is_rewrite and old.author == by
        versions = (*old.versions, old.content) if old.content and not is_same_burst else old.versions
        return replace(
            old, content=content, versions=versions, author=by, is_rewrite=old.is_rewrite or bool(old.content)
        )

    def _discard(self, top: Path) -> None:
        removed = {path: replace(self.tree.pop(path), locks=frozenset()) for path in self.below(top)}
        self.trash.append((top, removed))


def _heir(moved: Entry, old: Entry) -> Entry:
    """A file was renamed over a file: it goes on as that one."""
    last = (old.content,) if old.content and old.content != moved.content else ()
    return replace(moved, locks=old.locks, versions=(*old.versions, *moved.versions, *last), is_rewrite=True)


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _no(reason: str) -> tuple[Path, Lock]:
    raise Refused({reason})


def _refuse(reasons: set[str]) -> None:
    if reasons:
        raise Refused(reasons)
