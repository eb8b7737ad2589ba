"""Which davstore this is."""


def version() -> str:
    from importlib import metadata

    try:
        return metadata.version("davstore")
    except metadata.PackageNotFoundError:
        return "(not installed)"
