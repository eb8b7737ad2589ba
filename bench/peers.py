"""`python -m bench peers`: davstore and every peer that is installed, the same work against each in turn.

Many requests are made by wrk, single ones by `wire`. Every status is checked, and what was written is read back.
"""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bench.servers import PASSWORD, Running, Server, found, wait
from bench.wire import Connection

MIB = 1 << 20
LATENCY = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)", re.MULTILINE)
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
LOCK = (
    b"<?xml version='1.0'?><lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope>"
    b"<locktype><write/></locktype><owner>bench</owner></lockinfo>"
)
SCRIPT = """
local n, base = 0, {body}
function request()
  n = n + 1
  local path, body = "{path}", nil
  if {is_new} then path = path .. "-" .. n .. "-" .. os.time() end
  if base then body = path .. base:sub(#path + 1) end
  return wrk.format("{method}", path, {headers}, body)
end
"""


@dataclass
class Bench:
    """One server's figures, by row."""

    running: Running
    seconds: float
    big: int
    figures: dict[str, str] = field(default_factory=dict[str, str])
    details: list[str] = field(default_factory=list[str])

    @property
    def root(self) -> str:
        return self.running.server.root

    def connection(self) -> Connection:
        return Connection(self.running.port, self.running.server.user, PASSWORD)

    def rate(self, row: str, method: str, path: str, clients: int, *, new: int = 0, headers: str = "") -> None:
        """Requests per second. `new`: the size of a body that is another one each time, at a path of its own."""
        script = self._script(method, path, new, headers)
        cpu, begin = self.running.cpu(), time.monotonic()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{self.seconds:g}s", "--timeout", "30s", "--latency", "-s", script]
        told = subprocess.run([*command, self._url()], capture_output=True, text=True, check=True).stdout
        spent = time.monotonic() - begin
        count = int(re.findall(r"(\d+) requests in", told)[0])
        if "Non-2xx" in told or "Socket errors" in told or not count:
            self.figures[row] = "wrong answers"
            self.details.append(f"{self.running.server.name}, {row}: {told.splitlines()[-3:]}")
            return
        times = {which: float(value) * MILLISECONDS[unit] for which, value, unit in LATENCY.findall(told)}
        self.figures[row] = f"{count / spent:,.0f}"
        micro = 1e6 * (self.running.cpu() - cpu) / count
        about = f"p50 {times['50']:.2f} ms, p99 {times['99']:.2f} ms, {micro:.0f} us CPU for each"
        self.details.append(f"{self.running.server.name}, {row}: {about}")

    def timed(self, row: str, act: Callable[[], object], *, of: int = 0) -> None:
        """Milliseconds, or with `of` bytes MB/s."""
        begin = time.perf_counter()
        try:
            act()
        except (SystemExit, OSError) as error:
            self.figures[row] = "-"
            self.details.append(f"{self.running.server.name}, {row}: {error}")
            return
        spent = time.perf_counter() - begin
        self.figures[row] = f"{of / spent / 1e6:,.0f}" if of else f"{1000 * spent:,.1f}"

    def ask(self, method: str, path: str, status: int, body: bytes = b"", headers: str = "") -> int:
        connection = self.connection()
        try:
            return connection.ask(method, path, status, body, headers)
        finally:
            connection.close()

    def target(self, path: str) -> str:
        return f"Destination: http://127.0.0.1:{self.running.port}{path}\r\n"

    def _url(self) -> str:
        return f"http://127.0.0.1:{self.running.port}/"

    def _script(self, method: str, path: str, new: int, headers: str) -> str:
        every = dict(line.split(": ", 1) for line in headers.splitlines())
        if self.running.server.user:
            every["Authorization"] = f"Basic {b64encode(f'{self.running.server.user}:{PASSWORD}'.encode()).decode()}"
        table = "{" + ", ".join(f'["{name}"]="{value}"' for name, value in every.items()) + "}"
        body = f'string.rep("{os.urandom(32).hex()}", {new // 64})' if new else "nil"
        is_new = "true" if new else "false"
        text = SCRIPT
        for name, value in {"body": body, "path": path, "is_new": is_new, "method": method, "headers": table}.items():
            text = text.replace(f"{{{name}}}", value)
        file = Path(tempfile.gettempdir()) / f"davstore-bench-{os.getpid()}.lua"
        file.write_text(text)
        return str(file)


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing; install it (Debian: apt-get install wrk)")
    only = options.only.lower().split(";") if options.only else []
    wanted = [server for server in found() if not only or server.name.lower() in only]
    _report([_one(server, options) for server in wanted])


def _one(server: Server, options: argparse.Namespace) -> Bench:
    with tempfile.TemporaryDirectory(prefix="davstore-bench-", dir=options.directory) as folder:
        os.chmod(folder, 0o755)
        running = Running(server, Path(folder) / "server")
        bench = Bench(running, 2.0 if options.quick else 5.0, (128 if options.quick else 1024) * MIB)
        try:
            wait(running, lambda: _is_up(bench))
            _work(bench, Path(folder), 1000 if options.quick else 10_000)
        except SystemExit as error:
            bench.details.append(f"{server.name} ended early: {error}")
        finally:
            running.stop()
    print(f"{server.name} is done", flush=True)
    return bench


def _is_up(bench: Bench) -> bool:
    credentials = b64encode(f"{bench.running.server.user}:{PASSWORD}".encode()).decode()
    request = Request(f"http://127.0.0.1:{bench.running.port}{bench.root}", method="OPTIONS")
    request.add_header("Authorization", f"Basic {credentials}")
    try:
        urlopen(request).close()
    except HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def _work(bench: Bench, folder: Path, many: int) -> None:
    root = bench.root
    bench.figures["memory at the start, MiB"] = str(bench.running.memory())
    small = os.urandom(1024)
    bench.ask("PUT", f"{root}small", 201, small)
    assert bench.ask("GET", f"{root}small", 200) == len(small)
    for clients in (1, 16):
        bench.rate(f"GET 1 KiB, {clients}, req/s", "GET", f"{root}small", clients)
    for clients in (1, 8):
        bench.rate(f"PROPFIND 0, {clients}, req/s", "PROPFIND", f"{root}small", clients, headers="Depth: 0")
    for clients in (1, 8):
        bench.rate(f"PUT 4 KiB new, {clients}, req/s", "PUT", f"{root}new{clients}", clients, new=4096)
    _trees(bench, many)
    _locks(bench)
    _large(bench, folder)
    bench.figures["memory at the end, MiB"] = str(bench.running.memory())
    bench.figures["a write is"] = bench.running.server.durability


def _trees(bench: Bench, many: int) -> None:
    root, connection = bench.root, bench.connection()
    for name, count in (("tree", 1000), ("many", many)):
        connection.ask("MKCOL", f"{root}{name}/", 201)
        for n in range(count):
            connection.ask("PUT", f"{root}{name}/file%20number%20{n}.txt", 201, b"%d" % n)
    connection.close()
    bench.rate("PROPFIND of 1,000, req/s", "PROPFIND", f"{root}tree/", 1, headers="Depth: 1")
    bench.timed(f"PROPFIND of {many:,}, ms", lambda: bench.ask("PROPFIND", f"{root}many/", 207, headers="Depth: 1\r\n"))
    to = bench.target
    bench.timed("COPY a tree of 1,000, ms", lambda: bench.ask("COPY", f"{root}tree/", 201, headers=to(f"{root}copy/")))
    bench.ask("GET", f"{root}copy/file%20number%20999.txt", 200)
    bench.timed("MOVE it, ms", lambda: bench.ask("MOVE", f"{root}copy/", 201, headers=to(f"{root}moved/")))
    bench.timed("DELETE it, ms", lambda: bench.ask("DELETE", f"{root}moved/", 204))
    try:
        bench.ask("GET", f"{root}moved/file%20number%20999.txt", 404)
    except SystemExit as error:
        bench.figures["DELETE it, ms"] += " (not gone)"
        bench.details.append(f"{bench.running.server.name}: {error}")


def _locks(bench: Bench) -> None:
    path, connection, count = f"{bench.root}small", bench.connection(), 0
    cpu, begin = bench.running.cpu(), time.perf_counter()
    try:
        while time.perf_counter() - begin < bench.seconds:
            connection.ask("LOCK", path, 200, LOCK, "Timeout: Second-60\r\n")
            connection.ask("UNLOCK", path, 204, headers=f"Lock-Token: {connection.header('Lock-Token')}\r\n")
            count += 1
    except SystemExit as error:
        bench.details.append(f"{bench.running.server.name}, LOCK and UNLOCK: {error}")
    spent = time.perf_counter() - begin
    bench.figures["LOCK and UNLOCK, pairs/s"] = f"{count / spent:,.0f}" if count else "-"
    if count:
        micro = 1e6 * (bench.running.cpu() - cpu) / count
        bench.details.append(f"{bench.running.server.name}, LOCK and UNLOCK: {micro:.0f} us CPU for each pair")


def _large(bench: Bench, folder: Path) -> None:
    root, size = bench.root, bench.big
    content = os.urandom(size)
    os.sync()

    def until_on_disk() -> None:
        bench.ask("PUT", f"{root}large", 201, content)
        os.sync()

    bench.timed("PUT large until on disk, MB/s", until_on_disk, of=size)
    bench.timed("PUT of stored content, MB/s", lambda: bench.ask("PUT", f"{root}again", 201, content), of=size)
    bench.timed("GET large, MB/s", lambda: _whole(bench, f"{root}large", size), of=size)
    bench.rate("1 MiB ranges, req/s", "GET", f"{root}large", 1, headers=f"Range: bytes={MIB}-{2 * MIB - 1}")
    bench.timed("COPY large, ms", lambda: bench.ask("COPY", f"{root}large", 201, headers=bench.target(f"{root}second")))


def _whole(bench: Bench, path: str, size: int) -> None:
    if bench.ask("GET", path, 200) != size:
        raise SystemExit("the content came short")


def _report(done: list[Bench]) -> None:
    rows = list(dict.fromkeys(row for bench in done for row in bench.figures))
    names = [bench.running.server.name for bench in done]
    print(f"\n| | {' | '.join(names)} | davstore to rclone |\n|{'---|' * (len(names) + 2)}")
    by_name = {bench.running.server.name: bench.figures for bench in done}
    for row in rows:
        values = [bench.figures.get(row, "-") for bench in done]
        print(f"| {row} | {' | '.join(values)} | {_ratio(row, by_name)} |")
    print()
    for bench in done:
        print(*(f"- {line}" for line in bench.details), sep="\n")


def _ratio(row: str, by_name: dict[str, dict[str, str]]) -> str:
    """How many times as good."""
    try:
        own, peer = (float(by_name[name][row].replace(",", "")) for name in ("davstore", "rclone"))
    except (KeyError, ValueError):
        return ""
    is_time = row.endswith(("ms", "MiB"))
    return f"{peer / own if is_time else own / peer:.2f}" if own and peer else ""


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short measures, 128 MiB instead of 1 GiB")
    parser.add_argument("--only", help="names of servers, separated by semicolons")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args(arguments)
