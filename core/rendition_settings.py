"""The section `[renditions]`: what is made of pictures, and within which limits."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from .presets import Fit, Format
from .quantities import Duration, Size, comma_separated
from .sources import merged
from .storage_settings import Section

STEPS = (64, 100, 160, 256, 320, 480, 600, 800, 1200, 1600)
PRESETS: Mapping[str, object] = {
    "thumbnail": {"width": 600, "height": 600, "fit": "contain", "quality": 90},
    "small": {"width": 100, "height": 100, "fit": "contain", "quality": 85},
    "cover": {"width": 256, "height": 256, "fit": "cover", "quality": 85},
}


class PresetSettings(Section):
    """A look of renditions; see `presets.Preset`."""

    width: int = Field(default=0, ge=0, le=16_384)
    height: int = Field(default=0, ge=0, le=16_384)
    fit: Fit = "contain"
    quality: int = Field(default=85, ge=1, le=100)

    @model_validator(mode="after")
    def _has_a_side(self) -> Self:
        if not (self.width or self.height):
            raise ValueError("a preset has a width or a height; 0 leaves the other open")
        return self


class Renditions(Section):
    """What is made of pictures, and within which limits. `enabled` false makes none before it is asked for."""

    enabled: bool = True
    formats: Annotated[tuple[Format, ...], BeforeValidator(comma_separated)] = ("avif", "webp", "jpeg")
    max_pixels: int = Field(default=100_000_000, ge=1)
    memory: Size = Field(default=1 << 30, ge=256 << 20)
    timeout: Duration = Field(default=timedelta(seconds=20), ge=timedelta(seconds=1))
    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=16_384)], ...], BeforeValidator(comma_separated)] = STEPS
    presets: dict[str, PresetSettings] = Field(default_factory=dict[str, PresetSettings])

    @model_validator(mode="before")
    @classmethod
    def _built_in(cls, given: object) -> object:
        """Presets `thumbnail`, `small` and `cover` are always there; each may be changed."""
        if not isinstance(given, Mapping):
            return given
        sections = cast("Mapping[str, object]", given)
        presets = sections.get("presets", {})
        return {**sections, "presets": merged(PRESETS, cast("Mapping[str, object]", presets))}
