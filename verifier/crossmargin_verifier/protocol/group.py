"""secp256k1: decoding, the identity and multi-scalar multiplication, in this one module (SPEC section 1).

A point is an affine pair (x, y), or None for the identity, which has no encoding. Additions are done in batches
that share one modular inversion, and a multi-scalar multiplication is Pippenger's bucket method with signed digits
on top of them. py_ecc supplies the curve; its arithmetic is the slow reference in the tests.
"""

import sys
from collections.abc import Iterable, Sequence
from itertools import islice

_recursion_limit = sys.getrecursionlimit()
from py_ecc.secp256k1 import secp256k1 as _curve  # noqa: E402

# Importing py_ecc raises the limit to 100,000, which would turn a deep recursion into a crash of the interpreter.
sys.setrecursionlimit(_recursion_limit)

from crossmargin_verifier.protocol.errors import MalformedError  # noqa: E402
from crossmargin_verifier.protocol.field import ORDER  # noqa: E402

__all__ = [
    "BASE_POINT",
    "POINT_BYTES",
    "PRIME",
    "Affine",
    "Point",
    "add",
    "batch_add",
    "decode_point",
    "encode_point",
    "lift_x",
    "msm",
    "negate",
    "sum_points_batch",
]

Affine = tuple[int, int]
"""A point other than the identity: (x, y), both in [0, p)."""

Point = Affine | None
"""A point; None is the identity."""

PRIME: int = _curve.P
"""p, the prime of the base field."""

BASE_POINT: Affine = (int(_curve.G[0]), int(_curve.G[1]))
"""The standard base point, used only by signatures."""

POINT_BYTES = 33
"""Bytes of a SEC1 compressed point."""

_SQUARE_ROOT = (PRIME + 1) // 4


def lift_x(x: int, parity: int) -> Affine | None:
    """Return the point with this x below p and the parity of y, or None where x is not on the curve."""
    square = (x * x * x + 7) % PRIME
    y = pow(square, _SQUARE_ROOT, PRIME)
    if y * y % PRIME != square:
        return None
    # No point has y = 0, since the order is odd: both parities exist.
    return (x, y) if y & 1 == parity else (x, PRIME - y)


def decode_point(data: bytes) -> Affine:
    """Parse enc(P), the SEC1 compressed form; the identity has none.

    Raises:
        MalformedError: not 33 bytes, prefix other than 2 and 3, x not below p, or no such point.
    """
    if len(data) != POINT_BYTES:
        raise MalformedError(f"point of {len(data)} bytes: must be {POINT_BYTES}")
    if data[0] not in (2, 3):
        raise MalformedError(f"point with prefix {data[0]}: must be 2 or 3")
    x = int.from_bytes(data[1:], "big")
    if x >= PRIME:
        raise MalformedError("point with x not below the field prime")
    point = lift_x(x, data[0] & 1)
    if point is None:
        raise MalformedError("point not on the curve")
    return point


def encode_point(point: Point) -> bytes:
    """Return enc(P), 33 bytes.

    Raises:
        MalformedError: the identity, which has no encoding.
    """
    if point is None:
        raise MalformedError("the identity has no encoding")
    x, y = point
    return bytes([2 | y & 1]) + x.to_bytes(32, "big")


def negate(point: Point) -> Point:
    """Return -P."""
    return None if point is None else (point[0], PRIME - point[1])


def add(left: Point, right: Point) -> Point:
    """Return P + Q."""
    return batch_add([left], [right])[0]


def batch_add(lefts: Sequence[Point], rights: Sequence[Point]) -> list[Point]:
    """Return the sums P_i + Q_i of two sequences of one length, with one inversion (Montgomery's trick); any points."""
    p = PRIME
    results: list[Point] = []
    pending = []
    product = 1
    for left, right in zip(lefts, rights, strict=True):
        if left is None or right is None:
            results.append(right if left is None else left)
            continue
        x, y = left
        other_x, other_y = right
        if x != other_x:
            rise, run = other_y - y, other_x - x
        elif y == other_y:
            rise, run = 3 * x * x, 2 * y
        else:
            results.append(None)
            continue
        pending.append((len(results), x, y, other_x, rise, run, product))
        product = product * run % p
        results.append(None)
    inverse = pow(product, -1, p)
    for index, x, y, other_x, rise, run, prefix in reversed(pending):
        slope = inverse * prefix % p * rise % p
        inverse = inverse * run % p
        sum_x = (slope * slope - x - other_x) % p
        results[index] = (sum_x, (slope * (x - sum_x) - y) % p)
    return results


def sum_points_batch(lists: Sequence[Sequence[Point]]) -> list[Point]:
    """Return the sum of every list; the lists are halved in step, so that all of them share the inversions."""
    rest = [list(points) for points in lists]
    while any(len(points) > 1 for points in rest):
        lefts = [point for points in rest for point in points[0:-1:2]]
        rights = [point for points in rest for point in points[1::2]]
        sums = iter(batch_add(lefts, rights))
        # The last, unpaired point of an odd length moves down alone.
        rest = [[*islice(sums, len(points) // 2), *points[len(points) & ~1 :]] for points in rest]
    return [points[0] if points else None for points in rest]


def msm(scalars: Iterable[int], points: Iterable[Point]) -> Point:
    """Return sum_i scalars_i points_i for any integers; time depends on the scalars.

    Short scalars, also negative ones (large modulo r), cost in proportion to their bits.
    """
    magnitudes: list[int] = []
    bases: list[Point] = []
    for given, point in zip(scalars, points, strict=True):
        scalar = given % ORDER
        if scalar and point is not None:
            short = scalar <= ORDER >> 1
            magnitudes.append(scalar if short else ORDER - scalar)
            bases.append(point if short else negate(point))
    if not magnitudes:
        return None
    bits = max(magnitudes).bit_length()
    width = min(range(2, 17), key=lambda width: _windows(bits, width) * (len(magnitudes) + (1 << width)))
    windows = _windows(bits, width)
    # Adding half a window's range to every digit makes the digits of (scalar + bias), less that half, signed.
    half = 1 << width - 1
    bias = sum(half << width * window for window in range(windows))
    mask = (1 << width) - 1
    biased = [magnitude + bias for magnitude in magnitudes]
    sums = []
    for window in range(windows):
        buckets: list[list[Point]] = [[] for _ in range(half + 1)]
        for value, point in zip(biased, bases, strict=True):
            digit = (value >> window * width & mask) - half
            if digit > 0:
                buckets[digit].append(point)
            elif digit:
                buckets[-digit].append(negate(point))
        sums.append(sum_points_batch(buckets))
    # sum_d d B_d is the sum of all B_half + .. + B_d, for every window at the same time.
    running: list[Point] = [None] * windows
    parts: list[Point] = [None] * windows
    for digit in range(half, 0, -1):
        running = batch_add(running, [buckets[digit] for buckets in sums])
        parts = batch_add(parts, running)
    total: Point = None
    for part in reversed(parts):
        total = add(_double(total, width), part)
    return total


def _double(point: Point, times: int) -> Point:
    """Return 2^times P, in Jacobian coordinates (x / z^2, y / z^3) and with one inversion."""
    if point is None:
        return None
    p = PRIME
    (x, y), z = point, 1
    for _ in range(times):
        y_squared = y * y % p
        shared = 4 * x * y_squared % p
        slope = 3 * x * x % p
        z = 2 * y * z % p
        x = (slope * slope - 2 * shared) % p
        y = (slope * (shared - x) - 8 * y_squared * y_squared) % p
    # The order is odd: no multiple of the point has y = 0, and z is never zero.
    inverse = pow(z, -1, p)
    squared = inverse * inverse % p
    return x * squared % p, y * squared * inverse % p


def _windows(bits: int, width: int) -> int:
    """Return the windows of signed digits: the top one keeps a bit for the carry and one for the sign.

    A window costs about one addition per point and two per bucket, 2^width in all.
    """
    return (bits + 1) // width + 1
