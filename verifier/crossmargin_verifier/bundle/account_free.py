"""Forms free of the account column: what a policy's expressions say whatever number of accounts is made up (SPEC 8.3).

An expression of the right curvature, times its sign, is the least of finitely many linear *forms*. Of accounts that
nobody checks the sum of the account column may be any integer, so a form that depends on it says nothing about them: a
made-up number of accounts satisfies it. A form *free of the account column*, coefficient 0, bounds the expression from
above for every number. With f concave, g convex, k > 0, the forms, and likewise the free ones, are at least those of

    linear               itself; free if its coefficient on the account column is 0
    sum                  one form of every term, added up; none if a term has none
    k f, -k g            those of f, of -g
    min f .., -max g ..  those of every operand that has any
    -|f|                 zero (the mean of f and -f), those of f and of -f
    -positive-part g     zero, those of -g; so too minus an auxiliary, which is unsigned
    -sum-largest m g ..  those of any m operands -g that have some, added up
    abbreviation         those of its expression

The rule is sufficient: it does not see dependences that cancel between two terms of a sum. The greatest coefficient on
a column over all forms, what owing one unit of it is charged, follows the same table, and is exact for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from crossmargin_circuits.expression import Expression
from crossmargin_circuits.policy import Policy, RiskArray
from crossmargin_circuits.reading import Algebra, Reading

__all__ = ["AccountFree", "Charges"]

Greatest = Mapping[int, int]
"""Greatest coefficient by direction, where it is not 0: column n for owing a unit of it, ~n for holding one more."""


@dataclass(frozen=True)
class Charges:
    """What owing a unit is charged at most: by some form (`every`), by some account-free one (None if there is none).

    Keys: n for owing a unit of column n, ~n for holding one. A charge that is not listed is 0.
    """

    every: Greatest
    free: Greatest | None


class AccountFree:
    """The forms of one policy's expressions, and those of them that are free of the account column."""

    def __init__(self, policy: Policy, columns: Sequence[int] = ()) -> None:
        """Read a policy, whose abbreviations are looked at once; columns: whose charges are of interest."""
        self._reading = Reading(policy, _Forms(columns))

    def charges(self, expression: Expression, sign: int) -> Charges:
        """Return the charges of sign * expression.

        sign: 1 for a concave expression, -1 for a convex one, so that sign * expression is concave. An expression of
        another curvature has no free form.
        """
        above, below = self._reading.of(expression)
        return above if sign > 0 else below


_ZERO = Charges({}, {})

Sides = tuple[Charges, Charges]
"""The charges of an expression f, and those of -f."""


class _Forms(Algebra[Sides]):
    """The table above. A maximum, and what follows from one, has free forms on the side of -f alone."""

    def __init__(self, columns: Sequence[int]) -> None:
        self._columns = columns

    def linear(self, array: RiskArray) -> Sides:
        return self._linear(array.coefficients, 1), self._linear(array.coefficients, -1)

    def zero(self) -> Sides:
        return _ZERO, _ZERO

    def scale(self, by: int, value: Sides) -> Sides:
        above, below = value if by > 0 else value[::-1]
        return _scaled(above, abs(by)), _scaled(below, abs(by))

    def add(self, values: Iterator[Sides]) -> Sides:
        above, below = _sides(values)
        return _combined(above, len(above), sum), _combined(below, len(below), sum)

    def greatest(self, values: Iterator[Sides]) -> Sides:
        above, below = _sides(values)
        return _combined(above, None, max), _combined(below, 1, max)

    def least(self, values: Iterator[Sides]) -> Sides:
        above, below = _sides(values)
        return _combined(above, 1, max), _combined(below, None, max)

    def largest(self, count: int, values: Iterator[Sides]) -> Sides:
        above, below = _sides(values)
        take = _sum_of_largest(count)
        return _combined(above, None, take), _combined(below, count, take)

    def absolute(self, value: Sides) -> Sides:
        # Zero is the mean of f and -f, hence at least one of them.
        return self.greatest(iter((self.zero(), value, value[::-1])))

    def _linear(self, coefficients: Sequence[int], sign: int) -> Charges:
        charged: dict[int, int] = {}
        for number in self._columns:
            if coefficients[number]:
                charged[number], charged[~number] = sign * coefficients[number], -sign * coefficients[number]
        return Charges(charged, None if coefficients[0] else charged)


def _sides(values: Iterator[Sides]) -> tuple[list[Charges], list[Charges]]:
    operands = list(values)
    return [above for above, _ in operands], [below for _, below in operands]


def _combined(operands: Sequence[Charges], needed: int | None, take: Callable[[Iterable[int]], int]) -> Charges:
    """Return the charges over all operands, and over the free ones where at least `needed` of them have any.

    needed: None where the combination has the wrong curvature for a free form.
    """
    free = [operand.free for operand in operands if operand.free is not None]
    every = _taken([operand.every for operand in operands], take)
    return Charges(every, _taken(free, take) if needed is not None and len(free) >= needed else None)


def _taken(operands: Sequence[Greatest], take: Callable[[Iterable[int]], int]) -> Greatest:
    directions = set().union(*operands)
    return {each: take([operand.get(each, 0) for operand in operands]) for each in directions}


def _sum_of_largest(count: int) -> Callable[[Iterable[int]], int]:
    return lambda values: sum(sorted(values)[-count:])


def _scaled(charges: Charges, factor: int) -> Charges:
    def times(charged: Greatest) -> Greatest:
        return {each: factor * charge for each, charge in charged.items()}

    return Charges(times(charges.every), None if charges.free is None else times(charges.free))
