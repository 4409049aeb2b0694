"""Claims of one statement: its rows hold, its disclosed totals, and its missing parts (SPEC V10, annex B).

A total belongs to a definition by number, never by label, and is judged only where the rows of the relation give it the
meaning that the claim states.
"""

from fractions import Fraction

from crossmargin_circuits.amounts import format_amount, format_time
from crossmargin_circuits.policy import Role
from crossmargin_verifier.bundle.claim import Claim, Result, line
from crossmargin_verifier.bundle.coverage import debt_claim
from crossmargin_verifier.bundle.declarations import DeclaredReserves
from crossmargin_verifier.bundle.judged_statement import JudgedStatement
from crossmargin_verifier.bundle.solvency import credit_claims, is_requirement_less_equity, solvency_claims

__all__ = ["statement_claims"]


def statement_claims(each: JudgedStatement, reserves: DeclaredReserves) -> list[Claim]:
    """Return the claims of one statement: its rows hold, its disclosed totals, and its missing parts."""
    verified, policy = each.verified, each.policy
    relation = verified.relation
    shards = verified.snapshot.shards
    claims = [
        Claim(
            each.name,
            Result.PASS,
            f'"{line(policy.title)}", {len(relation.rows)} rows, {len(relation.auxiliaries)} auxiliaries, '
            f"{shards} shard{'s' if shards > 1 else ''}, prices of {format_time(policy.as_of)}",
            "every row holds for each account whose holder checks it, and for all others together",
        )
    ]
    claims += solvency_claims(each)
    claims += credit_claims(each)
    if policy.as_of != verified.snapshot.as_of:
        claims.append(
            Claim(
                f"{each.name}: prices",
                Result.INFO,
                f"of {format_time(policy.as_of)}, snapshot of {format_time(verified.snapshot.as_of)}",
                "the model values the snapshot at prices of another moment",
            )
        )
    if verified.totals is None:
        claims.append(
            Claim(
                f"{each.name}: totals",
                Result.FAIL,
                "not in the bundle",
                "nothing is shown about the book as a whole, nor the totals that this statement would open",
            )
        )
    quantum = Fraction(policy.value_unit.quantum)
    currency = policy.value_unit.currency
    opened = dict(zip(relation.disclosed, verified.auxiliary_totals or (), strict=False))
    for definition in policy.definitions:
        if not definition.role.is_disclosed or verified.auxiliary_totals is None:
            continue
        # By number: labels are for people.
        total = opened[each.compiled.auxiliary_of[definition.name]]
        amount = f"{format_amount(total * quantum)} {currency}"
        if definition.role is Role.REQUIREMENT:
            claims.append(
                Claim(
                    f"{each.name}: requirement",
                    Result.INFO,
                    f"total {amount}",
                    "at least the requirements of checked accounts and that of all others together",
                )
            )
        elif definition.role is Role.SHORTFALL:
            fund = Fraction(reserves.insurance_fund)
            covered = reserves.currency == currency and total * quantum <= fund
            stated = is_requirement_less_equity(policy, definition.expression)
            claims.append(
                Claim(
                    f"{each.name}: shortfall",
                    Result.PASS if covered and stated else Result.FAIL,
                    f"total {amount}, insurance fund {format_amount(fund)} {reserves.currency}",
                    "what checked accounts, and all others together, lack to their requirement is within the fund"
                    if stated
                    else f"the shortfall of the policy is not requirement - equity: {definition}",
                )
            )
        elif definition.role is Role.DEBT:
            claims.append(debt_claim(each, definition, total))
        elif definition.role is Role.EXPOSURE:
            claims.append(
                Claim(
                    # With the word before it, no name reads as another claim of the verdict.
                    f"{each.name}: exposure {line(definition.name)}",
                    Result.INFO,
                    f"total {amount}",
                    "at least what checked accounts have of it, and all others together",
                )
            )
    return claims
