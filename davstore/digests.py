"""What a client says its body hashes to, in any of the headers that clients use for it."""

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from core.errors import DigestMismatch

from .request import Request

ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "sha-1": "sha1", "md5": "md5"}
"""Names in Content-Digest, Repr-Digest (RFC 9530) and Digest (RFC 3230) that we verify; others are ignored."""
CHECKSUMS = {"SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512", "MD5": "md5", "ADLER32": "adler32"}
"""Names in OC-Checksum."""

_member = re.compile(r"(?<![\w-])([\w-]++)\s*+=\s*:?([A-Za-z0-9+/=]*):?", re.ASCII)


class Claim(NamedTuple):
    header: str
    algorithm: str
    value: bytes


def claims(request: Request) -> tuple[Claim, ...]:
    """The digests that the request announces. Raises DigestMismatch for one that cannot be right."""
    return tuple(_claims(request))


def further(found: tuple[Claim, ...]) -> list[str]:
    """What a draft computes besides SHA-256, so that all of them can be verified."""
    return sorted({claim.algorithm for claim in found} - {"sha256"})


def verify(found: tuple[Claim, ...], digests: Mapping[str, str]) -> None:
    """Every announced digest is the content's. `digests` are hex, by hashlib's names. Raises DigestMismatch."""
    for claim in found:
        if bytes.fromhex(digests[claim.algorithm]) != claim.value:
            raise DigestMismatch(claim.header, "the body does not have this digest")


def _claims(request: Request) -> Iterator[Claim]:
    for header in ("Repr-Digest", "Content-Digest", "Digest"):
        for name, value in _member.findall(request.header(header)):
            if algorithm := ALGORITHMS.get(name.lower()):
                yield Claim(header, algorithm, _base64(header, value))
    if value := request.header("Content-MD5"):
        yield Claim("Content-MD5", "md5", _base64("Content-MD5", value))
    for item in request.header("OC-Checksum").split():
        name, _, value = item.partition(":")
        if algorithm := CHECKSUMS.get(name.upper()):
            yield Claim("OC-Checksum", algorithm, _hex("OC-Checksum", value))


def _base64(header: str, value: str) -> bytes:
    try:
        return b64decode(value, validate=True)
    except ValueError:
        raise DigestMismatch(header, "is not base64") from None


def _hex(header: str, value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise DigestMismatch(header, "is not hexadecimal") from None
