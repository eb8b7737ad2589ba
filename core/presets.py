"""What a rendition looks like: the box that it fits into, and its format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Fit = Literal["contain", "cover"]
Format = Literal["avif", "webp", "jpeg"]
Box = tuple[float, float, float, float]

MEDIA_TYPES: Mapping[Format, str] = {"avif": "image/avif", "webp": "image/webp", "jpeg": "image/jpeg"}
SOFTER: Mapping[Format, int] = {"avif": 25, "webp": 8, "jpeg": 0}
"""How much less a format's quality number may be for the same look as JPEG's."""


@dataclass(frozen=True, slots=True)
class Preset:
    """`contain` keeps the whole picture inside the box, `cover` fills the box from its middle. 0 is no limit.

    Nothing is ever enlarged. `quality` is JPEG's.
    """

    fit: Fit
    width: int
    height: int
    quality: int

    def key(self, image_format: Format) -> str:
        """Names the rendition: presets that look alike share it, and a changed one starts anew."""
        return f"{self.fit}-{self.width}x{self.height}-q{self.quality}.{image_format}"

    def plan(self, width: int, height: int) -> tuple[int, int, Box]:
        """The size of the rendition of such a picture, and the part of the picture that it shows."""
        if self.fit == "contain":
            limits = ((self.width, width), (self.height, height))
            scale = min([1.0, *(limit / side for limit, side in limits if limit)])
            return _pixels(width * scale), _pixels(height * scale), (0, 0, width, height)
        wide, high = self.width or self.height, self.height or self.width
        shown_wide, shown_high = min(width, height * wide / high), min(height, width * high / wide)
        scale = min(1.0, wide / shown_wide)
        left, top = (width - shown_wide) / 2, (height - shown_high) / 2
        box = (left, top, left + shown_wide, top + shown_high)
        return _pixels(shown_wide * scale), _pixels(shown_high * scale), box


def _pixels(length: float) -> int:
    return max(1, round(length))


def negotiated(accept: str, formats: Sequence[Format]) -> Format:
    """The first of the formats that an Accept header names (RFC 9110, section 12.5.1), else JPEG.

    A wildcard names none: clients that send one cannot be trusted with new formats.
    """
    weights = {_type(item): _weight(item) for item in accept.lower().split(",")}
    named: list[Format] = [each for each in formats if weights.get(MEDIA_TYPES[each], 0) > 0]
    return max(named, key=lambda each: weights[MEDIA_TYPES[each]]) if named else "jpeg"


def _type(item: str) -> str:
    return item.partition(";")[0].strip()


def _weight(item: str) -> float:
    for parameter in item.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0
    return 1
