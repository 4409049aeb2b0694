"""Numbers written by a caller: quantities and relative moves, read exactly.

Integers, decimals, fractions with a finite decimal, and texts such as "-0.25" keep their exact value. A float counts
as the shortest decimal that names it: 0.1 is one tenth, not the binary fraction nearest to it.
"""

import numbers
import operator
from decimal import Decimal
from fractions import Fraction
from typing import SupportsIndex

from crossmargin.errors import InputError
from crossmargin.units import parse_decimal

__all__ = ["Number", "exact_decimal"]

Number = SupportsIndex | float | str | Decimal | Fraction
"""Types accepted as a number."""

HINT = 'write a number, or a text such as "-0.25"'


def exact_decimal(value: Number, field: str) -> Decimal:
    """Return a number as a decimal, exactly; `field` names it in errors.

    Raises:
        InputError: not a finite decimal; a fraction such as 1/3 is none.
    """
    try:
        return _decimal(value)
    except InputError as error:
        raise error.at(field=field) from None


def _decimal(value: object) -> Decimal:
    if isinstance(value, str):
        return parse_decimal(value)
    if isinstance(value, bool):
        raise InputError("true or false where a number is needed", hint=HINT)
    if isinstance(value, float):
        value = Decimal(float.__repr__(value))
    if isinstance(value, Decimal):
        if value.is_finite():
            return value
        raise InputError("not a finite number", hint=HINT)
    if isinstance(value, numbers.Integral):
        return Decimal(operator.index(value))
    if isinstance(value, Fraction):
        return _of_fraction(value)
    raise InputError(f"a {type(value).__name__} where a number is needed", hint=HINT)


def _of_fraction(value: Fraction) -> Decimal:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        raise InputError("a fraction without a finite decimal", hint="write as many decimals as you mean")
    places = 0
    while 10**places % value.denominator:
        places += 1
    digits = abs(value.numerator) * 10**places // value.denominator
    return Decimal((int(value < 0), tuple(map(int, str(digits))), -places))
