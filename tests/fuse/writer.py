"""Threads that write files below a directory, and write down which of them must outlive whatever happens next."""

import hashlib
import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 400_000


@dataclass
class Writer:
    """Each file is written once or rewritten; `certain` has the digests of what was closed or synchronised last,
    `possible` also of what was on its way when the mount went away."""

    top: Path
    seed: int
    certain: dict[str, str] = field(default_factory=dict[str, str])
    possible: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    done: int = 0
    gone: OSError | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.thread = threading.Thread(target=self._work)

    def settle(self) -> None:
        """What is there must be what was promised, and is what the next round begins with."""
        seen = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.top.iterdir()}
        missing = self.certain.keys() - seen.keys()
        wrong = [name for name in seen if seen[name] not in self.possible.get(name, set())]
        told = {name: (seen.get(name), self.possible.get(name)) for name in (*sorted(missing), *wrong)}
        assert not told, f"missing {sorted(missing)}, wrong {wrong}: {told}"
        self.certain = dict(seen)
        self.possible = {name: {value} for name, value in seen.items()}

    def _work(self) -> None:
        try:
            while True:
                self._step()
                self.done += 1
        except OSError as error:
            self.gone = error

    def _step(self) -> None:
        name = f"f{self._random.randrange(30)}"
        self._random.choice((self._closed, self._synchronised, self._saved, self._removed))(name)

    def _closed(self, name: str) -> None:
        data, digest = self._content(name)
        fd = os.open(self.top / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        _write(fd, data)
        os.close(fd)
        self._promised(name, digest)

    def _synchronised(self, name: str) -> None:
        """It may be killed before it is closed."""
        data, digest = self._content(name)
        fd = os.open(self.top / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        _write(fd, data)
        os.fsync(fd)
        self._promised(name, digest)
        os.close(fd)

    def _saved(self, name: str) -> None:
        data, digest = self._content(name)
        new = self.top / f"{name}.new"
        self.certain.pop(new.name, None)
        self.possible.setdefault(new.name, {_empty()}).add(digest)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        _write(fd, data)
        os.fsync(fd)
        os.close(fd)
        os.rename(new, self.top / name)
        self._promised(name, digest)

    def _removed(self, name: str) -> None:
        if name in self.certain:
            del self.certain[name]
            os.unlink(self.top / name)
            self.possible[name] = set()

    def _content(self, name: str) -> tuple[bytes, str]:
        """From now on the file may be empty, or the new one, or as it was."""
        data = self._random.randbytes(self._random.choice((10, 5000, self._random.randrange(LARGEST))))
        digest = hashlib.sha256(data).hexdigest()
        self.certain.pop(name, None)
        self.possible.setdefault(name, set()).update({digest, _empty()})
        return data, digest

    def _promised(self, name: str, digest: str) -> None:
        self.certain[name] = digest
        self.possible[name] = {digest}


def _write(fd: int, data: bytes) -> None:
    middle = len(data) // 2
    for part in (data[:middle], data[middle:]):
        os.write(fd, part)


def _empty() -> str:
    return hashlib.sha256(b"").hexdigest()
