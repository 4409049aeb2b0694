"""Random projections of the records, bounded mode (SPEC section 5, P2).

R_l(i, v) is bit l of the 16 bytes at 16 (i V + v) of a SHAKE-256 stream, read as a little-endian integer; i numbers
the accounts of the shard. R_lambda = sum_l lambda^l R_l folds the 128 projections into one.
"""

import hashlib
from collections.abc import Sequence

from crossmargin_circuits.digest import tag_prefix
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.shape import PROJECTIONS, Shape

__all__ = ["combined_columns", "projection_stream"]

_CELL_BYTES = PROJECTIONS // 8


def projection_stream(seed: bytes, shape: Shape) -> bytes:
    """Return the stream of a shard, 16 N V bytes, from sigma (32 bytes)."""
    size = _CELL_BYTES * shape.accounts_per_shard * shape.columns
    return hashlib.shake_256(tag_prefix("proj") + seed).digest(size)


def combined_columns(stream: bytes, shape: Shape, powers: Sequence[int], weights: Sequence[int]) -> list[int]:
    """Return sum_i weights_i R_lambda(i, v) for every column v, with powers lambda^0 .. lambda^127."""
    tables = [_subset_sums(powers[start : start + 8]) for start in range(0, PROJECTIONS, 8)]
    sums = [0] * shape.columns
    start = 0
    for weight in weights:
        for column in range(shape.columns):
            cell = stream[start : start + _CELL_BYTES]
            start += _CELL_BYTES
            entry = sum(table[byte] for table, byte in zip(tables, cell, strict=True))
            sums[column] += weight * (entry % ORDER)
    return [total % ORDER for total in sums]


def _subset_sums(powers: Sequence[int]) -> list[int]:
    """Return the sums of the powers chosen by the bits of 0 .. 255, low bit first."""
    table = [0]
    for power in powers:
        table += [entry + power for entry in table]
    return table
