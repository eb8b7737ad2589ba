"""What the first bytes of a content show: `filetype` is asked only where one of its signatures may be there."""

import filetype  # pyright: ignore[reportMissingTypeStubs]
import pytest
from filetype.types import TYPES  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from hypothesis import given
from hypothesis import strategies as st

from core import media

OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)
ZIP = b"PK\x03\x04" + bytes(26)
BEGINNINGS = (
    *(b"AC10", b"gimp xcf v", b"\xff\xd8\xff", b"\0\0\0\x0c" + bytes(12) + b"ftypjp2 ", b"\x89PNG\r\n\x1a\n", b"GIF"),
    *(b"\x89PNG\r\n\x1a\n\0\0\0\0acTL", b"RIFF____WEBPVP", b"II*\0______", b"MM\0*______", b"II*\0____CR", b"BM"),
    *(
        b"II\xbc",
        b"8BPS",
        b"\0\0\1\0",
        b"\0\0\0\x14ftypheic____mif1",
        b"\0\0\0\x14ftypavif____mif1",
        b"_" * 128 + b"DICM_",
    ),
    *(b"MThd", b"ID3", b"\xff\xf2_", b"\xff\xf3_", b"\xff\xfb_", b"____ftypM4A", b"M4A _______", b"OggS", b"fLaC"),
    *(b"RIFF____WAVE", b"#!AMR\n______", b"\xff\xf1", b"\xff\xf9", b"FORM____AIFF", b"\0\0\0\x10ftypisom____"),
    *(
        b"\0\0\0\x10ftypqt  ____",
        b"\0\0\0\x1cftypM4V",
        b"\x1aE\xdf\xa3B\x82\x88matroska",
        b"\x1aE\xdf\xa3B\x82\x84webm",
    ),
    *(b"RIFF____AVI ", bytes.fromhex("3026b2758e66cf11a6d9"), b"FLV\1", b"\0\0\1\xb3", b"ftyp3gp"),
    *(b"wOFF\0\1\0\0", b"wOF2\0\1\0\0", b"\0\1\0\0\0", b"OTTO\0", b"PK\x05\x06", b"PK\x07\x08", ZIP + b"word/", ZIP),
    *(ZIP + b"xl/", ZIP + b"ppt/", ZIP + b"mimetypeapplication/epub+zip", OLE + b"\xec\xa5\xc1\0"),
    *(
        ZIP + b"mimetypeapplication/vnd.oasis.opendocument." + kind
        for kind in (b"text", b"spreadsheet", b"presentation")
    ),
    *(OLE + b"\x09\x08\x10\0\0\x06\x05\0", OLE + b"\xa0\x46\x1d\xf0", b"_" * 257 + b"ustar", b"Rar!\x1a\x07\1"),
    *(b"\x1f\x8b\x08", b"BZh", b"7z\xbc\xaf\x27\x1c", b"%PDF", b"\xef\xbb\xbf%PDF", b"MZ", b"CWS", b"FWS", b"{\\rtf"),
    *(b"NES\x1a", b"Cr24", b"MSCF", b"ISc(", b"________\x02\0\1" + bytes(23) + b"LP", b"%!", b"\xfd7zXZ\0", b"SQLi"),
    *(b"!<arch>\ndebian-binary", b"!<arch>", b"\x1f\xa0", b"\x1f\x9d", b"\x89LZO\0\r\n\x1a", b"LZIP", b"\x7fELF"),
    *(b"\x04\x22\x4d\x18", b"\xce\xb2\xcf\x81", b"\xed\xab\xee\xdb", b"\x28\xb5\x2f\xfd", b"\x22\xb5\x2f\xfd"),
    *(b"P*M\x18\0\0\0\0\x28\xb5\x2f\xfd", b"_*M\x18\0\0\0\0\x28\xb5\x2f\xfd", b"\0asm\1\0\0\0"),
)
"""One content, and where there are several kinds one of each, for every type that the library knows."""


def is_known(head: bytes) -> bool:
    """Whether the library finds a type."""
    return filetype.guess_mime(head) is not None  # pyright: ignore[reportUnknownMemberType]


def test_the_examples_have_every_type_that_the_library_can_tell() -> None:
    contents = [beginning.ljust(3000, b"\0") for beginning in BEGINNINGS]
    missed = [kind for kind in TYPES if not any(kind.match(bytearray(each)) for each in contents)]
    # The library compares three bytes with four there: nothing can be that.
    assert [type(kind).__module__ + "." + type(kind).__name__ for kind in missed] == ["filetype.types.archive.Dcm"]


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("size", [0, 64, 3000])
def test_what_the_library_knows_is_not_kept_from_it(beginning: bytes, size: int) -> None:
    head = beginning.ljust(size, b"\0")
    assert (media.sniffed(head) is not None) is is_known(head)


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=40), st.integers(0, 300))
def test_whatever_the_bytes_are_the_library_decides(beginning: bytes, more: bytes, at: int) -> None:
    head = more + beginning[at:] + more
    assert (media.sniffed(head) is not None) is is_known(head)
