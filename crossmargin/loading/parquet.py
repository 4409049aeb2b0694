"""Parquet tables: text, integer or decimal columns, never floats, brought to text without loss."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from crossmargin.errors import InputError, InputErrors

__all__ = ["BATCH_ROWS", "parquet_batches"]

BATCH_ROWS = 1 << 18
"""Rows read at a time: some tens of megabytes."""


_MAGIC = b"PAR1"
_DAMAGED = "not a readable Parquet file: cut off or damaged"


def parquet_batches(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield the rows, BATCH_ROWS at a time, as text columns without nulls (a null becomes the empty text).

    Raises:
        InputErrors: cut off or damaged, another set of columns, or a column of another type.
    """
    file = path.name
    _check_frame(path)
    with _readable(file):
        table = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = table.collect_schema()
        rows = int(table.select(pl.len()).collect().item())
    _check_schema(schema, columns, file)
    text = table.select(pl.col(name).cast(pl.String).fill_null("") for name in columns)
    for start in range(0, rows, BATCH_ROWS):
        with _readable(file):
            frame = text.slice(start, BATCH_ROWS).collect()
        if len(frame) != min(BATCH_ROWS, rows - start):
            raise _refuse(_DAMAGED, "write it again", file)
        yield frame


@contextmanager
def _readable(file: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        raise _refuse(_DAMAGED, "write it again", file) from None


def _check_schema(schema: pl.Schema, columns: Sequence[str], file: str) -> None:
    if set(schema) != set(columns):
        missing = ", ".join(name for name in columns if name not in schema)
        foreign = ", ".join(name[:64] for name in schema if name not in columns)
        reason = "wrong columns" + (f", without {missing}" if missing else "")
        reason += f", with unknown {foreign}" if foreign else ""
        raise _refuse(reason, f"write the columns {', '.join(columns)}", file)
    problems = []
    for name in columns:
        kind = schema[name]
        if not (kind in (pl.String, pl.Null) or isinstance(kind, pl.Categorical | pl.Enum) or _exact(kind)):
            hint = "write exact decimals as text, integers or Decimal" if kind.is_float() else "write text"
            problems.append(InputError(f"column of type {kind}", hint=hint, file=file, field=name))
    if problems:
        raise InputErrors(problems)


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


def _refuse(reason: str, hint: str, file: str) -> InputErrors:
    return InputErrors([InputError(reason, hint=hint, file=file)])
