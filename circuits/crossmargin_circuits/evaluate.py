"""Read an expression on one record, in plain integers, so that holders can see their own margin.

The margin core reads the same expression over a whole book at once. Both name the worst scenario by one rule: the risk
array with the greatest linear form among those in the requirement (the first of them on a tie).
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from crossmargin_circuits.expression import Expression, Linear
from crossmargin_circuits.policy import Policy, RiskArray
from crossmargin_circuits.reading import Algebra, read

__all__ = ["Exact", "evaluate_expression", "scenario_leaves", "worst_scenario"]

Leaves = tuple[tuple[str, int], ...]


class Exact(Algebra[int]):
    """Exact values on one record of V integers."""

    def __init__(self, record: Sequence[int]) -> None:
        """Read on this record."""
        self._record = record

    def linear(self, array: RiskArray) -> int:
        """Return sum_v a_v x_v."""
        return sum(a * x for a, x in zip(array.coefficients, self._record, strict=True) if x)

    def amount(self, value: int) -> int:
        """Return the constant."""
        return value

    def zero(self) -> int:
        """Return 0."""
        return 0

    def scale(self, by: int, value: int) -> int:
        """Return the product."""
        return by * value

    def add(self, values: Iterator[int]) -> int:
        """Return the sum."""
        return sum(values)

    def greatest(self, values: Iterator[int]) -> int:
        """Return the maximum."""
        return max(values)

    def least(self, values: Iterator[int]) -> int:
        """Return the minimum."""
        return min(values)

    def largest(self, count: int, values: Iterator[int]) -> int:
        """Return the sum of the last `count` in ascending order."""
        return sum(sorted(values)[-count:])


class _Leaves(Algebra[Leaves]):
    """The risk arrays in an expression, each with the factor above it, in the order of the text."""

    def linear(self, array: RiskArray) -> Leaves:
        return ((array.name, 1),)

    def amount(self, value: int) -> Leaves:
        return ()

    def zero(self) -> Leaves:
        return ()

    def scale(self, by: int, value: Leaves) -> Leaves:
        return tuple((name, by * factor) for name, factor in value)

    def add(self, values: Iterator[Leaves]) -> Leaves:
        return tuple(chain.from_iterable(values))

    greatest = least = add

    def largest(self, count: int, values: Iterator[Leaves]) -> Leaves:
        return self.add(values)


def evaluate_expression(policy: Policy, expression: Expression, record: Sequence[int]) -> int:
    """Return the value of an expression on a record of V integers; an auxiliary takes its tight value max(0, f)."""
    return read(policy, expression, Exact(record))


def scenario_leaves(policy: Policy, expression: Expression) -> Leaves:
    """Return the risk arrays in an expression, each with the scaling above it; both signs inside an absolute value."""
    return read(policy, expression, _Leaves())


def worst_scenario(policy: Policy, expression: Expression, record: Sequence[int]) -> str | None:
    """Return the name of the risk array that decides a requirement, or None if the requirement is zero."""
    best, greatest = None, 0
    for name, factor in scenario_leaves(policy, expression):
        value = factor * evaluate_expression(policy, Linear(name), record)
        if value > greatest:
            best, greatest = name, value
    return best
