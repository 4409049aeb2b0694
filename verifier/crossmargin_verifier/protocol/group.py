"""secp256k1: decoding, the identity and multi-scalar multiplication, in this one module (SPEC section 1).

A point is an affine pair (x, y), or None for the identity, which has no encoding. Additions are done in batches
that share one modular inversion, and a multi-scalar multiplication is Pippenger's bucket method with signed digits
on top of them. py_ecc supplies the curve; its arithmetic is the slow reference in the tests.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import cast

_recursion_limit = sys.getrecursionlimit()
from py_ecc.secp256k1 import secp256k1 as _curve  # noqa: E402

# Importing py_ecc raises the limit to 100,000, which would turn a deep recursion into a crash of the interpreter.
sys.setrecursionlimit(_recursion_limit)

from crossmargin_verifier.protocol.errors import MalformedError  # noqa: E402
from crossmargin_verifier.protocol.field import ORDER, batch_inverse  # noqa: E402

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
    "multiply",
    "negate",
    "sum_points",
    "sum_points_batch",
]

Affine = tuple[int, int]
"""A point other than the identity: (x, y), both in [0, p)."""

Point = Affine | None
"""A point; None is the identity."""

PRIME: int = _curve.P
"""p, the prime of the base field."""

BASE_POINT: Affine = (int(_curve.G[0]), int(_curve.G[1]))
"""The standard base point, used by signatures alone."""

POINT_BYTES = 33
"""Bytes of a SEC1 compressed point."""

_SQUARE_ROOT = (PRIME + 1) // 4
_Jacobian = tuple[int, int, int]
_ZERO: _Jacobian = (1, 1, 0)


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
    """Return the sums P_i + Q_i of two sequences of one length, with one inversion; any points, the identity too."""
    if len(lefts) != len(rights):
        raise ValueError("sequences of different lengths")
    # Almost every pair is of two points with different x: the common case is tried first, without looking at pairs.
    if None not in lefts and None not in rights:
        sums = _add_distinct(cast("Sequence[Affine]", lefts), cast("Sequence[Affine]", rights))
        if sums is not None:
            return sums
    results: list[Point] = []
    pending = []
    denominators = []
    for left, right in zip(lefts, rights, strict=True):
        if left is None or right is None:
            results.append(right if left is None else left)
            continue
        if left[0] != right[0]:
            numerator, denominator = right[1] - left[1], right[0] - left[0]
        elif left[1] == right[1]:
            numerator, denominator = 3 * left[0] * left[0], 2 * left[1]
        else:
            results.append(None)
            continue
        pending.append((len(results), left, right[0], numerator))
        denominators.append(denominator)
        results.append(None)
    for (index, (x, y), other, numerator), inverse in zip(pending, batch_inverse(denominators, PRIME), strict=True):
        slope = numerator * inverse % PRIME
        sum_x = (slope * slope - x - other) % PRIME
        results[index] = (sum_x, (slope * (x - sum_x) - y) % PRIME)
    return results


def _add_distinct(lefts: Sequence[Affine], rights: Sequence[Affine]) -> list[Point] | None:
    """Return the sums of pairs, or None where the two x of some pair are equal."""
    p = PRIME
    differences = [right[0] - left[0] for left, right in zip(lefts, rights, strict=True)]
    prefixes = []
    product = 1
    for difference in differences:
        prefixes.append(product)
        product = product * difference % p
    if not product:
        return None
    inverse = pow(product, -1, p)
    sums: list[Point] = []
    for (x, y), (other_x, other_y), difference, prefix in zip(
        reversed(lefts), reversed(rights), reversed(differences), reversed(prefixes), strict=True
    ):
        slope = inverse * prefix % p * (other_y - y) % p
        inverse = inverse * difference % p
        sum_x = (slope * slope - x - other_x) % p
        sums.append((sum_x, (slope * (x - sum_x) - y) % p))
    sums.reverse()
    return sums


def sum_points_batch(lists: Sequence[Sequence[Point]]) -> list[Point]:
    """Return the sum of every list; the lists are halved in step, so that all of them share the inversions."""
    rest: list[list[Point]] = [list(points) for points in lists]
    open_lists = [index for index, points in enumerate(rest) if len(points) > 1]
    while open_lists:
        lefts: list[Point] = []
        rights: list[Point] = []
        for index in open_lists:
            points = rest[index]
            paired = len(points) & ~1
            lefts += points[0:paired:2]
            rights += points[1:paired:2]
        sums = batch_add(lefts, rights)
        start = 0
        still_open = []
        for index in open_lists:
            points = rest[index]
            end = start + (len(points) >> 1)
            halved = sums[start:end]
            start = end
            if len(points) & 1:
                halved.append(points[-1])
            rest[index] = halved
            if len(halved) > 1:
                still_open.append(index)
        open_lists = still_open
    return [points[0] if points else None for points in rest]


def sum_points(points: Iterable[Point]) -> Point:
    """Return the sum of points."""
    return sum_points_batch([list(points)])[0]


def multiply(point: Point, scalar: int) -> Point:
    """Return scalar P for any integer; time depends on the scalar."""
    scalar %= ORDER
    if point is None or not scalar:
        return None
    table: list[Point] = [None, point]
    for _ in range(14):
        table.append(add(table[-1], point))
    digits = [scalar >> shift & 15 for shift in range(0, scalar.bit_length(), 4)]
    total = _ZERO
    for digit in reversed(digits):
        for _ in range(4):
            total = _double(total)
        total = _add_affine(total, table[digit])
    return _to_affine(total)


def msm(scalars: Iterable[int], points: Iterable[Point]) -> Point:
    """Return sum_i scalars_i points_i for any integers; time depends on the scalars.

    Short scalars, also negative ones (large modulo r), cost in proportion to their bits.
    """
    magnitudes: list[int] = []
    positive: list[Affine] = []
    negative: list[Affine] = []
    for given, point in zip(scalars, points, strict=True):
        scalar = given % ORDER
        if not scalar or point is None:
            continue
        mirrored = (point[0], PRIME - point[1])
        if scalar > ORDER >> 1:
            magnitudes.append(ORDER - scalar)
            positive.append(mirrored)
            negative.append(point)
        else:
            magnitudes.append(scalar)
            positive.append(point)
            negative.append(mirrored)
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
    by_exponent: list[list[Point]] = [[] for _ in range(windows * width)]
    for window in range(windows):
        shift = window * width
        buckets: list[list[Point]] = [[] for _ in range(half + 1)]
        for index, value in enumerate(biased):
            digit = (value >> shift & mask) - half
            if digit > 0:
                buckets[digit].append(positive[index])
            elif digit:
                buckets[-digit].append(negative[index])
        for exponent, part in enumerate(_weigh(sum_points_batch(buckets))):
            by_exponent[shift + exponent].append(part)
    total = _ZERO
    for parts in reversed(by_exponent):
        total = _double(total)
        for part in parts:
            total = _add_affine(total, part)
    return _to_affine(total)


def _windows(bits: int, width: int) -> int:
    """Return the windows of signed digits: the top one keeps a bit for the carry and one for the sign.

    A window costs about one addition per point and two per bucket, 2^width in all.
    """
    return (bits + 1) // width + 1


def _weigh(buckets: list[Point]) -> list[Point]:
    """Return parts with sum_e 2^e parts_e = sum_i i buckets_i, for 2^k + 1 buckets; k + 1 parts.

    Halving: sum i B_i = sum_{i odd} B_i + 2 sum_m m (B_2m + B_2m+1), about two batched additions per bucket.
    """
    odd_lists: list[list[Point]] = []
    level = buckets
    while len(level) > 1:
        # The last, unpaired entry of an odd length has an even index and moves down alone.
        paired = len(level) & ~1
        odd_lists.append(level[1::2])
        level = batch_add(level[0:paired:2], level[1:paired:2]) + level[paired:]
    return sum_points_batch(odd_lists)


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    p = PRIME
    y_squared = y * y % p
    shared = 4 * x * y_squared % p
    slope = 3 * x * x % p
    new_x = (slope * slope - 2 * shared) % p
    return new_x, (slope * (shared - new_x) - 8 * y_squared * y_squared) % p, 2 * y * z % p


def _add_affine(point: _Jacobian, other: Point) -> _Jacobian:
    x, y, z = point
    if other is None:
        return point
    if not z:
        return other[0], other[1], 1
    p = PRIME
    z_squared = z * z % p
    width = (other[0] * z_squared - x) % p
    height = (other[1] * z_squared * z - y) % p
    if not width:
        return _ZERO if height else _double(point)
    width_squared = width * width % p
    width_cubed = width_squared * width % p
    anchor = x * width_squared % p
    new_x = (height * height - width_cubed - 2 * anchor) % p
    return new_x, (height * (anchor - new_x) - y * width_cubed) % p, z * width % p


def _to_affine(point: _Jacobian) -> Point:
    x, y, z = point
    if not z:
        return None
    inverse = pow(z, -1, PRIME)
    squared = inverse * inverse % PRIME
    return x * squared % PRIME, y * squared * inverse % PRIME
