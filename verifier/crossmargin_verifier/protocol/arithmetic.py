"""Decoding and multiplication of committed points: plain Python or another implementation (SPEC V1, V9).

An `Arithmetic` is a value that an executor can send to worker processes. PLAIN is the reference; every other one must
refuse the same encodings and return the same points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import SCALAR_BYTES
from crossmargin_verifier.protocol.group import POINT_BYTES, Affine, Point, decode_point, msm

__all__ = ["PLAIN", "Arithmetic", "MalformedPointError", "PlainArithmetic", "decode_encodings"]


class MalformedPointError(MalformedError):
    """An encoding is not a point; numbers it among the given encodings, and the caller knows the file."""

    def __init__(self, index: int, reason: str) -> None:
        """Number the encoding, from 0."""
        super().__init__(index, reason)
        self.index = index
        self.reason = reason

    def __str__(self) -> str:
        """Return number and reason."""
        return f"point {self.index}: {self.reason}"


class Arithmetic(Protocol):
    """Multi-scalar multiplication of decoded and of encoded points."""

    def msm(self, scalars: Sequence[int], points: Sequence[Affine]) -> Point:
        """Return sum_i scalars_i points_i for any integers."""

    def msm_encoded(self, scalars: bytes, encodings: bytes) -> Point:
        """Return sum_i scalars_i P_i, for n scalars sc(v) of 32 bytes and n encodings enc(P) of 33.

        It decodes every encoding, also under a zero scalar.

        Raises:
            MalformedPointError: the first encoding that `group.decode_point` refuses.
        """


@dataclass(frozen=True)
class PlainArithmetic:
    """Plain Python: `group.decode_point` and `group.msm`."""

    def msm(self, scalars: Sequence[int], points: Sequence[Affine]) -> Point:
        """Return sum_i scalars_i points_i for any integers."""
        return msm(scalars, points)

    def msm_encoded(self, scalars: bytes, encodings: bytes) -> Point:
        """Return sum_i scalars_i P_i of encoded points.

        Raises:
            MalformedPointError: an encoding is not a point; names the first.
        """
        points = decode_encodings(encodings)
        starts = range(0, len(scalars), SCALAR_BYTES)
        return msm([int.from_bytes(scalars[start : start + SCALAR_BYTES], "big") for start in starts], points)


PLAIN = PlainArithmetic()
"""The reference, and the default."""


def decode_encodings(encodings: bytes) -> list[Affine]:
    """Decode points of 33 bytes, one after the other.

    Raises:
        MalformedPointError: an encoding is not a point; names the first.
    """
    points = []
    for start in range(0, len(encodings), POINT_BYTES):
        try:
            points.append(decode_point(encodings[start : start + POINT_BYTES]))
        except MalformedError as error:
            raise MalformedPointError(start // POINT_BYTES, str(error)) from None
    return points
