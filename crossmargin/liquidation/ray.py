"""A margin expression along rays: value and slope for many accounts, each moving along its own line.

On a ray every risk array of an account is F + (t - 1) m, so the expression is a piecewise affine function of t; value
and slope at a point are found in one pass, the slope of a maximum being that of the operand that attains it (a
supergradient or subgradient where several do).

An expression is taken apart into terms that add up. A term moves only where one of its arrays does; the others are
constant, and their sum is the whole less the moving terms. So a bracket model with hundreds of instruments costs no
more for a position than the terms of that instrument. All values now are exact int64: a policy whose expression could
pass 63 bits anywhere within the column limits is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from crossmargin.engine.evaluate import LARGEST, Bound, value_of
from crossmargin_circuits.errors import BudgetError
from crossmargin_circuits.evaluate import scenario_leaves
from crossmargin_circuits.expression import Expression, Reference, Scale, Sum
from crossmargin_circuits.policy import Definition, Policy, RiskArray
from crossmargin_circuits.reading import Algebra, Reading

__all__ = ["Ray", "Rays", "terms_of"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]

Ray = Callable[[Floats], Pair]
"""Value and slope of every account at its own t."""

CHUNK = 1 << 16
"""Accounts read at a time."""


def terms_of(policy: Policy, expression: Expression) -> list[tuple[int, Expression]]:
    """Return factors and expressions that add up to `expression`, as many as its sums allow."""
    signs = Reading(policy, _Signs())

    def apart(part: Expression, factor: int) -> Iterator[tuple[int, Expression]]:
        match part:
            case Sum(of):
                for child in of:
                    yield from apart(child, factor)
            case Scale(by, of):
                yield from apart(of, factor * by)
            case Reference(name) if _is_its_expression(policy.definition(name), signs):
                yield from apart(policy.definition(name).expression, factor)
            case _:
                yield factor, part

    return list(apart(expression, 1))


def _is_its_expression(definition: Definition, signs: "Reading[_Sign]") -> bool:
    """Return whether a definition always has the value of its expression."""
    return not definition.role.is_auxiliary or signs.of(definition.expression).never_negative


@dataclass(frozen=True)
class _Sign:
    """Whether an expression is never negative, as far as its form tells; coefficients: of a single array."""

    never_negative: bool
    coefficients: tuple[int, ...] | None = None


class _Signs(Algebra[_Sign]):
    """The sign of an expression, as far as its form shows it."""

    def linear(self, array: RiskArray) -> _Sign:
        return _Sign(False, array.coefficients)

    def amount(self, value: int) -> _Sign:
        return _Sign(value > 0)

    def zero(self) -> _Sign:
        return _Sign(True)

    def scale(self, by: int, value: _Sign) -> _Sign:
        return _Sign(by > 0 and value.never_negative)

    def add(self, values: Iterator[_Sign]) -> _Sign:
        return _Sign(all(each.never_negative for each in values))

    def greatest(self, values: Iterator[_Sign]) -> _Sign:
        # A form and its negative may stand side by side, as the two sides of a tier do.
        operands = list(values)
        forms = {each.coefficients for each in operands if each.coefficients is not None}
        mirrored = any(tuple(-each for each in form) in forms for form in forms)
        return _Sign(mirrored or any(each.never_negative for each in operands))

    def least(self, values: Iterator[_Sign]) -> _Sign:
        return self.add(values)

    def largest(self, count: int, values: Iterator[_Sign]) -> _Sign:
        return self.add(values)

    def absolute(self, value: _Sign) -> _Sign:
        return _Sign(True)


def _holders(by_column: csc_array, columns: Integers) -> Integers:
    """Return the rows with an entry in any of the columns, ascending."""
    held = np.zeros(int(by_column.shape[0]), dtype=np.bool_)
    for column in columns.tolist():
        held[by_column.indices[by_column.indptr[column] : by_column.indptr[column + 1]]] = True
    return np.flatnonzero(held)


@dataclass(frozen=True, repr=False)
class _Term:
    factor: int
    expression: Expression
    arrays: Integers


class Rays:
    """An expression over accounts, as a sum of terms, now and along rays."""

    def __init__(self, policy: Policy, expression: Expression) -> None:
        """Take an expression over the policy's arrays apart.

        Raises:
            BudgetError: an intermediate value that can pass 63 bits within the column limits.
        """
        self.policy = policy
        terms = terms_of(policy, expression)
        self._names = [array.name for array in policy.arrays]
        numbers = {name: number for number, name in enumerate(self._names)}
        self._matrix = np.array([array.coefficients for array in policy.arrays], dtype=np.int64)
        self._terms = []
        for factor, part in terms:
            leaves = {numbers[name] for name, _ in scenario_leaves(policy, part)}
            self._terms.append(_Term(factor, part, np.array(sorted(leaves), dtype=np.int64)))
        bounds = Reading(policy, Bound(policy, self._matrix))
        if sum(abs(factor) * bounds.of(part) for factor, part in terms) >= LARGEST:
            raise BudgetError(
                f"policy {policy.title!r} can pass 63 bits within the column limits: lower the limits of the largest "
                "columns, or choose a coarser value quantum"
            )

    def now(self, records: csr_array) -> Integers:
        """Return the sum of the terms for every account, (n,) int64."""
        height, width = (int(size) for size in records.shape)
        total = np.zeros(height, dtype=np.int64)
        nothing = csr_array((1, width), dtype=np.int64)
        by_column = records.tocsc()
        for term in self._terms:
            # Accounts that hold nothing in the term's columns have its value of an empty account, often zero.
            support = np.flatnonzero(self._matrix[term.arrays].any(axis=0))
            wide = 2 * len(support) >= width
            rows = np.arange(height, dtype=np.int64) if wide else _holders(by_column, support)
            empty = 0 if wide else int(self._value(term, self._forms(term.arrays, nothing)).max())
            total += empty
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                total[chunk] += self._value(term, self._forms(term.arrays, records[chunk])) - empty
        return total

    def along(self, records: csr_array, accounts: Integers, lots: Integers, slopes: Integers, now: Integers) -> Ray:
        """Return value and slope along the rays of `accounts` (h,), each with `lots` (h,) of one instrument.

        slopes: (K,), change of every array per lot from t to t + 1; now: (n,), as `now` returns.
        """
        moving = [term for term in self._terms if slopes[term.arrays].any()]
        used = np.unique(np.concatenate([term.arrays for term in moving])) if moving else np.zeros(0, dtype=np.int64)
        held = records[accounts]
        forms = self._forms(used, held)
        rest = now[accounts].copy()
        for term in moving:
            rest -= self._value(term, forms)
        constant = rest.astype(np.float64)
        lines: dict[str, Pair] = {}
        for number in used.tolist():
            step = slopes[number] * lots.astype(np.float64)
            lines[self._names[number]] = (forms[self._names[number]] - step, step)

        def ray(at: Floats) -> Pair:
            value, slope = constant.copy(), np.zeros(len(constant))
            reading = Reading(self.policy, _Along(lines, at))
            for term in moving:
                more, rise = reading.of(term.expression)
                value += term.factor * more
                slope += term.factor * rise
            return value, slope

        return ray

    def _forms(self, arrays: Integers, records: csr_array) -> dict[str, Integers]:
        product = np.ascontiguousarray(np.asarray(records @ self._matrix[arrays].T).T)
        return {self._names[number]: product[place] for place, number in enumerate(arrays.tolist())}

    def _value(self, term: _Term, forms: dict[str, Integers]) -> Integers:
        return term.factor * value_of(self.policy, term.expression, forms)


class _Along(Algebra[Pair]):
    """Value and slope of every account at its own t, from the line of each array."""

    def __init__(self, lines: Mapping[str, Pair], at: Floats) -> None:
        """Read at these t (h,); lines: level at t = 0 and slope of each array."""
        self._lines = lines
        self._at = at

    def linear(self, array: RiskArray) -> Pair:
        level, step = self._lines[array.name]
        return level + self._at * step, step

    def amount(self, value: int) -> Pair:
        return np.full_like(self._at, float(value)), np.zeros_like(self._at)

    def zero(self) -> Pair:
        nothing = np.zeros_like(self._at)
        return nothing, nothing

    def scale(self, by: int, value: Pair) -> Pair:
        return by * value[0], by * value[1]

    def add(self, values: Iterator[Pair]) -> Pair:
        value, slope = (part.copy() for part in next(values))
        for more, rise in values:
            value += more
            slope += rise
        return value, slope

    def greatest(self, values: Iterator[Pair]) -> Pair:
        return _chosen(values, np.greater)

    def least(self, values: Iterator[Pair]) -> Pair:
        return _chosen(values, np.less)

    def largest(self, count: int, values: Iterator[Pair]) -> Pair:
        levels, slopes = (np.stack(parts) for parts in zip(*values, strict=True))
        chosen = np.argsort(levels, axis=0, kind="stable")[-count:]
        level, slope = (np.take_along_axis(each, chosen, axis=0).sum(axis=0) for each in (levels, slopes))
        return level, slope

    def positive(self, value: Pair) -> Pair:
        return np.maximum(value[0], 0.0), np.where(value[0] > 0, value[1], 0.0)

    def absolute(self, value: Pair) -> Pair:
        return np.abs(value[0]), np.where(value[0] < 0, -value[1], value[1])


def _chosen(values: Iterator[Pair], better: np.ufunc) -> Pair:
    """Return, element by element, the first value than which no other is better, with its slope."""
    best, rise = (part.copy() for part in next(values))
    for value, slope in values:
        replaced = better(value, best)
        np.copyto(best, value, where=replaced)
        np.copyto(rise, slope, where=replaced)
    return best, rise
