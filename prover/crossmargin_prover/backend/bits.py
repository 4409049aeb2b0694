"""The sum-check over the bits of a shard in plain Python (SPEC P4).

Entry z of the hypercube is bit t (z_1..z_6), value j (kappa variables), account i (nu variables), low bit first. The
first three variables select a bit inside a byte, so rounds 1 to 3 see 256 patterns, each with the weight
hist[v] = sum of eq(tau_{4..n}, position) over the bytes equal to v. After round 3 a byte is one of 256 scalars, and the
ordinary rounds follow: with pairs (b_0, b_1), D = b_1 - b_0 and weights e = eq(tau_{>d}, z'),

    t_1 = sum e D (2 b_0 - 1),   t_2 = sum e D^2.

Bytes of absent values (J <= j < 2^kappa) equal one constant, so D = 0 and they need no work.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crossmargin_prover.backend.interface import UInt64Array
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.polynomial import eq_table

__all__ = ["ReferenceBitSumcheck", "byte_columns"]

PATTERN_ROUNDS = 3
"""Variables inside a byte."""

VALUE_ROUNDS = 6
"""Variables inside a 64-bit value."""


def byte_columns(values: UInt64Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of values (rows, J) as an array (rows, 8 J), the low byte of a value first."""
    return np.ascontiguousarray(values, dtype="<u8").view(np.uint8).reshape(len(values), -1)


class ReferenceBitSumcheck:
    """State of the sum-check; `backend.BitSumcheck` defines the order of calls."""

    def __init__(self, values: UInt64Array, tau: Sequence[int], mask: int) -> None:
        """Start with values (2^nu, J), the point tau (n) and the mask a of b_hat = b_tilde + a z_1 (1 - z_1)."""
        accounts, per_account = values.shape
        kappa = (per_account - 1).bit_length()
        if len(tau) != VALUE_ROUNDS + kappa + (accounts - 1).bit_length():
            raise ValueError("tau has the wrong number of entries")
        self._tau = list(tau)
        self._mask = mask
        self._done = 0
        self._inner_end = VALUE_ROUNDS + kappa
        self._bytes = byte_columns(values)
        self._constant = 0
        self._account_weights = eq_table(self._tau[self._inner_end :])
        self._inner_weights = eq_table(self._tau[PATTERN_ROUNDS : self._inner_end])
        self._patterns = [[byte >> bit & 1 for bit in range(8)] for byte in range(256)]
        self._histogram = self._weigh_patterns()
        self._columns: list[list[int]] = []
        self._entries: list[int] = []

    def __repr__(self) -> str:
        """Return a text without the bits."""
        return f"ReferenceBitSumcheck(round {self._done + 1} of {len(self._tau)}, redacted)"

    @property
    def value(self) -> int:
        """b_hat(rho), once every variable is bound."""
        if self._done != len(self._tau):
            raise ValueError("not every variable is bound")
        return self._entries[0]

    def round(self) -> list[int]:
        """Return the coefficients t_{d,1..D_d} of b_hat^2 - b_hat, without the masks g: D_1 = 4, then D_d = 2."""
        if self._done < PATTERN_ROUNDS:
            return self._pattern_round()
        if self._done < self._inner_end:
            return self._inner_round()
        return self._account_round()

    def bind(self, challenge: int) -> None:
        """Fix the variable of the last round to rho_d."""
        if self._done < PATTERN_ROUNDS:
            self._bind_patterns(challenge)
        elif self._done < self._inner_end:
            self._bind_columns(challenge)
        else:
            self._bind_accounts(challenge)
        self._done += 1
        if self._done == self._inner_end:
            self._entries, self._columns = self._columns[0], []

    def _weigh_patterns(self) -> list[int]:
        histogram = [0] * 256
        for column, weight in zip(self._bytes.T, self._inner_weights, strict=False):
            part = [0] * 256
            for byte, account_weight in zip(column.tobytes(), self._account_weights, strict=True):
                part[byte] += account_weight
            histogram = [total + weight * (value % ORDER) for total, value in zip(histogram, part, strict=True)]
        return [value % ORDER for value in histogram]

    def _pattern_round(self) -> list[int]:
        weights = eq_table(self._tau[self._done + 1 : PATTERN_ROUNDS])
        linear = square = lows = differences = 0
        for weight, pattern in zip(self._histogram, self._patterns, strict=True):
            for position, inner in enumerate(weights):
                low = pattern[2 * position]
                difference = pattern[2 * position + 1] - low
                scale = weight * inner % ORDER
                linear += scale * difference * (2 * low - 1)
                square += scale * difference * difference
                lows += scale * low
                differences += scale * difference
        if self._done:
            return [linear % ORDER, square % ORDER]
        a = self._mask
        linear += 2 * a * lows - a
        square += a * a + 2 * a * (differences - lows) + a
        return [linear % ORDER, square % ORDER, (-2 * a * a - 2 * a * differences) % ORDER, a * a % ORDER]

    def _bind_patterns(self, challenge: int) -> None:
        if self._done == 0:
            self._constant = self._mask * challenge * (1 - challenge) % ORDER
        shift = self._constant if self._done == 0 else 0
        self._patterns = [
            [
                (low + challenge * (high - low) + shift) % ORDER
                for low, high in zip(pattern[0::2], pattern[1::2], strict=True)
            ]
            for pattern in self._patterns
        ]
        if self._done + 1 == PATTERN_ROUNDS:
            scalars = [pattern[0] for pattern in self._patterns]
            self._columns = [list(map(scalars.__getitem__, column.tobytes())) for column in self._bytes.T]

    def _inner_round(self) -> list[int]:
        if len(self._columns) % 2:
            # The partner is the column of an absent value; it is real from here on.
            self._columns.append([self._constant] * len(self._account_weights))
        self._inner_weights = _halve(self._inner_weights)
        linear = square = 0
        for weight, lows, highs in zip(self._inner_weights, self._columns[0::2], self._columns[1::2], strict=False):
            part_linear, part_square = _pair_sums(self._account_weights, lows, highs)
            linear += weight * part_linear
            square += weight * part_square
        return [linear % ORDER, square % ORDER]

    def _bind_columns(self, challenge: int) -> None:
        self._columns = [
            _bind_pairs(challenge, lows, highs)
            for lows, highs in zip(self._columns[0::2], self._columns[1::2], strict=True)
        ]

    def _account_round(self) -> list[int]:
        self._account_weights = _halve(self._account_weights)
        return list(_pair_sums(self._account_weights, self._entries[0::2], self._entries[1::2]))

    def _bind_accounts(self, challenge: int) -> None:
        self._entries = _bind_pairs(challenge, self._entries[0::2], self._entries[1::2])


def _halve(weights: list[int]) -> list[int]:
    """Turn eq(tau_{d..n}, .) into eq(tau_{d+1..n}, .): the two values of variable d add up to one."""
    return [(low + high) % ORDER for low, high in zip(weights[0::2], weights[1::2], strict=True)]


def _pair_sums(weights: list[int], lows: list[int], highs: list[int]) -> tuple[int, int]:
    linear = square = 0
    for weight, low, high in zip(weights, lows, highs, strict=True):
        difference = high - low
        if difference:
            scaled = weight * difference % ORDER
            linear += scaled * (2 * low - 1)
            square += scaled * difference
    return linear % ORDER, square % ORDER


def _bind_pairs(challenge: int, lows: list[int], highs: list[int]) -> list[int]:
    return [(low + challenge * (high - low)) % ORDER for low, high in zip(lows, highs, strict=True)]
