"""Evaluate a margin policy over a whole book in exact integers.

The same policy is read twice. `evaluate` reads its *expression*: every risk array is one linear form over all accounts
(a sparse-times-dense product), and sums, maxima and minima are taken element by element. `witness` reads its compiled
*relation* y = L x + L' aux + c: the tight auxiliaries and the slacks that a proof is about. Both give the same figures,
by the definition of the compilation, and tests compare them on random books.

All arithmetic is exact. Compilation refuses a policy with a row that can reach 2^63 within the column limits, and
`evaluate` and `witness` refuse a record beyond its limits, so that numpy int64 holds every row. What stands inside an
expression is bounded by no row: max(a, b) + c may be small where a is not. A policy whose expressions could pass 63
bits anywhere is therefore read in Python's integers, which is slower. Values are in quanta of the policy's value unit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.derivation import Least, Threshold
from crossmargin_circuits.errors import BudgetError, CrossmarginError
from crossmargin_circuits.evaluate import Leaf, deciding_leaves
from crossmargin_circuits.expression import Expression, Reference
from crossmargin_circuits.policy import Policy, RiskArray
from crossmargin_circuits.reading import Algebra, Reading

__all__ = [
    "LARGEST",
    "Bound",
    "Forms",
    "LimitError",
    "Margin",
    "Vectors",
    "Violation",
    "ViolationError",
    "Witness",
    "check_limits",
    "evaluate",
    "forms",
    "value_of",
    "witness",
]

Integers = npt.NDArray[np.int64]
Unsigned = npt.NDArray[np.uint64]

CHUNK = 1 << 14
"""Most accounts evaluated at a time: keeps the forms in cache."""

SPARSE = 0.25
"""Part of the coefficients of all arrays that are not zero, below which a sparse product is faster."""

CHUNK_VALUES = 1 << 22
"""Accounts times forms, or rows, of a chunk: 32 MiB for each array of them, for models of hundreds of scenarios too."""


LARGEST = 2.0**63 * (1 - 2.0**-20)
"""From this bound on an expression is read in Python's integers: what int64 holds, less what floats may err by."""


class LimitError(CrossmarginError):
    """A record beyond the limit of a column, so that the integers may not be exact; `account` is its row."""

    def __init__(self, account: int, reason: str) -> None:
        """Name the account by its row in the records."""
        super().__init__(f"account number {account}: {reason}")
        self.account = account
        self.reason = reason


@dataclass(frozen=True, repr=False)
class Violation:
    """One row that one account does not satisfy; `account` is its index in the book."""

    account: int
    row: str
    slack: int


class ViolationError(CrossmarginError):
    """Accounts that do not satisfy the relation, so that no proof about them exists."""

    def __init__(self, violations: list[Violation], accounts: int) -> None:
        """Keep the worst row of each of the first violating accounts; `accounts` counts all of them."""
        super().__init__(f"{accounts} accounts do not satisfy the statement")
        self.violations = violations
        self.accounts = accounts


@dataclass(frozen=True, repr=False)
class Margin:
    """Margin of every account (n): equity, requirement, excess = equity - requirement, shortfall = max(0, -excess).

    worst[i] is an index into `scenarios`: the risk array that decides the requirement of account i (that with the
    greatest part in it, where several maxima are added); -1 where no array has a part in it.
    """

    equity: Integers
    requirement: Integers
    worst: npt.NDArray[np.int32]
    scenarios: tuple[str, ...]

    @property
    def excess(self) -> Integers:
        """Equity less requirement."""
        return self.equity - self.requirement

    @property
    def shortfall(self) -> Integers:
        """Requirement less equity where positive, else 0."""
        return np.maximum(-self.excess, 0)

    def worst_of(self, account: int) -> str:
        """Return the meaning of the scenario that decides an account's requirement, or "none"."""
        number = int(self.worst[account])
        return "none" if number < 0 else self.scenarios[number]


@dataclass(frozen=True, repr=False)
class Witness:
    """Auxiliaries (n, Q) and slacks (n, K) of every account, unsigned 64-bit. Secret."""

    auxiliaries: Unsigned
    slacks: Unsigned

    def __repr__(self) -> str:
        """Return the shapes alone: the values are secret."""
        return f"Witness(auxiliaries {self.auxiliaries.shape}, slacks {self.slacks.shape})"


def evaluate(compiled: CompiledPolicy, records: csr_array) -> Margin:
    """Return the margin of every account.

    records: (n, V) int64.

    Raises:
        LimitError: a record is beyond a column's limit. BudgetError: equity, which is in no row, has more than 63 bits.
        ValueError: the policy has no requirement (coverage).
    """
    policy = compiled.policy
    collateral, requirement = policy.equity, policy.requirement
    if collateral is None or requirement is None:
        raise ValueError(f"policy {policy.title!r} has no requirement to evaluate")
    check_limits(policy, records)
    accounts = _rows(records)
    arrays = Forms(policy)
    leaves = deciding_leaves(policy, requirement.expression)
    equity = np.empty(accounts, np.int64)
    needed = np.empty(accounts, np.int64)
    worst = np.empty(accounts, np.int32)
    for start, stop in _chunks(accounts, len(policy.arrays)):
        values = arrays.over(records[start:stop])
        reading = Reading(policy, Vectors(values))
        try:
            equity[start:stop] = reading.of(Reference(collateral.name))
            needed[start:stop] = reading.of(Reference(requirement.name))
        except OverflowError:
            raise BudgetError(f"policy {policy.title!r}: equity of an account has more than 63 bits") from None
        worst[start:stop] = _worst(values, leaves)
    return Margin(equity, needed, worst, tuple(array.meaning for array in policy.arrays))


def witness(compiled: CompiledPolicy, records: csr_array) -> Witness:
    """Return the tight auxiliaries and the slacks of every account.

    records: (n, V) int64.

    Raises:
        LimitError: a record is beyond a column's limit. ViolationError: an account does not satisfy a row.
    """
    policy, relation = compiled.policy, compiled.relation
    check_limits(policy, records)
    accounts, width = _rows(records), len(relation.auxiliaries)
    base = np.array([row.base for row in relation.rows], dtype=np.int64).T
    offsets = np.array([row.offset for row in relation.rows], dtype=np.int64)
    coupling = [
        [(u, coefficient) for u, coefficient in enumerate(row.auxiliary) if coefficient] for row in relation.rows
    ]
    auxiliaries = np.empty((accounts, width), np.int64)
    slacks = np.empty((accounts, len(relation.rows)), np.int64)
    violations: list[Violation] = []
    violating = 0
    for start, stop in _chunks(accounts, len(relation.rows)):
        # One contiguous vector for each row and auxiliary.
        rows = np.ascontiguousarray((np.asarray(records[start:stop] @ base) + offsets).T)
        tight = _tight(compiled, rows, coupling)
        auxiliaries[start:stop] = tight.T
        for number, row in enumerate(rows):
            slacks[start:stop, number] = _with_auxiliaries(row, tight, coupling[number], width)
        below = np.flatnonzero(slacks[start:stop].min(axis=1) < 0)
        violating += len(below)
        for account in below[: max(0, 20 - len(violations))]:
            row = int(slacks[start + account].argmin())
            violations.append(
                Violation(int(start + account), relation.rows[row].label, int(slacks[start + account, row]))
            )
    if violating:
        raise ViolationError(violations, violating)
    # Neither is negative here.
    return Witness(auxiliaries.view(np.uint64), slacks.view(np.uint64))


def _tight(compiled: CompiledPolicy, rows: Integers, coupling: Sequence[Sequence[tuple[int, int]]]) -> Integers:
    """Return the tight auxiliaries (Q, n) of accounts whose rows, without auxiliaries, are `rows` (K, n).

    coupling: for each row the auxiliaries in it, with their coefficients.
    """
    tight = np.zeros((len(compiled.derivations), rows.shape[1]), np.int64)
    for number, derivation in enumerate(compiled.derivations):
        # From `number` on everything is still zero, so that a row holds minus the least value that it allows.
        match derivation:
            case Least(defining):
                tight[number] = np.maximum(0, _greatest_rest(rows, tight, coupling, defining, number))
            case Threshold(groups, rank, sign):
                values = np.stack([_greatest_rest(rows, tight, coupling, group, number) for group in groups], axis=1)
                tight[number] = np.maximum(0, sign * _ranked(values, rank))
    return tight


def _greatest_rest(
    rows: Integers, tight: Integers, coupling: Sequence[Sequence[tuple[int, int]]], chosen: Sequence[int], before: int
) -> Integers:
    """Return, per account, the max over some rows of minus the row, with the auxiliaries below `before` alone."""
    least = _with_auxiliaries(rows[chosen[0]], tight, coupling[chosen[0]], before)
    for row in chosen[1:]:
        least = np.minimum(least, _with_auxiliaries(rows[row], tight, coupling[row], before))
    return -least


def _with_auxiliaries(row: Integers, tight: Integers, terms: Sequence[tuple[int, int]], before: int) -> Integers:
    """Return a row (n) with the terms of auxiliaries numbered below `before` added to the rest of it."""
    total = row
    for number, coefficient in terms:
        if number < before:
            total = total + (tight[number] if coefficient == 1 else coefficient * tight[number])
    return total


def _ranked(values: Integers, rank: int) -> Integers:
    """Return the rank-th largest of each row of (n, S) values."""
    place = values.shape[1] - rank
    ranked: Integers = np.partition(values, place, axis=1)[:, place]
    return ranked


def forms(policy: Policy, records: csr_array) -> dict[str, Integers]:
    """Return every risk array's linear form over the accounts: name -> (n,) int64, or Python's integers if need be."""
    return Forms(policy).over(records)


class Vectors(Algebra[Integers]):
    """Values of many accounts at once, from the forms of the risk arrays: name -> (n,); a constant is one value ()."""

    def __init__(self, values: Mapping[str, Integers]) -> None:
        """Read over these forms."""
        self._values = values

    def linear(self, array: RiskArray) -> Integers:
        """Return the form of the array."""
        return self._values[array.name]

    def amount(self, value: int) -> Integers:
        """Return the constant, once for all accounts."""
        return np.array(value, np.int64)

    def zero(self) -> Integers:
        """Return one 0, which stands for that of every account."""
        return _ZERO

    def scale(self, by: int, value: Integers) -> Integers:
        """Return the product."""
        return by * value

    def add(self, values: Iterator[Integers]) -> Integers:
        """Return the sum, element by element."""
        total = next(values)
        for value in values:
            total = total + value
        return total

    def greatest(self, values: Iterator[Integers]) -> Integers:
        """Return the maximum, element by element."""
        best = next(values)
        for value in values:
            best = np.maximum(best, value)
        return best

    def least(self, values: Iterator[Integers]) -> Integers:
        """Return the minimum, element by element."""
        best = next(values)
        for value in values:
            best = np.minimum(best, value)
        return best

    def largest(self, count: int, values: Iterator[Integers]) -> Integers:
        """Return the sum of the `count` largest, element by element."""
        operands = np.stack(np.broadcast_arrays(*values), axis=-1)
        place = operands.shape[-1] - count
        return np.asarray(np.partition(operands, place, axis=-1)[..., place:].sum(axis=-1))

    def absolute(self, value: Integers) -> Integers:
        """Return the absolute value, without the negated vector in between."""
        return np.abs(value)


_ZERO = np.zeros((), np.int64)


def value_of(policy: Policy, expression: Expression, values: Mapping[str, Integers]) -> Integers:
    """Return an expression's value for every account (n,) from the forms of its risk arrays; without any, one value."""
    found = Reading(policy, Vectors(values)).of(expression)
    return found if found.shape or not values else np.broadcast_to(found, next(iter(values.values())).shape)


def check_limits(policy: Policy, records: csr_array) -> None:
    """Refuse records beyond the column limits, on which the 63-bit budget rests.

    Raises:
        LimitError: names the column and the row of one account. ValueError: another number of columns.
    """
    if records.shape[1] != len(policy.layout):
        raise ValueError(f"records have {records.shape[1]} columns, the policy {len(policy.layout)}")
    limits = np.array([column.limit for column in policy.layout.columns], dtype=np.int64)
    for start in range(0, len(records.data), CHUNK_VALUES):
        part = slice(start, start + CHUNK_VALUES)
        bounds = limits[records.indices[part]]
        # Not np.abs, which leaves -2^63 as it is.
        beyond = start + np.flatnonzero((records.data[part] > bounds) | (records.data[part] < -bounds))
        if len(beyond):
            account = int(np.searchsorted(records.indptr, beyond[0], side="right")) - 1
            column = policy.layout.columns[int(records.indices[beyond[0]])]
            raise LimitError(account, f"{column.key} is beyond its limit of {column.limit} units of {column.unit}")


class Forms:
    """The risk arrays of a policy as a matrix: dense, or sparse where most arrays are about few columns."""

    def __init__(self, policy: Policy) -> None:
        """Make the matrix, once for all chunks of a book."""
        self._names = [array.name for array in policy.arrays]
        matrix = np.array([array.coefficients for array in policy.arrays], dtype=np.int64)
        self._columns = matrix.T
        self._sparse = csr_array(matrix) if np.count_nonzero(matrix) < SPARSE * matrix.size else None
        reading = Reading(policy, Bound(policy, matrix))
        read = [each.expression for each in policy.definitions] + [each.expression for each in policy.constraints]
        self._long = max(map(reading.of, read)) >= LARGEST

    def over(self, records: csr_array) -> dict[str, Integers]:
        """Return one contiguous vector (n) for each array."""
        if self._long:
            product = (records.toarray().astype(object) @ self._columns.astype(object)).T
        elif self._sparse is not None:
            product = (self._sparse @ records.T.tocsr()).toarray()
        else:
            product = np.ascontiguousarray(np.asarray(records @ self._columns).T)
        return {name: product[number] for number, name in enumerate(self._names)}


class Bound(Algebra[float]):
    """An upper bound of every magnitude within an expression, from those of the arrays within the column limits."""

    def __init__(self, policy: Policy, matrix: Integers) -> None:
        """Take the bounds of all arrays, whose coefficients are the rows of the matrix (K, V)."""
        limits = np.array([column.limit for column in policy.layout.columns], dtype=np.float64)
        names = (array.name for array in policy.arrays)
        self._sizes: dict[str, float] = dict(zip(names, (np.abs(matrix) @ limits).tolist(), strict=True))

    def linear(self, array: RiskArray) -> float:
        """Return sum_v |a_v| limit_v."""
        return self._sizes[array.name]

    def amount(self, value: int) -> float:
        """Return the magnitude of the constant."""
        return float(abs(value))

    def zero(self) -> float:
        """Return 0."""
        return 0.0

    def scale(self, by: int, value: float) -> float:
        """Return the product of the magnitudes."""
        return float(abs(by)) * value

    def add(self, values: Iterator[float]) -> float:
        """Return the sum: partial sums stay below it in any order."""
        return sum(values)

    def greatest(self, values: Iterator[float]) -> float:
        """Return the greatest, whichever operand is taken."""
        return max(values)

    def least(self, values: Iterator[float]) -> float:
        """Return the greatest, whichever operand is taken."""
        return max(values)

    def largest(self, count: int, values: Iterator[float]) -> float:
        """Return `count` times the greatest."""
        return count * max(values)


def _worst(values: Mapping[str, Integers], leaves: Sequence[Leaf]) -> npt.NDArray[np.int32]:
    """Return, per account, the number of the array with the greatest part in the requirement; -1 for none.

    values: forms of all arrays, in their order; leaves: arrays in the requirement, with their factors and amounts.
    """
    numbers = {name: number for number, name in enumerate(values)}
    accounts = len(next(iter(values.values())))
    best = np.full(accounts, -1, np.int32)
    greatest = np.zeros(accounts, np.int64)
    for name, factor, amount in leaves:
        part = factor * values[name] + amount
        best[part > greatest] = numbers[name]
        greatest = np.maximum(greatest, part)
    return best


def _rows(records: csr_array) -> int:
    return int(records.shape[0])


def _chunks(accounts: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut accounts into pieces for arrays of `width` integers an account."""
    size = max(1, min(CHUNK, CHUNK_VALUES // max(1, width)))
    for start in range(0, accounts, size):
        yield start, min(accounts, start + size)
