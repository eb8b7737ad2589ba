"""The way to an S3 server: clients, credentials, signed URLs, and what its failures mean. Nothing else knows boto3.

Credentials are found again when the server takes those no more that there were.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from ..model import Instant, moment
from ..storage_settings import S3Storage
from .s3_errors import Short, refusal, unanswered

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 512
"""Kept at most: as many as a worker has threads."""
REGION = "us-east-1"
PATIENCE = 6
"""How much longer than usual a server may take to put an upload's parts together."""


PAUSE = 3.0
"""Seconds between two looks."""
KEPT = 60.0
"""Seconds for which those of a file are used without a look, where no server says whether it takes them."""
FILES = {"shared-credentials-file", "config-file"}
STALE = {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"}
"""A server's codes for credentials that may have been renewed elsewhere; an answer to HEAD has none but its status."""

Load = Callable[[], Credentials | None]


class Connection:
    """To the server of one storage. Nothing is asked before a client is."""

    def __init__(self, storage: S3Storage) -> None:
        self._storage = storage

    @cached_property
    def client(self) -> "S3Client":
        return self._made("s3v4", self._storage.read_timeout)

    @cached_property
    def patient(self) -> "S3Client":
        return self._made("s3v4", self._storage.read_timeout * PATIENCE)

    @cached_property
    def unsigned(self) -> "S3Client":
        """Writes URLs, and never asks anything."""
        return self._made(UNSIGNED, self._storage.read_timeout)

    @cached_property
    def credentials(self) -> "Renewable":
        return Renewable(self._found)

    def signed(self, named: dict[str, Any], seconds: int, at: Instant) -> str:
        """A URL for GET of what `named` says, for so many seconds after `at`. Raises in the words of `translated`."""
        url = self.unsigned.generate_presigned_url("get_object", Params=named)
        request = AWSRequest("GET", url)
        region = self.client.meta.region_name
        _QueryAuth(self.credentials.not_for_long(), region, seconds, at).add_auth(request)
        return cast("str", request.url)

    def fetched(self, url: str) -> tuple[int, dict[str, str], bytes]:
        """What anybody gets who has the URL: status, headers, bytes."""
        verify: Any = str(self._storage.ca) if self._storage.ca else True
        answer = URLLib3Session(verify=verify, timeout=10).send(AWSRequest("GET", url).prepare())
        return answer.status_code, dict(answer.headers), answer.content

    def _found(self) -> Credentials | None:
        """Read anew each time: a session would keep what it has read."""
        return botocore.session.Session(profile=self._storage.profile).get_credentials()

    @cached_property
    def _session(self) -> boto3.Session:
        session = botocore.session.Session(profile=self._storage.profile)
        session.register_component("credential_provider", self.credentials)
        return boto3.Session(botocore_session=session, region_name=self._storage.region)

    def _made(self, signature: object, read_timeout: timedelta) -> "S3Client":
        storage = self._storage
        options: dict[str, Any] = {
            "signature_version": signature,
            "connect_timeout": storage.connect_timeout.total_seconds(),
            "read_timeout": read_timeout.total_seconds(),
            "retries": {"total_max_attempts": storage.retries + 1, "mode": "standard"},
            "max_pool_connections": CONNECTIONS,
            "s3": {"addressing_style": storage.addressing},
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        region = self._session.region_name or REGION
        verify = str(storage.ca) if storage.ca else None
        client = self._session.client(  # pyright: ignore[reportUnknownMemberType] - the other services' types are missing
            "s3", region_name=region, endpoint_url=storage.endpoint, verify=verify, config=Config(**options)
        )
        client.meta.events.register_first("needs-retry.s3", self._again)  # pyright: ignore[reportArgumentType] - it may return something
        return client

    def _again(
        self, *, response: tuple[object, dict[str, Any]] | None, caught_exception: object, attempts: int, **_: object
    ) -> float | None:
        """In how many seconds to ask once more, besides botocore's own reasons: at once, with renewed credentials.

        Not after a silence, which it would make as often longer as there are attempts.
        """
        if isinstance(caught_exception, (ConnectTimeoutError, ReadTimeoutError)):
            raise caught_exception
        code = response[1].get("Error", {}).get("Code", "") if response else ""
        return 0.0 if code in STALE and attempts == 1 and self.credentials.renew() else None


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


class _QueryAuth(S3SigV4QueryAuth):
    """Signs a URL with a time that is given."""

    def __init__(self, credentials: ReadOnlyCredentials, region: str, seconds: int, at: Instant) -> None:
        super().__init__(credentials, "s3", region, expires=seconds)
        self._at = at

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = moment(self._at).strftime("%Y%m%dT%H%M%SZ")
        # Botocore's presigner has these steps under private names only.
        self._modify_request_before_signing(request)  # pyright: ignore
        text = self.string_to_sign(request, self.canonical_request(request))
        # As above.
        self._inject_signature_to_request(request, self.signature(text, request))  # pyright: ignore


@contextmanager
def translated(storage: str, key: str) -> Generator[None]:
    """Failures inside come in our words."""
    try:
        yield
    except ClientError as error:
        raise refusal(storage, key, _said(error)) from error
    except (ResponseStreamingError, IncompleteReadError) as error:
        raise Short(storage, f"broke off what it gave of {key}") from error
    except (BotoCoreError, ResponseParserError, HTTPError, OSError) as error:
        raise unanswered(storage, type(error).__name__) from error


def _said(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "an error")


def code_of(refused: BaseException) -> str:
    """What the server said that made a refusal; "" where it said nothing."""
    cause = refused.__cause__
    return _said(cause) if isinstance(cause, ClientError) else ""
