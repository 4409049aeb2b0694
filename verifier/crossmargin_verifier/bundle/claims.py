"""The claims of a verdict: what the verified statements and totals say, one by one (SPEC V10, annex B).

A total belongs to a definition by number, never by label, and is judged only where the rows of the relation give it the
meaning that the claim states.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cached_property

from crossmargin_circuits.amounts import format_amount, format_time, format_units, unit_size
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.derivation import Least
from crossmargin_circuits.evaluate import scenario_leaves
from crossmargin_circuits.expression import Expression, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind
from crossmargin_circuits.policy import Definition, Policy, Role
from crossmargin_circuits.relation import Row
from crossmargin_verifier.bundle.account_free import AccountFree, Charges
from crossmargin_verifier.bundle.declarations import BundleManifest, DeclaredReserves
from crossmargin_verifier.protocol.verify import VerifiedStatement

__all__ = [
    "Claim",
    "JudgedStatement",
    "Result",
    "count_claims",
    "covered_assets",
    "declaration_claim",
    "liability_claims",
    "line",
    "open_interest_claims",
    "statement_claims",
    "states_solvency",
]

MAX_LINE = 200
"""Characters of a stranger's text that the verdict shows in one place."""


class Result(StrEnum):
    """How a claim came out; INFO is a figure that is shown and not judged."""

    PASS = "PASS"  # noqa: S105 - the word, not a secret
    FAIL = "FAIL"
    INFO = "INFO"


@dataclass(frozen=True)
class Claim:
    """One line of the verdict: what was looked at, how it came out, the figures, and what that means."""

    name: str
    result: Result
    figures: str
    meaning: str


@dataclass(frozen=True)
class JudgedStatement:
    """A verified statement with the name of its folder and its compiled policy."""

    name: str
    compiled: CompiledPolicy
    verified: VerifiedStatement

    @property
    def policy(self) -> Policy:
        """The policy of the statement."""
        return self.compiled.policy

    @cached_property
    def equity_charges(self) -> Charges:
        """What equity of a statement of solvency charges for owing a unit of each column."""
        return AccountFree(self.policy, range(1, len(self.policy.layout))).charges(Reference("equity"), 1)

    @cached_property
    def credited(self) -> list[str]:
        """What a made-up number of accounts makes as large as wanted: equity less requirement, or a constraint."""
        free = AccountFree(self.policy)
        judged = [(each.name, each.expression, -1) for each in self.policy.with_role(Role.SHORTFALL)]
        judged += [(each.name, each.expression, 1) for each in self.policy.constraints]
        return [name for name, expression, sign in judged if free.charges(expression, sign).free is None]


def statement_claims(each: JudgedStatement, reserves: DeclaredReserves) -> list[Claim]:
    """Return what one statement says: that its rows hold, what it opens, and what it lacks."""
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
    claims += _solvency_claims(each)
    claims += _credit_claims(each)
    if policy.as_of != verified.snapshot.as_of:
        claims.append(
            Claim(
                f"{each.name}: prices",
                Result.INFO,
                f"of {format_time(policy.as_of)}, snapshot of {format_time(verified.snapshot.as_of)}",
                "the model values the snapshot at prices of another moment",
            )
        )
    if not verified.book_statement_shown:
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
            stated = _is_requirement_less_equity(policy, definition.expression)
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
            claims.append(_debt_claim(each, definition, total))
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


def _is_requirement_less_equity(policy: Policy, gap: Expression) -> bool:
    """Return whether an expression is the policy's requirement less its equity."""
    match gap:
        case Sum((Reference(first), Scale(-1, Reference("equity")))):
            return policy.definition(first).role is Role.REQUIREMENT
    return False


def states_solvency(policy: Policy) -> bool:
    """Return whether a shortfall, or a constraint, is the policy's equity against its requirement."""
    if any(_is_requirement_less_equity(policy, each.expression) for each in policy.with_role(Role.SHORTFALL)):
        return True
    return any(
        isinstance(each.expression, Scale)
        and each.expression.by == -1
        and _is_requirement_less_equity(policy, each.expression.of)
        for each in policy.constraints
    )


def _solvency_claims(each: JudgedStatement) -> list[Claim]:
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


def _credit_claims(each: JudgedStatement) -> list[Claim]:
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


def _debt_row(compiled: CompiledPolicy, balance: int, debt: Definition) -> Row | None:
    """Return the row claim + debt >= 0 of an asset, if there is one (SPEC 10.4).

    Its coefficient is 1 on the balance and the entry value of the asset, 0 on every other balance and entry value and
    on the account, anything on positions (their mark value; they cancel over the book), and 1 on the debt alone.
    """
    columns, relation = compiled.policy.layout.columns, compiled.relation
    asset = columns[balance].name
    auxiliary = compiled.auxiliary_of[debt.name]
    alone = tuple(int(number == auxiliary) for number in range(len(relation.auxiliaries)))
    derivation = compiled.derivations[auxiliary]
    # No other row has a positive coefficient on it alone; a stranger's policy may have many rows and many debts.
    for row in [relation.rows[number] for number in (derivation.rows if isinstance(derivation, Least) else ())]:
        fits = all(
            coefficient == int(column.name == asset)
            for column, coefficient in zip(columns, row.base, strict=True)
            if column.kind is not ColumnKind.POSITION
        )
        if fits and row.auxiliary == alone and row.offset == 0:
            return row
    return None


def _debt_claim(each: JudgedStatement, definition: Definition, debt: int) -> Claim:
    asset = definition.subject
    column = _column(each.policy.layout.columns, ColumnKind.BALANCE, asset)
    name = f"{each.name}: debt {asset}"
    if column is None or each.verified.totals is None:
        return Claim(name, Result.FAIL, f"total {debt}", f"the policy has no balance of {asset}, or totals are missing")
    number = each.policy.layout.columns.index(column)
    row = _debt_row(each.compiled, number, definition)
    if row is None:
        return Claim(name, Result.FAIL, f"total {debt}", f"the policy has no row claim + debt >= 0 for {asset}")
    net = sum(coefficient * total for coefficient, total in zip(row.base, each.verified.totals, strict=True))
    return Claim(
        name,
        Result.INFO,
        f"owed by debtors {format_units(debt, column)}, claims of holders at most {format_units(net + debt, column)}",
        "claims of checked accounts, as their receipts show them, are at most this; debtors owe their part of it",
    )


def covered_assets(statements: Sequence[JudgedStatement]) -> set[str]:
    """Return the assets whose debts are opened by some statement of the bundle."""
    covered = set()
    for each in statements:
        columns = each.policy.layout.columns
        for debt in each.policy.with_role(Role.DEBT):
            balance = _column(columns, ColumnKind.BALANCE, debt.subject)
            opened = balance is not None and each.verified.auxiliary_totals is not None
            if balance is not None and opened and _debt_row(each.compiled, columns.index(balance), debt) is not None:
                covered.add(debt.subject)
    return covered


def count_claims(manifest: BundleManifest, accounts: int, leaves: int) -> list[Claim]:
    """Compare the opened number of accounts with what the venue reports."""
    counted = manifest.loaded == accounts and manifest.loaded + manifest.padding == leaves
    return [
        Claim(
            "accounts",
            Result.PASS if counted else Result.FAIL,
            f"{accounts} committed, {leaves - accounts} padding; venue says {manifest.loaded} loaded, "
            f"{manifest.padding} padding, {manifest.rejected} rejected",
            "the total of the account column, 1 for each checked account, is the number the venue reports",
        )
    ]


def liability_claims(
    reserves: DeclaredReserves, columns: Sequence[Column], totals: Sequence[int], covered: set[str]
) -> list[Claim]:
    """Compare what is owed in each asset with the declared reserves; covered: assets whose debts are opened."""
    owed: dict[str, Fraction] = {}
    for column, total in zip(columns, totals, strict=True):
        if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY):
            owed[column.name] = owed.get(column.name, Fraction(0)) + total * unit_size(column)
    return [_liability_claim(asset, amount, reserves, asset in covered) for asset, amount in owed.items()]


def open_interest_claims(columns: Sequence[Column], totals: Sequence[int]) -> list[Claim]:
    """Check that the positions in every instrument add up to zero."""
    positions = [(c, total) for c, total in zip(columns, totals, strict=True) if c.kind is ColumnKind.POSITION]
    open_ones = [(column, total) for column, total in positions if total]
    claims = [
        Claim(
            f"open interest {column.name}",
            Result.FAIL,
            f"net {format_units(total, column)}",
            "longs and shorts do not cancel: a side of a trade is missing from the book",
        )
        for column, total in open_ones
    ]
    if positions and not open_ones:
        claims.append(
            Claim(
                "open interest",
                Result.PASS,
                f"net zero in all {len(positions)} instruments",
                "longs and shorts of every instrument cancel over the book",
            )
        )
    return claims


def declaration_claim(reserves: DeclaredReserves) -> Claim:
    """State what the venue declares."""
    fund = f"{format_amount(Fraction(reserves.insurance_fund))} {reserves.currency}"
    return Claim(
        "reserves",
        Result.INFO,
        f"declared for {len(reserves.assets)} assets, insurance fund {fund}, source: {line(reserves.source)}",
        "what the venue declares; nothing here shows that it has it",
    )


def _liability_claim(asset: str, owed: Fraction, reserves: DeclaredReserves, debts_opened: bool) -> Claim:
    """Judge what is owed net of debts; without a debt statement a made-up debtor could hide it, so nothing passes."""
    declared = reserves.amount(asset)
    shown = "none declared" if declared is None else f"{format_amount(declared)} {asset}"
    covered = owed <= 0 or (declared is not None and owed <= declared)
    passed = Result.PASS if debts_opened else Result.INFO
    return Claim(
        f"liabilities {asset}",
        passed if covered else Result.FAIL,
        f"owed {format_amount(owed)} {asset}, reserves {shown}",
        "balances plus entry values, net of the debts opened above, are within reserves"
        if debts_opened
        else "net of debts that no statement of this bundle opens: made-up debtors could hide what is owed",
    )


def line(text: str) -> str:
    """Return a text of strangers as one short line: single spaces, no control characters."""
    line = " ".join("".join(c if c.isprintable() else "?" for c in text).split())
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 3]}..."


def _column(columns: Sequence[Column], kind: ColumnKind, name: str) -> Column | None:
    return next((column for column in columns if column.kind is kind and column.name == name), None)
