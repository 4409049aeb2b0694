"""Bounds free of the account column: what a policy's expressions say whatever number of accounts is made up (SPEC 8.3).

An expression of the right curvature, times its sign, is the least of finitely many linear *forms*. Of accounts that
nobody checks the sum of the account column may be any integer, so a form that depends on it says nothing about them: a
made-up number of accounts satisfies it. A form *free of the account column*, coefficient 0, bounds the expression from
above for every number. With f concave, g convex, k > 0, such forms are at least those of

    linear               itself, if its coefficient on the account column is 0
    sum                  one form of every term, added up; none if a term has none
    k f, -k g            those of f, of -g
    min f .., -max g ..  those of every operand that has any
    -|f|                 zero (the mean of f and -f), those of f and of -f
    -positive-part g     zero, those of -g; so too minus an auxiliary, which is unsigned
    -sum-largest m g ..  those of any m operands -g that have some, added up
    abbreviation         those of its expression

The rule is sufficient: it does not see dependences that cancel between two terms of a sum.
"""

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

__all__ = ["AccountFree"]

Counted = frozenset[int]


class AccountFree:
    """The forms of one policy's expressions that are free of the account column."""

    def __init__(self, policy: Policy) -> None:
        """Read a policy, whose abbreviations are looked at once."""
        self._policy = policy
        self._known: dict[tuple[str, int], Counted | None] = {}

    def counted(self, expression: Expression, sign: int) -> Counted | None:
        """Return the columns that some account-free form of sign * expression counts as positive; None if it has none.

        sign: 1 for a concave expression, -1 for a convex one, so that sign * expression is concave.
        """
        match expression:
            case Linear(name):
                coefficients = self._policy.array(name).coefficients
                if coefficients[0]:
                    return None
                return frozenset(number for number, c in enumerate(coefficients) if sign * c > 0)
            case Reference(name):
                if (name, sign) not in self._known:
                    self._known[name, sign] = self._definition(name, sign)
                return self._known[name, sign]
            case Scale(by, of):
                return self.counted(of, sign if by > 0 else -sign)
            case Sum(of):
                return _added([self.counted(child, sign) for child in of], len(of))
            case Max(of) | Min(of):
                least = isinstance(expression, Min) == (sign > 0)
                return _added([self.counted(child, sign) for child in of], 1) if least else None
            case SumLargest(count, of):
                return _added([self.counted(child, sign) for child in of], count) if sign < 0 else None
            case Abs(of):
                return (self.counted(of, 1) or Counted()) | (self.counted(of, -1) or Counted()) if sign < 0 else None
            case PositivePart(of):
                return self.counted(of, sign) or Counted() if sign < 0 else None

    def _definition(self, name: str, sign: int) -> Counted | None:
        definition = self._policy.definition(name)
        if definition.role.is_auxiliary:
            return self.counted(PositivePart(definition.expression), sign)
        return self.counted(definition.expression, sign)


def _added(operands: list[Counted | None], needed: int) -> Counted | None:
    """Return the columns of all operands that have a form, where at least `needed` of them do."""
    found = [operand for operand in operands if operand is not None]
    return Counted().union(*found) if len(found) >= needed else None
