"""Byte ranges (RFC 9110, section 14): what a Range header asks of a content of a given size."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .request import Request

MOST = 64
"""Ranges in one request; who asks for more gets everything."""
SPEC = re.compile(r"[ \t]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))?[ \t]*", re.ASCII)
PLAIN = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.end - 1}/{size}"


def requested(header: str, size: int) -> tuple[Span, ...] | None:
    """The spans to send, in the order asked for; () if none can be, None if the header is to be ignored."""
    unit, equals, ranges = header.partition("=")
    if not equals or unit.strip(" \t").lower() != "bytes" or ranges.count(",") >= 2 * MOST:
        return None
    matches = [SPEC.fullmatch(text) for text in ranges.split(",")]
    if not all(matches):
        return None
    specs = [match.groups() for match in matches if match and match.group().strip(" \t")]
    if not specs or len(specs) > MOST or any(last and int(last) < int(first) for first, last, _ in specs):
        return None
    spans = [_span(first, last, suffix, size) for first, last, suffix in specs]
    if not size and any(suffix and int(suffix) for _, _, suffix in specs):
        return None
    return coalesced([span for span in spans if len(span) > 0])


def is_plain(request: Request, span: Span | None) -> bool:
    """Whether any server would send the same bytes, `span` or all: there is no condition, and no or a simple range."""
    header = request.header("Range")
    is_alike = PLAIN.fullmatch(header) is not None and span is not None if header else True
    return is_alike and not any(name.startswith("HTTP_IF") for name in request.environ)


def _span(first: str | None, last: str | None, suffix: str | None, size: int) -> Span:
    if suffix:
        return Span(max(0, size - int(suffix)), size)
    start = min(int(first or 0), size)
    return Span(start, min(int(last) + 1, size) if last else size)


def coalesced(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans that overlap or touch become one, in the place of the first of them."""
    kept: list[Span] = []
    for span in spans:
        joined = [other for other in kept if other.start <= span.end and span.start <= other.end]
        if not joined:
            kept.append(span)
            continue
        place = kept.index(joined[0])
        whole = [*joined, span]
        kept = [other for other in kept if other not in joined]
        kept.insert(place, Span(min(each.start for each in whole), max(each.end for each in whole)))
    return tuple(kept)
