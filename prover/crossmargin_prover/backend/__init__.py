"""The arithmetic of the prover: one interface, two built-in backends, and a registry for backends of other
distributions."""

from crossmargin_prover.backend.interface import (
    Backend,
    BackendError,
    BitSumcheck,
    Costs,
    Int64Array,
    RecordSumcheck,
    UInt64Array,
    finite,
)
from crossmargin_prover.backend.registry import ENTRY_POINTS, available, select_backend

__all__ = [
    "ENTRY_POINTS",
    "Backend",
    "BackendError",
    "BitSumcheck",
    "Costs",
    "Int64Array",
    "RecordSumcheck",
    "UInt64Array",
    "available",
    "finite",
    "select_backend",
]
