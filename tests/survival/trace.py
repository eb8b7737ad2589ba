"""What a server asked of the kernel, from strace's record, in order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.parts.tools import tool

SYNCS = {"fsync", "fdatasync"}
WRITES = {"write", "pwrite64", "pwritev"}
LINKS = {"link", "linkat", "rename", "renameat2"}
SENDS = {"sendto", "sendmsg", "writev", "write"}
CALLS = SYNCS | WRITES | LINKS | SENDS | {"mkdir", "recvfrom"}

_line = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_file = re.compile(r"\d+<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Call:
    thread: int
    name: str
    text: str
    began: int
    ended: int

    @property
    def file(self) -> Path:
        """Of the first descriptor."""
        found = _file.match(self.text)
        return Path(found[1]) if found else Path()

    def __lt__(self, other: "Call") -> bool:
        """It was over when the other began."""
        return self.ended < other.began


def strace(record: Path) -> list[str]:
    """The wrapper of a DavServer that keeps the record, and leaves the server's pid its own."""
    return [tool("strace"), "-D", "-f", "-y", "-s", "300", "-o", str(record), "-e", f"trace={','.join(sorted(CALLS))}"]


def calls(record: Path) -> list[Call]:
    """Those that succeeded, by the time of their end."""
    begun: dict[int, tuple[str, int]] = {}
    found: list[Call] = []
    for number, line in enumerate(record.read_text(errors="replace").splitlines()):
        parts = _line.match(line)
        if not parts:
            continue
        thread, resumed, rest = int(parts[1]), parts[2], parts[4]
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>"), number
            continue
        text, began = begun.pop(thread) if resumed else ("", number)
        if not re.search(r"\) += -1 ", rest):
            found.append(Call(thread, resumed or parts[3], text + rest, began, number))
    return found


def answers(found: Sequence[Call]) -> list[Call]:
    """The first bytes of every response but that of /healthz."""
    heads = [call for call in found if call.name in SENDS and '"HTTP/1.1 ' in call.text]
    return [call for call in heads if r"ok\n" not in call.text]
