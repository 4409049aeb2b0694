"""Compressed points that the kernel takes are those that the Python decoder takes, and no others."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import ORDER, encode_scalars
from crossmargin_verifier.protocol.generators import position_generators
from crossmargin_verifier.protocol.group import POINT_BYTES, PRIME, Affine, decode_point, encode_point, msm, negate

pytest.importorskip("crossmargin_kernel", reason="no compiled kernel is installed (make kernel)")
import crossmargin_kernel

GENERATORS = position_generators(8)
ONE = encode_scalars([1])


def decode(data: bytes) -> Affine:
    """Return what the kernel makes of an encoding: one times its point."""
    point = crossmargin_kernel.msm_encoded(ONE, data, 1)
    return int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")


def encoding(prefix: int, x: int) -> bytes:
    return bytes([prefix]) + x.to_bytes(32, "big")


def check(data: bytes) -> None:
    """Both decoders take the bytes for the same point, or refuse them for the same reason."""
    try:
        expected = decode_point(data)
    except MalformedError as error:
        with pytest.raises(ValueError) as refusal:
            decode(data)
        assert str(refusal.value) == f"point 0: {error}"
    else:
        assert decode(data) == expected


@given(st.binary(min_size=POINT_BYTES, max_size=POINT_BYTES))
def test_random_bytes(data: bytes) -> None:
    check(data)


@settings(max_examples=100)
@given(st.sampled_from([2, 3]), st.integers(0, 2**256 - 1))
def test_random_coordinates(prefix: int, x: int) -> None:
    check(encoding(prefix, x))


@pytest.mark.parametrize("prefix", [0, 1, 2, 3, 4, 5, 6, 7, 128, 255])
def test_prefixes(prefix: int) -> None:
    check(encoding(prefix, GENERATORS[0][0]))


@pytest.mark.parametrize("x", [0, 1, 2, 5, PRIME - 1, PRIME, PRIME + 1, 2**256 - 1, 2**255, 2**32 + 977])
@pytest.mark.parametrize("prefix", [2, 3])
def test_coordinates_at_the_edges(prefix: int, x: int) -> None:
    check(encoding(prefix, x))


@given(st.lists(st.tuples(st.integers(0, ORDER - 1), st.sampled_from(GENERATORS), st.booleans()), max_size=9))
def test_sums(terms: list[tuple[int, Affine, bool]]) -> None:
    scalars = [scalar for scalar, _, _ in terms]
    points = [negate(point) if negative else point for _, point, negative in terms]
    expected = msm(scalars, points)
    result = crossmargin_kernel.msm_encoded(encode_scalars(scalars), b"".join(map(encode_point, points)), 2)
    assert result == (bytes(64) if expected is None else b"".join(entry.to_bytes(32, "big") for entry in expected))


def test_many_points_make_several_parts() -> None:
    """Long sums are cut into parts of 2^15 points, and errors still count from the first one."""
    numbers = random.Random(7)
    scalars = [numbers.randrange(ORDER) for _ in range(8)]
    encodings = b"".join(map(encode_point, GENERATORS))
    repeated = encode_scalars(scalars) * 5000
    expected = msm([5000 * scalar for scalar in scalars], list(GENERATORS))
    result = crossmargin_kernel.msm_encoded(repeated, encodings * 5000, 2)
    assert expected == (int.from_bytes(result[:32], "big"), int.from_bytes(result[32:], "big"))
    broken = bytearray(encodings * 5000)
    broken[33 * 39_001] = 7
    broken[33 * 38_000 : 33 * 38_001] = encoding(2, 0)
    with pytest.raises(ValueError, match=r"^point 38000: point not on the curve$"):
        crossmargin_kernel.msm_encoded(repeated, bytes(broken), 2)


@pytest.mark.parametrize("length", [0, 1, 32, 34, 65])
def test_bytes_of_another_length(length: int) -> None:
    with pytest.raises(ValueError, match=r"33 bytes each|scalars: must be 0"):
        crossmargin_kernel.msm_encoded(ONE, bytes(length), 1)
