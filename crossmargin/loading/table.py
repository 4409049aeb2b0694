"""A table of a book folder: text columns in a fixed order, from CSV or Parquet, and where each row stands."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.csv import read_csv
from crossmargin.loading.parquet import read_parquet

__all__ = ["Source", "Table", "read_table"]


@dataclass(frozen=True)
class Source:
    """Where rows of a table stand: from row `start` of the frame on, in `file`, the first one at line `first`."""

    file: str
    first: int
    start: int = 0


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
        source = self.sources[bisect_right(self.sources, row, key=lambda source: source.start) - 1]
        return source.file, source.first + row - source.start


def read_table(folder: Path, name: str, columns: Sequence[str]) -> Table:
    """Read `name`.csv or `name`.parquet, whichever the folder has.

    Raises:
        InputErrors: neither file or both, or what the file is refused for.
    """
    found = [folder / f"{name}{suffix}" for suffix in (".csv", ".parquet") if (folder / f"{name}{suffix}").exists()]
    if len(found) != 1:
        reason = f"both {name}.csv and {name}.parquet" if found else "file not found"
        mend = "remove one of them" if found else f"add {name}.csv or {name}.parquet"
        raise InputErrors([InputError(reason, mend=mend, file=f"{name}.csv")])
    path = found[0]
    if path.suffix == ".csv":
        return Table(read_csv(path, columns), (Source(path.name, first=2),))
    return Table(read_parquet(path, columns), (Source(path.name, first=1),))
