"""Sparse records: entries (row, column, value) in any order to a matrix by rows, exactly and in little memory.

A book has ten to twenty entries an account, so what is built from them decides how much memory a load takes. Entries
are kept at 14 bytes each, placed by a counting sort over rows, and added up a few rows at a time, in place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmargin_circuits.layout import RECORD_BOUND

__all__ = ["Entries", "RecordBuilder", "Repeated", "beyond", "pool", "sum_entries"]

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
AnyIntegers = NDArray[np.signedinteger[Any]]

CHUNK_ENTRIES = 1 << 18
"""Entries that are looked at together: a few megabytes, so that temporaries stay in the cache."""


@dataclass(frozen=True, repr=False)
class Entries:
    """Entries of a sparse matrix in row-major order, each cell once: rows, columns, values, int64."""

    rows: Integers
    columns: Integers
    values: Integers


class Repeated:
    """Cells that stand on several rows of a table, and which of them have been met on the way through it."""

    def __init__(self, keys: Integers) -> None:
        """Take the cells: distinct row * width + column, sorted."""
        self._keys = keys
        self._met = np.zeros(len(keys), dtype=np.bool_)

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self._keys)

    def later(self, keys: Integers) -> Mask:
        """Return which keys are of these cells and not the first of their cell, over all calls."""
        result = np.zeros(len(keys), dtype=np.bool_)
        if not len(self._keys):
            return result
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        rows = np.flatnonzero(self._keys[at] == keys)
        cells, first = np.unique(at[rows], return_index=True)
        result[rows] = True
        result[rows[first[~self._met[cells]]]] = False
        self._met[cells] = True
        return result


class RecordBuilder:
    """Collects entries of a matrix of `width` columns.

    additive: which columns add up entries of one cell; in the others a cell is given once.
    """

    def __init__(self, width: int, additive: Mask) -> None:
        """Start without entries."""
        self._width = width
        self._additive = additive
        self._narrow = np.int16 if width <= np.iinfo(np.int16).max else np.int32
        self._blocks: list[tuple[NDArray[np.int32], AnyIntegers, Integers]] = []

    def add(self, rows: Integers, columns: Integers, values: Integers) -> None:
        """Take entries, |values| <= 2^62; zero values count as given cells."""
        if not len(rows):
            return
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows, kind="stable")
            rows, columns, values = rows[order], columns[order], values[order]
        self._blocks.append((rows.astype(np.int32), columns.astype(self._narrow), values.copy()))

    def build(self, height: int) -> tuple[csr_array, Repeated]:
        """Return the matrix, and the cells of columns that do not add up which were given several times.

        Sums are exact; one of magnitude 2^62 or more is given as +-2^62, which is beyond every limit. The matrix is
        int64 CSR with sorted indices and no explicit zeros. The builder is empty afterwards.
        """
        starts = np.zeros(height + 1, dtype=np.int64)
        for rows, _, _ in self._blocks:
            np.add.at(starts, rows + 1, 1)
        np.cumsum(starts, out=starts)
        data = np.zeros(starts[-1], dtype=np.int64)
        indices = np.zeros(starts[-1], dtype=np.int32)
        free = starts[:-1].copy()
        self._blocks.reverse()
        while self._blocks:
            rows, columns, values = self._blocks.pop()
            heads = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
            lengths = np.diff(heads, append=len(rows))
            places = np.arange(len(rows)) + np.repeat(free[rows[heads]] - heads, lengths)
            data[places], indices[places] = values, columns
            free[rows[heads]] += lengths
        return _added_up(starts, indices, data, self._width, self._additive)


def pool(records: csr_array, owners: Integers, count: int) -> csr_array:
    """Add the records of each account's sub-accounts; the same object where every account has one, in order.

    owners: number of the account, below `count`, of each row of `records`; every account has one.
    """
    if len(owners) == count and np.array_equal(owners, np.arange(count)):
        return records
    if np.any(owners[1:] < owners[:-1]):
        order = np.argsort(owners, kind="stable")
        records, owners = records[order, :], owners[order]
    first = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1])))
    starts = np.append(records.indptr[first], records.indptr[-1]).astype(np.int64)
    width = int(records.shape[1])
    every = np.ones(width, dtype=np.bool_)
    return _added_up(starts, records.indices.copy(), records.data.copy(), width, every)[0]


def beyond(records: csr_array, limits: Integers) -> tuple[Integers, Integers]:
    """Return rows and columns of the entries that are beyond the limit of their column."""
    found = []
    for start in range(0, len(records.data), CHUNK_ENTRIES):
        part = slice(start, start + CHUNK_ENTRIES)
        found.append(start + np.flatnonzero(np.abs(records.data[part]) > limits[records.indices[part]]))
    entries = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    rows = np.searchsorted(records.indptr, entries, side="right") - 1
    return rows, records.indices[entries].astype(np.int64)


def sum_entries(rows: Integers, columns: Integers, values: Integers, width: int) -> Entries:
    """Add up values that share a cell, exactly; |values| <= 2^62 and fewer than 2^31 of them in one cell.

    A sum of magnitude 2^62 or more is given as +-2^62, which is beyond every limit; nothing wraps.
    """
    if not len(values):
        return Entries(rows, columns, values)
    keys = rows * np.int64(width) + columns
    if np.any(keys[1:] < keys[:-1]):
        order = np.argsort(keys, kind="stable")
        keys, rows, columns, values = keys[order], rows[order], columns[order], values[order]
    new = np.concatenate(([True], keys[1:] != keys[:-1]))
    if new.all():
        return Entries(rows, columns, values)
    first = np.flatnonzero(new)
    low = np.add.reduceat(values & np.int64(2**31 - 1), first)
    high = np.add.reduceat(values >> np.int64(31), first) + (low >> np.int64(31))
    sums = (high << np.int64(31)) + (low & np.int64(2**31 - 1))
    sums = np.where(high >= 2**31, RECORD_BOUND, np.where(high < -(2**31), -RECORD_BOUND, sums))
    return Entries(rows[first], columns[first], sums)


def _added_up(
    starts: Integers, indices: NDArray[np.int32], data: Integers, width: int, additive: Mask
) -> tuple[csr_array, Repeated]:
    """Sort each row, add up its cells, drop zeros. The arrays are overwritten."""
    size = 0
    lengths = np.zeros(len(starts), dtype=np.int64)
    repeated = []
    for low, high in _row_chunks(starts):
        part = slice(int(starts[low]), int(starts[high]))
        rows = np.repeat(np.arange(low, high), np.diff(starts[low : high + 1]))
        keys = rows * np.int64(width) + indices[part]
        values = data[part]
        if np.any(keys[1:] < keys[:-1]):
            order = np.argsort(keys, kind="stable")
            keys, values = keys[order], values[order]
        again = keys[1:][keys[1:] == keys[:-1]]
        if len(again):
            repeated.append(np.unique(again[~additive[again % width]]))
        entries = sum_entries(keys // width, keys % width, values, width)
        filled = np.flatnonzero(entries.values)
        after = size + len(filled)
        # A chunk ends at or behind where its entries stood, so nothing that is still to be read is overwritten.
        indices[size:after] = entries.columns[filled]
        data[size:after] = entries.values[filled]
        lengths[low + 1 : high + 1] = np.bincount(entries.rows[filled] - low, minlength=high - low)
        size = after
    index = np.int32 if size <= np.iinfo(np.int32).max else np.int64
    starts = np.cumsum(lengths).astype(index)
    if size < len(data):
        indices.resize(size, refcheck=False)
        data.resize(size, refcheck=False)
    matrix = csr_array((data, indices.astype(index, copy=False), starts), shape=(len(starts) - 1, width))
    return matrix, Repeated(np.concatenate(repeated) if repeated else np.zeros(0, dtype=np.int64))


def _row_chunks(starts: Integers) -> Iterator[tuple[int, int]]:
    """Split rows into ranges of about CHUNK_ENTRIES entries, one row at least."""
    low, height = 0, len(starts) - 1
    while low < height:
        high = int(np.searchsorted(starts, starts[low] + CHUNK_ENTRIES, side="right")) - 1
        high = min(max(high, low + 1), height)
        yield low, high
        low = high
