"""A file system with little room, to fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.tools import tool


@contextmanager
def small_disk(directory: Path, size: int, *options: str) -> Iterator[Path]:
    """A tmpfs of `size` bytes at the directory; mounting takes an administrator's rights."""
    directory.mkdir(exist_ok=True)
    mounting = ["-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "davstore-test", directory]
    subprocess.run([tool("mount", "mount"), *mounting], check=True)
    try:
        yield directory
    finally:
        subprocess.run([tool("umount", "mount"), "--lazy", directory], check=True)
