"""`davstore mount`: the drive as a file system of this machine."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from .installation import Config, Data, loading, opened, unusable

FRONT_END = "fuse_mount.mount"
"""The other front end, which is loaded by its name: neither imports the other."""

Mountpoint = Annotated[Path, typer.Argument(metavar="MOUNTPOINT", help="An empty directory.", show_default=False)]
OfBucket = Annotated[str | None, typer.Option(metavar="NAME", help="Show this bucket alone, without its own folder.")]
User = Annotated[str, typer.Option(metavar="NAME", help="Write as this user.")]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Change nothing.")]
AllowOther = Annotated[bool, typer.Option("--allow-other", help="Let other users of this machine in.")]
AttrTimeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", min=0, help="How long the kernel may remember names and attributes; 0 for exact ones."
    ),
]
KERNELS = ("noexec", "nosuid", "nodev")
Restrictions = Annotated[
    str, typer.Option("-o", metavar="OPTIONS", help=f"Mount options of the kernel: {', '.join(KERNELS)}.")
]


def mount(
    mountpoint: Mountpoint,
    data: Data = None,
    config: Config = None,
    bucket: OfBucket = None,
    user: User = "admin",
    read_only: ReadOnly = False,
    allow_other: AllowOther = False,
    attr_timeout: AttrTimeout = 1.0,
    restrictions: Restrictions = "",
) -> None:
    """Mount the drive on a directory, until it is unmounted or SIGTERM."""
    restricted = tuple(option for option in restrictions.split(",") if option)
    for unknown in set(restricted) - set(KERNELS):
        raise typer.BadParameter(f"{unknown} is none of {', '.join(KERNELS)}", param_hint="-o")
    with unusable(), loading():
        front_end = import_module(FRONT_END)
    options = front_end.Options(
        mountpoint=mountpoint,
        bucket=bucket,
        user=user,
        read_only=read_only,
        allow_other=allow_other,
        attr_timeout=attr_timeout,
        restrictions=restricted,
    )
    with opened(data, config) as store:
        front_end.run(store, options)
