"""Explain one account's margin: where equity comes from, what decides the requirement, and what pooling saves.

A convex, piecewise linear requirement equals one of its linear forms at every record: the *active* one. Its
coefficients split the requirement over the columns exactly (Euler's rule), whatever the model; the same holds for
equity. All amounts are integers in quanta of the policy's value unit, and three identities hold exactly and are tested:
the columns' parts of equity add up to equity, their parts of the requirement to the requirement, and so do the
components.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from crossmargin.book.book import Book
from crossmargin.engine.evaluate import evaluate
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.evaluate import evaluate_expression, scenario_leaves
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
from crossmargin_circuits.layout import Column
from crossmargin_circuits.policy import Policy, Role

__all__ = ["ColumnPart", "Component", "Explanation", "SubAccount", "explain"]

FULL_VALUE = "value "
"""Arrays of equity whose name begins so value a column in full, before haircuts (crossmargin.models.collateral)."""


@dataclass(frozen=True, repr=False)
class ColumnPart:
    """One non-zero column of a record: units held, value at mark, its parts of equity and of the requirement."""

    column: Column
    units: int
    value: int
    equity: int
    requirement: int


@dataclass(frozen=True, repr=False)
class Component:
    """One named part of the requirement: its amount, what decides it ("" where it is zero), and its own parts."""

    name: str
    amount: int
    decided_by: str
    parts: "tuple[Component, ...]" = ()


@dataclass(frozen=True, repr=False)
class SubAccount:
    """What a sub-account would need alone."""

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
    parts: tuple[ColumnPart, ...]
    components: tuple[Component, ...]
    binding: tuple[str, ...]
    sub_accounts: tuple[SubAccount, ...]

    @property
    def excess(self) -> int:
        """Equity less requirement."""
        return self.equity - self.requirement

    @property
    def haircut(self) -> int:
        """What haircuts, tiers and caps take from the value of the columns."""
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
    requirement = policy.with_role(Role.REQUIREMENT)
    if not requirement:
        raise ValueError(f"policy {policy.title!r} has no requirement to explain")
    record = book.record(account)
    reading = _Reading(policy, record)
    equity, equity_forms = reading.active(Reference("equity"))
    needed, needed_forms = reading.active(Reference(requirement[0].name))
    full = dict.fromkeys(
        name for name, _ in scenario_leaves(policy, Reference("equity")) if name.startswith(FULL_VALUE)
    )
    whole = reading.coefficients(dict.fromkeys(full, 1))
    of_equity, of_requirement = reading.coefficients(equity_forms), reading.coefficients(needed_forms)
    parts = tuple(
        ColumnPart(column, units, whole[number] * units, of_equity[number] * units, of_requirement[number] * units)
        for number, (column, units) in enumerate(zip(policy.layout.columns, record, strict=True))
        if units and (number or of_equity[0] or of_requirement[0])
    )
    rows = book.sub_rows(account)
    alone = evaluate(compiled, book.sub_records[rows, :])
    return Explanation(
        account=account,
        value=sum(part.value for part in parts),
        equity=equity,
        requirement=needed,
        worst=reading.decider(needed_forms) if needed else "",
        parts=parts,
        components=tuple(reading.components(requirement[0].expression)) if needed else (),
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
            any(a and x for a, x in zip(row.base, record, strict=True))
            or any(a and u for a, u in zip(row.auxiliary, auxiliaries, strict=True))
        )
    )


class _Reading:
    """One record under one policy: the active form of any expression."""

    def __init__(self, policy: Policy, record: list[int]) -> None:
        self._policy = policy
        self._record = record
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
        best = max(forms, key=lambda name: forms[name] * self._value(name), default=None)
        return "" if best is None else self._policy.array(best).meaning

    def active(self, expression: Expression) -> tuple[int, dict[str, int]]:
        """Return the value of an expression and the combination of arrays that equals it at this record."""
        match expression:
            case Linear(name):
                return self._value(name), {name: 1}
            case Reference(name):
                definition = self._policy.definition(name)
                value, forms = self.active(definition.expression)
                return (0, {}) if definition.role.is_auxiliary and value < 0 else (value, forms)
            case Scale(by, of):
                value, forms = self.active(of)
                return by * value, {name: by * factor for name, factor in forms.items()}
            case Sum(of):
                return _added(self.active(child) for child in of)
            case Max(of):
                return max((self.active(child) for child in of), key=lambda found: found[0])
            case Min(of):
                return min((self.active(child) for child in of), key=lambda found: found[0])
            case Abs(of):
                value, forms = self.active(of)
                return (value, forms) if value >= 0 else (-value, {name: -factor for name, factor in forms.items()})
            case PositivePart(of):
                value, forms = self.active(of)
                return (value, forms) if value > 0 else (0, {})
            case SumLargest(count, of):
                found = sorted((self.active(child) for child in of), key=lambda each: each[0], reverse=True)
                return _added(found[:count])

    def components(self, expression: Expression, factor: int = 1) -> "list[Component]":
        """Return the named parts of an expression that is not zero: terms of sums and definitions referred to."""
        value, forms = self.active(expression)
        if not forms:
            return []
        match expression:
            case Sum(of):
                return [part for child in of for part in self.components(child, factor)]
            case Scale(by, of):
                return self.components(of, factor * by)
            case Reference(name):
                inner = self.components(self._policy.definition(name).expression, factor)
                parts = tuple(inner) if len(inner) > 1 or any(part.parts for part in inner) else ()
                return [Component(name, factor * value, self.decider(forms) if value else "", parts)]
            case Max(of):
                return self.components(max(of, key=lambda child: self.active(child)[0]), factor)
            case PositivePart(of):
                return self.components(of, factor)
        return [Component("", factor * value, self.decider(forms))] if value else []

    def _value(self, name: str) -> int:
        if name not in self._values:
            self._values[name] = evaluate_expression(self._policy, Linear(name), self._record)
        return self._values[name]


def _added(found: Iterable[tuple[int, dict[str, int]]]) -> tuple[int, dict[str, int]]:
    total = 0
    forms: dict[str, int] = {}
    for value, each in found:
        total += value
        for name, factor in each.items():
            forms[name] = forms.get(name, 0) + factor
    return total, {name: factor for name, factor in forms.items() if factor}
