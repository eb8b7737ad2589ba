"""Long answers as they are made."""

from collections.abc import Iterable, Iterator

BLOCK = 64 << 10


def body(texts: Iterable[str]) -> Iterable[bytes]:
    """The texts in UTF-8 as a response's body: all at once where that is little, else in blocks of about 64 KiB.

    What fails while the first two blocks are made fails here, before anything was sent.
    """
    blocks = _gathered(texts)
    first, second = next(blocks, b""), next(blocks, None)
    return (first,) if second is None else _resumed(first, second, blocks)


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
