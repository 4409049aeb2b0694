"""The kernel boundary: the four operations that cost time, behind one interface, and the choice of who runs them.

The protocol stays in Python; a backend does arithmetic. The operations are: commit rows (sparse integers, or bits of
64-bit values, with blindings), the sum-check over the bits (a round, then a bind), fold (weighted sums of rows of
scalars or of points) and multi-scalar multiplication. `reference.ReferenceBackend` is plain Python and the yardstick
for any other backend.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_verifier.protocol.group import Affine, Point

__all__ = [
    "Backend",
    "BackendError",
    "BitSumcheck",
    "Int64Array",
    "UInt64Array",
    "available",
    "finite",
    "select_backend",
]

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]


class BackendError(CrossmarginError):
    """A backend that this installation does not have, or has in a version that does not fit."""


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


class Backend(Protocol):
    """Arithmetic on curve points and scalars; all methods are pure functions of their arguments.

    Arrays of records are in CSR form: `indptr` (rows + 1), `indices` and `data` (entries), int64, |data| < 2^62.
    Arrays of values are uint64 of shape (rows, values of a row).
    """

    @property
    def name(self) -> str:
        """Name of the backend, for logs and summaries."""

    def commit_sparse(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, blindings: Sequence[int]
    ) -> list[Point]:
        """Return sum_v x_iv A_v + r_i H for every row i (SPEC S4)."""

    def commit_bits(self, values: UInt64Array, packing: int, blindings: Sequence[int]) -> list[Point]:
        """Return the slack rows R_h of values (accounts, J), 2^packing accounts to a row (SPEC S8)."""

    def bit_sumcheck(self, values: UInt64Array, tau: Sequence[int], mask: int) -> BitSumcheck:
        """Start the sum-check over the bits of values (2^nu accounts, J) with point tau (n) and mask a (SPEC P4)."""

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
        ArithmeticError: it is the identity, which happens with probability 2^-256 or with broken randomness.
    """
    if point is None:
        raise ArithmeticError("a commitment is the identity: prove again with fresh randomness")
    return point


def _reference() -> Backend:
    from crossmargin_prover.backend.reference import ReferenceBackend

    return ReferenceBackend()


def _kernel() -> Backend:
    try:
        from crossmargin_prover.backend.kernel import KernelBackend
    except ImportError as error:
        raise BackendError(f"the installed kernel cannot be loaded: {error}") from error
    return KernelBackend()


_FACTORIES: Mapping[str, Callable[[], Backend]] = MappingProxyType({"kernel": _kernel, "reference": _reference})
"""Backends by name, the preferred one first."""


def available() -> tuple[str, ...]:
    """Return the names of the backends that are installed, the preferred one first."""
    return tuple(name for name in _FACTORIES if name != "kernel" or find_spec("crossmargin_kernel") is not None)


def select_backend(name: str | None = None) -> Backend:
    """Return the backend of that name, or the preferred one.

    Raises:
        BackendError: no backend of that name is installed, or the installed kernel is of another version.
    """
    installed = available()
    chosen = installed[0] if name is None else name
    if chosen not in installed:
        raise BackendError(f"backend {chosen!r} is not installed; there are: {', '.join(installed)}")
    return _FACTORIES[chosen]()
