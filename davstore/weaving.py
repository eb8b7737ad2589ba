"""Text that is alike for each of many nodes but for some values: put together for all of them by one join."""

from collections.abc import Iterator, Sequence

Piece = str | Sequence[str]
"""What stands in every node's text, or what stands in each one's."""

AT_ONCE = 50


def woven(pieces: Sequence[Piece], count: int) -> Iterator[str]:
    """The text of the first node, then of the second, and so on, of AT_ONCE nodes in one."""
    joined = _merged(pieces)
    width = len(joined)
    alike = [piece if isinstance(piece, str) else "" for piece in joined]
    columns = [(n, piece) for n, piece in enumerate(joined) if not isinstance(piece, str)]
    for start in range(0, count, AT_ONCE):
        stop = min(start + AT_ONCE, count)
        texts = alike * (stop - start)
        for n, column in columns:
            texts[n::width] = column[start:stop]
        yield "".join(texts)


def each(pieces: Sequence[Piece], count: int) -> list[str]:
    """The text of each node."""
    columns = ([piece] * count if isinstance(piece, str) else piece for piece in pieces)
    return list(map("".join, zip(*columns, strict=True)))


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """The same with fewer pieces: constant ones that follow each other are one."""
    fewer: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and fewer and isinstance(fewer[-1], str):
            fewer[-1] += piece
        else:
            fewer.append(piece)
    return fewer
