"""Many requests by wrk: one thread over a few kept connections, each with one request under way."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.wire import Wrong

PLAIN = """
wrk.method, wrk.path = "{method}", "{path}"
"""
NEW_FILES = """
local n, base = 0, string.rep("{word}", {size} / 64)
function request()
  n = n + 1
  local path = "{path}-" .. n
  return wrk.format("{method}", path, nil, path .. base:sub(#path + 1))
end
"""
IN_TURN = """
local n = 0
function request()
  n = n + 1
  return wrk.format("{method}", "{folder}file%20number%20" .. n % {count} .. ".txt")
end
"""
RANGES = """
math.randomseed({seed})
function request()
  local first = math.random(0, {last})
  wrk.headers["Range"] = "bytes=" .. first .. "-" .. first + {length} - 1
  return wrk.format("{method}", "{path}")
end
"""
TOLD = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nTOLD{"requests":%d,"bytes":%d,"us":%d,"wrong":%d,"p50":%f,"p99":%f}\\n', summary.requests,
    summary.bytes, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True)
class Told:
    """Requests a second, and how long one of them took (milliseconds)."""

    rate: float
    p50: float
    p99: float
    requests: int


@dataclass(frozen=True)
class Wrk:
    """`script` is one of those above, with what it takes."""

    port: int
    seconds: float
    headers: dict[str, str]

    def plain(self, method: str, path: str, clients: int, *, at_least: int = 0) -> Told:
        """The same request over and over; every answer has `at_least` so many bytes, or it is Wrong."""
        return self._run(PLAIN.format(method=method, path=path), clients, at_least)

    def in_turn(self, folder: str, clients: int, count: int) -> Told:
        """GET of one member of a collection after the other, over and over."""
        return self._run(IN_TURN.format(method="GET", folder=folder, count=count), clients, 1)

    def new_files(self, path: str, clients: int, size: int) -> Told:
        """PUT of a content and at a path that nobody had before."""
        word = os.urandom(32).hex()
        return self._run(NEW_FILES.format(method="PUT", path=path, size=size, word=word), clients, 0)

    def ranges(self, path: str, clients: int, of: int, length: int) -> Told:
        """Parts at random places of a file of `of` bytes."""
        seed = int.from_bytes(os.urandom(3))
        script = RANGES.format(method="GET", path=path, last=of - length, length=length, seed=seed)
        return self._run(script, clients, length)

    def _run(self, script: str, clients: int, at_least: int) -> Told:
        lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in self.headers.items()]
        with tempfile.TemporaryDirectory(prefix="davstore-bench-") as folder:
            file = Path(folder) / "script.lua"
            file.write_text("\n".join(lines) + script + TOLD)
            command = ["wrk", "-t1", f"-c{clients}", f"-d{self.seconds:g}s", "--timeout", "30s", "--latency"]
            command += ["-s", str(file), f"http://127.0.0.1:{self.port}/"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = [line for line in done.stdout.splitlines() if line.startswith("TOLD")]
        if not found:
            raise Wrong(f"wrk ended with {done.returncode}: {done.stderr[-200:]}")
        told = json.loads(found[0].removeprefix("TOLD"))
        count = told["requests"]
        if told["wrong"] or not count:
            raise Wrong(f"{told['wrong']} of {count} requests failed")
        if told["bytes"] < at_least * count:
            raise Wrong(f"answers of {told['bytes'] // count} bytes, not {at_least}")
        return Told(count / told["us"] * 1e6, told["p50"], told["p99"], count)
