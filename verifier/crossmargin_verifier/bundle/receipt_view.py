"""A holder's view of their receipt: their record in human units and their margin under every statement of a bundle.

`describe` is a pure function of the receipt, its signature and the policies. The readable twin that a venue delivers
with the receipt is exactly this view, so a verifier recomputes and compares it.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from crossmargin_circuits.amounts import format_amount, format_time, format_units
from crossmargin_circuits.evaluate import evaluate_expression, worst_scenario
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.layout import ColumnKind, RecordLayout
from crossmargin_circuits.policy import Policy, Role
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.inclusion import VerifiedReceipt

__all__ = ["PRIVATE", "TWIN_FORMAT", "describe"]

TWIN_FORMAT = "crossmargin-receipt/1"

PRIVATE = (
    "PRIVATE. This file shows your balances and positions and what hides them from others. "
    "Keep it; do not post it or send it on."
)


COMPARE = "Compare the snapshot digest with the venue's independent publication, and the record with your own books."


def describe(
    verified: VerifiedReceipt, receipt_file: bytes, signature: bytes, key: bytes, policies: Mapping[str, Policy]
) -> dict[str, Any]:
    """Return the readable twin of a verified receipt.

    policies: statement name -> policy, each over the columns of the snapshot.

    Raises:
        RejectedError: H1, a policy is about other columns.
    """
    receipt, snapshot = verified.receipt, verified.snapshot
    layout: RecordLayout | None = None
    for name, policy in policies.items():
        layout = policy.layout
        if layout.labels != verified.columns:
            raise RejectedError("H1", f"the policy of {name} is about other columns than the snapshot")
    return {
        "format": TWIN_FORMAT,
        "notice": PRIVATE,
        "account": receipt.holder,
        "snapshot": {"id": snapshot.sid, "as_of": format_time(snapshot.as_of), "digest": snapshot.digest.hex()},
        "compare": COMPARE,
        "record": _record(verified, layout),
        "margin": [_margin(name, policies[name], receipt.record) for name in sorted(policies)],
        "leaf": receipt.index,
        "path": [sibling.hex() for sibling in receipt.path],
        "receipt": receipt_file.hex(),
        "signature": signature.hex(),
        "key": key.hex(),
    }


def _record(verified: VerifiedReceipt, layout: RecordLayout | None) -> list[dict[str, Any]]:
    """Return the non-zero entries; amounts in words where a policy tells the units."""
    lines = []
    for number, (label, units) in enumerate(zip(verified.columns, verified.receipt.record, strict=True)):
        if units:
            amount = f"{units} x {label}" if layout is None else format_units(units, layout.columns[number])
            lines.append({"column": label, "units": str(units), "amount": amount})
    return lines


def _margin(name: str, policy: Policy, record: tuple[int, ...]) -> dict[str, Any]:
    """Return the record's figures under one statement: its margin, its debts, its part of disclosed exposures."""
    layout = policy.layout
    quantum = Fraction(policy.value_unit.quantum)
    currency = policy.value_unit.currency

    def money(quanta: int) -> str:
        return f"{format_amount(quanta * quantum)} {currency}"

    shown: dict[str, Any] = {"statement": name, "title": policy.title, "policy": policy.digest.hex()}
    values = {each.name: evaluate_expression(policy, Reference(each.name), record) for each in policy.definitions}
    for requirement in policy.with_role(Role.REQUIREMENT):
        worst = worst_scenario(policy, requirement.expression, record)
        shown["requirement"] = money(values[requirement.name])
        shown["worst scenario"] = "none" if worst is None else policy.array(worst).meaning
        if "equity" in values:
            shown["equity"] = money(values["equity"])
            shown["excess"] = money(values["equity"] - values[requirement.name])
    for shortfall in policy.with_role(Role.SHORTFALL):
        shown["shortfall"] = money(values[shortfall.name])
    if policy.with_role(Role.DEBT):
        shown["claims"] = {
            each.subject: format_units(-evaluate_expression(policy, each.expression, record), layout.columns[number])
            for each in policy.with_role(Role.DEBT)
            if (number := layout.find(ColumnKind.BALANCE, each.subject)) is not None
        }
        shown["debts"] = {
            each.subject: format_units(values[each.name], policy.layout.columns[number])
            for each in policy.with_role(Role.DEBT)
            if values[each.name] and (number := policy.layout.find(ColumnKind.BALANCE, each.subject)) is not None
        }
    if policy.with_role(Role.EXPOSURE):
        shown["exposures"] = {each.name: money(values[each.name]) for each in policy.with_role(Role.EXPOSURE)}
    return shown
