"""Exact totals over a book: sums of 64-bit integers that a 64-bit integer could not hold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["total_of"]

HALF = 32
"""Bits of the low half: 2^31 values can be added before a sum of halves leaves 64 bits."""


def total_of(values: NDArray[np.signedinteger[Any]]) -> int:
    """Return the sum of int64 values (n,), n < 2^31, as an integer of any size."""
    low = values & np.int64(2**HALF - 1)
    return (int((values >> np.int64(HALF)).sum()) << HALF) + int(low.sum())
