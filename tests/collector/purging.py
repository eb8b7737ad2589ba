"""Lets go what is condemned, again and again, until it is killed: python -m tests.collector.purging URL DATA"""

import sys
from pathlib import Path

from core.store import Store
from tests.parts import stores


def main() -> None:
    store: Store = stores.opened(sys.argv[1], Path(sys.argv[2]))
    print("ready", flush=True)
    while True:
        store.collect_garbage(grace=0, retention=0)
        print("ran", flush=True)


if __name__ == "__main__":
    main()
