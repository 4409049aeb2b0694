import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import (
    ORDER,
    decode_scalar,
    dot,
    encode_scalar,
    encode_scalars,
)

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


def test_dot() -> None:
    assert dot([1, 2, 3], [4, 5, ORDER - 6]) == (4 + 10 - 18) % ORDER
    assert dot([], []) == 0
