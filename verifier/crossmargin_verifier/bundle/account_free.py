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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from crossmargin_circuits.expression import (
    Abs,
    Expression,
    Linear,
    Max,
    Min,
    PositivePart,
    Reference,
    Scale,
    Sum,
    SumLargest,
)
from crossmargin_circuits.policy import Policy

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
        self._policy = policy
        self._columns = columns
        self._known: dict[tuple[str, int], Charges] = {}

    def charges(self, expression: Expression, sign: int) -> Charges:
        """Return the charges of sign * expression.

        sign: 1 for a concave expression, -1 for a convex one, so that sign * expression is concave. An expression of
        another curvature has no free form.
        """
        match expression:
            case Linear(name):
                return self._linear(self._policy.array(name).coefficients, sign)
            case Reference(name):
                if (name, sign) not in self._known:
                    self._known[name, sign] = self._definition(name, sign)
                return self._known[name, sign]
            case Scale(by, of):
                inner = self.charges(of, sign if by > 0 else -sign)
                return Charges(_scaled(inner.every, abs(by)), inner.free and _scaled(inner.free, abs(by)))
            case Sum(of):
                return _combined([self.charges(child, sign) for child in of], len(of), sum)
            case Max(of) | Min(of):
                least = isinstance(expression, Min) == (sign > 0)
                return _combined([self.charges(child, sign) for child in of], 1 if least else len(of) + 1, max)
            case SumLargest(count, of):
                needed = count if sign < 0 else len(of) + 1
                return _combined([self.charges(child, sign) for child in of], needed, _sum_of_largest(count))
            case Abs(of):
                sides = [_ZERO, self.charges(of, 1), self.charges(of, -1)]
                return _combined(sides, 1 if sign < 0 else len(sides) + 1, max)
            case PositivePart(of):
                return _combined([_ZERO, self.charges(of, sign)], 1 if sign < 0 else 3, max)

    def _linear(self, coefficients: Sequence[int], sign: int) -> Charges:
        charged: dict[int, int] = {}
        for number in self._columns:
            if coefficients[number]:
                charged[number], charged[~number] = sign * coefficients[number], -sign * coefficients[number]
        return Charges(charged, None if coefficients[0] else charged)

    def _definition(self, name: str, sign: int) -> Charges:
        definition = self._policy.definition(name)
        if definition.role.is_auxiliary:
            return self.charges(PositivePart(definition.expression), sign)
        return self.charges(definition.expression, sign)


_ZERO = Charges({}, {})


def _combined(operands: Sequence[Charges], needed: int, take: Callable[[Iterable[int]], int]) -> Charges:
    """Return the charges over all operands, and over the free ones where at least `needed` of them have any."""
    free = [operand.free for operand in operands if operand.free is not None]
    every = _taken([operand.every for operand in operands], take)
    return Charges(every, _taken(free, take) if len(free) >= needed else None)


def _taken(operands: Sequence[Greatest], take: Callable[[Iterable[int]], int]) -> Greatest:
    directions = set().union(*operands)
    return {each: take([operand.get(each, 0) for operand in operands]) for each in directions}


def _sum_of_largest(count: int) -> Callable[[Iterable[int]], int]:
    return lambda values: sum(sorted(values)[-count:])


def _scaled(charged: Greatest, factor: int) -> Greatest:
    return {each: factor * charge for each, charge in charged.items()}
