"""A holder's view of his receipt: his record in human units and his own margin under every statement of a bundle.

`describe` is a pure function of the receipt, its signature and the policies. The readable twin that a venue delivers
with the receipt is exactly this, so that a verifier given the twin computes it again and compares.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from crossmargin_circuits.amounts import format_amount, format_time, format_units
from crossmargin_circuits.errors import MalformedError
from crossmargin_circuits.evaluate import evaluate_expression, worst_scenario
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.layout import ColumnKind, RecordLayout
from crossmargin_circuits.policy import Policy, Role
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.inclusion import VerifiedReceipt

__all__ = ["PRIVATE", "TWIN_FORMAT", "describe", "twin_differences", "unknown_margins"]

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
    """Return what one statement says of the record: its margin, its debts, its part of opened exposures."""
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


def twin_differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the fields in which a delivered twin differs from the computed one.

    A margin in the twin under a policy that the bundle does not have (of an earlier bundle, say) is left out of the
    comparison: `unknown_margins` names it.
    """
    both = found.keys() & expected.keys() - {"margin"}
    different = (found.keys() ^ expected.keys()) | {name for name in both if not _same(found[name], expected[name])}
    computed = {each["policy"]: each for each in expected["margin"]}
    for each in _margins(found):
        if each["policy"] in computed and not _same(each, computed[each["policy"]]):
            different.add("margin")
    return sorted(different)


def unknown_margins(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the policy digests of margins in the twin that cannot be computed from the bundle."""
    computed = {each["policy"] for each in expected["margin"]}
    return sorted({each["policy"] for each in _margins(found)} - computed)


def _same(found: Any, expected: Any) -> bool:
    """Return whether two JSON values are the same, 1 and true and 1.0 being different."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in found)
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return bool(found == expected)


def _margins(twin: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the margins of a delivered twin.

    Raises:
        MalformedError: not a list of objects, each with the digest of its policy.
    """
    margins = twin.get("margin")
    if not isinstance(margins, list):
        raise MalformedError("receipt: margin: a list is needed")
    for each in margins:
        if not isinstance(each, dict) or not isinstance(each.get("policy"), str):
            raise MalformedError("receipt: margin: objects with a policy digest are needed")
    return margins
