"""Exact totals over a book: sums of 64-bit integers that a 64-bit integer could not hold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = ["column_totals", "total_of"]

HALF = 32
"""Bits of the low half: 2^31 values can be added before a sum of halves leaves 64 bits."""

CHUNK_ENTRIES = 1 << 18
"""Entries that are added together, so that temporaries stay small."""

_LOW = np.int64(2**HALF - 1)


def total_of(values: NDArray[np.signedinteger[Any]]) -> int:
    """Return the sum of int64 values (n,), n < 2^31, as an integer of any size."""
    low = values & _LOW
    return (int((values >> np.int64(HALF)).sum()) << HALF) + int(low.sum())


def column_totals(records: csr_array) -> list[int]:
    """Return the sum of every column of a matrix of fewer than 2^31 rows, as integers of any size."""
    low, high = (np.zeros(records.shape[1], dtype=np.int64) for _ in range(2))
    for start in range(0, len(records.data), CHUNK_ENTRIES):
        columns, values = (part[start : start + CHUNK_ENTRIES] for part in (records.indices, records.data))
        np.add.at(low, columns, values & _LOW)
        np.add.at(high, columns, values >> np.int64(HALF))
    return [(int(upper) << HALF) + int(lower) for upper, lower in zip(high, low, strict=True)]
