"""davfs2: the server as a file system of the kernel."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.clients.programs import run
from tests.parts import processes
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.tools import tool

# From Linux 6.16 on, davfs2 1.6 lists no folder with a smaller buffer (alisarctl/davfs2#22).
SETTINGS = "use_locks 1\ndelay_upload 0\nbuf_size 64\ngui_optimize 0\nask_auth 0\n"


@contextmanager
def mounted(server: DavServer, path: str = "/files/") -> Iterator[Path]:
    """The server mounted with locks, and an empty cache; unmounting uploads what is left."""
    program = tool("mount.davfs", "davfs2")
    place = Path(mkdtemp(prefix="davstore-davfs-", dir="/var/tmp"))
    try:
        configuration = _configuration(place, f"{server.url}{path}")
        folder = place / "drive"
        folder.mkdir()
        run(program, f"{server.url}{path}", folder, "-o", f"conf={configuration},uid=0,gid=0,rw", stdin="")
        daemon = _daemon(folder)
        try:
            yield folder
        except BaseException:
            _unmount(folder, daemon, "--lazy")
            raise
        _unmount(folder, daemon)
    finally:
        shutil.rmtree(place)


def _configuration(place: Path, url: str) -> Path:
    place.chmod(0o711)
    cache = place / "cache"
    cache.mkdir()
    shutil.chown(cache, group="davfs2")
    cache.chmod(0o770)
    secrets = place / "secrets"
    secrets.write_text(f'{url} "{USER}" "{PASSWORD}"\n')
    secrets.chmod(stat.S_IRUSR | stat.S_IWUSR)
    configuration = place / "davfs2.conf"
    configuration.write_text(f"{SETTINGS}cache_dir {cache}\nsecrets {secrets}\n")
    return configuration


def _daemon(folder: Path) -> int:
    """davfs2 leaves a daemon behind, which all orphans of the test run become children of ours (see `processes`)."""
    for pid in processes.children(os.getpid()):
        if str(folder) in processes.command(pid):
            return pid
    raise AssertionError("mount.davfs left no daemon")


def _unmount(folder: Path, daemon: int, *options: str) -> None:
    subprocess.run([tool("umount", "mount"), "-i", *options, folder], check=True)
    if not processes.ended([daemon], patience=30):
        processes.kill([daemon])
        raise AssertionError("davfs2 did not end")
    processes.reap([daemon])
