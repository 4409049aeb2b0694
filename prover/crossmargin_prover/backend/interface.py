"""The boundary of the arithmetic: the expensive operations behind one interface.

The protocol stays in Python; a backend does arithmetic. The operations are: commit rows (sparse integers, or bits of
64-bit values, with blindings), the sum-checks over the bits and over projections of the records (a round, then a
bind), fold (weighted sums of rows of scalars or of points) and multi-scalar multiplication.
`reference.ReferenceBackend` is plain Python and the yardstick for any other backend. A run chooses by the figures in
`Costs`, never by the name of a backend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_verifier.protocol.arithmetic import Arithmetic
from crossmargin_verifier.protocol.group import Affine, Point

__all__ = [
    "Backend",
    "BackendError",
    "BitSumcheck",
    "Costs",
    "Int64Array",
    "RecordSumcheck",
    "UInt64Array",
    "finite",
]

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]


class BackendError(CrossmarginError):
    """The backend is not installed, or has an incompatible version."""


@dataclass(frozen=True)
class Costs:
    """The costs of a backend by which a run chooses; measured figures (docs/benchmarks.md)."""

    largest_shard: int
    """Accounts of the largest shard, a power of two: some seconds of work, so an interruption loses little."""
    opening_accounts: int
    """Accounts whose other work costs as much as the opening of a shard."""
    rerandomize_entries: int
    """Mean entries per record above which re-randomizing an earlier commitment costs less than a new one."""


class BitSumcheck(Protocol):
    """State of one sum-check over the bits of a shard (SPEC P4), the masks g apart.

    Alternate `round` and `bind`, n times each; then `value` is b_hat(rho).
    """

    def round(self) -> list[int]:
        """Return the coefficients t_{d,1..D_d} of b_hat^2 - b_hat, without the masks g: D_1 = 4, then D_d = 2."""

    def bind(self, challenge: int) -> None:
        """Fix the variable of the last round to rho_d."""

    @property
    def value(self) -> int:
        """b_hat(rho), once every variable is bound."""


class RecordSumcheck(Protocol):
    """State of one sum-check over random projections of the records of a shard (SPEC B3, B4), without any mask.

    Read `projections`, `combine` them once, alternate `round` and `bind`, nu times each; then read `weights`, `record`.
    """

    @property
    def projections(self) -> Sequence[int]:
        """sum_{i,v} alpha_l(i) beta_l(v) x_iv for every l, over the integers; |.| < 2^62 N V."""

    def combine(self, challenge: int) -> None:
        """Weigh projection l by lambda^l from here on."""

    def round(self) -> tuple[int, int]:
        """Return the coefficients p_1, p_2 of sum_v R_lambda(Z,v) x(Z,v), summed over the later variables."""

    def bind(self, challenge: int) -> None:
        """Fix the variable of the last round to rho_d."""

    @property
    def weights(self) -> Sequence[int]:
        """sum_l lambda^l alpha_l(rho) beta_l(v) for every column v, once every variable is bound."""

    @property
    def record(self) -> Sequence[int]:
        """sum_i eq(rho, i) x_iv in F for every column v, once every variable is bound."""


class Backend(Protocol):
    """Arithmetic on curve points and scalars; all methods are pure functions of their arguments.

    The executor sends the backend to its workers: with processes it must be picklable.
    Arrays of records are in CSR form: `indptr` (rows + 1), `indices` and `data` (entries), int64, |data| < 2^62.
    Arrays of values are uint64 of shape (rows, values of a row).
    """

    @property
    def name(self) -> str:
        """Name of the backend, for logs and summaries."""

    @property
    def costs(self) -> Costs:
        """Costs of its operations."""

    @property
    def arithmetic(self) -> Arithmetic:
        """Arithmetic of the verifier that checks a bundle before publication, picklable too; PLAIN is always
        correct."""

    def commit_sparse(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, blindings: Sequence[int]
    ) -> list[Point]:
        """Return sum_v x_iv A_v + r_i H for every row i (SPEC S4)."""

    def commit_bits(self, values: UInt64Array, packing: int, blindings: Sequence[int]) -> list[Point]:
        """Return the slack rows R_h of values (accounts, J), 2^packing accounts to a row (SPEC S8)."""

    def bit_sumcheck(self, values: UInt64Array, tau: Sequence[int], mask: int) -> BitSumcheck:
        """Start the sum-check over the bits of values (2^nu accounts, J) with point tau (n) and mask a (SPEC P4)."""

    def record_sumcheck(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, columns: int, alpha: bytes, beta: bytes
    ) -> RecordSumcheck:
        """Start the sum-check over projections of at most N = 2^nu records; the records that are missing are zero.

        alpha: N blocks of P/8 bytes, bit l of the little-endian block i is alpha_l(i); beta: V = columns such blocks,
        of beta_l(v).
        """

    def fold_sparse(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, columns: int, weights: Sequence[int]
    ) -> list[int]:
        """Return sum_i weights_i x_iv in F for every column v."""

    def fold_bits(self, values: UInt64Array, packing: int, weights: Sequence[int]) -> list[int]:
        """Return sum_h weights_h b_{hG+a,j,t} in F, ordered (a J + j) 64 + t, for G = 2^packing."""

    def fold_points(self, rows: Sequence[Sequence[Point]], weights: Sequence[int]) -> list[Point]:
        """Return sum_k weights_k rows_k[i] for every i; all rows have one length."""

    def msm(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        """Return sum_i scalars_i points_i."""


def finite(point: Point) -> Affine:
    """Return a randomly blinded commitment as a point with an encoding.

    Raises:
        ArithmeticError: it is the identity, which has probability 2^-256 unless the randomness is broken.
    """
    if point is None:
        raise ArithmeticError("a commitment is the identity: prove again with fresh randomness")
    return point
