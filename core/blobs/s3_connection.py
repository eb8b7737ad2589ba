"""Clients of an S3 server, all with the same credentials."""

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from ..storage_settings import S3Storage
from .s3_credentials import STALE, Renewable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 512
"""Kept at most: as many as a worker has threads."""
REGION = "us-east-1"
PATIENCE = 6
"""How much longer than usual a server may take to put an upload's parts together."""


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
    def credentials(self) -> Renewable:
        return Renewable(self._found)

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
