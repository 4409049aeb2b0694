"""The figures of one record under a statement: its margin, its debts, its part of the disclosed exposures.

    excess    equity - requirement
    shortfall max(0, requirement - equity), where the statement discloses shortfalls

Figures are named by their roles. The names that a venue chose, of assets, exposures and scenarios, stand under headings
of their own, so that none of them passes for a figure of the margin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from crossmargin_circuits.amounts import format_amount, format_units
from crossmargin_circuits.evaluate import evaluate_expression, worst_scenario
from crossmargin_circuits.expression import Expression, Reference
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Definition, Policy, Role

__all__ = ["HolderMargin", "margin_under"]


@dataclass(frozen=True, repr=False)
class HolderMargin:
    """The figures of a record under one statement; private.

    margin: equity, requirement, excess and shortfall, as far as the statement has them; worst_scenario: in the venue's
    words, or ""; claims, debts: by asset; exposures: by the name that the venue gave.
    """

    statement: str
    kind: str
    policy_digest: bytes
    title: str
    margin: Mapping[str, str]
    worst_scenario: str
    claims: Mapping[str, str]
    debts: Mapping[str, str]
    exposures: Mapping[str, str]

    @property
    def data(self) -> dict[str, Any]:
        """The figures for programs."""
        return {
            "statement": self.statement,
            "kind": self.kind,
            "policy": self.policy_digest.hex(),
            "title": self.title,
            "margin": dict(self.margin),
            "worst_scenario": self.worst_scenario,
            "claims": dict(self.claims),
            "debts": dict(self.debts),
            "exposures": dict(self.exposures),
        }


def margin_under(name: str, policy: Policy, record: tuple[int, ...]) -> HolderMargin:
    """Return the figures of a record, one integer for each column of the policy, under the statement of that name."""
    quantum, currency = Fraction(policy.value_unit.quantum), policy.value_unit.currency

    def value(expression: Expression) -> int:
        return evaluate_expression(policy, expression, record)

    def money(quanta: int) -> str:
        return f"{format_amount(quanta * quantum)} {currency}"

    def tight(definition: Definition) -> int:
        return value(Reference(definition.name))

    def in_units(asset: str, units: int) -> str:
        number = policy.layout.find(ColumnKind.BALANCE, asset)
        return str(units) if number is None else format_units(units, policy.layout.columns[number])

    margin: dict[str, str] = {}
    worst = ""
    if policy.equity is not None:
        margin["equity"] = money(tight(policy.equity))
    if policy.requirement is not None:
        margin["requirement"] = money(tight(policy.requirement))
        found = worst_scenario(policy, policy.requirement.expression, record)
        worst = "" if found is None else policy.array(found).meaning
        if policy.equity is not None:
            margin["excess"] = money(tight(policy.equity) - tight(policy.requirement))
    if policy.shortfall is not None:
        margin["shortfall"] = money(tight(policy.shortfall))
    debts = policy.with_role(Role.DEBT)
    return HolderMargin(
        statement=name,
        kind=str(policy.kind),
        policy_digest=policy.digest,
        title=policy.title,
        margin=margin,
        worst_scenario=worst,
        claims={each.subject: in_units(each.subject, -value(each.expression)) for each in debts},
        debts={each.subject: in_units(each.subject, owed) for each in debts if (owed := tight(each))},
        exposures={each.name: money(tight(each)) for each in policy.with_role(Role.EXPOSURE)},
    )
