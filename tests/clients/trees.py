"""Folders of real files, folders with odd names, and what a folder holds."""

import hashlib
import os
import random
import shutil
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

INTERPRETER = Path(sysconfig.get_path("stdlib"))
INSTALLED = Path(sysconfig.get_path("purelib"))
SHARED_DATA = Path("/usr/share")
SMALL = 2 << 20

ODD_NAMES = [
    "a b",
    "100%",
    "%41",
    "a?b",
    "a#b",
    "a;b=c",
    "a&b",
    "a+b",
    "a@b,c",
    "it's",
    'say "hi"',
    "<tag>",
    "(a)[b]{c}",
    "a*b",
    "a|b",
    "a:b",
    "a^b~c`d",
    "$HOME!",
    "back\\slash",
    "-leading",
    ".hidden",
    "...",
    "trailing.",
    "trailing ",
    " leading",
    "CON",
    "._x",
    ".DS_Store",
    "~$x.docx",
    "grüße",
    "gru\u0308sse",
    "日本語",
    "עברית",
    "👩‍👩‍👧",
    "Ω" * 120,
]


def real_files(target: Path, count: int) -> int:
    """Copies so many of this machine's own files: the interpreter, what is installed, the system's shared data.

    Returns their bytes. A short selection has some of each.
    """
    size = 0
    third = count // 3
    selections = [islice(_files(INTERPRETER), third), islice(_files(SHARED_DATA), third), _files(INSTALLED)]
    chosen = [file for selection in selections for file in selection]
    chosen += islice(_files(SHARED_DATA), third, third + max(0, count - len(chosen)))
    assert len(chosen) >= count, "this machine has too few files"
    for file in chosen[:count]:
        copy = target / file.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
        size += copy.stat().st_size
    return size


def odd_names(target: Path) -> None:
    """A file and a folder with a file under every odd name."""
    for number, name in enumerate(ODD_NAMES):
        (target / "files").mkdir(parents=True, exist_ok=True)
        (target / "files" / name).write_bytes(f"file {number}".encode())
        (target / "folders" / name).mkdir(parents=True)
        (target / "folders" / name / name).write_bytes(f"member {number}".encode())


def invented(target: Path, count: int, seed: int = 1) -> None:
    """Small files in a few folders, no two alike."""
    source = random.Random(seed)
    for number in range(count):
        folder = target / f"folder {number % 7}" / f"{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file {number}.bin").write_bytes(source.randbytes(source.randrange(1, 3_000)) + bytes([seed]))


def contents(root: Path) -> dict[str, str]:
    """The digest of every file, by its path below the folder; folders too, with a slash and without digest."""
    found: dict[str, str] = {}
    for folder, names, files in os.walk(root):
        inside = Path(folder)
        found |= {f"{(inside / name).relative_to(root)}/": "" for name in names if name != "lost+found"}
        found |= {str((inside / name).relative_to(root)): _digest(inside / name) for name in files}
    found.pop("lost+found/", None)
    return found


def _files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(set(names) - {"__pycache__", "site-packages"})
        for name in sorted(files):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink() and file.stat().st_size < SMALL:
                yield file


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
