"""Accounts: who may sign in. Passwords are kept as argon2id (RFC 9106)."""

import secrets
from dataclasses import dataclass, field
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import bindparam, delete, insert, select, update

from . import uids
from .database import Database
from .errors import AlreadyExists, InvalidSetting, NotFound
from .model import Caller, User
from .prepared import Prepared
from .schema_services import users

ADMIN = "admin"
MOST_STAMPS = 1024
_STAMP = Prepared(select(users.c.admin, users.c.password).where(users.c.name == bindparam("wanted")))


@dataclass(frozen=True, slots=True)
class Accounts:
    database: Database
    _stamps: dict[str, tuple[int, str | None]] = field(default_factory=dict[str, tuple[int, str | None]])
    """Those read last, each with the database's version before it was read."""

    def verify(self, name: str, password: str) -> Caller | None:
        """The caller, if the password is right; slow on purpose, also for unknown names."""
        with self.database.read() as tx:
            row = tx.execute(select(users).where(users.c.name == name)).first()
        if not _matches(row.password if row else _nobody(), password) or row is None:
            return None
        return Caller(row.name, admin=row.admin)

    def caller(self, name: str) -> Caller | None:
        """The user as a caller."""
        with self.database.read() as tx:
            row = tx.execute(select(users.c.admin).where(users.c.name == name)).first()
        return Caller(name, admin=row.admin) if row else None

    def stamp(self, name: str) -> str | None:
        """Changes when the user's password or rights do; None when there is no such user. Proves a cached verdict."""
        version = self.database.version()
        known = self._stamps.get(name)
        if known and known[0] == version:
            return known[1]
        with self.database.read() as tx:
            row = tx.first(_STAMP, {"wanted": name})
        stamp = f"{row[0]}:{row[1]}" if row else None
        if version is not None:
            self._remember(name, version, stamp)
        return stamp

    def _remember(self, name: str, version: int, stamp: str | None) -> None:
        if len(self._stamps) >= MOST_STAMPS:
            self._stamps.clear()
        self._stamps[name] = version, stamp

    def every(self) -> list[User]:
        with self.database.read() as tx:
            rows = tx.execute(select(users).order_by(users.c.name))
            return [User(row.name, row.admin, row.created) for row in rows]

    def add(self, name: str, password: str, *, admin: bool = False) -> User:
        """Raises AlreadyExists, InvalidSetting."""
        _check(name)
        _check_password(name, password)
        hashed = _hasher().hash(password)
        with self.database.write() as tx:
            if tx.scalar(select(users.c.id).where(users.c.name == name)) is not None:
                raise AlreadyExists(name, "there is a user of that name")
            tx.execute(insert(users).values(uid=uids.fresh(), name=name, password=hashed, admin=admin, created=tx.now))
            return User(name, admin, tx.now)

    def set_password(self, name: str, password: str) -> None:
        """Raises NotFound, InvalidSetting."""
        _check_password(name, password)
        hashed = _hasher().hash(password)
        with self.database.write() as tx:
            if tx.execute(update(users).where(users.c.name == name).values(password=hashed)).rowcount == 0:
                raise NotFound(name, "there is no such user")

    def remove(self, name: str) -> None:
        """Raises NotFound, and InvalidSetting for the last administrator."""
        with self.database.write() as tx:
            admins = list(tx.execute(select(users.c.name).where(users.c.admin)).scalars())
            if admins == [name]:
                raise InvalidSetting(name, "is the last administrator; make another one first")
            if tx.execute(delete(users).where(users.c.name == name)).rowcount == 0:
                raise NotFound(name, "there is no such user")

    def first_admin(self, password: str | None) -> str | None:
        """User `admin` exists where nobody did; returns the password it was given, made up if need be."""
        if self.every():
            return None
        chosen = password or secrets.token_urlsafe(12)
        try:
            self.add(ADMIN, chosen, admin=True)
        except AlreadyExists:
            return None
        return chosen


def _check(name: str) -> None:
    if name in {"", ".", ".."} or ":" in name or not name.isprintable() or len(name) > 128:
        raise InvalidSetting(name, "a user name has 1 to 128 printable characters, no colon, and is neither . nor ..")


def _check_password(name: str, password: str) -> None:
    if not password:
        raise InvalidSetting(name, "the password must not be empty")


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_hex())


def _matches(hashed: str, password: str) -> bool:
    try:
        return _hasher().verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
