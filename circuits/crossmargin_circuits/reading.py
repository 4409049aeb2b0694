"""The one reader of expressions: a fold over the tree, into the values of any algebra (SPEC S7).

An `Algebra` defines the value of an array and how values combine; `Reading` walks the tree. With V the value of an
expression and f, g its operands:

    linear                 linear(array)           sum, scale        add, scale
    amount                 amount(value)
    max, min               greatest, least         sum-largest m     largest(m)
    positive-part f        positive(V f)           abs f             absolute(V f)
    abbreviation           V f                     auxiliary         positive(V f): its tight value

Every evaluation of an expression, on a record, a book, a ray or only a policy, is an algebra beside its use: exact
values, vectors over a book, bounds of magnitude, arrays with their signs, active forms, slopes.

A new operator needs three places. `expression.py`: its class, its text, its JSON and its curvature. This file: one case
in `Reading.of` in terms of an algebra's operations, which gives it to every algebra at once. `compile.py`: its
rows. Nothing else matches on operators.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

from crossmargin_circuits.expression import (
    Abs,
    Amount,
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
from crossmargin_circuits.policy import Definition, Policy, RiskArray

__all__ = ["Algebra", "Reading", "read"]

Value = TypeVar("Value")


class Algebra(ABC, Generic[Value]):
    """The values of arrays, and how values combine; no operation may change its operands.

    The operands of a sum, a maximum or a minimum come one at a time, so none of them need be kept.
    """

    @abstractmethod
    def linear(self, array: RiskArray) -> Value:
        """Return the value of a risk array's linear form."""

    @abstractmethod
    def amount(self, value: int) -> Value:
        """Return the value of a constant for each account, in value quanta."""

    @abstractmethod
    def zero(self) -> Value:
        """Return the value of the constant zero."""

    @abstractmethod
    def scale(self, by: int, value: Value) -> Value:
        """Return a non-zero integer times a value."""

    @abstractmethod
    def add(self, values: Iterator[Value]) -> Value:
        """Return the sum of one or more values."""

    @abstractmethod
    def greatest(self, values: Iterator[Value]) -> Value:
        """Return the greatest of one or more values."""

    @abstractmethod
    def least(self, values: Iterator[Value]) -> Value:
        """Return the least of one or more values."""

    @abstractmethod
    def largest(self, count: int, values: Iterator[Value]) -> Value:
        """Return the sum of the `count` largest of as many values or more."""

    def positive(self, value: Value) -> Value:
        """Return max(0, value)."""
        return self.greatest(iter((self.zero(), value)))

    def absolute(self, value: Value) -> Value:
        """Return max(value, -value)."""
        return self.greatest(iter((value, self.scale(-1, value))))

    def defined(self, definition: Definition, value: Value) -> Value:
        """Return the value of a definition from that of its expression; an auxiliary is never negative."""
        return self.positive(value) if definition.role.is_auxiliary else value


class Reading(Generic[Value]):
    """The expressions of one policy in one algebra; reads every definition once."""

    def __init__(self, policy: Policy, algebra: Algebra[Value]) -> None:
        """Read expressions over the arrays and definitions of a policy."""
        self._policy = policy
        self._algebra = algebra
        self._known: dict[str, Value] = {}

    def of(self, expression: Expression) -> Value:
        """Return the value of an expression."""
        algebra = self._algebra
        match expression:
            case Linear(name):
                return algebra.linear(self._policy.array(name))
            case Amount(value):
                return algebra.amount(value)
            case Reference(name):
                if name not in self._known:
                    definition = self._policy.definition(name)
                    self._known[name] = algebra.defined(definition, self.of(definition.expression))
                return self._known[name]
            case Scale(by, of):
                return algebra.scale(by, self.of(of))
            case Sum(of):
                return algebra.add(map(self.of, of))
            case Max(of):
                return algebra.greatest(map(self.of, of))
            case Min(of):
                return algebra.least(map(self.of, of))
            case SumLargest(count, of):
                return algebra.largest(count, map(self.of, of))
            case PositivePart(of):
                return algebra.positive(self.of(of))
            case Abs(of):
                return algebra.absolute(self.of(of))


def read(policy: Policy, expression: Expression, algebra: Algebra[Value]) -> Value:
    """Return the value of one expression in an algebra."""
    return Reading(policy, algebra).of(expression)
