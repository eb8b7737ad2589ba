"""Pictures made for tests: real files of each format, with the metadata that cameras write."""

from base64 import b64decode
from io import BytesIO

from PIL import Image, ImageCms

ORIENTATION, GPS = 0x0112, 0x8825
HEIC = b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAABoAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5j"
    "bHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBp"
    "eGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAACJtZGF0AAAAFigBrxmA70mlv//bMwRzR2/1+taY+bg="
)
"""64 x 48 teal pixels, as a telephone stores them; there is only a decoder here."""
SECRET = "taken at home by somebody"


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), colour: object = "teal", **options: object) -> bytes:
    """A picture of one colour."""
    return encoded(Image.new("RGB", size, colour), kind, **options)  # pyright: ignore[reportArgumentType]


def photo(kind: str = "JPEG", size: tuple[int, int] = (800, 600), orientation: int = 1, seed: int = 0) -> bytes:
    """Like a camera's: detail, an orientation, a place, a description, and sRGB's profile. Each seed is another."""
    image = Image.effect_noise((size[0] // 8 or 1, size[1] // 8 or 1), 60).resize(size).convert("RGB")
    image.putpixel((0, 0), (seed % 256, seed // 256 % 256, seed // 65536 % 256))
    options = {"quality": 88} if kind in {"JPEG", "WEBP", "AVIF"} else {}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded(image, kind, exif=exif(orientation), icc_profile=profile, **options)


def exif(orientation: int = 1) -> Image.Exif:
    found = Image.Exif()
    found[ORIENTATION] = orientation
    found[0x010E] = SECRET
    found.get_ifd(GPS)[2] = (52.0, 31.0, 12.0)
    return found


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)  # pyright: ignore[reportArgumentType]
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def swapped() -> bytes:
    """The profile of a space like sRGB whose red and green are each other's."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)
