"""Random projections of the records and the sum-check over them, bounded mode (SPEC section 5).

z_l = sum_{i,v} R_l(i,v) x_iv + y_l over the integers, 128 random 0/1 matrices R_l. With R_lambda = sum_l lambda^l R_l
the claim sum_l lambda^l z_l is reduced over the account variables to the record x* at rho_acc:

    sum over i of  sum_v R_lambda(i,v) x_iv + 2^-nu sum_l lambda^l y_l + sum_d sum_{e<=2} g'_{d,e} (i_d^e - 1/2).

The masks g' sum to zero over the cube, so that g'_{d,e} enters coefficient e of round d alone, times 2^(nu-d).
"""

from collections.abc import Sequence

import numpy as np

from crossmargin_prover.masks import Masks
from crossmargin_prover.witness import Records
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.shape import PROJECTIONS

__all__ = ["ProjectionSumcheck", "project"]

BLOCK = 1 << 14
"""Entries of records that are projected together, which bounds memory."""

LIMB_BITS = 31
"""Records are cut so that sums over fewer than 2^32 entries stay inside int64."""


def project(stream: bytes, records: Records, masks: Masks) -> tuple[int, ...]:
    """Return z_l = sum_{i,v} R_l(i,v) x_iv + y_l as integers; the stream holds 16 bytes for every (i, v)."""
    matrix = np.frombuffer(stream, dtype=np.uint8).reshape(-1, PROJECTIONS // 8)
    accounts = np.repeat(np.arange(len(records)), np.diff(records.indptr))
    cells = accounts * records.columns + records.indices
    sums = list(masks.projections)
    for start in range(0, len(cells), BLOCK):
        part = slice(start, start + BLOCK)
        bits = np.unpackbits(matrix[cells[part]], axis=1, bitorder="little").astype(np.int64)
        high, low = np.divmod(records.data[part], 1 << LIMB_BITS)
        sums = [
            total + (int(upper) << LIMB_BITS) + int(lower)
            for total, upper, lower in zip(sums, high @ bits, low @ bits, strict=True)
        ]
    return tuple(sums)


class ProjectionSumcheck:
    """State of the second sum-check: rows of R_lambda (dense) and of the records (sparse), halved by every bind."""

    def __init__(self, stream: bytes, records: Records, masks: Masks, powers: Sequence[int]) -> None:
        """Start with the stream of R, the records (N) and powers lambda^0 .. lambda^127."""
        columns = records.columns
        tables = [_byte_table(powers[start : start + 8]) for start in range(0, PROJECTIONS, 8)]
        width = PROJECTIONS // 8
        cells = [
            sum(table[byte] for table, byte in zip(tables, stream[start : start + width], strict=True)) % ORDER
            for start in range(0, len(records) * columns * width, width)
        ]
        self._matrix = [cells[start : start + columns] for start in range(0, len(cells), columns)]
        self._records = [
            dict(zip(row.indices.tolist(), row.data.tolist(), strict=True))
            for row in (records.slice(account, account + 1) for account in range(len(records)))
        ]
        self._masks = list(masks.projection_rounds)
        self._scale = len(records)

    def __repr__(self) -> str:
        """Return a text without the records."""
        return f"ProjectionSumcheck({len(self._masks)} rounds left, redacted)"

    def round(self) -> tuple[int, int]:
        """Return the coefficients p_1, p_2 of the round."""
        first = second = 0
        for low, high, row, other in zip(
            self._matrix[0::2], self._matrix[1::2], self._records[0::2], self._records[1::2], strict=True
        ):
            for column in row.keys() | other.keys():
                entry = row.get(column, 0)
                difference = other.get(column, 0) - entry
                slope = high[column] - low[column]
                first += low[column] * difference + slope * entry
                second += slope * difference
        self._scale //= 2
        mask_first, mask_second = self._masks.pop(0)
        return (first + self._scale * mask_first) % ORDER, (second + self._scale * mask_second) % ORDER

    def bind(self, challenge: int) -> None:
        """Fix the variable of the last round."""
        self._matrix = [
            [(a + challenge * (b - a)) % ORDER for a, b in zip(low, high, strict=True)]
            for low, high in zip(self._matrix[0::2], self._matrix[1::2], strict=True)
        ]
        self._records = [
            {
                column: (row.get(column, 0) + challenge * (other.get(column, 0) - row.get(column, 0))) % ORDER
                for column in row.keys() | other.keys()
            }
            for row, other in zip(self._records[0::2], self._records[1::2], strict=True)
        ]

    @property
    def weights(self) -> list[int]:
        """sum_i eq(rho_acc, i) R_lambda(i, v) for every column v, once every variable is bound."""
        if len(self._matrix) != 1:
            raise ValueError("not every variable is bound")
        return self._matrix[0]


def _byte_table(powers: Sequence[int]) -> list[int]:
    """Return the subset sums of eight powers, indexed by a byte, low bit first."""
    table = [0]
    for power in powers:
        table += [entry + power for entry in table]
    return table
