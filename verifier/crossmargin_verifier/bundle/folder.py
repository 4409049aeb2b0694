"""An untrusted folder, held open during a check: regular files only, with a size check before allocation.

If the system can open files relative to an open folder, all files come from one folder, even if a later bundle takes
its name meanwhile. Elsewhere each file is opened by its path. Either way `changed` tells whether the folder is
unchanged, so no venue is blamed for a mixture of two bundles.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_verifier.protocol.errors import MalformedError

__all__ = ["CannotCheckError", "Folder", "MissingFileError"]

# Some systems lack some of these. A pipe is opened without waiting for its writer, and refused.
_FILE_FLAGS = _FOLDER_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _FILE_FLAGS |= getattr(os, _name, 0)
for _name in ("O_DIRECTORY", "O_CLOEXEC"):
    _FOLDER_FLAGS |= getattr(os, _name, 0)

RELATIVE = hasattr(os, "O_DIRECTORY") and {os.open, os.stat} <= os.supports_dir_fd
"""Whether this system opens files relative to an open folder."""

Identity = tuple[int, int, int, int]
"""Device, number, size and time of the last change of a file or a folder."""


class CannotCheckError(CrossmarginError):
    """A file is missing or unreadable, or the machine failed: neither verified nor rejected."""


class MissingFileError(CannotCheckError):
    """There is no file or folder of this name."""


class Folder:
    """An open folder and its identity; `path` serves messages, and systems that open only by path."""

    def __init__(self, path: Path, parent: "Folder | None" = None) -> None:
        """Open a folder, or one inside a parent; a link is followed to the first alone.

        Raises:
            MissingFileError: there is none. CannotCheckError: it cannot be opened.
            MalformedError: a link inside a folder.
        """
        self.path = path
        self._parent = parent
        self._files: dict[str, Identity] = {}
        self._folders: dict[str, Folder] = {}
        self._descriptor: int | None = None
        self._identity: Identity | None = None
        try:
            self._own_identity()
            if RELATIVE:
                name, relative = (path, None) if parent is None else (path.name, parent._descriptor)
                no_link = 0 if parent is None else os.O_NOFOLLOW
                self._descriptor = os.open(name, _FOLDER_FLAGS | no_link, dir_fd=relative)
            self._identity = self._own_identity()
        except OSError as error:
            raise self.refused(error, path) from None

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> "Iterator[Folder]":
        """Yield an open folder, and close it with all folders inside it.

        Raises:
            CannotCheckError: there is none, or it cannot be opened.
        """
        if not path.is_dir():
            raise CannotCheckError(f"{path}: no such folder")
        folder = cls(path)
        try:
            yield folder
        finally:
            folder._close()

    def names(self) -> list[str]:
        """Return the names of all that lies in the folder.

        Raises:
            CannotCheckError: it cannot be read.
        """
        try:
            return os.listdir(self.path if self._descriptor is None else self._descriptor)  # noqa: PTH208 - of what is open
        except OSError as error:
            raise self.refused(error, self.path) from None

    def inner(self, name: str) -> "Folder":
        """Return a folder inside this one, opening it once.

        Raises:
            MissingFileError: there is none. CannotCheckError: it cannot be opened. MalformedError: a link.
        """
        if name not in self._folders:
            self._folders[name] = Folder(self.path / name, self)
        return self._folders[name]

    def read(self, name: str, limit: int, *, exactly: bool = False) -> bytes:
        """Return the bytes of a file, at most `limit`, or with `exactly` as many.

        Raises:
            MissingFileError: there is none. CannotCheckError: it is unreadable, larger than `limit`, or changed while
                it was read.
            MalformedError: a link, a pipe, a folder or a device; or not the exact size.
        """
        data = self.find(name, limit, exactly=exactly)
        if data is None:
            raise self.refused(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), self.path / name)
        return data

    def find(self, name: str, limit: int, *, exactly: bool = False) -> bytes | None:
        """Return the bytes of a file as `read` does, or None if it is missing.

        Raises:
            CannotCheckError, MalformedError: as for `read`.
        """
        try:
            status = self._status(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.refused(error, self.path / name) from None
        if not S_ISREG(status.st_mode):
            raise MalformedError(f"{name}: not a plain file")
        self._files[name] = _identity(status)
        try:
            descriptor = os.open(
                name if RELATIVE else self.path / name, _FILE_FLAGS, dir_fd=self._descriptor if RELATIVE else None
            )
        except OSError as error:
            raise self.refused(error, self.path / name) from None
        try:
            status = os.fstat(descriptor)
            if not S_ISREG(status.st_mode):
                raise MalformedError(f"{name}: not a plain file")
            size = status.st_size
            if exactly and size != limit:
                raise MalformedError(f"{name}: {size} bytes: must be {limit}")
            if size > limit:
                raise CannotCheckError(f"{self.path / name}: {size} bytes: this verifier reads at most {limit}")
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                data = stream.read(size)
                grew = stream.read(1)
        except OSError as error:
            raise self.refused(error, self.path / name) from None
        finally:
            os.close(descriptor)
        if len(data) != size or grew:
            raise CannotCheckError(f"{self.path / name}: it changed while it was read: run again")
        return data

    def changed(self) -> bool:
        """Return whether anything was added, removed, exchanged or written since this folder was opened.

        Where files are opened by path, that another folder took the name counts too.
        """
        try:
            if self._own_identity() != self._identity:
                return True
            if any(_identity(self._status(name)) != identity for name, identity in self._files.items()):
                return True
        except (OSError, MalformedError):
            return True
        return any(folder.changed() for folder in self._folders.values())

    def refused(self, error: OSError, path: Path) -> CannotCheckError:
        """Return the error to raise if a file or folder cannot be opened or read."""
        outermost = self
        while outermost._parent is not None:
            outermost = outermost._parent
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        # Whoever moved a folder may be removing it, and begins with a folder inside, which changes nothing further out.
        if outermost._identity is not None and (outermost.changed() or (missing and outermost._lost_its_name())):
            return outermost.mixture()
        return (MissingFileError if missing else CannotCheckError)(f"{path}: {error.strerror or error}")

    def mixture(self) -> CannotCheckError:
        """Return the error to raise for a folder that changed."""
        return CannotCheckError(f"{self.path}: it changed while it was read: run again")

    def _own_identity(self) -> Identity:
        if self._parent is not None:
            status = self._parent._status(self.path.name)
        else:
            # An open folder stays what it is when another one takes its name.
            status = self.path.stat() if self._descriptor is None else os.fstat(self._descriptor)
        if S_ISLNK(status.st_mode):
            raise MalformedError(f"{self.path.name}: a link, not a folder")
        if not S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return _identity(status)

    def _lost_its_name(self) -> bool:
        """Return whether the path of an outermost folder no longer leads to it."""
        try:
            return self._identity is None or _identity(self.path.stat())[:2] != self._identity[:2]
        except OSError:
            return True

    def _status(self, name: str) -> os.stat_result:
        if RELATIVE:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        return (self.path / name).lstat()

    def _close(self) -> None:
        for folder in self._folders.values():
            folder._close()
        if self._descriptor is not None:
            os.close(self._descriptor)


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
