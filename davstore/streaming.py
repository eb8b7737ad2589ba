"""Long answers as they are made."""

import zlib
from collections.abc import Iterable, Iterator

BLOCK = 64 << 10
SMALL = 1 << 10
"""Bytes below which nothing is compressed: they fit into one packet anyway."""
LEVEL = 1
"""Listings shrink to an eighth with it, in half of the time that they take to be made; more costs twice that."""
GZIP = 16 + zlib.MAX_WBITS
"""zlib's name for the format of RFC 1952."""


def body(texts: Iterable[str]) -> Iterable[bytes]:
    """The texts in UTF-8 as a response's body: all at once where that is little, else in blocks of about 64 KiB.

    What fails while the first two blocks are made fails here, before anything was sent.
    """
    blocks = _gathered(texts)
    first, second = next(blocks, b""), next(blocks, None)
    return (first,) if second is None else _resumed(first, second, blocks)


def is_worth_packing(body: Iterable[bytes]) -> bool:
    return not isinstance(body, tuple) or sum(map(len, body)) >= SMALL


def packed(body: Iterable[bytes]) -> Iterable[bytes]:
    """The same in gzip, still all at once or as it is made."""
    return (b"".join(_packed(body)),) if isinstance(body, tuple) else _packed(body)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client asks for gzip by name (RFC 9110, section 12.5.3)."""
    for each in accept_encoding.lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";q=")
        if coding in {"gzip", "x-gzip"}:
            return weight.strip("0.") != "" or not weight
    return False


def _gathered(texts: Iterable[str]) -> Iterator[bytes]:
    waiting: list[str] = []
    length = 0
    for text in texts:
        waiting.append(text)
        length += len(text)
        if length >= BLOCK:
            yield "".join(waiting).encode()
            waiting, length = [], 0
    if waiting:
        yield "".join(waiting).encode()


def _resumed(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


def _packed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """What the first block becomes is not kept back for the sake of later ones."""
    packer = zlib.compressobj(LEVEL, wbits=GZIP)
    flush = zlib.Z_SYNC_FLUSH
    for block in blocks:
        piece = packer.compress(block)
        if flush:
            piece += packer.flush(flush)
            flush = 0
        if piece:
            yield piece
    yield packer.flush()
