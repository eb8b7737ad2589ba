"""Credentials for an S3 server, found again when it takes those no more that there were."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, NoCredentialsError

PAUSE = 3.0
"""Seconds between two looks."""
KEPT = 60.0
"""Seconds for which those of a file are used without a look, where no server says whether it takes them."""
FILES = {"shared-credentials-file", "config-file"}
STALE = {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"}
"""A server's codes for credentials that may have been renewed elsewhere; an answer to HEAD has none but its status."""

Load = Callable[[], Credentials | None]


class Renewable(Credentials):
    """What `load` finds, to all who sign with it."""

    def __init__(self, load: Load) -> None:
        super().__init__("", "")
        self._load = load
        self._found: Credentials | None = None
        self._finding = Lock()
        self._looked = self._changed = float("-inf")

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Raises BotoCoreError where there are none."""
        if self._found is None:
            self._look(self._load)
        if self._found is None:
            raise NoCredentialsError
        return self._found.get_frozen_credentials()

    def renew(self) -> bool:
        """Whether there are others than a moment ago."""
        self._look(self._known)
        return monotonic() - self._changed < PAUSE

    def not_for_long(self) -> ReadOnlyCredentials:
        """Those to sign what is shown to the server by somebody else, who cannot tell us what it says."""
        if self._found and self._found.method in FILES and monotonic() - self._looked > KEPT:
            self._look(self._known)
        return self.get_frozen_credentials()

    def load_credentials(self) -> Credentials:
        """As botocore asks for it."""
        return self

    def _look(self, load: Load) -> None:
        with self._finding:
            if monotonic() - self._looked < PAUSE:
                return
            self._looked = monotonic()
            found = load()
            if _frozen(found) != _frozen(self._found):
                self._found, self._changed = found, monotonic()

    def _known(self) -> Credentials | None:
        """Somebody may be writing the file at this moment: then those that were found before are as good."""
        try:
            return self._load() or self._found
        except BotoCoreError:
            return self._found


def _frozen(credentials: Credentials | None) -> ReadOnlyCredentials | None:
    return credentials.get_frozen_credentials() if credentials else None
