"""Read an expression on one record, in plain integers, so that holders can see their own margin.

The margin core reads the same expression over a whole book at once. Both name the worst scenario by one rule: the risk
array with the greatest part among those in the requirement (the first of them on a tie). Its part is its linear form,
times the factor above it, with the amounts that are added to it alone, as in a tier: 0.02 size - 50.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from crossmargin_circuits.expression import Expression
from crossmargin_circuits.policy import Policy, RiskArray
from crossmargin_circuits.reading import Algebra, read

__all__ = ["Exact", "Leaf", "deciding_leaves", "evaluate_expression", "scenario_leaves", "worst_scenario"]

Leaves = tuple[tuple[str, int], ...]


class Leaf(NamedTuple):
    """A risk array in an expression: the factor above it, and the amounts that are added to it alone."""

    array: str
    factor: int
    amount: int


class Exact(Algebra[int]):
    """Exact values on one record of V integers."""

    def __init__(self, record: Sequence[int]) -> None:
        """Read on this record."""
        self._width = len(record)
        self._held = [(number, x) for number, x in enumerate(record) if x]
        self._known: dict[str, int] = {}

    def linear(self, array: RiskArray) -> int:
        """Return sum_v a_v x_v; every array is read once."""
        if array.name not in self._known:
            if len(array.coefficients) != self._width:
                raise ValueError(f"record of {self._width} entries, {len(array.coefficients)} are needed")
            self._known[array.name] = sum(array.coefficients[number] * x for number, x in self._held)
        return self._known[array.name]

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


class _Choice(NamedTuple):
    """Leaves of an expression; `one`: whether it takes the value of one of them, so that an amount goes to each."""

    leaves: tuple[Leaf, ...]
    one: bool = True


class _Deciding(Algebra[_Choice]):
    """The risk arrays in an expression with their factors and amounts; a constant is a leaf without an array."""

    def linear(self, array: RiskArray) -> _Choice:
        return _Choice((Leaf(array.name, 1, 0),))

    def amount(self, value: int) -> _Choice:
        return _Choice((Leaf("", 0, value),))

    def zero(self) -> _Choice:
        return _Choice(())

    def scale(self, by: int, value: _Choice) -> _Choice:
        return value._replace(leaves=tuple(Leaf(name, by * f, by * amount) for name, f, amount in value.leaves))

    def add(self, values: Iterator[_Choice]) -> _Choice:
        terms = list(values)
        constants = [term.leaves[0].amount for term in terms if len(term.leaves) == 1 and not term.leaves[0].array]
        if len(constants) < len(terms) - 1 or not all(term.one for term in terms):
            return _Choice(tuple(chain.from_iterable(term.leaves for term in terms)), False)
        # One term, or none, is more than a constant.
        chosen = next((term for term in terms if any(leaf.array for leaf in term.leaves)), self.amount(0))
        return _Choice(tuple(leaf._replace(amount=leaf.amount + sum(constants)) for leaf in chosen.leaves))

    def greatest(self, values: Iterator[_Choice]) -> _Choice:
        operands = list(values)
        return _Choice(tuple(chain.from_iterable(each.leaves for each in operands)), all(each.one for each in operands))

    least = greatest

    def largest(self, count: int, values: Iterator[_Choice]) -> _Choice:
        return self.greatest(values)._replace(one=False)


def evaluate_expression(policy: Policy, expression: Expression, record: Sequence[int]) -> int:
    """Return the value of an expression on a record of V integers; an auxiliary takes its tight value max(0, f)."""
    return read(policy, expression, Exact(record))


def scenario_leaves(policy: Policy, expression: Expression) -> Leaves:
    """Return the risk arrays in an expression, each with the scaling above it; both signs inside an absolute value."""
    return read(policy, expression, _Leaves())


def deciding_leaves(policy: Policy, expression: Expression) -> tuple[Leaf, ...]:
    """Return the risk arrays in an expression, each with the factor above it and the amounts added to it alone."""
    return tuple(leaf for leaf in read(policy, expression, _Deciding()).leaves if leaf.array)


def worst_scenario(policy: Policy, expression: Expression, record: Sequence[int]) -> str | None:
    """Return the name of the risk array that decides a requirement, or None if none has a part in it."""
    exact = Exact(record)
    best, greatest = None, 0
    for name, factor, amount in deciding_leaves(policy, expression):
        value = factor * exact.linear(policy.array(name)) + amount
        if value > greatest:
            best, greatest = name, value
    return best
