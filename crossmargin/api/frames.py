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
    """Return amounts (n) of money as a column of decimals; an array, which may be long, takes a faster path."""
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
    scale, step = 10**RATIO_PLACES, Decimal(1).scaleb(-RATIO_PLACES)
    defined = below != 0
    steps = [a * scale // b for a, b in zip(above[defined].tolist(), below[defined].tolist(), strict=True)]
    fits = all(-(2**63) <= each < 2**63 for each in steps)
    column = money_column(name, np.array(steps, dtype=np.int64) if fits else steps, step)
    places = np.where(defined, np.cumsum(defined) - 1, len(steps))
    return column.extend(pl.Series(name, [None], dtype=column.dtype)).gather(places)
