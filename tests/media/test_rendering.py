"""What is made of a picture: upright, in sRGB, small enough, and telling nothing of who took it where."""

from io import BytesIO

import pytest
from PIL import Image

from core import rendering
from core.orders import Answer, Wanted
from core.presets import Format, Preset, negotiated
from tests.parts import images

THUMBNAIL = Preset("contain", 600, 600, 90)
PIXELS = 10_000_000


def render(data: bytes, look: Preset = THUMBNAIL, image_format: Format = "jpeg") -> Answer:
    return rendering.render(BytesIO(data), [Wanted(look, image_format)], PIXELS)


def made(data: bytes, look: Preset = THUMBNAIL, image_format: Format = "jpeg") -> Image.Image:
    answer = render(data, look, image_format)
    assert answer.reason is None
    (rendition,) = answer.made
    picture = images.opened(rendition.data)
    assert picture.size == (rendition.width, rendition.height)
    return picture


@pytest.fixture(autouse=True, scope="module")
def formats() -> None:
    rendering.learn_formats()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rendition_stands_upright(orientation: int):
    """The red corner of the picture as its camera held it is at the top left."""
    upright = Image.new("RGB", (80, 40), "white")
    upright.paste("red", (0, 0, 20, 10))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    data = images.encoded(stored, "JPEG", exif=images.exif(orientation), quality=95)

    answer, picture = render(data), made(data)

    red, _, blue = picture.getpixel((4, 4))  # pyright: ignore[reportGeneralTypeIssues]
    assert (answer.width, answer.height) == picture.size == (80, 40)
    assert red > 200 > 100 > blue


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_cover_shows_the_middle(orientation: int):
    upright = Image.new("RGB", (300, 100), "red")
    upright.paste("lime", (100, 0, 200, 100))
    stored = upright.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else upright
    data = images.encoded(stored, "PNG", exif=images.exif(orientation))

    picture = made(data, Preset("cover", 50, 50, 85))

    corners = [picture.getpixel(place) for place in ((2, 2), (47, 2), (2, 47), (47, 47))]
    assert picture.size == (50, 50)
    assert all(green > 200 > 60 > red for red, green, _ in corners)  # pyright: ignore[reportGeneralTypeIssues]


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_M5_a_rendition_tells_nothing_of_place_or_people(kind: str, image_format: Format):  # noqa: N802
    data = images.photo(kind, (160, 120))
    assert images.SECRET.encode() in data

    (rendition,) = render(data, image_format=image_format).made

    assert images.SECRET.encode() not in rendition.data
    assert b"Exif" not in rendition.data
    assert dict(images.opened(rendition.data).getexif()) == {}


def test_comments_are_no_part_of_a_rendition():
    data = images.picture("JPEG", comment=images.SECRET) + b"and more after its end"

    (rendition,) = render(data).made

    assert images.SECRET.encode() not in rendition.data


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif"])
def test_M9_a_picture_with_another_profile_is_shown_in_srgb(image_format: Format):  # noqa: N802
    """(200, 60, 60) in a space whose red and green are swapped is a green."""
    picture = made(images.picture("PNG", colour=(200, 60, 60), icc_profile=images.swapped()), image_format=image_format)

    red, green, _ = picture.convert("RGB").getpixel((10, 10))  # pyright: ignore[reportGeneralTypeIssues]
    assert green > 150 > 100 > red
    assert "icc_profile" not in picture.info


def test_a_broken_profile_is_no_reason_against_a_picture():
    assert made(images.picture("PNG", icc_profile=b"no profile at all" * 10)).size == (64, 48)


def test_transparency_stays_where_the_format_has_it_and_is_white_in_jpeg():
    data = images.encoded(Image.new("RGBA", (40, 40), (0, 0, 255, 0)), "PNG")

    webp, jpeg = made(data, image_format="webp"), made(data)

    assert webp.convert("RGBA").getchannel("A").getextrema() == (0, 0)
    assert jpeg.getpixel((20, 20)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_shown(kind: str):
    frames = [Image.new("RGB", (60, 60), colour) for colour in ("red", "lime", "blue")]
    data = images.encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)

    picture = made(data)

    red, green, _ = picture.getpixel((30, 30))  # pyright: ignore[reportGeneralTypeIssues]
    assert red > 200 > 60 > green


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "PNG"), ("LA", "PNG"), ("P", "GIF"), ("1", "PNG"), ("I;16", "PNG"), ("CMYK", "JPEG"), ("F", "TIFF")],
)
def test_every_mode_of_pixels_has_a_rendition(mode: str, kind: str):
    assert made(images.encoded(Image.new(mode, (700, 90)), kind)).size == (600, 77)


def test_sixteen_bits_of_grey_are_the_same_grey():
    data = images.encoded(Image.new("I;16", (20, 20), 128 * 256), "PNG")

    assert made(data).getpixel((10, 10)) == (128, 128, 128)


def test_heic_has_a_rendition():
    assert made(images.HEIC).size == (64, 48)


@pytest.mark.parametrize(
    ("look", "source", "size"),
    [
        (THUMBNAIL, (1200, 300), (600, 150)),
        (THUMBNAIL, (30, 20), (30, 20)),
        (Preset("contain", 100, 100, 85), (300, 1200), (25, 100)),
        (Preset("contain", 320, 0, 85), (640, 5000), (320, 2500)),
        (Preset("contain", 100, 100, 85), (50_000, 1), (100, 1)),
        (Preset("cover", 256, 256, 85), (1200, 300), (256, 256)),
        (Preset("cover", 256, 256, 85), (30, 20), (20, 20)),
        (Preset("cover", 200, 100, 85), (100, 100), (100, 50)),
    ],
)
def test_a_picture_fits_its_box_and_is_never_enlarged(look: Preset, source: tuple[int, int], size: tuple[int, int]):
    assert look.plan(*source)[:2] == size
    assert made(images.picture("PNG", source), look).size == size


@pytest.mark.parametrize(
    ("accept", "image_format"),
    [
        ("image/avif,image/webp,*/*;q=0.8", "avif"),
        ("image/webp,image/avif;q=0.5", "webp"),
        ("image/webp;q=0.5, IMAGE/AVIF;Q=0.5", "avif"),
        ("image/*", "jpeg"),
        ("image/avif;q=0, text/html", "jpeg"),
        ("image/avif;q=much", "jpeg"),
        ("image/jpeg, image/webp;q=0.9", "jpeg"),
        ("", "jpeg"),
    ],
)
def test_the_format_is_the_best_that_the_client_names(accept: str, image_format: Format):
    assert negotiated(accept, ("avif", "webp", "jpeg")) == image_format


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize(
    ("kind", "marker"),
    [
        ("JPEG", b"\xff\xd9"),
        ("PNG", b"\0\0\0\0IEND\xaeB`\x82"),
        ("GIF", b"\x3b"),
        ("WEBP", b""),
    ],
)
def test_p19_what_follows_a_picture_is_in_no_rendition(kind: str, marker: bytes, image_format: Format):
    """Penpot cut at the last marker in the file, so that what ended in one stayed."""
    payload = b"PK\x03\x04<script>alert(1)</script>" * 10

    (rendition,) = render(images.picture(kind) + payload + marker, image_format=image_format).made

    assert b"script" not in rendition.data
    assert b"PK\x03\x04" not in rendition.data
    assert images.opened(rendition.data).size == (64, 48)
