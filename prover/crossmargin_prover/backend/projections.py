"""The sum-check over random projections of the records of a shard, in plain Python and numpy (SPEC B3, B4).

With w_l(i) = sum_v beta_l(v) x_iv the summand is sum_l lambda^l alpha_l(i) w_l(i). Cut the accounts into blocks of
2^t. All of the first t rounds follows from sums of small integers over the blocks,

    G_l(j,k) = sum over the blocks of alpha_l(j) w_l(k),   M(j,k) = sum_l lambda^l G_l(j,k):

to bind a variable is to fold both indices of M. After t rounds a block is one scalar for alpha_l and one for w_l, and
ordinary rounds follow.
"""

from collections.abc import Sequence
from operator import getitem, mul
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from crossmargin_prover.backend.interface import Int64Array
from crossmargin_verifier.protocol.field import ORDER, dot
from crossmargin_verifier.protocol.polynomial import eq_table, powers

__all__ = ["ReferenceRecordSumcheck", "fold_rows"]

HALF_BITS = 31
"""Records are projected in halves: sums of fewer than 2^32 of them stay inside int64."""

PART = 1 << 12
"""Accounts whose products are summed at once."""

EXACT = 1 << 53
"""Integers up to here are exact in float64, whose matrix products are the fastest."""


def fold_rows(
    indptr: Int64Array, indices: Int64Array, data: Int64Array, columns: int, weights: Sequence[int]
) -> list[int]:
    """Return sum_i weights_i x_iv in F for every column v."""
    sums = [0] * columns
    starts, where, values = indptr.tolist(), indices.tolist(), data.tolist()
    for number, weight in enumerate(weights):
        for entry in range(starts[number], starts[number + 1]):
            sums[where[entry]] += weight * values[entry]
    return [value % ORDER for value in sums]


class ReferenceRecordSumcheck:
    """State of the sum-check; `backend.RecordSumcheck` defines the order of calls."""

    def __init__(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, columns: int, alpha: bytes, beta: bytes
    ) -> None:
        """Start with at most N records over the columns; alpha: N blocks of bits, beta: one for each column."""
        beta_bits = _bit_rows(beta, columns)
        projections = beta_bits.shape[1]
        accounts = len(alpha) * 8 // projections
        records = len(indptr) - 1
        alpha_bits = _bit_rows(alpha, accounts)
        if alpha_bits.shape[1] != projections or accounts & (accounts - 1) or records > accounts:
            raise ValueError(f"{records} records and {len(alpha)} bytes of alpha: must be blocks for a power of two")
        self._records = (indptr, indices, data, columns)
        self._beta = beta
        self._variables = accounts.bit_length() - 1
        # One more would make four times as many sums, and half as many entries of later rounds.
        self._inner = min(self._variables // 3 + 1, self._variables)
        size = 1 << self._inner
        halves = [np.zeros((projections, accounts), dtype=np.int64) for _ in range(2)]
        for sums, half in zip(halves, np.divmod(data, 1 << HALF_BITS), strict=True):
            rows = csr_array((half, indices, indptr), shape=(records, columns))
            sums[:, :records] = (rows @ beta_bits.astype(np.int64)).T
        self._halves = [sums.reshape(projections, -1, size) for sums in halves]
        blocks = alpha_bits.T.reshape(projections, -1, size)
        # Bit j of byte k of entry (l, b) is alpha_l of account 8 k + j of block b.
        self._patterns = np.packbits(blocks, axis=2, bitorder="little")
        self._products = self._sum_blocks(blocks)
        self._projections = [int(sum(products.diagonal().tolist())) for products in self._products]
        self._matrix: list[list[int]] = []
        self._powers: list[int] = []
        self._challenges: list[int] = []
        self._tables: list[tuple[list[int], list[int]]] = []

    def __repr__(self) -> str:
        """Return a text without the records."""
        return f"ReferenceRecordSumcheck(round {len(self._challenges) + 1} of {self._variables}, redacted)"

    @property
    def projections(self) -> list[int]:
        """sum_{i,v} alpha_l(i) beta_l(v) x_iv for every l, over the integers."""
        return self._projections

    def combine(self, challenge: int) -> None:
        """Weigh projection l by lambda^l from here on."""
        if self._powers:
            raise ValueError("the projections are combined already")
        self._powers = powers(challenge, len(self._products))
        size = range(1 << self._inner)
        self._matrix = [[dot(self._powers, self._products[:, row, column].tolist()) for column in size] for row in size]
        if not self._inner:
            self._unfold()

    def round(self) -> tuple[int, int]:
        """Return the coefficients p_1, p_2 of sum_v R_lambda(Z,v) x(Z,v), summed over the later variables."""
        self._expect_round()
        if len(self._challenges) < self._inner:
            return self._block_round()
        first = second = 0
        for weight, (alphas, sums) in zip(self._powers, self._tables, strict=True):
            linear = square = 0
            for a, b, low, high in zip(alphas[0::2], alphas[1::2], sums[0::2], sums[1::2], strict=True):
                difference, slope = b - a, high - low
                linear += a * slope + difference * low
                square += difference * slope
            first += weight * (linear % ORDER)
            second += weight * (square % ORDER)
        return first % ORDER, second % ORDER

    def bind(self, challenge: int) -> None:
        """Fix the variable of the last round to rho_d."""
        self._expect_round()
        if len(self._challenges) < self._inner:
            folded = [_bind(challenge, row) for row in zip(*self._matrix, strict=True)]
            self._matrix = [_bind(challenge, row) for row in zip(*folded, strict=True)]
        else:
            self._tables = [(_bind(challenge, alphas), _bind(challenge, sums)) for alphas, sums in self._tables]
        self._challenges.append(challenge)
        if len(self._challenges) == self._inner:
            self._unfold()

    @property
    def weights(self) -> list[int]:
        """sum_l lambda^l alpha_l(rho) beta_l(v) for every column v, once every variable is bound."""
        self._expect_end()
        weighted = [power * alphas[0] % ORDER for power, (alphas, _) in zip(self._powers, self._tables, strict=True)]
        weights = [0] * (len(self._beta) * 8 // len(weighted))
        places = len(weighted) // 8
        for place in range(places):
            table = _subset_sums(weighted[8 * place : 8 * place + 8])
            weights = [weight + table[byte] for weight, byte in zip(weights, self._beta[place::places], strict=True)]
        return [weight % ORDER for weight in weights]

    @property
    def record(self) -> list[int]:
        """sum_i eq(rho, i) x_iv in F for every column v, once every variable is bound."""
        self._expect_end()
        weights = eq_table(self._challenges)
        return fold_rows(*self._records, weights[: len(self._records[0]) - 1])

    def _expect_end(self) -> None:
        if not self._tables or len(self._challenges) != self._variables:
            raise ValueError("not every variable is bound")

    def _expect_round(self) -> None:
        if not self._powers:
            raise ValueError("the projections are not combined")
        if len(self._challenges) == self._variables:
            raise ValueError("every variable is bound")

    def _sum_blocks(self, alphas: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return G_l for every l, of shape (P, 2^t, 2^t): int64, or Python's integers where those do not fit."""
        high, low = (_multiply(alphas, sums, PART >> self._inner) for sums in self._halves)
        return _join(high, low)

    def _block_round(self) -> tuple[int, int]:
        first = second = 0
        for place in range(0, len(self._matrix), 2):
            (low, right), (left, high) = (row[place : place + 2] for row in self._matrix[place : place + 2])
            first += left + right - 2 * low
            second += low - left - right + high
        return first % ORDER, second % ORDER

    def _unfold(self) -> None:
        """Turn every block into two scalars for each l, once its variables are bound."""
        weights = eq_table(self._challenges)
        tables = [_subset_sums(weights[start : start + 8]) for start in range(0, len(weights), 8)]
        sums = _join(*self._halves)
        for patterns, blocks in zip(self._patterns, sums, strict=True):
            folded = [sum(map(mul, weights, block)) % ORDER for block in blocks.tolist()]
            alphas = [sum(map(getitem, tables, pattern)) for pattern in patterns.tolist()]
            self._tables.append((alphas, folded))
        self._halves = []


def _multiply(alphas: npt.NDArray[np.uint8], sums: Int64Array, step: int) -> Int64Array:
    """Return the matrix products over the blocks, (P, blocks, j) and (P, blocks, k) to (P, j, k), so many at once."""
    total = np.zeros((len(alphas), alphas.shape[2], sums.shape[2]), dtype=np.int64)
    for start in range(0, alphas.shape[1], step):
        part = slice(start, start + step)
        rows, columns = alphas[:, part].transpose(0, 2, 1), sums[:, part]
        exact = np.float64 if np.abs(columns).max() * columns.shape[1] < EXACT else np.int64
        total += np.matmul(rows.astype(exact), columns.astype(exact)).astype(np.int64)
    return total


def _join(high: Int64Array, low: Int64Array) -> npt.NDArray[Any]:
    """Return 2^31 high + low for low below 2^62: int64, or Python's integers where those do not fit."""
    limit = 1 << HALF_BITS
    if (high < limit).all() and (high >= -limit).all():
        return (high << HALF_BITS) + low
    joined: npt.NDArray[Any] = (high.astype(object) << HALF_BITS) + low.astype(object)
    return joined


def _bit_rows(blocks: bytes, rows: int) -> npt.NDArray[np.uint8]:
    """Return the bits of little-endian blocks, one row for each, the low bit first.

    Raises:
        ValueError: the bytes do not make so many blocks.
    """
    if not rows or len(blocks) % rows or not blocks:
        raise ValueError(f"{len(blocks)} bytes: must be {rows} blocks")
    return np.unpackbits(np.frombuffer(blocks, dtype=np.uint8).reshape(rows, -1), axis=1, bitorder="little")


def _subset_sums(values: Sequence[int]) -> list[int]:
    """Return the sums of all subsets of some values, by the bits of the subset."""
    table = [0]
    for value in values:
        table += [entry + value for entry in table]
    return [entry % ORDER for entry in table]


def _bind(challenge: int, entries: Sequence[int]) -> list[int]:
    return [(low + challenge * (high - low)) % ORDER for low, high in zip(entries[0::2], entries[1::2], strict=True)]
