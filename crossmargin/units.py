"""Exact decimals to integers in stated units; no float in between.

`to_units(amount, unit)` is amount / unit and must be a whole number. `floor_ratio` rounds towards minus infinity, so
that a value credited to an account never favours it.
"""

import re
from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction

from crossmargin.errors import InputError

__all__ = [
    "DECIMAL_PATTERN",
    "MAX_DECIMAL_LENGTH",
    "amount_of",
    "decimal_places",
    "floor_ratio",
    "format_decimal",
    "format_money",
    "format_units",
    "parse_decimal",
    "to_units",
]

MAX_DECIMAL_LENGTH = 40
"""Most characters of a decimal; 2^62 units of 10^-18 need 38 digits, and a longer text is a mistake or an attack."""

DECIMAL_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"
"""A decimal: ASCII digits with a point; no exponent, no plus sign, no separators, no infinity."""

_DECIMAL = re.compile(DECIMAL_PATTERN, re.ASCII)


def parse_decimal(text: str) -> Decimal:
    """Return the exact value of a decimal.

    Raises:
        InputError: longer than MAX_DECIMAL_LENGTH, or not DECIMAL_PATTERN (NaN, infinity, exponents, "1,000").
    """
    if len(text) > MAX_DECIMAL_LENGTH:
        raise InputError(f"decimal of {len(text)} characters", hint=f"write at most {MAX_DECIMAL_LENGTH} characters")
    if not _DECIMAL.match(text) or text.endswith("\n"):
        raise InputError(
            "empty where a decimal is needed" if not text else "not a finite decimal",
            hint='write digits with a point, such as "-0.25" (no exponent, no thousands separator)',
        )
    return Decimal(text)


def to_units(amount: Decimal, unit: Decimal, of: str = "the unit") -> int:
    """Return amount / unit, a whole number; `of` names the unit in errors ("the lot of BTC-PERPETUAL").

    Raises:
        InputError: the amount is finer than the unit.
    """
    ratio = Fraction(amount) / Fraction(unit)
    if ratio.denominator != 1:
        raise InputError(f"finer than {of}", hint=f"write a multiple of {format_decimal(unit)}")
    return ratio.numerator


def floor_ratio(value: Fraction, unit: Decimal) -> int:
    """Return the largest integer n with n * unit <= value."""
    ratio = value / Fraction(unit)
    return ratio.numerator // ratio.denominator


def decimal_places(unit: Decimal) -> tuple[int, int]:
    """Return (m, e) with unit = m / 10^e, e >= 0 and as small as possible; m > 0 for a positive unit."""
    denominator = Fraction(unit).denominator
    places = 0
    while 10**places % denominator:
        places += 1
    return int(Fraction(unit) * 10**places), places


def format_decimal(value: Decimal) -> str:
    """Return plain notation without trailing zeros after the point: "0.000001", "1000", "0"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def format_units(count: int, unit: Decimal) -> str:
    """Return count * unit in plain notation, exactly."""
    mantissa, places = decimal_places(unit)
    digits = str(abs(count) * mantissa).rjust(places + 1, "0")
    sign = "-" if count < 0 and int(digits) else ""
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return sign + (text.rstrip("0").rstrip(".") if places else text)


def amount_of(count: int, unit: Decimal) -> Decimal:
    """Return count * unit exactly, with as many digits as it takes."""
    return Decimal(format_units(count, unit))


def format_money(quanta: int, quantum: Decimal, places: int = 2) -> str:
    """Return an amount of money with thousands separators, rounded down to `places` decimals for reading."""
    amount = amount_of(quanta, quantum)
    wide = Context(prec=len(amount.as_tuple().digits) + places + 1)
    return f"{amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_FLOOR, context=wide):,}"
