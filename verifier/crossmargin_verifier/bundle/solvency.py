"""Claims about margin solvency: does the equity of each account cover its requirement, or is what it lacks counted?

By theorem A the rows hold for every account, so the gap of one account is never netted with another's. What is left to
judge is the policy: its equity must have a full form (SPEC A.7), rows must value an entry value as the balance of
its asset, and what accounts lack together must be disclosed and covered.
"""

from crossmargin_circuits.errors import FullFormError
from crossmargin_circuits.policy import Definition
from crossmargin_verifier.bundle.claim import Claim, Result, Topic
from crossmargin_verifier.bundle.declarations import DeclaredReserves
from crossmargin_verifier.bundle.figures import Amount
from crossmargin_verifier.bundle.judged_statement import JudgedStatement

__all__ = ["entry_value_claims", "insurance_fund", "solvency_claims"]

MAX_NAMED = 5
"""Columns that one claim names."""


def solvency_claims(each: JudgedStatement, reserves: DeclaredReserves) -> list[Claim]:
    """Judge a statement of the kind solvency; the first claim is the conclusion."""
    parts = [_full_form_claim(each), *entry_value_claims(each)]
    shortfall = each.policy.shortfall
    if shortfall is not None:
        parts.append(_shortfall_claim(each, shortfall, reserves))
    if any(part.result is Result.FAIL for part in parts):
        result, text = Result.FAIL, "it is not shown that equity covers the requirement: the next claims say why"
    elif shortfall is None or each.total(shortfall) == 0:
        result, text = Result.PASS, "the equity of each account covers its requirement"
    else:
        result, text = (
            Result.PASS,
            "the equity of each account covers its requirement, or all that it lacks is counted in the shortfall",
        )
    return [Claim(Topic.SOLVENCY, each.number, "", result, text), *parts]


def entry_value_claims(each: JudgedStatement) -> list[Claim]:
    """Return a failing claim if some row counts an entry value otherwise than the balance of its asset."""
    if not each.uneven:
        return []
    named = ", ".join(each.uneven[:MAX_NAMED])
    return [
        Claim(
            Topic.ENTRY_VALUES,
            each.number,
            each.uneven[0],
            Result.FAIL,
            f"{named}: a row counts it otherwise than the balance of its asset, so owing the one and holding the other "
            "would be collateral",
        )
    ]


def insurance_fund(reserves: DeclaredReserves) -> Amount:
    """Return the declared insurance fund."""
    return Amount.of(reserves.fund, reserves.currency)


def _full_form_claim(each: JudgedStatement) -> Claim:
    error = each.judged_equity
    if isinstance(error, FullFormError):
        text = f"{error.column}: {error.reason}" if error.column else error.reason
        return Claim(Topic.FULL_FORM, each.number, error.column or "", Result.FAIL, text)
    return Claim(
        Topic.FULL_FORM,
        each.number,
        "",
        Result.PASS,
        "equity counts every balance and entry value, and charges many small debtors as much as a large one",
    )


def _shortfall_claim(each: JudgedStatement, shortfall: Definition, reserves: DeclaredReserves) -> Claim:
    total, fund = each.total(shortfall), insurance_fund(reserves)
    if total is None:
        text = "no total is opened, and an account may lack any amount that nobody sees"
        return Claim(Topic.SHORTFALL, each.number, "", Result.FAIL, text)
    lacking = each.money(total)
    text = f"all accounts together lack at most {lacking} to their requirements; the declared insurance fund is {fund}"
    if total and fund.unit != lacking.unit:
        return Claim(Topic.SHORTFALL, each.number, "", Result.FAIL, f"{text}, in another currency")
    covered = not total or lacking.value <= fund.value
    return Claim(Topic.SHORTFALL, each.number, "", Result.PASS if covered else Result.FAIL, text)
