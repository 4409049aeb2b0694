"""A store of a run's finished pieces by name, from which an interrupted run resumes.

A store is a mapping of names to bytes: a `dict` for a run that need not survive, or a private folder. It holds a piece
whole or not at all.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from crossmargin.placement import PRIVATE_FILE, PRIVATE_FOLDER, make_folder, write_file

__all__ = ["FolderStore", "Store", "located", "write_private"]

Store = MutableMapping[str, bytes]


@dataclass(frozen=True)
class FolderStore(Store):
    """A folder that only its owner can read; each piece is a file that gets its name after it is on disk."""

    path: Path

    def __getitem__(self, name: str) -> bytes:
        """Return a piece."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, data: bytes) -> None:
        """Write a piece, in place of an earlier one."""
        make_folder(self.path, PRIVATE_FOLDER, PRIVATE_FOLDER)
        write_private(self.path / name, data)

    def __delitem__(self, name: str) -> None:
        """Remove a piece."""
        try:
            (self.path / name).unlink()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __contains__(self, name: object) -> bool:
        """Return whether the store holds a piece, without reading it."""
        return isinstance(name, str) and (self.path / name).is_file()

    def __iter__(self) -> Iterator[str]:
        """Return the names of the pieces; ignore names with a leading point, left over by a killed run."""
        if not self.path.is_dir():
            return iter(())
        return iter(sorted(each.name for each in self.path.iterdir() if not each.name.startswith(".")))

    def __len__(self) -> int:
        """Return the number of pieces."""
        return sum(1 for _ in self)


def write_private(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file with mode 0600 whole or not at all; sync: after the return it survives a power cut.

    Raises:
        OSError: it cannot be written; names the file.
    """
    write_file(path, data, PRIVATE_FILE, sync=sync)


def located(store: Mapping[str, bytes], name: str) -> str:
    """Return the name of a piece for errors, with its folder if there is one."""
    return str(store.path / name) if isinstance(store, FolderStore) else name
