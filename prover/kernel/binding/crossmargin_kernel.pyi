"""Arithmetic of the crossmargin prover; made for `crossmargin_prover.backend.kernel` and for nobody else.

A scalar is 32 bytes, a point 64 bytes, x and y, and the identity 64 zero bytes; integers are big-endian. Arrays are
buffers of native 64-bit integers.
"""

from typing import Final, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "INTERFACE",
    "SOURCES",
    "VERSION",
    "BitSumcheck",
    "PositionKey",
    "RecordSumcheck",
    "SlackKey",
    "_fail",
    "fold_bits",
    "fold_points",
    "fold_sparse",
    "msm",
    "msm_encoded",
]

VERSION: Final[str]
INTERFACE: Final[int]
SOURCES: Final[str | None]

_Int64Array = npt.NDArray[np.int64]
_UInt64Array = npt.NDArray[np.uint64]

@final
class PositionKey:
    def __new__(cls, blinding: bytes) -> PositionKey: ...
    @property
    def columns(self) -> int: ...
    def extend(self, start: int, points: bytes) -> None: ...
    def commit(
        self, indptr: _Int64Array, indices: _Int64Array, data: _Int64Array, blindings: bytes, threads: int
    ) -> bytes: ...

@final
class SlackKey:
    def __new__(cls, points: bytes, blinding: bytes) -> SlackKey: ...
    def commit(self, values: _UInt64Array, blindings: bytes, threads: int) -> bytes: ...

@final
class BitSumcheck:
    def __new__(cls, values: _UInt64Array, width: int, tau: bytes, mask: bytes, threads: int) -> BitSumcheck: ...
    def round(self) -> bytes: ...
    def bind(self, challenge: bytes) -> None: ...
    def value(self) -> bytes: ...

@final
class RecordSumcheck:
    def __new__(
        cls,
        indptr: _Int64Array,
        indices: _Int64Array,
        data: _Int64Array,
        columns: int,
        alpha: bytes,
        beta: bytes,
        threads: int,
    ) -> RecordSumcheck: ...
    def projections(self) -> bytes: ...
    def combine(self, challenge: bytes) -> None: ...
    def round(self) -> bytes: ...
    def bind(self, challenge: bytes) -> None: ...
    def weights(self) -> bytes: ...
    def record(self) -> bytes: ...

def fold_sparse(
    indptr: _Int64Array, indices: _Int64Array, data: _Int64Array, columns: int, weights: bytes, threads: int
) -> bytes: ...
def fold_bits(values: _UInt64Array, weights: bytes, threads: int) -> bytes: ...
def fold_points(points: bytes, weights: bytes, threads: int) -> bytes: ...
def msm(scalars: bytes, points: bytes, threads: int) -> bytes: ...
def msm_encoded(scalars: bytes, encodings: bytes, threads: int) -> bytes: ...
def _fail() -> None: ...
