"""A table of a book folder: text columns in a fixed order, from CSV or Parquet, and where each row stands.

Tables are read in batches, so that what a load needs does not grow with the file.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.csv import csv_batches
from crossmargin.loading.parquet import parquet_batches

__all__ = ["Source", "Table", "TableFile", "find_optional", "find_table", "place"]


@dataclass(frozen=True)
class Source:
    """Where rows of a table stand: from row `start` of the frame on, in `file`, the first one at line `first`."""

    file: str
    first: int
    start: int = 0


def place(sources: Sequence[Source], row: int) -> tuple[str, int]:
    """Return the file and the line (Parquet: row, from 1) of a row of a frame from these sources."""
    source = sources[bisect_right(sources, row, key=lambda source: source.start) - 1]
    return source.file, source.first + row - source.start


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of one file, or of several below each other; every column is text without nulls."""

    frame: pl.DataFrame
    sources: tuple[Source, ...]

    @property
    def file(self) -> str:
        """Name of the file, or of the first one."""
        return self.sources[0].file

    def place(self, row: int) -> tuple[str, int]:
        """Return the file and the line (Parquet: row, from 1) of a row of the frame."""
        return place(self.sources, row)

    def account(self, row: int) -> str:
        """Return the account that a row states."""
        return str(self.frame["account"][row])


@dataclass(frozen=True)
class TableFile:
    """A CSV or Parquet file that should be a table with these columns."""

    path: Path
    columns: tuple[str, ...]

    def batches(self) -> Iterator[Table]:
        """Yield the rows in the order of the file, some at a time; none where there is only a header.

        Raises:
            InputErrors: what the file is refused for, perhaps after some batches.
        """
        first, read = self._first, csv_batches if self.path.suffix == ".csv" else parquet_batches
        for frame in read(self.path, self.columns):
            yield Table(frame, (Source(self.path.name, first),))
            first += len(frame)

    def whole(self) -> Table:
        """Return all rows.

        Raises:
            InputErrors: what the file is refused for.
        """
        empty = pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))
        frames = [empty, *(table.frame for table in self.batches())]
        return Table(pl.concat(frames), (Source(self.path.name, self._first),))

    @property
    def _first(self) -> int:
        return 2 if self.path.suffix == ".csv" else 1


def find_table(folder: Path, name: str, columns: Sequence[str]) -> TableFile:
    """Return `name`.csv or `name`.parquet, whichever the folder has.

    Raises:
        InputErrors: neither file or both.
    """
    found = find_optional(folder, name, columns)
    if found is None:
        hint = f"add {name}.csv or {name}.parquet"
        raise InputErrors([InputError("file not found", hint=hint, file=f"{name}.csv")])
    return found


def find_optional(folder: Path, name: str, columns: Sequence[str]) -> TableFile | None:
    """Return `name`.csv or `name`.parquet, whichever the folder has, or None.

    Raises:
        InputErrors: both files.
    """
    found = [folder / f"{name}{suffix}" for suffix in (".csv", ".parquet") if (folder / f"{name}{suffix}").exists()]
    if len(found) > 1:
        reason = f"both {name}.csv and {name}.parquet"
        raise InputErrors([InputError(reason, hint="remove one of them", file=f"{name}.csv")])
    return TableFile(found[0], tuple(columns)) if found else None
