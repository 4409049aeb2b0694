"""The plain Python backend: affine curve arithmetic in batches, and scalars as Python integers.

It is the yardstick for other backends. It is not constant in time: keep it out of reach of timing (SPEC section 11).
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from crossmargin_prover.backend.bits import ReferenceBitSumcheck, byte_columns
from crossmargin_prover.backend.interface import Costs, Int64Array, UInt64Array
from crossmargin_prover.backend.projections import ReferenceRecordSumcheck, fold_rows
from crossmargin_prover.backend.tables import (
    WindowTable,
    best_window,
    combine_rows,
    signed_digits,
    subset_tables,
    sum_lists,
    window_tables,
)
from crossmargin_verifier.protocol import group
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators, slack_generators
from crossmargin_verifier.protocol.group import Point, negate

__all__ = ["ReferenceBackend"]

SUBSET_WIDTHS = (1, 2, 4, 8)
"""Bits of a value that one table of subset sums can cover: divisors of a byte."""


class ReferenceBackend:
    """All operations in plain Python."""

    name = "reference"
    costs = Costs(largest_shard=2**12, opening_accounts=3000, rerandomize_entries=1)
    arithmetic = PLAIN

    def commit_sparse(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, blindings: Sequence[int]
    ) -> list[Point]:
        """Return sum_v x_iv A_v + r_i H for every row i (SPEC S4)."""
        columns, where, counts = np.unique(indices, return_inverse=True, return_counts=True)
        magnitudes = np.abs(data)
        largest = np.zeros(len(columns), np.int64)
        np.maximum.at(largest, where, magnitudes)
        shapes = [
            (top, best_window(count, top))
            for count, top in zip(counts.tolist(), [int(value).bit_length() for value in largest], strict=True)
        ]
        bases = position_generators(int(columns[-1]) + 1 if len(columns) else 0)
        tables = window_tables([bases[column] for column in columns.tolist()], shapes)
        widths = [width for _, width in shapes]
        starts = indptr.tolist()
        slots, values = where.tolist(), data.tolist()

        def terms() -> Iterator[list[Point]]:
            for number, blinding in enumerate(_blinding_terms(blindings)):
                row = range(starts[number], starts[number + 1])
                parts = (_windows(tables[slots[entry]], widths[slots[entry]], values[entry]) for entry in row)
                yield blinding + list(chain.from_iterable(parts))

        return sum_lists(terms())

    def commit_bits(self, values: UInt64Array, packing: int, blindings: Sequence[int]) -> list[Point]:
        """Return the slack rows R_h of values (accounts, J), 2^packing accounts to a row (SPEC S8)."""
        accounts, per_account = values.shape
        rows = accounts >> packing
        width = min(SUBSET_WIDTHS, key=lambda bits: (rows + (1 << bits)) * 64 // bits)
        digits = _split(byte_columns(values.reshape(rows, -1)), width)
        bases = slack_generators(per_account, packing)
        used = np.flatnonzero(digits.any(axis=0)).tolist()
        tables = subset_tables([bases[column * width : (column + 1) * width] for column in used])
        live = digits[:, used]

        def terms() -> Iterator[list[Point]]:
            for row, blinding in zip(live, _blinding_terms(blindings), strict=True):
                yield blinding + [table[digit] for table, digit in zip(tables, row.tolist(), strict=True) if digit]

        return sum_lists(terms())

    def bit_sumcheck(self, values: UInt64Array, tau: Sequence[int], mask: int) -> ReferenceBitSumcheck:
        """Start the sum-check over the bits of values (2^nu accounts, J) with point tau (n) and mask a (SPEC P4)."""
        return ReferenceBitSumcheck(values, tau, mask)

    def record_sumcheck(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, columns: int, alpha: bytes, beta: bytes
    ) -> ReferenceRecordSumcheck:
        """Start the sum-check over projections of at most N = 2^nu records (SPEC B3, B4).

        alpha: N blocks of P/8 bytes, bit l of the little-endian block i is alpha_l(i); beta: so for every column.
        """
        return ReferenceRecordSumcheck(indptr, indices, data, columns, alpha, beta)

    def fold_sparse(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, columns: int, weights: Sequence[int]
    ) -> list[int]:
        """Return sum_i weights_i x_iv in F for every column v."""
        return fold_rows(indptr, indices, data, columns, weights)

    def fold_bits(self, values: UInt64Array, packing: int, weights: Sequence[int]) -> list[int]:
        """Return sum_h weights_h b_{hG+a,j,t} in F, ordered (a J + j) 64 + t, for G = 2^packing."""
        folded = []
        for column in byte_columns(values.reshape(len(weights), -1)).T:
            histogram = [0] * 256
            for byte, weight in zip(column.tobytes(), weights, strict=True):
                histogram[byte] += weight
            folded += [value % ORDER for value in _bit_sums(histogram)]
        return folded

    def fold_points(self, rows: Sequence[Sequence[Point]], weights: Sequence[int]) -> list[Point]:
        """Return sum_k weights_k rows_k[i] for every i; all rows have one length."""
        return combine_rows(rows, weights)

    def msm(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        """Return sum_i scalars_i points_i."""
        return group.msm(scalars, points)


def _blinding_terms(blindings: Sequence[int]) -> Iterator[list[Point]]:
    """Yield for each blinding the points whose sum is r_i H."""
    bits = ORDER.bit_length()
    width = best_window(len(blindings), bits)
    table = window_tables([blinding_generator()], [(bits, width)])[0]
    for blinding in blindings:
        yield _windows(table, width, blinding % ORDER)


def _windows(table: WindowTable, width: int, value: int) -> list[Point]:
    """Return the table entries whose sum is value times the base, for a value of either sign."""
    points: list[Point] = []
    for row, digit in zip(table, signed_digits(abs(value), width), strict=False):
        if digit:
            point = row[abs(digit)]
            points.append(point if (digit < 0) == (value < 0) else negate(point))
    return points


def _split(columns: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """Cut byte columns (rows, bytes) into columns of `width` bits, the low bits of a byte first."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)
    digits = (columns[:, :, None] >> shifts) & np.uint8((1 << width) - 1)
    return digits.reshape(columns.shape[0], -1)


def _bit_sums(histogram: list[int]) -> list[int]:
    """Return for t = 0..7 the sum of histogram[v] over the bytes v whose bit t is set."""
    sums = []
    while len(histogram) > 1:
        half = len(histogram) // 2
        low, high = histogram[:half], histogram[half:]
        sums.append(sum(high))
        histogram = [a + b for a, b in zip(low, high, strict=True)]
    return sums[::-1]
