"""Names are bytes: nothing is folded, composed or forbidden but what no file system takes."""

import errno
import os
from pathlib import Path

import pytest

from tests.fuse.calls import create, refused

STRANGE = (
    *(
        " leading",
        "trailing ",
        "dot.",
        "..x",
        "...",
        "-rf",
        ".hidden",
        "._double",
        "~$lock",
        "#x#",
        "CON",
        "desktop.ini",
    ),
    *("desktop.ini", "a:b", "a*b", "a?b", 'a"b', "<a>", "a|b", "a\\b", "a%41", "%2F", "&amp;", "a;b"),
    *("new\nline", "tab\there", "\x01", "\x7f"),
    *("caf\u00e9", "cafe\u0301", "\U0001f4be", "\ufb01", "\u202eright"),
)


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_a_name_is_kept_as_it_is(mount: Path, name: str):
    create(mount / name, b"data")

    assert os.listdir(mount) == [name]
    assert (mount / name).read_bytes() == b"data"


def test_upper_and_lower_case_are_two_names(mount: Path):
    create(mount / "name", b"lower")
    create(mount / "NAME", b"upper")

    assert ((mount / "name").read_bytes(), (mount / "NAME").read_bytes()) == (b"lower", b"upper")


def test_composed_and_decomposed_letters_are_two_names(mount: Path):
    create(mount / "caf\u00e9", b"composed")
    create(mount / "cafe\u0301", b"decomposed")

    assert len(os.listdir(mount)) == 2
    assert (mount / "caf\u00e9").read_bytes() == b"composed"


def test_a_name_that_is_equivalent_is_not_the_same(mount: Path):
    create(mount / "caf\u00e9")

    with refused(errno.ENOENT):
        os.stat(mount / "cafe\u0301")


@pytest.mark.parametrize("name", ["x" * 255, "\u00e9" * 127 + "x", "\U0001f4be" * 63 + "xyz"], ids=["ascii", "2", "4"])
def test_a_name_has_255_bytes(mount: Path, name: str):
    assert len(name.encode()) == 255
    create(mount / name)

    assert os.listdir(mount) == [name]


@pytest.mark.parametrize("name", ["x" * 256, "\u00e9" * 128], ids=["ascii", "2"])
@pytest.mark.parametrize(
    "call", [os.mkdir, os.stat, create, os.unlink, os.listdir, os.readlink], ids=lambda f: f.__name__
)
def test_a_name_does_not_have_256_bytes(mount: Path, call: object, name: str):
    with refused(errno.ENAMETOOLONG):
        call(mount / name)  # pyright: ignore[reportCallIssue]


def test_a_rename_to_256_bytes_is_refused(mount: Path):
    create(mount / "f")

    with refused(errno.ENAMETOOLONG):
        os.rename(mount / "f", mount / ("x" * 256))


def test_a_path_of_more_than_4096_bytes_is_refused(mount: Path):
    with refused(errno.ENAMETOOLONG):
        os.stat(f"{mount}/" + "d/" * 2048 + "f")


def test_a_name_that_is_not_utf_8_is_kept_or_refused_as_such(mount: Path):
    """Clients over HTTP could not name it: the mount may say so, with the error that is there for it."""
    name = os.fsencode(mount) + b"/caf\xe9"
    told = None
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
    except OSError as error:
        told = error.errno

    assert (told, os.listdir(os.fsencode(mount))) in [(None, [b"caf\xe9"]), (errno.EILSEQ, [])]


def test_a_slash_at_the_end_means_a_directory(mount: Path):
    create(mount / "f")

    with refused(errno.ENOTDIR):
        os.stat(f"{mount}/f/")


def test_an_empty_name_is_nothing(mount: Path):
    with refused(errno.ENOENT):
        os.stat("")
