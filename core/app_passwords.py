"""App passwords: a secret for one program each, that can be taken back at once. Random, so a digest keeps them safe."""

import secrets
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import delete, insert, select, update

from . import uids
from .database import Database
from .errors import InvalidSetting, NotFound
from .model import SECOND, AppPassword, Caller
from .schema_services import app_passwords, users

PREFIX = "davstore-app-"
"""What all of them begin with, so that they are told from what people choose."""
SELDOM = 3600 * SECOND
"""How often, in nanoseconds, it is noted at most that one was used."""


@dataclass(frozen=True, slots=True)
class AppPasswords:
    database: Database

    def verify(self, name: str, password: str) -> Caller | None:
        """The caller, if the password is one of the user's. Asked every time, so that one taken back opens nothing."""
        which = (users.c.name == name) & (app_passwords.c.password == _digest(password))
        wanted = select(users.c.admin, app_passwords.c.id, app_passwords.c.used).join(app_passwords).where(which)
        with self.database.read() as tx:
            row = tx.execute(wanted).first()
            is_noted = row is not None and row.used is not None and tx.now - row.used < SELDOM
        if row is None:
            return None
        if not is_noted:
            with self.database.write() as tx:
                tx.execute(update(app_passwords).where(app_passwords.c.id == row.id).values(used=tx.now))
        return Caller(name, admin=row.admin)

    def create(self, name: str, label: str) -> tuple[AppPassword, str]:
        """A new one, and its secret, which is told this once. Raises NotFound, InvalidSetting."""
        if not label or len(label) > 128 or "\0" in label:
            raise InvalidSetting(label, "a label has 1 to 128 characters")
        secret = PREFIX + secrets.token_urlsafe(24)
        with self.database.write() as tx:
            user = tx.scalar(select(users.c.id).where(users.c.name == name))
            if user is None:
                raise NotFound(name, "there is no such user")
            made = AppPassword(uids.fresh(), name, label, tx.now, None)
            row = {"uid": made.uid, "user": user, "label": label, "password": _digest(secret), "created": made.created}
            tx.execute(insert(app_passwords).values(**row))
        return made, secret

    def of(self, name: str) -> list[AppPassword]:
        """The user's, newest first."""
        wanted = select(app_passwords).join(users).where(users.c.name == name).order_by(app_passwords.c.id.desc())
        with self.database.read() as tx:
            return [AppPassword(row.uid, name, row.label, row.created, row.used) for row in tx.execute(wanted)]

    def revoke(self, name: str, uid: str) -> None:
        """It opens nothing any more. Raises NotFound where the user has none of that uid."""
        user = select(users.c.id).where(users.c.name == name).scalar_subquery()
        mine = (app_passwords.c.user == user) & (app_passwords.c.uid == uid)
        with self.database.write() as tx:
            if not uids.is_uid(uid) or tx.execute(delete(app_passwords).where(mine)).rowcount == 0:
                raise NotFound(uid, "there is no such app password")


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
