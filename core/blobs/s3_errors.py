"""What an S3 server's failures mean, in our words."""

from collections.abc import Mapping

from ..errors import NotFound, Refusal, StorageFull, StorageUnavailable

CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the storage's profile"
WORDS: Mapping[str, str] = {
    "NoSuchBucket": "there is no such bucket; create it, or correct the storage's bucket",
    "InvalidBucketName": "no bucket can have that name; correct the storage's bucket",
    "AccessDenied": "the credentials do not allow it; let them list, read, write and delete in the bucket",
    "403": "the credentials do not allow it; let them list, read, write and delete in the bucket",
    "InvalidAccessKeyId": f"it does not know the access key; {CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret key is not that of the access key; {CREDENTIALS}",
    "PermanentRedirect": "the bucket is in another region; correct the storage's region",
    "AuthorizationHeaderMalformed": "the bucket is in another region; correct the storage's region",
    "301": "the bucket is in another region; correct the storage's region",
}
"""Failures that last until somebody does something, by the server's code."""
PASSING: Mapping[str, str] = {
    "ExpiredToken": "the credentials have expired; renew them",
    "InvalidToken": "the session token is not valid; renew the credentials",
    "RequestTimeTooSkewed": "this machine's clock and the server's differ too much; set the clock",
}
"""Failures that may be over without us."""
FULL = {"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "ServiceQuotaExceeded"}
ABSENT = {"NoSuchKey", "404", "NotFound"}
TAKEN = {"PreconditionFailed", "412"}
CONFLICT = {"ConditionalRequestConflict", "OperationAborted", "409"}
UNTRUSTED = "its certificate is not trusted; set the storage's ca to the authority's file"
CLIENT_WORDS: Mapping[str, str] = {
    "NoCredentialsError": f"there are no credentials; {CREDENTIALS}",
    "PartialCredentialsError": f"there is half of the credentials; {CREDENTIALS}",
    "CredentialRetrievalError": f"the credentials cannot be had; {CREDENTIALS}",
    "ProfileNotFound": "there is no such profile; correct the storage's profile",
    "SSLError": UNTRUSTED,
    "InvalidRegionError": "no region can have that name; correct the storage's region",
}


class Misconfigured(StorageUnavailable):
    """It lasts until somebody does something."""


class Unanswered(StorageUnavailable):
    """The server was silent, or the connection was not made or ended."""


class Short(StorageUnavailable):
    """The server gave fewer bytes than it has."""


class Taken(Exception):
    """Something is at the key already."""


class Conflict(StorageUnavailable):
    """Somebody else writes at the key at this moment."""


def refusal(storage: str, key: str, code: str) -> Exception:
    """What a server's error code means for what was asked of `key`."""
    if code in TAKEN:
        return Taken(key)
    if code in CONFLICT:
        return Conflict(storage, f"somebody else is at work on {key or 'it'} at this moment")
    if code in ABSENT:
        return NotFound(key)
    if code in FULL:
        return StorageFull(storage, "there is no room left; free some, or use another storage")
    if code in WORDS:
        return Misconfigured(storage, WORDS[code])
    return StorageUnavailable(storage, PASSING.get(code, f"the server answered {code}"))


def unanswered(storage: str, kind: str) -> Refusal:
    """What a failure between us and the server means, by the name of its class."""
    if kind in CLIENT_WORDS:
        return Misconfigured(storage, CLIENT_WORDS[kind])
    return Unanswered(storage, f"the server does not answer ({kind})")
