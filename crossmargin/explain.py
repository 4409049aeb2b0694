"""Explain one account's margin: where equity comes from, what decides the requirement, and what pooling saves.

All amounts are integers in quanta of the policy's value unit. Two identities hold exactly and are tested: the values of
the columns less the haircuts add up to equity, and the losses of the columns in each term's worst scenario add up to
the requirement.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmargin.book import Book
from crossmargin.engine import evaluate
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.evaluate import evaluate_expression, worst_scenario
from crossmargin_circuits.expression import Expression, Linear, Min, Reference, Sum
from crossmargin_circuits.layout import Column
from crossmargin_circuits.policy import Policy, Role

__all__ = ["ColumnPart", "Explanation", "SubAccount", "Term", "explain"]


@dataclass(frozen=True, repr=False)
class ColumnPart:
    """One non-zero column of a record: units held, value now, and change of value in the deciding scenarios."""

    column: Column
    units: int
    value: int
    scenario_pnl: int


@dataclass(frozen=True, repr=False)
class Term:
    """One term of the requirement: its amount, and the scenario that decides it ("none" where it is zero)."""

    amount: int
    scenario: str


@dataclass(frozen=True, repr=False)
class SubAccount:
    """What a sub-account would need alone."""

    name: str
    equity: int
    requirement: int


@dataclass(frozen=True, repr=False)
class Explanation:
    """Margin of one account with its parts; `haircut` is what haircuts take from the value of the columns."""

    account: str
    equity: int
    requirement: int
    haircut: int
    parts: tuple[ColumnPart, ...]
    terms: tuple[Term, ...]
    sub_accounts: tuple[SubAccount, ...]

    @property
    def excess(self) -> int:
        """Equity less requirement."""
        return self.equity - self.requirement

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
    terms = _terms(policy, requirement[0].expression)
    deciding = [worst_scenario(policy, term, record) for term in terms]
    values = _full_values(policy)
    parts = []
    for number, (column, units) in enumerate(zip(policy.layout.columns, record, strict=True)):
        if units:
            pnl = sum(policy.array(name).coefficients[number] for name in deciding if name is not None)
            parts.append(ColumnPart(column, units, values[number] * units, pnl * units))
    rows = book.sub_rows(account)
    alone = evaluate(compiled, book.sub_records[rows, :])
    equity = evaluate_expression(policy, Reference("equity"), record)
    return Explanation(
        account=account,
        equity=equity,
        requirement=evaluate_expression(policy, Reference(requirement[0].name), record),
        haircut=sum(part.value for part in parts) - equity,
        parts=tuple(parts),
        terms=tuple(
            Term(evaluate_expression(policy, term, record), "none" if name is None else policy.array(name).meaning)
            for term, name in zip(terms, deciding, strict=True)
        ),
        sub_accounts=tuple(
            SubAccount(book.sub_accounts[row], int(alone.equity[number]), int(alone.requirement[number]))
            for number, row in enumerate(rows)
        ),
    )


def _terms(policy: Policy, expression: Expression) -> tuple[Expression, ...]:
    return expression.of if isinstance(expression, Sum) else (expression,)


def _full_values(policy: Policy) -> Sequence[int]:
    """Return the value of one unit of every column before haircuts: the last form of each term of equity."""
    values = [0] * len(policy.layout)
    for term in _terms(policy, policy.definition("equity").expression):
        full = term.of[-1] if isinstance(term, Min) else term
        if isinstance(full, Linear):
            for number, coefficient in enumerate(policy.array(full.array).coefficients):
                values[number] += coefficient
    return values
