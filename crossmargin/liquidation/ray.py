"""A margin expression along rays: value and slope for many accounts, each moving along its own line.

On a ray every risk array of an account is F + (t - 1) m, so the expression is a piecewise linear function of t; value
and slope at a point are found in one pass, the slope of a maximum being that of the operand that attains it (a
supergradient or subgradient where several do).

An expression is taken apart into terms that add up. A term moves only where one of its arrays does; the others are
constant, and their sum is the whole less the moving terms. So a bracket model with hundreds of instruments costs no
more for a position than the terms of that instrument. All values now are exact int64: a policy whose expression could
pass 63 bits anywhere within the column limits is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from crossmargin.engine.evaluate import LARGEST, magnitude, value_of
from crossmargin_circuits.errors import BudgetError
from crossmargin_circuits.evaluate import scenario_leaves
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

__all__ = ["Ray", "Rays", "terms_of"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]

Ray = Callable[[Floats], Pair]
"""Value and slope of every account at its own t."""

CHUNK = 1 << 16
"""Accounts read at a time."""


def terms_of(policy: Policy, expression: Expression, factor: int = 1) -> list[tuple[int, Expression]]:
    """Return factors and expressions that add up to `expression`, as many as its sums allow."""
    match expression:
        case Sum(of):
            return [term for child in of for term in terms_of(policy, child, factor)]
        case Scale(by, of):
            return terms_of(policy, of, factor * by)
        case Reference(name):
            definition = policy.definition(name)
            if not definition.role.is_auxiliary or _never_negative(policy, definition.expression):
                return terms_of(policy, definition.expression, factor)
    return [(factor, expression)]


def _never_negative(policy: Policy, expression: Expression) -> bool:
    """Return whether max(0, expression) is expression, as far as its form tells."""
    match expression:
        case PositivePart() | Abs():
            return True
        case Reference(name):
            definition = policy.definition(name)
            return definition.role.is_auxiliary or _never_negative(policy, definition.expression)
        case Scale(by, of):
            return by > 0 and _never_negative(policy, of)
        case Max(of):
            return any(_never_negative(policy, child) for child in of) or _mirrored(policy, of)
        case Sum(of) | Min(of) | SumLargest(_, of):
            return all(_never_negative(policy, child) for child in of)
    return False


def _mirrored(policy: Policy, of: Sequence[Expression]) -> bool:
    """Return whether a form and its negative stand side by side, as the two sides of a tier do."""
    forms = {policy.array(child.array).coefficients for child in of if isinstance(child, Linear)}
    return any(tuple(-each for each in form) in forms for form in forms)


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
        limits = np.array([column.limit for column in policy.layout.columns], dtype=np.float64)
        sizes = dict(zip(self._names, (np.abs(self._matrix) @ limits).tolist(), strict=True))
        if sum(abs(factor) * magnitude(policy, part, sizes) for factor, part in terms) >= LARGEST:
            raise BudgetError(
                f"policy {policy.title!r} can pass 63 bits within the column limits: lower the limits of the largest "
                "columns, or choose a coarser value quantum"
            )

    def now(self, records: csr_array) -> Integers:
        """Return the sum of the terms for every account, (n,) int64."""
        height, width = (int(size) for size in records.shape)
        total = np.zeros(height, dtype=np.int64)
        everybody = np.arange(height, dtype=np.int64)
        own = records[:, [0]].toarray()[:, 0]
        alone = csr_array((np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.array([0, 1])), shape=(1, width))
        by_column = records.tocsc()
        for term in self._terms:
            # Accounts that hold nothing in the term's columns have its value of an empty account, often zero.
            support = np.flatnonzero(self._matrix[term.arrays, 1:].any(axis=0)) + 1
            wide = 2 * len(support) >= width
            rows = everybody if wide else _holders(by_column, support)
            empty = 0 if wide else int(self._value(term, self._forms(term.arrays, alone))[0])
            total += empty * own
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                total[chunk] += self._value(term, self._forms(term.arrays, records[chunk])) - empty * own[chunk]
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
            found: dict[str, Pair] = {}
            for term in moving:
                more, rise = _pair(self.policy, term.expression, lines, at, found)
                value += term.factor * more
                slope += term.factor * rise
            return value, slope

        return ray

    def _forms(self, arrays: Integers, records: csr_array) -> dict[str, Integers]:
        product = np.ascontiguousarray(np.asarray(records @ self._matrix[arrays].T).T)
        return {self._names[number]: product[place] for place, number in enumerate(arrays.tolist())}

    def _value(self, term: _Term, forms: dict[str, Integers]) -> Integers:
        return term.factor * value_of(self.policy, term.expression, forms)


def _pair(policy: Policy, expression: Expression, lines: dict[str, Pair], at: Floats, found: dict[str, Pair]) -> Pair:
    """Return value and slope of an expression; `found` keeps those of definitions. The arrays are not to be changed."""
    match expression:
        case Linear(name):
            level, step = lines[name]
            return level + at * step, step
        case Reference(name):
            if name not in found:
                definition = policy.definition(name)
                inner = _pair(policy, definition.expression, lines, at, found)
                found[name] = _positive(inner) if definition.role.is_auxiliary else inner
            return found[name]
        case Scale(by, of):
            value, slope = _pair(policy, of, lines, at, found)
            return by * value, by * slope
        case Abs(of):
            value, slope = _pair(policy, of, lines, at, found)
            return np.abs(value), np.where(value < 0, -slope, slope)
        case PositivePart(of):
            return _positive(_pair(policy, of, lines, at, found))
    pairs = [_pair(policy, child, lines, at, found) for child in expression.of]
    if isinstance(expression, Sum):
        return _added(pairs)
    if isinstance(expression, SumLargest):
        values, slopes = (np.stack(parts) for parts in zip(*pairs, strict=True))
        chosen = np.argsort(values, axis=0, kind="stable")[-expression.count :]
        taken = [np.take_along_axis(each, chosen, axis=0).sum(axis=0) for each in (values, slopes)]
        return taken[0], taken[1]
    best, rise = pairs[0][0].copy(), pairs[0][1].copy()
    for value, slope in pairs[1:]:
        better = value > best if isinstance(expression, Max) else value < best
        np.copyto(best, value, where=better)
        np.copyto(rise, slope, where=better)
    return best, rise


def _positive(pair: Pair) -> Pair:
    value, slope = pair
    return np.maximum(value, 0.0), np.where(value > 0, slope, 0.0)


def _added(pairs: Sequence[Pair]) -> Pair:
    value, slope = pairs[0][0].copy(), pairs[0][1].copy()
    for more, rise in pairs[1:]:
        value += more
        slope += rise
    return value, slope
