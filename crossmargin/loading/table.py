"""A table of a source on its way into the book: text columns in a fixed order, and the place of each row.

Tables are read in batches, so that the memory of a load does not grow with the table.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl

from crossmargin.errors import Counted, InputError, InputErrors
from crossmargin.loading.columns import as_text, check_columns, with_optional
from crossmargin.loading.csv import CsvTable
from crossmargin.loading.source import TableSource
from crossmargin_circuits.errors import CrossmarginError

__all__ = ["Origin", "Place", "Table", "batches_of", "place", "whole_of"]


class Place(NamedTuple):
    """Place of a row: file or table, number, and the kind of number."""

    file: str
    line: int
    counted: Counted


@dataclass(frozen=True)
class Origin:
    """Place of a frame's rows: from row `start` of the frame on, they stand in `file`, beginning at number `first`."""

    file: str
    first: int
    start: int = 0
    counted: Counted = "line"


def place(origins: Sequence[Origin], row: int) -> Place:
    """Return the place of a row of a frame with these origins."""
    origin = origins[bisect_right(origins, row, key=lambda origin: origin.start) - 1]
    return Place(origin.file, origin.first + row - origin.start, origin.counted)


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of one table, or of several below each other; every column is text without nulls."""

    frame: pl.DataFrame
    origins: tuple[Origin, ...]

    @property
    def file(self) -> str:
        """Name of the table, or of the first one."""
        return self.origins[0].file

    def place(self, row: int) -> Place:
        """Return the place of a row of the frame."""
        return place(self.origins, row)

    def account(self, row: int) -> str:
        """Return the account that a row states."""
        return str(self.frame["account"][row])


def batches_of(source: TableSource, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Table]:
    """Yield the rows in the order of the source, some at a time; optional: columns that it may have, too.

    Raises:
        InputErrors: the reasons to refuse the table, perhaps after some batches.
    """
    origin = _origin(source)
    with _readable(source):
        for frame in source.batches():
            yield _table(frame, columns, optional, origin)
            origin = replace(origin, first=origin.first + len(frame))


def whole_of(source: TableSource, columns: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Return all rows; optional: columns that the source may have, too.

    Raises:
        InputErrors: the reasons to refuse the table.
    """
    with _readable(source):
        return _table(source.whole(), columns, optional, _origin(source))


def _table(frame: pl.DataFrame, columns: Sequence[str], optional: Sequence[str], origin: Origin) -> Table:
    present = with_optional(frame.columns, columns, optional)
    check_columns(frame.schema, present, origin.file)
    return Table(as_text(frame, present), (origin,))


def _origin(source: TableSource) -> Origin:
    if isinstance(source, CsvTable):
        return Origin(source.name, first=2)
    return Origin(source.name, first=1, counted="row")


@contextmanager
def _readable(source: TableSource) -> Iterator[None]:
    """Turn an exception of an outside source into a problem of its table."""
    try:
        yield
    except (CrossmarginError, MemoryError):
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        reason = f"cannot be read: {type(error).__name__}: {error}"
        raise InputErrors([InputError(reason, hint="check the source of this table", file=source.name)]) from error
