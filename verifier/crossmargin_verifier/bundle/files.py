"""Reading files of strangers: plain ones alone, their size looked at before anything is allocated."""

import os
from pathlib import Path
from stat import S_ISREG

from crossmargin_verifier.protocol.errors import MalformedError

__all__ = ["read_plain_file"]

# Some systems lack some of these. A pipe is opened without waiting for whoever writes it, and refused.
_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


def read_plain_file(path: Path, limit: int, *, exactly: bool = False) -> bytes:
    """Return the bytes of a file, at most `limit`, or with `exactly` as many.

    Raises:
        OSError: the file is missing or unreadable.
        MalformedError: a link, a pipe, a folder or a device; another size; or the file changed while it was read.
    """
    if not hasattr(os, "O_NOFOLLOW") and path.is_symlink():
        raise MalformedError(f"{path.name}: not a plain file")
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        # Links and sockets do not open; a folder does not open everywhere.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise MalformedError(f"{path.name}: not a plain file") from error
        raise
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise MalformedError(f"{path.name}: not a plain file")
        size = status.st_size
        if size > limit or (exactly and size != limit):
            raise MalformedError(f"{path.name}: {size} bytes: {'must be' if exactly else 'at most'} {limit}")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(size)
            grew = stream.read(1)
    finally:
        os.close(descriptor)
    if len(data) != size or grew:
        raise MalformedError(f"{path.name}: changed while it was read")
    return data
