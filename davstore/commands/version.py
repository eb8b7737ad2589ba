"""Which davstore this is."""

from importlib.metadata import PackageNotFoundError


def version() -> str:
    from importlib import metadata

    try:
        return metadata.version("davstore")
    except PackageNotFoundError:
        return "(not installed)"
