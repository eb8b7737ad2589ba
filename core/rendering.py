"""A process that makes renditions, under limits of its own: whatever a picture does to it, nobody else is harmed.

    python -m core.rendering DESCRIPTOR LIMITS

Over the socket that it was given come an order, a JSON text, and a picture as an open file; an answer, a JSON text, and
one message of bytes for each rendition go back. It ends when the other side does, or has had no order for a while.
"""

# Pillow's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportMissingTypeStubs=false

import os
import resource
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import BinaryIO

from PIL import Image, ImageCms, UnidentifiedImageError

from .orders import READY, Answer, Limits, Made, Wanted, head, read_order
from .presets import SOFTER, Box

IDLE = 20.0
"""Seconds without an order after which the process ends."""
FORMATS = frozenset({"JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "TIFF", "BMP"})
"""What is decoded, as far as this Pillow can; its other decoders are never asked."""
ORIENTATION = 0x0112
UPRIGHT: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = frozenset({5, 6, 7, 8})
"""Orientations whose width is the displayed height."""
FINER = 2
"""A JPEG is decoded no finer than needed: so many times the size of the largest rendition."""
BLACK_AND_WHITE, DEEP = "1", frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})


class Unrenderable(Exception):
    """There is no rendition of this picture, and here is why."""


def render(file: BinaryIO, wanted: Sequence[Wanted], max_pixels: int) -> Answer:
    """All renditions of one picture, decoded once."""
    width = height = None
    try:
        with Image.open(file, formats=sorted(FORMATS & Image.OPEN.keys())) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise Unrenderable(f"{width} x {height} pixels are more than the {max_pixels} that are decoded")
            orientation = _orientation(image)
            if orientation in LYING:
                width, height = height, width
            return Answer(width, height, tuple(_renditions(image, orientation, (width, height), wanted)))
    except Unrenderable as refusal:
        return Answer(width, height, reason=str(refusal))
    except UnidentifiedImageError:
        return Answer(None, None, reason=_unknown(file))
    except MemoryError:
        return Answer(width, height, reason="it takes more memory than a rendition may")
    except Exception as error:  # decoders raise whatever they like about broken pictures
        return Answer(width, height, reason=f"is broken: {error or type(error).__name__}")


def _unknown(file: BinaryIO) -> str:
    file.seek(0)
    is_drawing = b"<svg" in file.read(4096)
    return "is a drawing (SVG), which is shown as it is" if is_drawing else "is no picture of a format that is decoded"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken metadata is no reason against a picture
        return 1


def _renditions(image: Image.Image, orientation: int, size: tuple[int, int], wanted: Sequence[Wanted]) -> list[Made]:
    profile = image.info.get("icc_profile")
    plans = {each.preset: each.preset.plan(*size) for each in wanted}
    finest = max((_scale(*plan) for plan in plans.values()), default=0)
    full = image.size
    # Pillow's stubs want a mode; None keeps the picture's.
    image.draft(None, tuple(max(1, int(side * min(1, finest * FINER))) for side in full))  # pyright: ignore
    pixels = _resizable(image)
    shown = {
        preset: _shown(pixels, (*plan[:2], _scaled(plan[2], size, pixels.size, orientation)), orientation, profile)
        for preset, plan in plans.items()
    }
    return [_encoded(shown[each.preset], each) for each in wanted]


def _scale(width: int, height: int, box: Box) -> float:
    return max(width / (box[2] - box[0]), height / (box[3] - box[1]))


def _scaled(box: Box, displayed: tuple[int, int], decoded: tuple[int, int], orientation: int) -> Box:
    """The box in the pixels as they were decoded. It lies in the middle, so that mirroring leaves it where it is."""
    if orientation in LYING:
        box, displayed = (box[1], box[0], box[3], box[2]), (displayed[1], displayed[0])
    across, down = decoded[0] / displayed[0], decoded[1] / displayed[1]
    return box[0] * across, box[1] * down, min(box[2] * across, decoded[0]), min(box[3] * down, decoded[1])


def _resizable(image: Image.Image) -> Image.Image:
    """The first frame, in a mode whose pixels can be mixed."""
    if image.mode in DEEP:
        return image.point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data and image.mode not in {"RGBA", "LA"}:
        return image.convert("RGBA")
    if image.mode in {"P", BLACK_AND_WHITE, "F", "PA"}:
        return image.convert("L" if image.mode in {BLACK_AND_WHITE, "F"} else "RGB")
    image.load()
    return image


def _shown(
    pixels: Image.Image,
    plan: tuple[int, int, Box],
    orientation: int,
    profile: bytes | None,
) -> Image.Image:
    """The part of the picture in its new size, upright, in sRGB, without any metadata."""
    width, height, box = plan
    size = (height, width) if orientation in LYING else (width, height)
    small = pixels.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    if orientation in UPRIGHT:
        small = small.transpose(UPRIGHT[orientation])
    small = _srgb(small, profile)
    small.info.clear()
    return small


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    alpha = image.getchannel("A") if image.mode in {"RGBA", "LA"} else None
    colours = image.convert("L" if image.mode == "LA" else "RGB") if alpha else image
    if profile:
        colours = _converted(colours, profile)
    colours = colours.convert("RGB")
    if alpha:
        colours.putalpha(alpha)
    return colours


def _converted(colours: Image.Image, profile: bytes) -> Image.Image:
    """From the colours of the picture's profile to sRGB; as they are where the profile is broken or another mode's."""
    try:
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(colours, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return colours
    return converted or colours


def _encoded(image: Image.Image, wanted: Wanted) -> Made:
    quality = max(1, wanted.preset.quality - SOFTER[wanted.format])
    out = BytesIO()
    if wanted.format == "avif":
        image.save(out, "AVIF", quality=quality, speed=9, max_threads=1)
    elif wanted.format == "webp":
        image.save(out, "WEBP", quality=quality, method=2)
    else:
        _flat(image).save(out, "JPEG", quality=quality, optimize=True, progressive=True)
    return Made(image.width, image.height, out.getvalue())


def _flat(image: Image.Image) -> Image.Image:
    """JPEG knows no transparency: on white."""
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def main(descriptor: int, limits: Limits) -> None:
    _confine(limits)
    with Connection(descriptor) as line:
        line.send_bytes(READY)
        while line.poll(IDLE):
            try:
                wanted = read_order(line.recv_bytes())
                file = recv_handle(line)
            except EOFError:
                return
            _allow(limits.seconds)
            with open(file, "rb") as picture:
                picture.seek(0)
                answer = render(picture, wanted, limits.pixels)
            line.send_bytes(head(answer))
            for made in answer.made:
                line.send_bytes(made.data)


def _confine(limits: Limits) -> None:
    """Signals to a whole group of processes are not for this one: it ends with its parent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.nice(limits.niceness)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    warnings.simplefilter("ignore")
    learn_formats()


def learn_formats() -> None:
    """HEIC only where its plugin is installed."""
    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # `render` looks at them itself, before it decodes
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener(thumbnails=False)


def _allow(seconds: int) -> None:
    """From now on so many seconds of CPU; then the kernel ends the process (SIGXCPU)."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(spent.ru_utime + spent.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main(int(sys.argv[1]), Limits.read(sys.argv[2]))
