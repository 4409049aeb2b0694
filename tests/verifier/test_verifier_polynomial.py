from hypothesis import given
from hypothesis import strategies as st

from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.polynomial import eq_table, evaluate, powers

scalars = st.integers(0, ORDER - 1)


def eq(point: list[int], other: list[int]) -> int:
    product = 1
    for x, y in zip(point, other, strict=True):
        product = product * (x * y + (1 - x) * (1 - y)) % ORDER
    return product


@given(st.lists(scalars, max_size=5))
def test_eq_table_low_bit_first(point: list[int]) -> None:
    expected = [eq(point, [index >> d & 1 for d in range(len(point))]) for index in range(1 << len(point))]
    table = eq_table(point)
    assert table == expected
    assert sum(table) % ORDER == 1


@given(st.lists(scalars, max_size=6), scalars)
def test_evaluate(coefficients: list[int], at: int) -> None:
    expected = sum(coefficient * pow(at, degree, ORDER) for degree, coefficient in enumerate(coefficients)) % ORDER
    assert evaluate(coefficients, at) == expected


@given(scalars, st.integers(0, 8))
def test_powers(base: int, count: int) -> None:
    assert powers(base, count) == [pow(base, exponent, ORDER) for exponent in range(count)]
