"""Parquet tables: text, integer or decimal columns, never floats, brought to text without loss."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crossmargin.errors import InputError, InputErrors

__all__ = ["read_parquet"]

_MAGIC = b"PAR1"


def read_parquet(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Return the rows as text columns without nulls (a null becomes the empty text).

    Raises:
        InputErrors: cut off or damaged, another set of columns, or a column of another type.
    """
    file = path.name
    _check_frame(path)
    try:
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        raise _refuse("not a readable Parquet file: cut off or damaged", "write it again", file) from None
    if set(frame.columns) != set(columns):
        missing = ", ".join(name for name in columns if name not in frame.columns)
        foreign = ", ".join(name[:64] for name in frame.columns if name not in columns)
        reason = "wrong columns" + (f", without {missing}" if missing else "")
        reason += f", with unknown {foreign}" if foreign else ""
        raise _refuse(reason, f"write the columns {', '.join(columns)}", file)
    problems = []
    for name in columns:
        kind = frame.schema[name]
        if not (kind in (pl.String, pl.Null) or isinstance(kind, pl.Categorical | pl.Enum) or _exact(kind)):
            mend = "write exact decimals as text, integers or Decimal" if kind.is_float() else "write text"
            problems.append(InputError(f"column of type {kind}", mend=mend, file=file, field=name))
    if problems:
        raise InputErrors(problems)
    return frame.select(pl.col(name).cast(pl.String).fill_null("") for name in columns)


def _exact(kind: pl.DataType) -> bool:
    return kind.is_integer() or kind.is_decimal()


def _check_frame(path: Path) -> None:
    """Refuse a file that does not begin and end as Parquet does."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            head = stream.read(4)
            stream.seek(max(size - 4, 0))
            tail = stream.read(4)
    except OSError as error:
        raise _refuse(f"cannot be read: {error.strerror}", "check the path and its rights", path.name) from None
    if head != _MAGIC:
        raise _refuse("not a Parquet file", "write it as Parquet, or name it .csv if it is text", path.name)
    if tail != _MAGIC or size < 12:
        raise _refuse("the Parquet file is cut off", "copy or write it again", path.name)


def _refuse(reason: str, mend: str, file: str) -> InputErrors:
    return InputErrors([InputError(reason, mend=mend, file=file)])
