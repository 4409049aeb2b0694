"""Locks that end with the process that holds them (flock), on a file or on a folder itself."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from crossmargin.placement import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    Names,
    naming,
    remove_folder,
    stands_for,
    temporary_name,
)

__all__ = ["BusyError", "locked_file", "locked_folder", "locked_temporary", "sweep_beside"]


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class BusyError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold the lock of a file; create the file if it is missing, and follow no link.

    Raises:
        BusyError: another process holds it.
        OSError: the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_folder(path: Path) -> Iterator[bool]:
    """Hold the lock of a folder itself; yield whether it is held, since some file systems lock only files.

    Raises:
        BusyError: another process holds it.
    """
    descriptor = os.open(path, _FOLDER)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked_temporary(folder: Path, names: Names) -> Iterator[Path]:
    """Make a private, locked folder under a temporary name beside `folder`; remove it at the end if it is still there.

    names: the files that it may contain.
    """
    temporary, descriptor = _make_locked(folder)
    try:
        yield temporary
    finally:
        try:
            with suppress(OSError):
                remove_folder(temporary, names)
        finally:
            os.close(descriptor)


def _make_locked(folder: Path) -> tuple[Path, int]:
    """Return a new temporary folder and its locked descriptor; a sweep may remove it before the lock."""
    while True:
        temporary = temporary_name(folder)
        with naming(folder):
            temporary.mkdir(PRIVATE_FOLDER)
        with suppress(FileNotFoundError):
            descriptor = os.open(temporary, _FOLDER)
            with suppress(BusyError):
                _lock(descriptor)
                if temporary.exists():
                    return temporary, descriptor
            os.close(descriptor)


def sweep_beside(folder: Path, names: Names) -> None:
    """Remove the temporary folders of killed runs beside a folder; keep those locked by a live run."""
    for path in folder.parent.glob(f".{escape(folder.name)}.*"):
        if stands_for(path.name) != folder.name:
            continue
        with suppress(OSError, BusyError), locked_folder(path) as is_held:
            if is_held:
                remove_folder(path, names)


def _lock(descriptor: int) -> bool:
    """Lock an open folder; return whether the file system has such locks.

    Raises:
        BusyError: another process holds it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError from None
    except OSError:
        return False
    return True
