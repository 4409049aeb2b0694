"""Columns of a table: exact types only, converted to text without loss, so that every format meets the same checks."""

from collections.abc import Sequence

import polars as pl

from crossmargin.errors import InputError, InputErrors

__all__ = ["MAX_FIELD_BYTES", "as_text", "check_columns", "with_optional"]

MAX_FIELD_BYTES = 1024
"""Most bytes of one field: an id has at most 256, a name 64, a decimal 40."""


def with_optional(found: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a table with the columns `found` should have: these, and of the optional ones those that
    it has."""
    return (*columns, *(name for name in optional if name in found))


def check_columns(schema: pl.Schema, columns: Sequence[str], file: str) -> None:
    """Check that a table has these columns, in any order, with exact types.

    Raises:
        InputErrors: other columns, or a column that holds neither text nor exact numbers.
    """
    if set(schema) != set(columns):
        missing = ", ".join(name for name in columns if name not in schema)
        foreign = ", ".join(name for name in schema if name not in columns)
        reason = "wrong columns" + (f", without {missing}" if missing else "")
        reason += f", with unknown {foreign}" if foreign else ""
        raise InputErrors([InputError(reason, hint=f"write the columns {', '.join(columns)}", file=file)])
    problems = []
    for name in columns:
        kind = schema[name]
        if not (kind in (pl.String, pl.Null) or isinstance(kind, pl.Categorical | pl.Enum) or _exact(kind)):
            hint = "write exact decimals as text, integers or Decimal" if kind.is_float() else "write text"
            problems.append(InputError(f"column of type {kind}", hint=hint, file=file, field=name))
    if problems:
        raise InputErrors(problems)


def as_text(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return these columns as text without nulls (a null becomes the empty text).

    A field of more than MAX_FIELD_BYTES is cut there. It will be refused in any case, and the short text keeps every
    later check cheap.
    """
    text = frame.select(pl.col(name).cast(pl.String).fill_null("") for name in columns)
    longest = text.select(pl.all().str.len_bytes().max().fill_null(0))
    cut = [name for name in columns if longest[name][0] > MAX_FIELD_BYTES]
    return text.with_columns(pl.col(name).str.head(MAX_FIELD_BYTES) for name in cut) if cut else text


def _exact(kind: pl.DataType) -> bool:
    return kind.is_integer() or kind.is_decimal()
