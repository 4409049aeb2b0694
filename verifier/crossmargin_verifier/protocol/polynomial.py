"""Equality polynomials and univariate polynomials over F (SPEC section 1).

eq(x, y) = prod_d (x_d y_d + (1 - x_d)(1 - y_d)); an integer stands for its bits, low bit first.
"""

from collections.abc import Sequence

from crossmargin_verifier.protocol.field import ORDER

__all__ = ["eq_table", "evaluate", "powers"]


def eq_table(point: Sequence[int], factor: int = 1) -> list[int]:
    """Return factor eq(point, i) for i = 0 .. 2^len(point) - 1; the first coordinate is the low bit of i."""
    table = [factor]
    for coordinate in point:
        upper = [coordinate * entry % ORDER for entry in table]
        table = [(entry - part) % ORDER for entry, part in zip(table, upper, strict=True)] + upper
    return table


def evaluate(coefficients: Sequence[int], at: int) -> int:
    """Return sum_e coefficients_e at^e in F, constant coefficient first."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * at + coefficient) % ORDER
    return value


def powers(base: int, count: int) -> list[int]:
    """Return base^0 .. base^(count - 1) in F."""
    values = []
    power = 1
    for _ in range(count):
        values.append(power)
        power = power * base % ORDER
    return values
