"""A process that writes from several threads for some seconds: `python -m tests.parts.writer URL DATA THREADS SECONDS`.

It starts with the line that it reads, and prints how many files each thread wrote.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.parts import stores


def main(url: str, data: str, threads: str, seconds: str) -> None:
    store = stores.opened(url, Path(data))
    namespace = store.namespace(stores.ANN)

    def write(thread: int) -> int:
        count = 0
        while time.monotonic() < end:
            stores.put(namespace, ("files", f"{os.getpid()}-{thread}-{count % 20}"), str(count).encode())
            count += 1
        return count

    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + float(seconds)
    with ThreadPoolExecutor(int(threads)) as pool:
        print(*pool.map(write, range(int(threads))))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
