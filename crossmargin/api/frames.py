"""Columns of money for frames: exact decimals, `quanta * quantum`, at the scale of the quantum."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmargin.units import amount_of, decimal_places

__all__ = ["money_column", "ratio_column"]

DIGITS = 38
"""Most digits of a decimal in a frame; 63 bits of quanta need 19 of them."""

RATIO_PLACES = 6
"""Decimals of a ratio."""


def money_column(name: str, quanta: Sequence[int] | NDArray[np.int64], quantum: Decimal) -> pl.Series:
    """Return amounts (n) of money as a column of decimals; an array, which may be long, takes the fast way."""
    mantissa, places = decimal_places(quantum)
    kind = pl.Decimal(DIGITS, places)
    if not isinstance(quanta, np.ndarray):
        return pl.Series(name, [amount_of(each, quantum) for each in quanta], dtype=kind)
    whole = pl.Series(name, quanta, dtype=pl.Int64).cast(kind)
    step = pl.Series([Decimal(mantissa).scaleb(-places)], dtype=kind)
    return (whole * step).cast(kind).alias(name)


def ratio_column(name: str, above: NDArray[np.int64], below: NDArray[np.int64]) -> pl.Series:
    """Return above / below (n), rounded down to RATIO_PLACES decimals; null where `below` is zero.

    Rounded down, a ratio is at least 1 exactly where above >= below.
    """
    scale = 10**RATIO_PLACES
    steps = [None if not b else a * scale // b for a, b in zip(above.tolist(), below.tolist(), strict=True)]
    kind = pl.Decimal(DIGITS, RATIO_PLACES)
    return pl.Series(name, [None if n is None else Decimal(n).scaleb(-RATIO_PLACES) for n in steps], dtype=kind)
