"""Decimals become integers exactly, or not at all."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.units import decimal_places, floor_ratio, format_decimal, format_units, parse_decimal, to_units

units = st.tuples(st.integers(1, 999), st.integers(0, 18)).map(lambda pair: Decimal(pair[0]).scaleb(-pair[1]))


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1 ", " 1", "+1", ".5", "5.", "-", "--1", "1.2.3", "1\n", "1e3", "1E-5", "0x10", "1,000", "1_000"),
        *("NaN", "nan", "inf", "-inf", "Infinity", "٣", "1\u00a0"),
    ],
)
def test_not_a_decimal(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_decimal(text)
    assert caught.value.hint


def test_length_is_bounded() -> None:
    assert parse_decimal("1" * 40) == int("1" * 40)
    with pytest.raises(InputError, match="41 characters"):
        parse_decimal("1" * 41)


def test_digits_beyond_the_decimal_context_are_kept() -> None:
    assert to_units(parse_decimal("123456789012345678901234567890.12345678"), Decimal("0.00000001")) == int(
        "12345678901234567890123456789012345678"
    )


def test_finer_than_the_unit_is_refused() -> None:
    assert to_units(Decimal("1.50"), Decimal("0.1")) == 15
    with pytest.raises(InputError, match=r"finer than the lot; write a multiple of 0\.1"):
        to_units(Decimal("1.55"), Decimal("0.1"), "the lot")


@given(st.integers(-(2**62), 2**62), units)
def test_units_round_trip(count: int, unit: Decimal) -> None:
    assert to_units(parse_decimal(format_units(count, unit)), unit) == count


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12), units)
def test_floor_is_the_largest_that_fits(top: int, bottom: int, unit: Decimal) -> None:
    value = Fraction(top, bottom)
    count = floor_ratio(value, unit)
    assert count * Fraction(unit) <= value < (count + 1) * Fraction(unit)


@given(units)
def test_decimal_places(unit: Decimal) -> None:
    mantissa, places = decimal_places(unit)
    assert Fraction(mantissa, 10**places) == Fraction(unit)
    assert places == 0 or mantissa % 10 or Fraction(mantissa, 10) != mantissa // 10


@pytest.mark.parametrize(
    ("value", "text"), [("1E-8", "0.00000001"), ("1000", "1000"), ("1E+3", "1000"), ("-0.0", "0"), ("2.50", "2.5")]
)
def test_format_decimal(value: str, text: str) -> None:
    assert format_decimal(Decimal(value)) == text
