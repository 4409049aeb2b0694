"""Numbers that a caller writes are taken exactly; what is none is refused."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from crossmargin.api.frames import money_column, ratio_column
from crossmargin.api.numbers import exact_decimal
from crossmargin.errors import InputError

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (0.1, "0.1"),
        (-0.2, "-0.2"),
        (np.float64(0.3), "0.3"),
        (1e-7, "0.0000001"),
        (7, "7"),
        (np.int64(-3), "-3"),
        ("0.25", "0.25"),
        (Decimal("12.50"), "12.5"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(10**45, 1), "1" + 45 * "0"),
        (Fraction(0), "0"),
    ],
)
def test_numbers_are_what_they_say(given: object, taken: str) -> None:
    assert exact_decimal(given, "move") == Decimal(taken)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [True, np.True_, None, "1e5", "", " 1", float("nan"), float("inf"), Decimal("NaN"), Fraction(1, 3), [1], 1j],
)
def test_what_is_no_finite_decimal_is_refused(given: object) -> None:
    with pytest.raises(InputError, match=r"^move: .*; ") as caught:
        exact_decimal(given, "move")  # type: ignore[arg-type]
    assert caught.value.field == "move"


@pytest.mark.parametrize("quantum", ["1", "0.01", "0.000025", "0.00000001", "0.000000000000000001"])
def test_columns_of_money_are_exact_to_the_ends_of_64_bits(quantum: str) -> None:
    quanta = [0, 1, -1, LARGEST, -LARGEST, -(2**63), 123456789]
    for given in (quanta, np.array(quanta, dtype=np.int64)):
        column = money_column("money", given, Decimal(quantum))
        assert isinstance(column.dtype, pl.Decimal)
        assert [Fraction(each) for each in column.to_list()] == [Fraction(quantum) * each for each in quanta]


@pytest.mark.parametrize("last", [5, -LARGEST])
def test_a_ratio_is_at_least_one_exactly_where_it_covers(last: int) -> None:
    above = np.array([LARGEST, LARGEST - 1, LARGEST, 5, -1, 0, last], dtype=np.int64)
    below = np.array([LARGEST, LARGEST, LARGEST - 1, 0, 3, 7, 1], dtype=np.int64)
    found = ratio_column("ratio", above, below).to_list()
    assert found[6] == last
    assert found[3] is None
    assert found[4] == Decimal("-0.333334")
    for ratio, a, b in zip(found, above.tolist(), below.tolist(), strict=True):
        assert b == 0 or (ratio >= 1) == (a >= b)
