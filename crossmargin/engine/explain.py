"""Explain one account's margin: the sources of its equity, the parts of its requirement, and the gain from pooling.

A convex, piecewise affine requirement equals one of its affine forms at every record: the *active* one. Its
coefficients split the requirement over the columns exactly (Euler's rule), whatever the model, and its constant is the
part of the fixed amounts; the same holds for equity. All figures are integers in quanta of the policy's value unit, and
three identities hold exactly and are tested: the parts of equity add up to equity, those of the requirement to the
requirement, and so do the components.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from crossmargin.book.book import Book
from crossmargin.engine.evaluate import evaluate
from crossmargin_circuits.amounts import format_units
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.evaluate import Exact, scenario_leaves
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.layout import Column
from crossmargin_circuits.policy import Definition, Policy, RiskArray
from crossmargin_circuits.reading import Algebra, Reading

__all__ = ["Component", "Explanation", "Part", "SubAccount", "explain"]

FULL_VALUE = "value "
"""Arrays of equity whose name begins so value a column in full, before haircuts (crossmargin.models.collateral)."""


FIXED = "fixed amounts"
"""Name of the part that no column has: the amounts of tiers and thresholds."""


@dataclass(frozen=True, repr=False)
class Part:
    """One non-zero column of a record: units held, value at mark, its parts of equity and of the requirement.

    Without a column: the fixed amounts in both.
    """

    column: Column | None
    units: int
    value: int
    equity: int
    requirement: int

    @property
    def name(self) -> str:
        """Key of the column, or FIXED."""
        return FIXED if self.column is None else self.column.key

    @property
    def held(self) -> str:
        """The units in words; of fixed amounts nothing is held."""
        return "" if self.column is None else format_units(self.units, self.column)


@dataclass(frozen=True, repr=False)
class Component:
    """One named part of the requirement: its amount, what decides it ("" where it is zero), and its own parts."""

    name: str
    amount: int
    decided_by: str
    parts: "tuple[Component, ...]" = ()


@dataclass(frozen=True, repr=False)
class SubAccount:
    """Margin of a sub-account alone."""

    name: str
    equity: int
    requirement: int


@dataclass(frozen=True, repr=False)
class Explanation:
    """Margin of one account with its parts.

    value: what it holds at mark, before haircuts; worst: the scenario with the greatest part in the requirement, "" for
    none; binding: labels of the rows of the relation that hold with equality, so that they decide the margin.
    """

    account: str
    value: int
    equity: int
    requirement: int
    worst: str
    parts: tuple[Part, ...]
    components: tuple[Component, ...]
    binding: tuple[str, ...]
    sub_accounts: tuple[SubAccount, ...]

    @property
    def excess(self) -> int:
        """Equity less requirement."""
        return self.equity - self.requirement

    @property
    def haircut(self) -> int:
        """Reduction of the columns' value by haircuts, tiers and caps."""
        return self.value - self.equity

    @property
    def pooling_saves(self) -> int:
        """Requirements of the sub-accounts alone, added up, less the requirement of the pooled account."""
        return sum(each.requirement for each in self.sub_accounts) - self.requirement


def explain(compiled: CompiledPolicy, book: Book, account: str) -> Explanation:
    """Explain the margin of one account under a policy with a requirement.

    Raises:
        InputError: no such account. ValueError: the policy has no requirement.
    """
    policy = compiled.policy
    collateral, requirement = policy.equity, policy.requirement
    if collateral is None or requirement is None:
        raise ValueError(f"policy {policy.title!r} has no requirement to explain")
    record = book.record(account)
    algebra = _Active(policy, record)
    reading = Reading(policy, algebra)
    equity, needed = reading.of(Reference(collateral.name)), reading.of(Reference(requirement.name))
    full = dict.fromkeys(
        name for name, _ in scenario_leaves(policy, collateral.expression) if name.startswith(FULL_VALUE)
    )
    whole = algebra.coefficients(dict.fromkeys(full, 1))
    of_equity, of_requirement = algebra.coefficients(equity.forms), algebra.coefficients(needed.forms)
    parts = [
        Part(column, units, whole[number] * units, of_equity[number] * units, of_requirement[number] * units)
        for number, (column, units) in enumerate(zip(policy.layout.columns, record, strict=True))
        if units
    ]
    if equity.constant or needed.constant:
        parts.append(Part(None, 0, 0, equity.constant, needed.constant))
    rows = book.sub_rows(account)
    alone = evaluate(compiled, book.sub_records[rows, :])
    return Explanation(
        account=account,
        value=sum(part.value for part in parts),
        equity=equity.value,
        requirement=needed.value,
        worst=algebra.decider(needed.forms) if needed.value else "",
        parts=tuple(parts),
        components=reading.of(requirement.expression).components if needed.value else (),
        binding=_binding(compiled, record),
        sub_accounts=tuple(
            SubAccount(book.sub_accounts[row], int(alone.equity[number]), int(alone.requirement[number]))
            for number, row in enumerate(rows)
        ),
    )


def _binding(compiled: CompiledPolicy, record: list[int]) -> tuple[str, ...]:
    """Return the labels of the rows that hold with equality and not because everything in them is zero."""
    auxiliaries, slacks = compiled.witness(record)
    return tuple(
        row.label
        for row, slack in zip(compiled.relation.rows, slacks, strict=True)
        if slack == 0
        and (
            row.offset
            or any(a and x for a, x in zip(row.base, record, strict=True))
            or any(a and u for a, u in zip(row.auxiliary, auxiliaries, strict=True))
        )
    )


@dataclass(frozen=True, repr=False)
class _Form:
    """The value of an expression at a record, the combination of arrays and the constant that equal it there, and its
    named parts."""

    value: int
    forms: Mapping[str, int]
    constant: int
    components: tuple[Component, ...]

    @property
    def is_zero(self) -> bool:
        """Whether it is the zero form."""
        return not self.forms and not self.constant


class _Active(Algebra[_Form]):
    """The active form of any expression at one record.

    Components are the terms of sums and the definitions referred to, as far as a maximum takes them.
    """

    def __init__(self, policy: Policy, record: list[int]) -> None:
        self._policy = policy
        self._exact = Exact(record)
        self._values: dict[str, int] = {}

    def coefficients(self, forms: Mapping[str, int]) -> list[int]:
        """Return the coefficients (V,) of a combination of risk arrays, name -> factor."""
        total = [0] * len(self._policy.layout)
        for name, factor in forms.items():
            for number, coefficient in enumerate(self._policy.array(name).coefficients):
                total[number] += factor * coefficient
        return total

    def decider(self, forms: Mapping[str, int]) -> str:
        """Return the meaning of the array with the greatest part in a combination, or "" without one."""
        best = max(forms, key=lambda name: forms[name] * self._values[name], default=None)
        return "" if best is None else self._policy.array(best).meaning

    def linear(self, array: RiskArray) -> _Form:
        if array.name not in self._values:
            self._values[array.name] = self._exact.linear(array)
        return self._alone(self._values[array.name], {array.name: 1}, 0)

    def amount(self, value: int) -> _Form:
        return self._alone(value, {}, value)

    def zero(self) -> _Form:
        return _Form(0, {}, 0, ())

    def scale(self, by: int, value: _Form) -> _Form:
        forms = {name: by * factor for name, factor in value.forms.items()}
        parts = tuple(_scaled(part, by) for part in value.components)
        return _Form(by * value.value, forms, by * value.constant, parts)

    def add(self, values: Iterator[_Form]) -> _Form:
        total = constant = 0
        forms: dict[str, int] = {}
        components: list[Component] = []
        for each in values:
            total += each.value
            constant += each.constant
            for name, factor in each.forms.items():
                forms[name] = forms.get(name, 0) + factor
            components += each.components
        forms = {name: factor for name, factor in forms.items() if factor}
        return _Form(total, forms, constant, tuple(components) if forms or constant else ())

    def greatest(self, values: Iterator[_Form]) -> _Form:
        return max(values, key=lambda each: each.value)

    def least(self, values: Iterator[_Form]) -> _Form:
        least = min(values, key=lambda each: each.value)
        return self._alone(least.value, least.forms, least.constant)

    def largest(self, count: int, values: Iterator[_Form]) -> _Form:
        total = self.add(iter(sorted(values, key=lambda each: each.value, reverse=True)[:count]))
        return self._alone(total.value, total.forms, total.constant)

    def absolute(self, value: _Form) -> _Form:
        either = super().absolute(value)
        return self._alone(either.value, either.forms, either.constant)

    def defined(self, definition: Definition, value: _Form) -> _Form:
        # Of an auxiliary that is exactly zero the form still names what it would follow.
        found = self.zero() if definition.role.is_auxiliary and value.value < 0 else value
        if found.is_zero:
            return found
        inner = found.components
        parts = inner if len(inner) > 1 or any(part.parts for part in inner) else ()
        decider = self.decider(found.forms) if found.value else ""
        return replace(found, components=(Component(definition.name, found.value, decider, parts),))

    def _alone(self, value: int, forms: Mapping[str, int], constant: int) -> _Form:
        """Return a form without parts of its own: one component without a name, where it is not zero."""
        return _Form(value, forms, constant, (Component("", value, self.decider(forms)),) if value else ())


def _scaled(part: Component, by: int) -> Component:
    return replace(part, amount=by * part.amount, parts=tuple(_scaled(each, by) for each in part.parts))
