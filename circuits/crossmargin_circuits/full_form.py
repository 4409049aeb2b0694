"""The full form of equity: no number of made-up accounts owes more cheaply than one account (SPEC A.7).

Equity is the least of finitely many affine *forms*. With abbreviations written out and factors multiplied in, it is a
sum of terms: e0 of those that reach no amount, e1 of the others. Over all forms of a node, [lo_v, hi_v] is the interval
of the coefficients on column v. Equity must satisfy

    on every balance and entry value        lo_v >= 0 and hi_v > 0
    if e1 has a term                        e1 has a form with constant <= 0 and the wanted end on every column:
                                            hi_v on a balance or entry value; on a position hi_v where lo_v >= 0,
                                            lo_v where hi_v <= 0 (of e1), and there is none where lo_v < 0 < hi_v

Then e <= e0 + that form for every account, and the accounts of any set owe together at least what one of them would.

The form is looked for by a fold. The *candidate* of an array and of an amount is itself; of a sum the sum of the
candidates; of a least the candidate with the least constant among those that have the wanted end of the least on every
column; of any other node there is none. A candidate has the wanted ends of its own node, so a node keeps its ends and
one constant. Ends of a least are greatest ends of its operands, hence an operand has them all exactly if the sums of
the ends are equal: no operand need be kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from crossmargin_circuits.errors import FullFormError, PolicyError
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy, RiskArray
from crossmargin_circuits.reading import Algebra, Reading, read

__all__ = ["FullForm", "check_full_form", "reliefs"]

Ends = Mapping[int, int]
"""The wanted end of the interval of each column; 0 where a column is not listed."""


@dataclass(frozen=True)
class FullForm:
    """The coefficients of equity, value quanta per unit: V of each.

    lowest, greatest: ends of the interval over all forms of equity.
    form, constant: the full form of the terms that reach an amount; zeros without such terms.
    """

    lowest: tuple[int, ...]
    greatest: tuple[int, ...]
    form: tuple[int, ...]
    constant: int


class _Side(NamedTuple):
    """The wanted ends of a node, and the constant of its candidate (None: it has none)."""

    ends: Ends
    constant: int | None


class _Sides(NamedTuple):
    """A node f, and -f."""

    above: _Side
    below: _Side


class _Terms(NamedTuple):
    """The terms of a node: those that reach no amount, and those that do (None: no such term)."""

    free: _Sides
    bound: _Sides | None


_ZERO = _Sides(_Side({}, 0), _Side({}, 0))


def check_full_form(policy: Policy) -> FullForm:
    """Check that the equity of a solvency policy has a full form; return its coefficients.

    Raises:
        FullFormError: it has none; names the column. PolicyError: the policy is of another kind.
    """
    if policy.equity is None:
        raise PolicyError(f"policy: a policy of the kind {policy.kind} has no equity")
    equity, columns = Reference(policy.equity.name), policy.layout.columns
    terms = read(policy, equity, _Forms(frozenset()))
    lowest, greatest = _interval(_whole(terms), len(columns))
    for column, low, high in zip(columns, lowest, greatest, strict=True):
        if column.kind is not ColumnKind.POSITION and low < 0:
            raise FullFormError(f"counted with a negative coefficient, {low}, so holding it lowers equity", column.key)
        if column.kind is not ColumnKind.POSITION and high == 0:
            raise FullFormError("not counted, so an account may owe any amount of it", column.key)
    if terms.bound is None:
        return FullForm(lowest, greatest, (0,) * len(columns), 0)
    lows, highs = _interval(terms.bound, len(columns))
    wanted = []
    for column, low, high in zip(columns, lows, highs, strict=True):
        is_position = column.kind is ColumnKind.POSITION
        if is_position and low < 0 < high:
            raise FullFormError(
                f"terms with an amount value it from {low} to {high}, so many small accounts may pay less than one "
                "large account: charge it in the requirement",
                column.key,
            )
        wanted.append(low if is_position and high <= 0 else high)
    turned = frozenset(number for number, (end, high) in enumerate(zip(wanted, highs, strict=True)) if end != high)
    if turned:
        terms = read(policy, equity, _Forms(turned))
    constant = None if terms.bound is None else terms.bound.above.constant
    if constant is None:
        raise FullFormError(
            "no single form charges every column as much as any other form, so many small accounts may owe more cheaply"
        )
    if constant > 0:
        raise FullFormError(f"the form that charges every column in full adds {constant} value quanta for each account")
    return FullForm(lowest, greatest, tuple(wanted), constant)


def reliefs(policy: Policy) -> dict[str, int]:
    """Return the greatest amount by which one account is relieved, by each definition and constraint with an amount.

    Value quanta, 0 at least: minus the least constant of any form of what an auxiliary or a constraint charges. Many
    made-up accounts may take this amount from it as often as there are accounts.
    """
    reading = Reading(policy, _Constants())
    found = {}
    for definition in policy.definitions:
        if definition.role.is_auxiliary:
            constants = reading.of(definition.expression)
            if constants is not None:
                found[definition.name] = max(0, -constants[0])
    for constraint in policy.constraints:
        constants = reading.of(constraint.expression)
        if constants is not None:
            found[constraint.name] = max(0, constants[1])
    return found


def _interval(sides: _Sides, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return lo and hi of every column, read with no column turned."""
    high, low = sides.above.ends, sides.below.ends
    return tuple(-low.get(number, 0) for number in range(width)), tuple(high.get(number, 0) for number in range(width))


class _Forms(Algebra[_Terms]):
    """Ends and candidates; a column that is turned has the least coefficient as its wanted end, here times -1."""

    def __init__(self, turned: frozenset[int]) -> None:
        self._turned = turned
        self._arrays: dict[str, _Terms] = {}

    def linear(self, array: RiskArray) -> _Terms:
        if array.name not in self._arrays:
            ends = {
                number: -coefficient if number in self._turned else coefficient
                for number, coefficient in enumerate(array.coefficients)
                if coefficient
            }
            sides = _Sides(_Side(ends, 0), _Side({number: -end for number, end in ends.items()}, 0))
            self._arrays[array.name] = _Terms(sides, None)
        return self._arrays[array.name]

    def amount(self, value: int) -> _Terms:
        return _Terms(_ZERO, _Sides(_Side({}, value), _Side({}, -value)))

    def zero(self) -> _Terms:
        return _Terms(_ZERO, None)

    def scale(self, by: int, value: _Terms) -> _Terms:
        return _Terms(_scaled(value.free, by), None if value.bound is None else _scaled(value.bound, by))

    def add(self, values: Iterator[_Terms]) -> _Terms:
        free, bound = _Pair(_Sum(), _Sum()), _Pair(_Sum(), _Sum())
        reaches = False
        for value in values:
            free.take(value.free)
            if value.bound is not None:
                bound.take(value.bound)
                reaches = True
        return _Terms(free.sides(), bound.sides() if reaches else None)

    def greatest(self, values: Iterator[_Terms]) -> _Terms:
        # Equity is concave: of a maximum f only -f is in use, which is a least, and of a minimum only f.
        return _one_term(values, _Pair(_Hull(), _Hull()))

    least = greatest

    def largest(self, count: int, values: Iterator[_Terms]) -> _Terms:
        return _one_term(values, _Pair(_Largest(count), _Largest(count)))


class _Sum:
    """The sum of sides taken one by one."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        self._constant: int | None = 0

    def take(self, side: _Side) -> None:
        for number, end in side.ends.items():
            self._ends[number] = self._ends.get(number, 0) + end
        self._constant = None if side.constant is None or self._constant is None else self._constant + side.constant

    def side(self) -> _Side:
        return _Side({number: end for number, end in self._ends.items() if end}, self._constant)


class _Hull:
    """The greatest ends of sides taken one by one, and the constant of the candidate of their least."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        self._listed: dict[int, int] = {}
        self._count = 0
        self._best: tuple[int, int] | None = None

    def take(self, side: _Side) -> None:
        self._count += 1
        for number, end in side.ends.items():
            self._ends[number] = max(end, self._ends.get(number, end))
            self._listed[number] = self._listed.get(number, 0) + 1
        if side.constant is not None:
            candidate = sum(side.ends.values()), -side.constant
            self._best = candidate if self._best is None else max(candidate, self._best)

    def side(self) -> _Side:
        # A column that some side does not list has the coefficient 0 there.
        ends = {n: end for n, end in self._ends.items() if end > 0 or (end and self._listed[n] == self._count)}
        attained = self._best is not None and self._best[0] == sum(ends.values())
        return _Side(ends, -self._best[1] if self._best is not None and attained else None)


class _Largest:
    """The greatest sums of `count` ends of sides taken one by one; it has no candidate."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._ends: dict[int, list[int]] = {}

    def take(self, side: _Side) -> None:
        self._taken += 1
        for number, end in side.ends.items():
            self._ends.setdefault(number, []).append(end)

    def side(self) -> _Side:
        ends = {}
        for number, listed in self._ends.items():
            listed.sort(reverse=True)
            above = sum(1 for end in listed if end > 0)
            below = max(0, self._count - (self._taken - len(listed)) - above)
            ends[number] = sum(listed[: min(above, self._count)]) + sum(listed[above : above + below])
        return _Side({number: end for number, end in ends.items() if end}, None)


class _Pair:
    """Both sides of a node, from those of its operands taken one by one."""

    def __init__(self, above: _Sum | _Hull | _Largest, below: _Sum | _Hull | _Largest) -> None:
        self._above = above
        self._below = below

    def take(self, sides: _Sides) -> None:
        self._above.take(sides.above)
        self._below.take(sides.below)

    def sides(self) -> _Sides:
        return _Sides(self._above.side(), self._below.side())


def _one_term(values: Iterator[_Terms], pair: _Pair) -> _Terms:
    """Return a node that is not a sum: a single term, which reaches an amount if any operand does."""
    reaches = False
    for value in values:
        pair.take(_whole(value))
        reaches = reaches or value.bound is not None
    return _Terms(_ZERO, pair.sides()) if reaches else _Terms(pair.sides(), None)


def _whole(terms: _Terms) -> _Sides:
    if terms.bound is None:
        return terms.free
    both = _Pair(_Sum(), _Sum())
    both.take(terms.free)
    both.take(terms.bound)
    return both.sides()


def _scaled(sides: _Sides, by: int) -> _Sides:
    def times(side: _Side) -> _Side:
        ends = {number: abs(by) * end for number, end in side.ends.items()}
        return _Side(ends, None if side.constant is None else abs(by) * side.constant)

    above, below = sides if by > 0 else sides[::-1]
    return _Sides(times(above), times(below))


Interval = tuple[int, int]


class _Constants(Algebra[Interval | None]):
    """The interval of the constants over all forms; None of an expression that reaches no amount."""

    def linear(self, array: RiskArray) -> Interval | None:
        return None

    def amount(self, value: int) -> Interval | None:
        return value, value

    def zero(self) -> Interval | None:
        return None

    def scale(self, by: int, value: Interval | None) -> Interval | None:
        if value is None:
            return None
        low, high = sorted((by * value[0], by * value[1]))
        return low, high

    def add(self, values: Iterator[Interval | None]) -> Interval | None:
        known = [each for each in values if each is not None]
        return (sum(low for low, _ in known), sum(high for _, high in known)) if known else None

    def greatest(self, values: Iterator[Interval | None]) -> Interval | None:
        found = list(values)
        known = [each or (0, 0) for each in found]
        return (min(low for low, _ in known), max(high for _, high in known)) if any(found) else None

    def least(self, values: Iterator[Interval | None]) -> Interval | None:
        return self.greatest(values)

    def largest(self, count: int, values: Iterator[Interval | None]) -> Interval | None:
        found = list(values)
        lows = sorted(low for low, _ in (each or (0, 0) for each in found))
        highs = sorted(high for _, high in (each or (0, 0) for each in found))
        return (sum(lows[:count]), sum(highs[-count:])) if any(found) else None
