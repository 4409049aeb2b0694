"""Claims about margin solvency: does a policy say that equity covers the requirement, for made-up accounts too?

An account that nobody checks may hold any amount of the account column and owe in any asset. Such an account must get
neither collateral nor a debt that costs it nothing (SPEC V10, annex B).
"""

from crossmargin_circuits.evaluate import scenario_leaves
from crossmargin_circuits.expression import Expression, Reference, Scale, Sum
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy, Role
from crossmargin_verifier.bundle.claim import Claim, Result, line
from crossmargin_verifier.bundle.judged_statement import JudgedStatement

__all__ = ["credit_claims", "is_requirement_less_equity", "solvency_claims", "states_solvency"]


def is_requirement_less_equity(policy: Policy, gap: Expression) -> bool:
    """Return whether an expression is the policy's requirement less its equity."""
    match gap:
        case Sum((Reference(first), Scale(-1, Reference("equity")))):
            return policy.definition(first).role is Role.REQUIREMENT
    return False


def states_solvency(policy: Policy) -> bool:
    """Return whether a shortfall, or a constraint, is the policy's equity against its requirement."""
    if any(is_requirement_less_equity(policy, each.expression) for each in policy.with_role(Role.SHORTFALL)):
        return True
    return any(
        isinstance(each.expression, Scale)
        and each.expression.by == -1
        and is_requirement_less_equity(policy, each.expression.of)
        for each in policy.constraints
    )


def solvency_claims(each: JudgedStatement) -> list[Claim]:
    """Return a failing claim for a statement that is neither about solvency nor about debts and exposures alone."""
    policy = each.policy
    roles = {definition.role for definition in policy.definitions if definition.role.is_auxiliary}
    about_totals = bool(roles) and roles <= {Role.DEBT, Role.EXPOSURE} and not policy.constraints
    if states_solvency(policy) or about_totals:
        return []
    return [
        Claim(
            f"{each.name}: solvency",
            Result.FAIL,
            "neither a shortfall nor a constraint is requirement - equity",
            "the policy does not say that equity covers the requirement",
        )
    ]


def credit_claims(each: JudgedStatement) -> list[Claim]:
    """Return failing claims for what would give made-up accounts collateral, or debts that cost them nothing.

    Equity, shortfall and constraints must be bounded whatever the account column holds, of which an account that nobody
    checks may hold any amount; owing must then cost as much as with one account; rows must value an entry value as the
    balance of its asset; and equity must count every balance and entry value as positive.
    """
    layout, rows = each.policy.layout, each.verified.relation.rows
    claims = []
    dependent = sum(1 for row in rows if row.base[0])
    credited = each.credited
    solvency = states_solvency(each.policy)
    cheaper = _cheaper(each) if solvency and not credited else []
    if credited:
        meaning = "has no bound free of the account column, of which made-up accounts may hold any amount"
        claims.append(Claim(f"{each.name}: credit", Result.FAIL, line(credited[0]), meaning))
    elif cheaper:
        meaning = "equity charges owing it in full only with the account column: made-up accounts could owe it for less"
        claims.append(Claim(f"{each.name}: account column", Result.FAIL, ", ".join(cheaper[:5]), meaning))
    elif dependent:
        claims.append(
            Claim(
                f"{each.name}: account column",
                Result.INFO,
                f"{dependent} of {len(rows)} rows depend on the number of accounts",
                "of unchecked accounts only what the other rows say is shown, for their number is not",
            )
        )
    uneven = []
    for entry, column in enumerate(layout.columns):
        balance = layout.find(ColumnKind.BALANCE, column.name) if column.kind is ColumnKind.ENTRY else None
        if balance is not None and any(row.base[balance] != row.base[entry] for row in rows):
            uneven.append(column.key)
    if uneven:
        meaning = "valued otherwise than the balance of its asset: owing one and holding the other would be collateral"
        claims.append(Claim(f"{each.name}: entry values", Result.FAIL, ", ".join(uneven[:5]), meaning))
    worthless = _worthless(each) if solvency else []
    if worthless:
        meaning = "not counted as positive in equity: a made-up account could owe any amount of it, or gain by owing it"
        claims.append(Claim(f"{each.name}: columns", Result.FAIL, ", ".join(worthless[:5]), meaning))
    return claims


def _cheaper(each: JudgedStatement) -> list[str]:
    """Return columns of which owing a unit is charged more in some form of equity than in every account-free one.

    Owing is holding less, or more, whichever equity charges; a made-up number of accounts satisfies all other forms.
    """
    charges = each.equity_charges
    free = charges.free or {}
    found = {
        number if number > 0 else ~number
        for number, charge in charges.every.items()
        if charge > max(0, free.get(number, 0))
    }
    return [each.policy.layout.columns[number].key for number in sorted(found)]


def _worthless(each: JudgedStatement) -> list[str]:
    """Return balances and entry values that equity counts as negative in some form, or as positive in none.

    Only forms free of the account column count as positive ones: any other a made-up number of accounts satisfies.
    """
    policy = each.policy
    positive = each.equity_charges.free or {}
    signs = {(name, factor > 0) for name, factor in scenario_leaves(policy, Reference("equity"))}
    forms = [(policy.array(name).coefficients, 1 if above else -1) for name, above in signs]
    return [
        column.key
        for number, column in enumerate(policy.layout.columns)
        if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY)
        and (positive.get(number, 0) <= 0 or any(sign * form[number] < 0 for form, sign in forms))
    ]
