"""`make bench`: davstore beside its peers; `python -m bench fuse` the mount beside its own, `python -m bench media`
thumbnails, `python -m bench scale` davstore alone with a million files."""

import sys

from bench import fuse, media, peers, scale

WHAT = {"fuse": fuse.main, "media": media.main, "scale": scale.main}


def main() -> None:
    measure = WHAT.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if measure is None:
        peers.main(sys.argv[1:])
    else:
        measure(sys.argv[2:])


if __name__ == "__main__":
    main()
