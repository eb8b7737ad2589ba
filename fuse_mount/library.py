"""libfuse 3's low-level API, by inode numbers, through mfusepy's library handle and structures.

The high-level API speaks of paths: it can tell neither exact link counts nor an unlinked file's attributes, and
mfusepy 3.1 drops the flags of rename. Declarations are those of libfuse's `fuse_lowlevel.h`.
"""

import ctypes
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_int64,
    c_size_t,
    c_uint,
    c_uint64,
    c_void_p,
)
from ctypes.util import find_library

from core.errors import Unusable


def _find() -> str:
    """mfusepy takes libfuse 2 where both are installed; what it finds here it must be told before it is imported."""
    path = os.environ.get("FUSE_LIBRARY_PATH") or find_library("fuse3")
    if not path:
        raise Unusable("libfuse 3", "is not installed; on Debian: apt-get install fuse3")
    os.environ["FUSE_LIBRARY_PATH"] = path
    return path


_find()
try:
    import mfusepy
except (OSError, AttributeError) as error:
    raise Unusable("libfuse 3", f"cannot be loaded ({error}); on Debian: apt-get install fuse3") from error
if mfusepy.fuse_version_major != 3:
    raise Unusable("libfuse 3", f"is needed; {os.environ['FUSE_LIBRARY_PATH']} is version {mfusepy.fuse_version_major}")

libfuse: ctypes.CDLL = mfusepy._libfuse
Stat = mfusepy.c_stat
StatVfs = mfusepy.c_statvfs
FileInfo = mfusepy.fuse_file_info
ConnectionInfo = mfusepy.fuse_conn_info
Buffer = mfusepy.fuse_buf

IS_FD, FD_SEEK = 2, 4
SPLICE_WRITE, SPLICE_MOVE, SPLICE_READ = 1 << 7, 1 << 8, 1 << 9
AUTO_INVAL_DATA, HANDLE_KILLPRIV = 1 << 12, 1 << 20
HANDLE_KILLPRIV_V2 = 1 << 28
"""The kernel's number (linux/fuse.h), which libfuse 3.14 does not know."""
SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_ATIME, SET_MTIME = 1, 2, 4, 8, 16, 32


class Context(Structure):
    """struct fuse_ctx: who asks."""

    _fields_ = (("uid", c_uint), ("gid", c_uint), ("pid", c_int), ("umask", c_uint))


class Arguments(Structure):
    """struct fuse_args."""

    _fields_ = (("argc", c_int), ("argv", POINTER(c_char_p)), ("allocated", c_int))


class Forget(Structure):
    _fields_ = (("ino", c_uint64), ("nlookup", c_uint64))


class OneBuffer(Structure):
    """struct fuse_bufvec of one buffer, which stands inside it."""

    _fields_ = (("count", c_size_t), ("idx", c_size_t), ("off", c_size_t), ("buf", Buffer))


_req, _ino, _fi = c_void_p, c_uint64, POINTER(FileInfo)
SIGNATURES: dict[str, tuple[object, ...]] = {
    "init": (c_void_p, POINTER(ConnectionInfo)),
    "destroy": (c_void_p,),
    "lookup": (_req, _ino, c_char_p),
    "forget": (_req, _ino, c_uint64),
    "getattr": (_req, _ino, _fi),
    "setattr": (_req, _ino, POINTER(Stat), c_int, _fi),
    "readlink": (_req, _ino),
    "mknod": (_req, _ino, c_char_p, c_uint, c_uint64),
    "mkdir": (_req, _ino, c_char_p, c_uint),
    "unlink": (_req, _ino, c_char_p),
    "rmdir": (_req, _ino, c_char_p),
    "symlink": (_req, c_char_p, _ino, c_char_p),
    "rename": (_req, _ino, c_char_p, _ino, c_char_p, c_uint),
    "link": (_req, _ino, _ino, c_char_p),
    "open": (_req, _ino, _fi),
    "read": (_req, _ino, c_size_t, c_int64, _fi),
    "write": (_req, _ino, c_void_p, c_size_t, c_int64, _fi),
    "flush": (_req, _ino, _fi),
    "release": (_req, _ino, _fi),
    "fsync": (_req, _ino, c_int, _fi),
    "opendir": (_req, _ino, _fi),
    "readdir": (_req, _ino, c_size_t, c_int64, _fi),
    "releasedir": (_req, _ino, _fi),
    "fsyncdir": (_req, _ino, c_int, _fi),
    "statfs": (_req, _ino),
    "setxattr": (_req, _ino, c_char_p, c_void_p, c_size_t, c_int),
    "getxattr": (_req, _ino, c_char_p, c_size_t),
    "listxattr": (_req, _ino, c_size_t),
    "removexattr": (_req, _ino, c_char_p),
    "access": (_req, _ino, c_int),
    "create": (_req, _ino, c_char_p, c_uint, _fi),
    "getlk": (_req, _ino, _fi, c_void_p),
    "setlk": (_req, _ino, _fi, c_void_p, c_int),
    "bmap": (_req, _ino, c_size_t, c_uint64),
    "ioctl": (_req, _ino, c_uint, c_void_p, _fi, c_uint, c_void_p, c_size_t, c_size_t),
    "poll": (_req, _ino, _fi, c_void_p),
    "write_buf": (_req, _ino, c_void_p, c_int64, _fi),
    "retrieve_reply": (_req, c_void_p, _ino, c_int64, c_void_p),
    "forget_multi": (_req, c_size_t, POINTER(Forget)),
    "flock": (_req, _ino, _fi, c_int),
    "fallocate": (_req, _ino, c_int, c_int64, c_int64, _fi),
    "readdirplus": (_req, _ino, c_size_t, c_int64, _fi),
    "copy_file_range": (_req, _ino, c_int64, _fi, _ino, c_int64, _fi, c_size_t, c_int),
    "lseek": (_req, _ino, c_int64, c_int, _fi),
}
# ctypes checks its own types, which typeshed does not name.
_CALLBACKS = {name: CFUNCTYPE(None, *signature) for name, signature in SIGNATURES.items()}  # type: ignore[arg-type]


class Callbacks(Structure):
    """struct fuse_lowlevel_ops."""

    _fields_ = tuple(_CALLBACKS.items())


def callback(name: str, function: object) -> object:
    # Callbacks are of as many types as there are operations.
    return _CALLBACKS[name](function)  # type: ignore[arg-type]


def _declare(name: str, result: object, *arguments: object) -> None:
    function = getattr(libfuse, name)
    function.restype, function.argtypes = result, arguments


_declare("fuse_session_new", c_void_p, POINTER(Arguments), POINTER(Callbacks), c_size_t, c_void_p)
_declare("fuse_session_mount", c_int, c_void_p, c_char_p)
_declare("fuse_session_unmount", None, c_void_p)
_declare("fuse_session_destroy", None, c_void_p)
_declare("fuse_session_fd", c_int, c_void_p)
_declare("fuse_session_exit", None, c_void_p)
_declare("fuse_session_exited", c_int, c_void_p)
_declare("fuse_session_receive_buf", c_int, c_void_p, POINTER(Buffer))
_declare("fuse_session_process_buf", None, c_void_p, POINTER(Buffer))
_declare("fuse_reply_err", c_int, _req, c_int)
_declare("fuse_reply_readlink", c_int, _req, c_char_p)
_declare("fuse_reply_open", c_int, _req, _fi)
_declare("fuse_reply_write", c_int, _req, c_size_t)
_declare("fuse_reply_buf", c_int, _req, c_char_p, c_size_t)
_declare("fuse_reply_data", c_int, _req, POINTER(OneBuffer), c_int)
_declare("fuse_reply_statfs", c_int, _req, POINTER(StatVfs))
_declare("fuse_reply_xattr", c_int, _req, c_size_t)
_declare("fuse_reply_lseek", c_int, _req, c_int64)
_declare("fuse_lowlevel_notify_inval_inode", c_int, c_void_p, _ino, c_int64, c_int64)

_brief = ctypes.PyDLL(os.environ["FUSE_LIBRARY_PATH"])
"""The same library, for what is done at once: letting other threads in would take longer."""
request_context = _brief.fuse_req_ctx
request_context.restype, request_context.argtypes = POINTER(Context), (_req,)
