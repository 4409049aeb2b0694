"""The interface of a source: a book from any source loads with the same checks and errors as one from files.

A folder is one source; a database, frames in memory or any other class can be another. A source names its tables and
yields their rows as polars frames with the columns of docs/formats.md, in any order; the accounts may have the column
`holder_part` or not. Columns are text, integers or Decimal, never floats; a null is the empty text. Errors name the
table and the row, counted from 1.

    class Ledger:                                        # a book in a database
        name = "ledger"

        def tables(self) -> dict[str, TableSource]:
            return {name: Query(self.connection, name) for name in ("accounts", "balances", "positions")}

    book = load_book(Ledger(), catalogue)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import polars as pl

if TYPE_CHECKING:
    from crossmargin.loading.parameters import Parameters

__all__ = ["BATCH_ROWS", "BookSource", "FrameSource", "FrameTable", "Source", "TableSource"]

BATCH_ROWS = 1 << 18
"""Rows that a table of this package yields at a time: some tens of megabytes."""


class TableSource(Protocol):
    """One table. Both methods give the same rows in the same order at every call."""

    @property
    def name(self) -> str:
        """Name of the table in errors, such as "balances.csv" or "ledger, balances"."""
        ...

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, some at a time."""
        ...

    def whole(self) -> pl.DataFrame:
        """Return all rows; called for the accounts only."""
        ...


class BookSource(Protocol):
    """The tables of a book."""

    @property
    def name(self) -> str:
        """Name of the source in errors."""
        ...

    def tables(self) -> Mapping[str, TableSource]:
        """Return the tables by name: accounts, balances, positions, and deposits if there are any."""
        ...


class Source(BookSource, Protocol):
    """The tables of a book and its parameters: everything that a snapshot needs."""

    def parameters(self) -> "Parameters":
        """Return venue, instruments, market, model and reserves; see `build_parameters` and `load_parameters`."""
        ...


@dataclass(frozen=True, repr=False)
class FrameTable:
    """A frame in memory as a table."""

    name: str
    frame: pl.DataFrame

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, BATCH_ROWS at a time."""
        yield from self.frame.iter_slices(BATCH_ROWS)

    def whole(self) -> pl.DataFrame:
        """Return all rows."""
        return self.frame


@dataclass(frozen=True, repr=False)
class FrameSource:
    """Frames in memory as a book."""

    accounts: pl.DataFrame
    balances: pl.DataFrame
    positions: pl.DataFrame
    deposits: pl.DataFrame | None = None
    name: str = "frames"

    def tables(self) -> Mapping[str, TableSource]:
        """Return the frames by name; errors call them "frames, balances"."""
        frames = {"accounts": self.accounts, "balances": self.balances, "positions": self.positions}
        if self.deposits is not None:
            frames["deposits"] = self.deposits
        return {name: FrameTable(f"{self.name}, {name}", frame) for name, frame in frames.items()}
