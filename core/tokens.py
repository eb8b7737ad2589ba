"""Tokens of the API: short-lived JWTs (RFC 7519), signed with a secret that the gateways share in the database."""

# pyright: reportUnknownMemberType=false
# PyJWT's annotations name types of a library that signing with a shared secret does not need.

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import insert, select

from .access import Accounts
from .database import Database
from .model import Caller
from .schema_services import secrets as secret_rows

NAME = "tokens"
ALGORITHM = "HS256"
CLAIMS = ["sub", "exp", "iat", "ver"]


@dataclass(frozen=True, slots=True)
class Tokens:
    database: Database
    accounts: Accounts
    lifetime: timedelta

    def issue(self, caller: Caller) -> str:
        """A token that says who the caller is for as long as `lifetime`, and their password and rights are these."""
        import jwt  # only where there are tokens

        now = datetime.now(UTC)
        claims = {"sub": caller.name, "iat": now, "exp": now + self.lifetime, "ver": self._version(caller.name)}
        return jwt.encode(claims, self._secret(), ALGORITHM)

    def verify(self, token: str) -> Caller | None:
        """Whose it is; None where it is none, or none any more."""
        import jwt

        try:
            claims = jwt.decode(token, self._secret(), [ALGORITHM], options={"require": CLAIMS})
        except jwt.InvalidTokenError:
            return None
        version = self._version(claims["sub"])
        if version is None or not secrets.compare_digest(version, str(claims["ver"])):
            return None
        return self.accounts.caller(claims["sub"])

    def _version(self, name: str) -> str | None:
        """Another one whenever the password or the rights change."""
        stamp = self.accounts.stamp(name)
        return None if stamp is None else sha256(stamp.encode()).hexdigest()[:16]

    def _secret(self) -> str:
        kept = select(secret_rows.c.value).where(secret_rows.c.name == NAME)
        with self.database.read() as tx:
            found = tx.scalar(kept)
        if found is not None:
            return str(found)
        with self.database.write() as tx:
            found = tx.scalar(kept)
            if found is None:
                found = secrets.token_urlsafe(48)
                tx.execute(insert(secret_rows).values(name=NAME, value=found))
        return str(found)
