"""Claims about what is owed in each asset: the debts that a statement opens, and reserves against liabilities.

A debt belongs to a definition by number, and counts only where a row of the relation is claim + debt >= 0 (SPEC 10.4).
"""

from collections.abc import Sequence
from fractions import Fraction

from crossmargin_circuits.amounts import format_amount, format_units, unit_size
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.derivation import Least
from crossmargin_circuits.layout import Column, ColumnKind
from crossmargin_circuits.policy import Definition, Role
from crossmargin_circuits.relation import Row
from crossmargin_verifier.bundle.claim import Claim, Result, line
from crossmargin_verifier.bundle.declarations import DeclaredReserves
from crossmargin_verifier.bundle.judged_statement import JudgedStatement

__all__ = ["covered_assets", "debt_claim", "declaration_claim", "liability_claims"]


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


def debt_claim(each: JudgedStatement, definition: Definition, debt: int) -> Claim:
    """State what debtors owe in an asset by the opened total of its debt, and what holders are owed at most."""
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


def liability_claims(
    reserves: DeclaredReserves, columns: Sequence[Column], totals: Sequence[int], covered: set[str]
) -> list[Claim]:
    """Compare what is owed in each asset with the declared reserves; covered: assets whose debts are opened."""
    owed: dict[str, Fraction] = {}
    for column, total in zip(columns, totals, strict=True):
        if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY):
            owed[column.name] = owed.get(column.name, Fraction(0)) + total * unit_size(column)
    return [_liability_claim(asset, amount, reserves, asset in covered) for asset, amount in owed.items()]


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


def _column(columns: Sequence[Column], kind: ColumnKind, name: str) -> Column | None:
    return next((column for column in columns if column.kind is kind and column.name == name), None)
