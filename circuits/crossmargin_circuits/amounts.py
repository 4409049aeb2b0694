"""Amounts for people: exact decimals of integers in stated units; no float."""

import re
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from fractions import Fraction

from crossmargin_circuits.errors import MalformedError
from crossmargin_circuits.layout import Column

__all__ = ["DECIMAL", "format_amount", "format_time", "format_units", "parse_amount", "unit_size"]

DECIMAL = re.compile(r"(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?")
"""A non-negative decimal, unique but for trailing zeros."""


def parse_amount(text: object, field: str) -> Fraction:
    """Return a non-negative decimal such as "0.00000001" exactly.

    Raises:
        MalformedError: anything else; names the field.
    """
    if not isinstance(text, str) or not DECIMAL.fullmatch(text):
        raise MalformedError(f'{field}: a decimal such as "12.50" is needed')
    return Fraction(text)


def unit_size(column: Column) -> Fraction:
    """Return the number at the start of a column's unit: 0.00000001 for "0.00000001 BTC".

    Raises:
        MalformedError: the unit does not begin with a positive decimal.
    """
    size = parse_amount(column.unit.partition(" ")[0], f"policy: unit of {column.key}")
    if not size:
        raise MalformedError(f"policy: unit of {column.key}: zero")
    return size


def format_amount(amount: Fraction) -> str:
    """Return a number with thousands separators and all its decimals (a fraction that has no finite decimal: 12)."""
    with localcontext() as context:
        # Enough digits for numerator and denominator: untrusted policies make large numbers.
        context.prec = 120 + (amount.numerator.bit_length() + amount.denominator.bit_length()) // 3
        value = Decimal(amount.numerator) / Decimal(amount.denominator)
        if Fraction(value) != amount:
            value = round(value, 12)
        text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_units(units: int, column: Column) -> str:
    """Return units of a column in words: "1.5 BTC", "-20 contracts of 10 USD"."""
    amount = units * unit_size(column)
    noun = column.unit.partition(" ")[2]
    if noun.startswith("contract ") and amount != 1:
        noun = noun.replace("contract", "contracts", 1)
    return f"{format_amount(amount)} {noun}"


def format_time(seconds: int) -> str:
    """Return Unix seconds as an ISO 8601 time in UTC, or the plain number outside the years 1970 - 9999."""
    if not 0 <= seconds < 253402300800:
        return f"{seconds} s after 1970"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
