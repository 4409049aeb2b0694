import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import (
    ORDER,
    batch_inverse,
    centred,
    decode_scalar,
    dot,
    encode_scalar,
    encode_scalars,
)
from crossmargin_verifier.protocol.group import PRIME

integers = st.integers(-(2**300), 2**300)
scalars = st.integers(0, ORDER - 1)


@given(scalars)
def test_round_trip(value: int) -> None:
    assert decode_scalar(encode_scalar(value)) == value


@given(integers)
def test_encoding_reduces(value: int) -> None:
    assert decode_scalar(encode_scalar(value)) == value % ORDER
    assert encode_scalars([value, 1]) == encode_scalar(value) + encode_scalar(1)


@given(st.integers(ORDER, 2**256 - 1))
def test_scalar_not_below_the_order_is_refused(value: int) -> None:
    """The lenient reading, value mod r, would give one scalar two encodings."""
    with pytest.raises(MalformedError, match="order"):
        decode_scalar(value.to_bytes(32, "big"))


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_scalar_has_32_bytes(size: int) -> None:
    with pytest.raises(MalformedError, match=str(size)):
        decode_scalar(bytes(size))


@given(integers)
def test_centred(value: int) -> None:
    result = centred(value)
    assert (result - value) % ORDER == 0
    assert abs(result) <= ORDER // 2


@given(st.lists(st.integers(1, 2**256).filter(lambda value: value % ORDER and value % PRIME), max_size=9))
def test_batch_inverse(values: list[int]) -> None:
    for modulus in (ORDER, PRIME):
        assert batch_inverse(values, modulus) == [pow(value, -1, modulus) for value in values]


@pytest.mark.parametrize("values", [[0], [3, ORDER, 5]])
def test_zero_has_no_inverse(values: list[int]) -> None:
    with pytest.raises(ZeroDivisionError):
        batch_inverse(values)


def test_dot() -> None:
    assert dot([1, 2, 3], [4, 5, ORDER - 6]) == (4 + 10 - 18) % ORDER
    assert dot([], []) == 0
