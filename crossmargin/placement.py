"""Give files and folders their final names without losing anything: neither finished results nor other people's files.

Whole: a file or folder is written under a temporary name, `.NAME.16hex`, and then renamed, so that NAME is always
complete.
Durable: data reaches the disk before the rename, and the rename (an entry of the parent folder) before the next step.
A power cut after success undoes nothing.
Ours: a program states the names that it writes below a folder (`Names`). It removes or replaces nothing else, and never
follows links.
Modes: explicit, whatever the umask, for all private and all published files.
"""

import ctypes
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from crossmargin_circuits.errors import CrossmarginError

__all__ = [
    "PRIVATE_FILE",
    "PRIVATE_FOLDER",
    "PUBLIC_FILE",
    "PUBLIC_FOLDER",
    "ForeignNameError",
    "Names",
    "check_target",
    "make_folder",
    "naming",
    "put_in_place",
    "real_path",
    "remove_folder",
    "stands_for",
    "sweep",
    "sync_folder",
    "temporary_name",
    "write_file",
    "write_files",
    "write_folder",
    "write_link",
    "write_new_file",
]

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
PUBLIC_FILE = 0o644
PUBLIC_FOLDER = 0o755

WRITERS = 8
"""Files written at a time: a disk makes many small files durable at little more than the cost of one."""

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}")
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


class ForeignNameError(CrossmarginError):
    """A folder holds something that the program did not name, so it must not be written or replaced."""


@dataclass(frozen=True)
class Names:
    """The files that a program writes below a folder, each a regular expression with `/` between folders.

    A temporary name counts as its final name.
    """

    files: tuple[str, ...]

    def below(self, folder: str) -> "Names":
        """Return the same names inside a subfolder, itself a regular expression."""
        return Names(tuple(f"{folder}/{each}" for each in self.files))

    def __or__(self, other: "Names") -> "Names":
        """Return the names of both."""
        return Names((*self.files, *other.files))

    @cached_property
    def _files(self) -> "re.Pattern[str]":
        return re.compile("|".join(f"(?:{each})" for each in self.files))

    @cached_property
    def _folders(self) -> "re.Pattern[str]":
        parents = {"/".join(each.split("/")[:depth]) for each in self.files for depth in range(1, each.count("/") + 1)}
        return re.compile("|".join(f"(?:{each})" for each in sorted(parents)) or r"(?!)")

    def has(self, path: tuple[str, ...], entry: "os.DirEntry[str]") -> bool:
        """Return whether an entry at this path is ours; a link never is, whatever its name."""
        name = "/".join(map(stands_for, path))
        if entry.is_dir(follow_symlinks=False):
            return self._folders.fullmatch(name) is not None
        return entry.is_file(follow_symlinks=False) and self._files.fullmatch(name) is not None

    def lists(self, name: str) -> bool:
        """Return whether a relative path is one of these names."""
        return self._files.fullmatch(name) is not None

    def foreign(self, folder: Path) -> list[str]:
        """Return the relative paths below a folder that are not ours; none where there is no such folder.

        Raises:
            NotADirectoryError: it is not a folder, or is a link.
        """
        try:
            descriptor = os.open(folder, _FOLDER)
        except FileNotFoundError:
            return []
        try:
            return sorted("/".join(path) for path in self._foreign(descriptor, ()))
        finally:
            os.close(descriptor)

    def _foreign(self, descriptor: int, parents: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for entry in _entries(descriptor):
            path = (*parents, entry.name)
            if not self.has(path, entry):
                yield path
            elif entry.is_dir(follow_symlinks=False):
                with _inside(descriptor, entry.name) as inner:
                    yield from self._foreign(inner, path)

    def check(self, folder: Path) -> None:
        """Refuse a folder that holds anything else.

        Raises:
            ForeignNameError: names the first such entry.
        """
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ForeignNameError(f"{folder} is not a folder: choose another name")
        foreign = self.foreign(folder)
        if foreign:
            more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            raise ForeignNameError(
                f"{folder} holds something else, {foreign[0]}{more}: move it away, or choose another folder"
            )


def stands_for(name: str) -> str:
    """Return the final name of a temporary name, and any other name unchanged."""
    match = _TEMPORARY.fullmatch(name)
    return match["name"] if match else name


def real_path(path: Path) -> Path:
    """Return the path behind all links; where a link leads to itself, the link."""
    return Path(os.path.realpath(path))


def temporary_name(path: Path) -> Path:
    """Return a fresh temporary name beside a path."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def write_file(path: Path, data: bytes, mode: int | None, *, sync: bool = True) -> None:
    """Write a file whole or not at all, in place of an earlier file of that name.

    mode: of the file, or None for 0666 less the umask; sync: once this returns, the file survives a power cut.

    Raises:
        OSError: it cannot be written; names the file.
    """
    _write_whole(path, data, mode, sync=sync)
    if sync:
        sync_folder(path.parent)


def _write_whole(path: Path, data: bytes, mode: int | None, *, sync: bool) -> None:
    """Write a file and give it its name, which may not have reached the disk yet."""
    temporary = temporary_name(path)
    with naming(path):
        try:
            write_new_file(temporary, data, mode, sync=sync)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_files(folder: Path, files: Mapping[str, bytes], mode: int) -> None:
    """Write many files as `write_file` does, several at a time, because each waits for the disk.

    Raises:
        OSError: one cannot be written; finished ones stay.
    """
    with ThreadPoolExecutor(WRITERS) as writers:
        for _ in writers.map(lambda name: _write_whole(folder / name, files[name], mode, sync=True), files):
            pass
    sync_folder(folder)


def write_new_file(path: Path, data: bytes, mode: int | None, *, sync: bool = True) -> None:
    """Write a file into a folder without a final name, where half a file does no harm.

    Raises:
        OSError: it cannot be written, or its name is taken.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    with naming(path):
        descriptor = os.open(path, flags, 0o666 if mode is None else mode)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            if mode is not None:
                os.fchmod(descriptor, mode)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_link(path: Path, target: str) -> None:
    """Have a link lead to `target`, a name in the same folder, in place of an earlier link, in one step.

    Raises:
        ForeignNameError: something else than a link has the name.
        OSError: the system makes no link here; names the path.
    """
    if not path.is_symlink() and path.exists():
        raise ForeignNameError(f"{path} is no link: move it away, or choose another folder")
    temporary = temporary_name(path)
    with naming(path):
        try:
            temporary.symlink_to(target)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def make_folder(path: Path, mode: int, parents: int | None = None) -> None:
    """Make a folder with this mode, and its missing parents; leave an existing folder as it is.

    parents: their mode, or None for 0777 less the umask.

    Raises:
        OSError: it cannot be made, or its name is taken.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent, 0o777 if parents is None else parents, parents)
    with naming(path):
        try:
            path.mkdir(mode)
        except FileExistsError:
            if not path.is_dir():
                raise
            return
        if mode != 0o777:
            path.chmod(mode)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Write the entries of a folder to the disk."""
    with naming(path), _opened(path) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Yield a descriptor of a folder."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def check_target(folder: Path, names: Names, mark: str) -> None:
    """Refuse to replace anything but an empty folder or an earlier result, which holds the file `mark`.

    A folder with nothing but temporary names was left by a run that was killed before it wrote the mark.

    Raises:
        ForeignNameError: there is something else, hidden or not.
    """
    names.check(folder)
    if folder.is_dir() and not (folder / mark).is_file():
        named = sorted(each.name for each in folder.iterdir() if stands_for(each.name) == each.name)
        if named:
            raise ForeignNameError(f"{folder} holds something else, {named[0]} without {mark}: choose another folder")


def write_folder(folder: Path, files: Mapping[str, bytes], names: Names, mode: int) -> Path | None:
    """Write files into a new folder and put it in place of the old one; return what stays of the old one.

    mode: of the folder; its files have the same mode without the right to search.

    Raises:
        ForeignNameError: the old one holds something else; it is left as it is.
    """
    names.check(folder)
    make_folder(folder.parent, mode)
    temporary = temporary_name(folder)
    with naming(folder):
        temporary.mkdir(mode)
    try:
        temporary.chmod(mode)
        for name, data in files.items():
            write_new_file(temporary / name, data, mode & ~0o111)
        return put_in_place(temporary, folder, names)
    finally:
        with suppress(OSError):
            remove_folder(temporary, names)


def put_in_place(new: Path, folder: Path, names: Names) -> Path | None:
    """Give a finished folder its name, in one step where the system can; then remove the earlier folder.

    names: of the files in both. Every file of `new` must have been synced. Returns the folder that keeps the rest of
    the earlier one, where something in it is not ours or cannot be removed.

    Raises:
        ForeignNameError: the earlier folder holds something else; both are left as they are.
        OSError: the name cannot be given; names the folder.
    """
    names.check(folder)
    old: Path | None = None
    # Open the parent first: if it cannot be synced, this shows while nothing has changed.
    with naming(folder), _opened(folder.parent) as parent:
        _sync_folders(new)
        if not folder.exists():
            new.rename(folder)
        elif _exchange(new, folder):
            old = new
        else:
            old = temporary_name(folder)
            folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                old.rename(folder)
                raise
        os.fsync(parent)
    if old is None:
        return None
    try:
        return None if remove_folder(old, names) else old
    except OSError:
        return old


def _sync_folders(folder: Path) -> None:
    """Write the entries of a folder and of all folders inside to the disk, innermost first."""
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            _sync_folders(each)
    sync_folder(folder)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step (Linux); return whether the system can.

    Raises:
        OSError: it can, but refuses.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(second))


def remove_folder(folder: Path, names: Names) -> bool:
    """Remove our entries from a folder, and the folder itself if it is then empty; return whether it is gone.

    Links are removed, never followed; other people's entries stay.
    """
    try:
        descriptor = os.open(folder, _FOLDER)
    except FileNotFoundError:
        return True
    try:
        gone = _remove_inside(descriptor, (), names)
    finally:
        os.close(descriptor)
    if gone:
        with suppress(FileNotFoundError):
            folder.rmdir()
    return gone


def _remove_inside(descriptor: int, parents: tuple[str, ...], names: Names) -> bool:
    """Remove our entries from an open folder; return whether it is then empty."""
    gone = True
    entries = _entries(descriptor)
    if entries:
        # An earlier result may be write-protected, even against its owner.
        with suppress(OSError):
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | stat.S_IRWXU)
    for entry in entries:
        path = (*parents, entry.name)
        gone = (names.has(path, entry) and _remove_entry(descriptor, path, entry, names)) and gone
    return gone


def _remove_entry(descriptor: int, path: tuple[str, ...], entry: "os.DirEntry[str]", names: Names) -> bool:
    """Remove one of our entries; return whether it is gone."""
    with suppress(FileNotFoundError):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=descriptor)
            return True
        with _inside(descriptor, entry.name) as inner:
            if not _remove_inside(inner, path, names):
                return False
        os.rmdir(entry.name, dir_fd=descriptor)
    return True


def sweep(folder: Path, names: Names) -> None:
    """Remove the leftovers of killed runs below a folder: our entries under temporary names.

    Precondition: the caller keeps other runs out, because their temporary names must stay.
    """
    try:
        descriptor = os.open(folder, _FOLDER)
    except FileNotFoundError:
        return
    try:
        _sweep(descriptor, (), names)
    finally:
        os.close(descriptor)


def _sweep(descriptor: int, parents: tuple[str, ...], names: Names) -> None:
    for entry in _entries(descriptor):
        path = (*parents, entry.name)
        if not names.has(path, entry):
            continue
        if stands_for(entry.name) != entry.name:
            _remove_entry(descriptor, path, entry, names)
        elif entry.is_dir(follow_symlinks=False):
            with _inside(descriptor, entry.name) as inner:
                _sweep(inner, path, names)


def _entries(descriptor: int) -> list["os.DirEntry[str]"]:
    """Return the entries of an open folder."""
    with os.scandir(descriptor) as entries:
        return list(entries)


@contextmanager
def _inside(descriptor: int, name: str) -> Iterator[int]:
    """Yield a descriptor of a subfolder, which must not be a link."""
    inner = os.open(name, _FOLDER, dir_fd=descriptor)
    try:
        yield inner
    finally:
        os.close(inner)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError name the file that a person knows, instead of a temporary name or none."""
    final = _final(path)
    try:
        yield
    except OSError as error:
        known = error.filename
        if not isinstance(known, str | bytes) or _final(Path(os.fsdecode(known))) == final:
            error.filename, error.filename2 = str(final), None
        raise


def _final(path: Path) -> Path:
    """Return a path with final names in place of temporary ones."""
    return Path(*map(stands_for, path.parts))
