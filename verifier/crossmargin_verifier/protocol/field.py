"""The scalar field F = Z/r of secp256k1, as plain integers in [0, r) (SPEC section 1)."""

from collections.abc import Iterable
from operator import mul

from crossmargin_circuits.relation import CURVE_ORDER
from crossmargin_verifier.protocol.errors import MalformedError

__all__ = [
    "HALF",
    "ORDER",
    "SCALAR_BYTES",
    "decode_scalar",
    "dot",
    "encode_scalar",
    "encode_scalars",
]

ORDER = CURVE_ORDER
"""r, the prime order of the group: all scalars are modulo r."""

HALF = pow(2, -1, ORDER)

SCALAR_BYTES = 32


def encode_scalar(value: int) -> bytes:
    """Return sc(value): 32 bytes of value mod r."""
    return (value % ORDER).to_bytes(SCALAR_BYTES, "big")


def encode_scalars(values: Iterable[int]) -> bytes:
    """Return the concatenated sc of values."""
    return b"".join(map(encode_scalar, values))


def decode_scalar(data: bytes) -> int:
    """Parse sc; the one encoding of a scalar is the integer below r.

    Raises:
        MalformedError: not 32 bytes, or not below r.
    """
    if len(data) != SCALAR_BYTES:
        raise MalformedError(f"scalar of {len(data)} bytes: must be {SCALAR_BYTES}")
    value = int.from_bytes(data, "big")
    if value >= ORDER:
        raise MalformedError("scalar not below the group order")
    return value


def dot(left: Iterable[int], right: Iterable[int]) -> int:
    """Return the inner product of two vectors, reduced once at the end."""
    total: int = sum(map(mul, left, right))
    return total % ORDER
