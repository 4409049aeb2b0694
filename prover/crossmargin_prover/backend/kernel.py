"""The compiled backend: a thin adapter between the protocol's integers and the kernel's bytes.

The kernel, a separate distribution, does only arithmetic. This module derives the generators once and passes them to
the kernel, which keeps tables of them between calls. It is not constant in time (docs/threat-model.md).
"""

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain

import crossmargin_kernel
import numpy as np

from crossmargin_prover.backend.interface import (
    BackendError,
    BitSumcheck,
    Costs,
    Int64Array,
    RecordSumcheck,
    UInt64Array,
)
from crossmargin_prover.backend.kernel_sources import sources_here
from crossmargin_verifier.kernel import KernelArithmetic, KernelError, load_kernel
from crossmargin_verifier.protocol.field import encode_scalar, encode_scalars
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators, slack_generators
from crossmargin_verifier.protocol.group import Point
from crossmargin_verifier.protocol.limits import MAX_COLUMNS
from crossmargin_verifier.workers import threads_here

__all__ = ["KernelBackend"]

SLACK_KEYS = 4
"""Number of cached keys for slack rows, one per number of values and packing; 8 MiB for 16 values, packing 2."""

PROJECTION_BYTES = 16
"""Bytes of a projection without its mask, a signed integer."""

_IDENTITY = bytes(64)


class KernelBackend:
    """All operations in compiled code, in one thread or several."""

    name = "kernel"
    costs = Costs(largest_shard=2**15, opening_accounts=3000, rerandomize_entries=48)

    def __init__(self, threads: int | None = None) -> None:
        """Take the installed kernel.

        threads: of this process; by default one in a worker process of a pool, else one per core.

        Raises:
            BackendError: the kernel is missing or of another version; or, in a checkout, it was built from other
            sources.
        """
        try:
            kernel = load_kernel()
        except KernelError as error:
            raise BackendError(f"{error}, or choose the reference backend") from None
        sources = sources_here()
        if sources is not None and getattr(kernel, "SOURCES", None) != sources:
            raise BackendError(
                "the installed kernel was built from other sources than those here: rebuild it with `make kernel`, "
                "or choose the reference backend"
            )
        if threads is not None and threads < 1:
            raise ValueError("at least one thread expected")
        self._threads = threads

    @property
    def threads(self) -> int:
        """Threads of an operation in the current process."""
        return threads_here() if self._threads is None else self._threads

    @property
    def arithmetic(self) -> KernelArithmetic:
        """Arithmetic of the verifier: the kernel with the same number of threads."""
        return KernelArithmetic(self._threads)

    def commit_sparse(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, blindings: Sequence[int]
    ) -> list[Point]:
        """Return sum_v x_iv A_v + r_i H for every row i (SPEC S4)."""
        key = _position_key()
        columns = int(indices.max()) + 1 if len(indices) else 0
        if columns > MAX_COLUMNS:
            raise ValueError(f"an entry beyond the last column: there are at most {MAX_COLUMNS}")
        if columns > (known := key.columns):
            key.extend(known, _encode_points(position_generators(columns)[known:]))
        return _decode_points(key.commit(indptr, indices, data, encode_scalars(blindings), self.threads))

    def commit_bits(self, values: UInt64Array, packing: int, blindings: Sequence[int]) -> list[Point]:
        """Return the slack rows R_h of values (accounts, J), 2^packing accounts to a row (SPEC S8)."""
        words = _words(values)
        key = _slack_key(words.shape[1], packing)
        return _decode_points(key.commit(words, encode_scalars(blindings), self.threads))

    def bit_sumcheck(self, values: UInt64Array, tau: Sequence[int], mask: int) -> BitSumcheck:
        """Start the sum-check over the bits of values (2^nu accounts, J) with point tau (n) and mask a (SPEC P4)."""
        return _KernelBitSumcheck(values, tau, mask, self.threads)

    def record_sumcheck(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, columns: int, alpha: bytes, beta: bytes
    ) -> RecordSumcheck:
        """Start the sum-check over projections of at most N = 2^nu records (SPEC B3, B4)."""
        return _KernelRecordSumcheck(
            crossmargin_kernel.RecordSumcheck(indptr, indices, data, columns, alpha, beta, self.threads)
        )

    def fold_sparse(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, columns: int, weights: Sequence[int]
    ) -> list[int]:
        """Return sum_i weights_i x_iv in F for every column v."""
        return _decode_scalars(
            crossmargin_kernel.fold_sparse(indptr, indices, data, columns, encode_scalars(weights), self.threads)
        )

    def fold_bits(self, values: UInt64Array, packing: int, weights: Sequence[int]) -> list[int]:
        """Return sum_h weights_h b_{hG+a,j,t} in F, ordered (a J + j) 64 + t, for G = 2^packing."""
        words = _words(values)
        if len(words) != len(weights) << packing:
            raise ValueError(f"{len(words)} accounts: must be {len(weights) << packing}")
        return _decode_scalars(crossmargin_kernel.fold_bits(words, encode_scalars(weights), self.threads))

    def fold_points(self, rows: Sequence[Sequence[Point]], weights: Sequence[int]) -> list[Point]:
        """Return sum_k weights_k rows_k[i] for every i; all rows have one length."""
        if len({len(row) for row in rows}) > 1:
            raise ValueError("rows of different lengths")
        points = _encode_points(chain.from_iterable(rows))
        return _decode_points(crossmargin_kernel.fold_points(points, encode_scalars(weights), self.threads))

    def msm(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        """Return sum_i scalars_i points_i."""
        result = crossmargin_kernel.msm(encode_scalars(scalars), _encode_points(points), self.threads)
        return _decode_points(result)[0]


class _KernelBitSumcheck:
    """State of a sum-check inside the kernel; `backend.BitSumcheck` defines the order of calls."""

    def __init__(self, values: UInt64Array, tau: Sequence[int], mask: int, threads: int) -> None:
        words = _words(values)
        self._state = crossmargin_kernel.BitSumcheck(
            words, words.shape[1], encode_scalars(tau), encode_scalar(mask), threads
        )

    def __repr__(self) -> str:
        """Return a text without the bits."""
        return "KernelBitSumcheck(redacted)"

    def round(self) -> list[int]:
        """Return the coefficients t_{d,1..D_d} of b_hat^2 - b_hat, without the masks g: D_1 = 4, then D_d = 2."""
        return _decode_scalars(self._state.round())

    def bind(self, challenge: int) -> None:
        """Fix the variable of the last round to rho_d."""
        self._state.bind(encode_scalar(challenge))

    @property
    def value(self) -> int:
        """b_hat(rho), once every variable is bound."""
        return _decode_scalars(self._state.value())[0]


class _KernelRecordSumcheck:
    """State of a sum-check inside the kernel; `backend.RecordSumcheck` defines the order of calls."""

    def __init__(self, state: crossmargin_kernel.RecordSumcheck) -> None:
        self._state = state
        data = state.projections()
        size = PROJECTION_BYTES
        self._projections = [
            int.from_bytes(data[start : start + size], "big", signed=True) for start in range(0, len(data), size)
        ]

    def __repr__(self) -> str:
        """Return a text without the records."""
        return "KernelRecordSumcheck(redacted)"

    @property
    def projections(self) -> list[int]:
        """sum_{i,v} alpha_l(i) beta_l(v) x_iv for every l, over the integers."""
        return self._projections

    def combine(self, challenge: int) -> None:
        """Weigh projection l by lambda^l from here on."""
        self._state.combine(encode_scalar(challenge))

    def round(self) -> tuple[int, int]:
        """Return the coefficients p_1, p_2 of sum_v R_lambda(Z,v) x(Z,v), summed over the later variables."""
        first, second = _decode_scalars(self._state.round())
        return first, second

    def bind(self, challenge: int) -> None:
        """Fix the variable of the last round to rho_d."""
        self._state.bind(encode_scalar(challenge))

    @property
    def weights(self) -> list[int]:
        """sum_l lambda^l alpha_l(rho) beta_l(v) for every column v, once every variable is bound."""
        return _decode_scalars(self._state.weights())

    @property
    def record(self) -> list[int]:
        """sum_i eq(rho, i) x_iv in F for every column v, once every variable is bound."""
        return _decode_scalars(self._state.record())


@cache
def _position_key() -> crossmargin_kernel.PositionKey:
    return crossmargin_kernel.PositionKey(_encode_points([blinding_generator()]))


@lru_cache(maxsize=SLACK_KEYS)
def _slack_key(values: int, packing: int) -> crossmargin_kernel.SlackKey:
    points = _encode_points(slack_generators(values, packing))
    return crossmargin_kernel.SlackKey(points, _encode_points([blinding_generator()]))


def _words(values: UInt64Array) -> UInt64Array:
    """Return values as native integers for the kernel; never convert from another type."""
    if values.ndim != 2:
        raise ValueError(f"values of {values.ndim} dimensions: must be accounts and values")
    if values.dtype.kind != "u" or values.dtype.itemsize != 8:
        raise ValueError(f"values of type {values.dtype}: must be uint64")
    return np.ascontiguousarray(values, dtype=np.uint64)


def _encode_points(points: Iterable[Point]) -> bytes:
    return b"".join(
        _IDENTITY if point is None else point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big") for point in points
    )


def _decode_points(data: bytes) -> list[Point]:
    coordinates = iter(_integers(data))
    return [(x, y) if x else None for x, y in zip(coordinates, coordinates, strict=True)]


def _decode_scalars(data: bytes) -> list[int]:
    return _integers(data)


def _integers(data: bytes) -> list[int]:
    return [int.from_bytes(data[start : start + 32], "big") for start in range(0, len(data), 32)]
