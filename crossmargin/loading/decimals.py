"""Columns of decimals to int64 in stated units, exactly: vectorised, with Python integers for rows that do not fit.

A decimal d is digits / 10^scale and a unit is m / 10^p, so d / unit = digits * 10^(p - scale) / m. Every product is
checked against 2^62 before it is formed; rows that fail the check are computed with Python's integers.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmargin.units import DECIMAL_PATTERN, MAX_DECIMAL_LENGTH
from crossmargin_circuits.layout import RECORD_BOUND

__all__ = ["Digits", "Integers", "Status", "Statuses", "parse_digits", "to_units"]

Integers = NDArray[np.int64]
Statuses = NDArray[np.int8]

_TOO_MANY = 10**18
"""From this number of digits on, Python's integers do the work."""

_POWERS = 10 ** np.arange(19, dtype=np.int64)


class Status(IntEnum):
    """Outcome of reading a text."""

    OK = 0
    EMPTY = 1
    MALFORMED = 2
    LONG = 3
    FINE = 4
    LARGE = 5

    @property
    def reason(self) -> str:
        """The reason; the caller completes FINE and LARGE."""
        return {
            Status.OK: "",
            Status.EMPTY: "empty where a decimal is needed",
            Status.MALFORMED: "not a finite decimal",
            Status.LONG: f"a decimal of more than {MAX_DECIMAL_LENGTH} characters",
            Status.FINE: "finer than",
            Status.LARGE: "beyond 2^62 units",
        }[self]

    @property
    def hint(self) -> str:
        """The hint."""
        return {
            Status.OK: "",
            Status.EMPTY: "write a decimal",
            Status.MALFORMED: 'write digits with a point, such as "-0.25" (no exponent, no thousands separator)',
            Status.LONG: "write fewer digits",
            Status.FINE: "write a multiple of it",
            Status.LARGE: "check the amount",
        }[self]


@dataclass(frozen=True, repr=False)
class Digits:
    """A parsed column: value = digits / 10^scale where status is OK; fits: |digits| < 10^18."""

    text: pl.Series
    digits: Integers
    scale: Integers
    fits: NDArray[np.bool_]
    status: Statuses


def parse_digits(text: pl.Series) -> Digits:
    """Parse a text column (no nulls); status is OK, EMPTY, MALFORMED or LONG."""
    frame = text.rename("text").to_frame()
    parts = frame.select(
        length=pl.col("text").str.len_bytes(),
        good=pl.col("text").str.contains(DECIMAL_PATTERN),
        point=pl.col("text").str.find(".", literal=True),
        digits=pl.col("text").str.replace(".", "", literal=True).cast(pl.Int64, strict=False),
    )
    length = parts["length"].to_numpy().astype(np.int64)
    good = parts["good"].to_numpy()
    point = parts["point"].cast(pl.Int64).fill_null(-1).to_numpy()
    digits = parts["digits"].fill_null(_TOO_MANY).to_numpy()
    status = np.full(len(text), Status.OK, dtype=np.int8)
    status[~good] = Status.MALFORMED
    status[length == 0] = Status.EMPTY
    status[length > MAX_DECIMAL_LENGTH] = Status.LONG
    fits = (np.abs(digits) < _TOO_MANY) & (status == Status.OK)
    scale = np.where(point < 0, 0, length - point - 1)
    return Digits(text, np.where(fits, digits, 0), scale, fits, status)


def to_units(parsed: Digits, mantissa: Integers, places: Integers) -> tuple[Integers, Statuses]:
    """Return value / (mantissa / 10^places) per row, |result| < 2^62, and the status; 0 where it is not OK."""
    ok = parsed.status == Status.OK
    shift = places - parsed.scale
    small = parsed.fits & (np.abs(shift) <= 18)
    up = _POWERS[np.clip(shift, 0, 18)]
    down = _POWERS[np.clip(-shift, 0, 18)]
    small &= np.abs(parsed.digits) <= (RECORD_BOUND - 1) // up
    digits = np.where(small, parsed.digits, 0)
    scaled = digits * up
    status = parsed.status.copy()
    units = scaled
    for divisor in (down, mantissa):
        if np.any(divisor > 1):
            units, rest = np.divmod(units, divisor)
            status[small & (rest != 0)] = Status.FINE
    for row in np.flatnonzero(ok & ~small):
        units[row], status[row] = _exactly(parsed.text[int(row)], int(mantissa[row]), int(places[row]))
    units[status != Status.OK] = 0
    return units, status


def _exactly(text: str, mantissa: int, places: int) -> tuple[int, Status]:
    ratio = Fraction(Decimal(text)) * 10**places / mantissa
    if ratio.denominator != 1:
        return 0, Status.FINE
    if abs(ratio) >= RECORD_BOUND:
        return 0, Status.LARGE
    return ratio.numerator, Status.OK
