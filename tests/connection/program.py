"""A small server as a program of its own, to be seen from outside: `program.py PORT WORKERS GRACE LOG [fails]`."""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from davstore import workers

LOG = Path(sys.argv[4])


def note(line: str) -> None:
    with LOG.open("a") as log:
        log.write(line + "\n")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    path = environ["PATH_INFO"]
    if path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/arenas":
        return [arenas(start_response)]
    note(f"asked to {environ['REQUEST_METHOD']}")
    try:
        while environ["wsgi.input"].read(65536):
            pass
    except OSError as error:
        note(type(error).__name__)
        raise
    note("read to the end")
    text = f"{os.getpid()} {sorted(os.sched_getaffinity(0))} {environ['wsgi.multiprocess']}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


def arenas(start_response: Callable[..., Any]) -> bytes:
    """How many arenas malloc has made, as it says itself."""
    libc, report = ctypes.CDLL(None), str(LOG) + ".malloc"
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(report.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    start_response("200 OK", [])
    return b"%d" % Path(report).read_text().count("<heap nr=")


def make_application() -> Any:
    note(f"made in {os.getpid()}")
    if sys.argv[5:] == ["fails"]:
        raise RuntimeError("no database")
    return application


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    note(f"parent {os.getpid()}")
    listening = workers.listen("127.0.0.1", int(sys.argv[1]))
    ready = lambda: print(listening.getsockname()[1], flush=True)  # noqa: E731
    sys.exit(workers.run(make_application, listening, int(sys.argv[2]), ready, grace=float(sys.argv[3])))
