"""Pictures made to hurt: bombs, liars, broken ones, and files that are two things at once."""

import random
import struct
import zlib
from collections.abc import Mapping

from tests.parts import images

SIDE = 50_000
PIXELS = 10_000_000
"""More than this is not decoded in these tests."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, *more: bytes) -> bytes:
    """A PNG of 8 bits of grey that says to be so large."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zeros, whole MiB of them, deflated to a thousandth: a block again and again (RFC 1950, 1951)."""
    deflate = zlib.compressobj(9, wbits=-15)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = (count % 65521) << 16 | 1
    return b"\x78\xda" + block * (count >> 20) + b"\x03\x00" + checksum.to_bytes(4, "big")


def bomb() -> bytes:
    """2,500,000,000 pixels in some kilobytes."""
    return png(SIDE, SIDE, zeros(64 << 20))


def text_bomb() -> bytes:
    """A comment that unpacks to 64 MiB before any pixel."""
    return png(8, 8, zlib.compress(bytes(9) * 8), chunk(b"zTXt", b"a\0\0" + zeros(64 << 20)))


def profile_bomb() -> bytes:
    return png(8, 8, zlib.compress(bytes(9) * 8), chunk(b"iCCP", b"a\0\0" + zeros(64 << 20)))


def gif_bomb() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0xF0, 0, 0) + bytes(6) + GIF_FRAME + b";"


GIF_FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00"


def many_frames() -> bytes:
    """Twenty thousand frames, of which one is wanted."""
    one = images.picture("GIF", (16, 16))
    colours = 3 << ((one[10] & 7) + 1)
    return one[: 13 + colours] + one[13 + colours : -1] * 20_000 + b";"


def jpeg_that_lies() -> bytes:
    """Its header says 65,500 x 65,500."""
    data = images.picture("JPEG")
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", 65_500, 65_500) + data[start + 4 :]


def endless_tiff() -> bytes:
    """Its second directory is its first."""
    data = bytearray(images.picture("TIFF"))
    first = struct.unpack("<I", data[4:8])[0]
    entries = struct.unpack("<H", data[first : first + 2])[0]
    end = first + 2 + entries * 12
    data[end : end + 4] = struct.pack("<I", first)
    return bytes(data)


def recursive_svg() -> bytes:
    uses = "".join(f'<g id="g{n}">' + f'<use href="#g{n - 1}"/>' * 10 + "</g>" for n in range(1, 12))
    return f'<svg xmlns="http://www.w3.org/2000/svg"><g id="g0"/>{uses}<use href="#g11"/></svg>'.encode()


def laughing_svg() -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    return f'<!DOCTYPE svg [<!ENTITY l0 "ha">{entities}]><svg>&l11;</svg>'.encode()


def damaged(kind: str, seed: int) -> bytes:
    """A good picture, some of whose bytes are others, or are not there."""
    choose = random.Random(seed)
    data = bytearray(images.photo(kind, (96, 64), seed=seed))
    for _ in range(choose.randint(1, 12)):
        data[choose.randrange(len(data))] = choose.randrange(256)
    return bytes(data[: choose.randint(len(data) // 2, len(data))] if seed % 3 == 0 else data)


def corpus() -> Mapping[str, tuple[str, bytes]]:
    """By name: the file's name, and its bytes."""
    jpeg, html = images.photo("JPEG", (96, 64)), b"<html><script>alert(1)</script></html>"
    return {
        "a bomb of 50,000 px sides": ("bomb.png", bomb()),
        "a bomb in a comment": ("text.png", text_bomb()),
        "a bomb in a profile": ("profile.png", profile_bomb()),
        "a GIF of 65,535 px sides": ("bomb.gif", gif_bomb()),
        "a GIF of 20,000 frames": ("frames.gif", many_frames()),
        "a JPEG that lies about its size": ("lies.jpg", jpeg_that_lies()),
        "a TIFF without end": ("endless.tif", endless_tiff()),
        "a recursive SVG": ("recursive.svg", recursive_svg()),
        "an SVG that laughs": ("laughs.svg", laughing_svg()),
        "half a JPEG": ("half.jpg", jpeg[: len(jpeg) // 2]),
        "half a WebP": ("half.webp", images.photo("WEBP", (96, 64))[:-200]),
        "half an AVIF": ("half.avif", images.photo("AVIF", (96, 64))[:-200]),
        "a JPEG and a page": ("both.jpg", jpeg + html),
        "a GIF and a script": ("both.gif", b"GIF89a/*" + b"\0" * 20 + b"*/=1;alert(1)"),
        "a JPEG named PNG": ("wrong.png", jpeg),
        "a page named JPEG": ("page.jpg", html),
        "a PostScript program named JPEG": ("program.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n{ } loop\n"),
        "a wide line": ("line.png", images.picture("PNG", (SIDE, 1))),
        "a tall line": ("tall.png", images.picture("PNG", (1, SIDE))),
        "no byte of a picture": ("noise.jpg", bytes(random.Random(1).randbytes(4096))),
    }


SHOWN = {
    "a GIF of 20,000 frames",
    "a JPEG and a page",
    "a JPEG named PNG",
    "a TIFF without end",
    "a wide line",
    "a tall line",
}
"""Those that are pictures all the same."""
