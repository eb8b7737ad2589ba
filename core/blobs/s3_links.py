"""URLs that open an object on an S3 server to whoever has them."""

from typing import Any, cast

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from ..model import Instant, moment
from .s3_connection import Connection


def signed(connection: Connection, named: dict[str, Any], seconds: int, at: Instant) -> str:
    """A URL for GET of what `named` says, for so many seconds after `at`."""
    url = connection.unsigned.generate_presigned_url("get_object", Params=named)
    request = AWSRequest("GET", url)
    region = connection.client.meta.region_name
    _QueryAuth(connection.credentials.not_for_long(), region, seconds, at).add_auth(request)
    return cast("str", request.url)


class _QueryAuth(S3SigV4QueryAuth):
    """Signs a URL with a time that is given."""

    def __init__(self, credentials: ReadOnlyCredentials, region: str, seconds: int, at: Instant) -> None:
        super().__init__(credentials, "s3", region, expires=seconds)
        self._at = at

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = moment(self._at).strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)  # pyright: ignore
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))  # pyright: ignore
