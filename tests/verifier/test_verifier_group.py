"""The group against py_ecc, which is slow and shares no code with it."""

import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ecc.secp256k1 import secp256k1 as reference

from crossmargin_verifier.protocol.arithmetic import MalformedPointError, decode_encodings
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import (
    BASE_POINT,
    PRIME,
    Point,
    add,
    batch_add,
    decode_point,
    encode_point,
    lift_x,
    msm,
    negate,
    sum_points_batch,
)

MULTIPLES: list[Point] = [None, BASE_POINT]
for _ in range(40):
    MULTIPLES.append(add(MULTIPLES[-1], BASE_POINT))

small = st.integers(-40, 40)
scalars = st.one_of(
    st.integers(0, ORDER - 1),
    st.integers(0, 300),
    st.integers(0, 300).map(lambda value: ORDER - value),
    st.integers(0, 256).map(lambda exponent: 2**exponent - 1),
)


def multiple(number: int) -> Point:
    return MULTIPLES[number] if number >= 0 else negate(MULTIPLES[-number])


def by_reference(scalar: int, point: Point = BASE_POINT) -> Point:
    if point is None or not scalar % ORDER:
        return None
    x, y = reference.multiply(point, scalar % ORDER)
    return int(x), int(y)


def test_base_point() -> None:
    assert encode_point(BASE_POINT).hex() == "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    assert by_reference(40) == multiple(40)


def test_import_keeps_the_recursion_limit() -> None:
    """py_ecc raises it to 100,000, at which a deep recursion ends the interpreter instead of raising."""
    imported = "crossmargin_verifier.protocol.group"
    program = f"import sys; a = sys.getrecursionlimit(); import {imported}; print(a, sys.getrecursionlimit())"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = finished.stdout.split()
    assert before == after


@given(small, small)
def test_addition_is_that_of_the_integers(a: int, b: int) -> None:
    """Covers doubling, opposites and the identity."""
    expected = a + b
    result = add(multiple(a), multiple(b))
    assert result == (multiple(expected) if abs(expected) <= 40 else by_reference(expected))


@given(st.lists(st.tuples(small, small), max_size=12))
def test_batch_addition(pairs: list[tuple[int, int]]) -> None:
    lefts = [multiple(a) for a, _ in pairs]
    rights = [multiple(b) for _, b in pairs]
    assert batch_add(lefts, rights) == [add(left, right) for left, right in zip(lefts, rights, strict=True)]


def test_batch_addition_of_different_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        batch_add([BASE_POINT], [])


@given(st.lists(st.lists(small, max_size=6), max_size=6))
def test_sums(lists: list[list[int]]) -> None:
    expected = [by_reference(sum(numbers)) for numbers in lists]
    assert sum_points_batch([[multiple(number) for number in numbers] for numbers in lists]) == expected


@given(scalars, small)
def test_multiplication(scalar: int, number: int) -> None:
    assert msm([scalar], [multiple(number)]) == by_reference(scalar * number)


@given(st.lists(st.tuples(scalars, small), max_size=12))
def test_multi_scalar_multiplication(terms: list[tuple[int, int]]) -> None:
    """Points repeat, are opposite to each other or the identity, and scalars are as small and as large as they get."""
    expected = by_reference(sum(scalar * number for scalar, number in terms))
    assert msm([scalar for scalar, _ in terms], [multiple(number) for _, number in terms]) == expected


@pytest.mark.parametrize("count", [1, 3, 30, 300])
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 64, 256])
def test_multi_scalar_multiplication_of_every_width(count: int, bits: int) -> None:
    """Other counts and bit lengths choose other windows; the largest scalar of its length fills the top one."""
    generator = random.Random(count * 1000 + bits)
    terms = [(2**bits - 1 if not index % 3 else generator.getrandbits(bits)) for index in range(count)]
    numbers = [generator.randrange(-40, 41) for _ in range(count)]
    expected = by_reference(sum(scalar * number for scalar, number in zip(terms, numbers, strict=True)))
    assert msm(terms, [multiple(number) for number in numbers]) == expected


def test_multi_scalar_multiplication_takes_negative_scalars() -> None:
    assert msm([-3, 5], [multiple(2), multiple(1)]) == multiple(-1)


def test_terms_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="zip"):
        msm([1, 2], [BASE_POINT])


@given(st.integers(1, ORDER - 1))
def test_encoding_round_trip(scalar: int) -> None:
    point = msm([scalar], [BASE_POINT])
    assert point is not None
    assert decode_point(encode_point(point)) == point
    assert decode_point(encode_point(negate(point))) == negate(point)
    assert (point[1] ** 2 - point[0] ** 3 - 7) % PRIME == 0


def test_the_identity_has_no_encoding() -> None:
    with pytest.raises(MalformedError, match="identity"):
        encode_point(None)


GOOD = encode_point(BASE_POINT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"\x00", "1 bytes"),
        (GOOD[:-1], "32 bytes"),
        (GOOD + b"\x00", "34 bytes"),
        (b"\x04" + BASE_POINT[0].to_bytes(32, "big") + BASE_POINT[1].to_bytes(32, "big"), "65 bytes"),
        (bytes(33), "prefix 0"),
        (b"\x01" + GOOD[1:], "prefix 1"),
        (b"\x04" + GOOD[1:], "prefix 4"),
        (b"\x82" + GOOD[1:], "prefix 130"),
        (b"\x02" + PRIME.to_bytes(32, "big"), "below"),
        # x = 1 is on the curve, and so is 1 + p for a lenient reader.
        (b"\x02" + (PRIME + 1).to_bytes(32, "big"), "below"),
        (b"\x02" + b"\xff" * 32, "below"),
        (b"\x02" + (5).to_bytes(32, "big"), "not on the curve"),
        (b"\x03" + bytes(32), "not on the curve"),
    ],
)
def test_hostile_points(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        decode_point(data)


def test_one_is_on_the_curve() -> None:
    assert lift_x(1, 0) is not None
    assert lift_x(5, 0) is None


def test_encodings_are_numbered() -> None:
    good = encode_point(BASE_POINT)
    assert decode_encodings(good + good) == [BASE_POINT, BASE_POINT]
    with pytest.raises(MalformedPointError, match=r"point 1: .*prefix"):
        decode_encodings(good + bytes(33))
