"""Claims about what is owed in each asset: debts that a statement discloses, and reserves against liabilities.

With f_a the claim of an account on asset a, T the opened totals and D_a the disclosed debts (SPEC 8.6),

    sum over all accounts of max(0, f_a) <= f_a(T) + D_a,

so nothing nets between accounts. That holds where the rows of the statement include f_a + debt >= 0, with f_a the
balance, the entry value and the mark value of the positions settled in a. The mark value must be the one that equity
counts: otherwise a policy could owe holders a profit that no claim includes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from crossmargin_circuits.amounts import unit_size
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.derivation import Least
from crossmargin_circuits.full_form import FullForm
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Role
from crossmargin_circuits.relation import Row
from crossmargin_verifier.bundle.claim import Claim, Result, Topic
from crossmargin_verifier.bundle.declarations import DeclaredReserves
from crossmargin_verifier.bundle.figures import Amount
from crossmargin_verifier.bundle.judged_statement import JudgedStatement
from crossmargin_verifier.bundle.solvency import MAX_NAMED, entry_value_claims

__all__ = ["DisclosedDebt", "coverage_claims", "disclosed_debts", "liability_claim", "position_claims"]

COARSEST = 100
"""A price may be rounded by half a quantum, and by one part in so many at most: coarser ones would hide a value."""


@dataclass(frozen=True)
class DisclosedDebt:
    """The disclosed debt in an asset. statement: its number; row: claim + debt >= 0; total: in units of the asset."""

    asset: str
    statement: int
    row: Row
    total: int

    def claim_on(self, totals: Sequence[int]) -> int:
        """Return f_a of the opened totals, in units of the asset."""
        return sum(coefficient * total for coefficient, total in zip(self.row.base, totals, strict=True))


def coverage_claims(each: JudgedStatement) -> list[Claim]:
    """Judge a statement of the kind coverage: every debt is disclosed, and its row is what the liabilities need."""
    wrong = []
    debts = each.policy.with_role(Role.DEBT)
    for debt in debts:
        if each.total(debt) is None:
            wrong.append(_failed(each, debt, "no total is opened, so nobody knows what is owed"))
        elif _debt_row(each.compiled, debt) is None:
            wrong.append(
                _failed(
                    each,
                    debt,
                    "no row is balance + entry value + positions + debt >= 0 and nothing else, so debts may be hidden",
                )
            )
    wrong += entry_value_claims(each)
    assets = ", ".join(debt.subject for debt in debts[:MAX_NAMED]) + (", .." if len(debts) > MAX_NAMED else "")
    if wrong:
        text = "it is not shown that every debt is counted: the next claims say why"
        return [Claim(Topic.COVERAGE, each.number, "", Result.FAIL, text), *wrong]
    text = f"what each account owes in {assets} is counted in the disclosed debts, and set against nobody's claim"
    return [Claim(Topic.COVERAGE, each.number, "", Result.PASS, text)]


def disclosed_debts(statements: Sequence[JudgedStatement]) -> dict[str, list[DisclosedDebt]]:
    """Return the disclosed debts of all statements with the right row, by asset."""
    found: dict[str, list[DisclosedDebt]] = {}
    for each in statements:
        for debt in each.policy.with_role(Role.DEBT):
            row, total = _debt_row(each.compiled, debt), each.total(debt)
            if row is not None and total is not None and not each.uneven:
                found.setdefault(debt.subject, []).append(DisclosedDebt(debt.subject, each.number, row, total))
    return found


def liability_claim(
    asset: str,
    column: Column,
    net: int | None,
    owed: int | None,
    debts: DisclosedDebt | None,
    reserves: DeclaredReserves,
) -> Claim:
    """Compare what holders are owed in an asset with the declared reserves.

    net: balances and entry values of the book; owed: what holders are owed at most; both in units of the column, or
    None if no total is opened.
    """
    declared = reserves.amount(asset)
    shown = "no reserves are declared" if declared is None else f"declared reserves are {Amount.of(declared, asset)}"

    def exceeds(units: int) -> bool:
        return units > 0 and (declared is None or units * unit_size(column) > declared)

    if net is None:
        text = f"no total is opened, so nobody judges what is owed; {shown}"
        return Claim(Topic.LIABILITIES, 0, asset, Result.OPEN, text)
    if debts is None or owed is None:
        text = (
            f"the book nets to {Amount.in_column(net, column)}; {shown}; no statement discloses debts of {asset}, so "
        )
        text += "made-up debtors could hide any part of what holders are owed"
        return Claim(Topic.LIABILITIES, 0, asset, Result.FAIL if exceeds(net) else Result.OPEN, text)
    text = f"holders are owed at most {Amount.in_column(owed, column)}; {shown}; debtors owe "
    text += str(Amount.in_column(debts.total, column))
    covered = not exceeds(net) and not exceeds(owed - debts.total)
    return Claim(Topic.LIABILITIES, 0, asset, Result.PASS if covered else Result.FAIL, text)


def position_claims(statements: Sequence[JudgedStatement], debts: dict[str, list[DisclosedDebt]]) -> list[Claim]:
    """Compare the value of each position in the debt rows with the one in equity, for each solvency statement.

    A position belongs into the debt rows of the asset that settles it, and into no other one. Its coefficient there,
    valued by the coefficient of the balance in equity, must be its coefficient in equity within rounding: half a unit,
    and half a quantum of its price, but not more than one percent. Otherwise liabilities leave out what equity counts.
    """
    claims = []
    if not debts:
        return []
    strays = _strays(statements[0].policy.layout, debts)
    for each in statements:
        form, layout = each.full_form, each.policy.layout
        if form is None or all(column.kind is not ColumnKind.POSITION for column in layout.columns):
            continue
        differences = _differences(layout, form, debts)
        wrong = list(dict.fromkeys([*strays, *(key for key, apart, rounded in differences if apart > rounded)]))
        if wrong:
            text = f"{', '.join(wrong[:MAX_NAMED])}: the debt statement values it otherwise than equity does, so what "
            text += "holders are owed on it is not in the liabilities"
            claims.append(Claim(Topic.POSITIONS, each.number, wrong[0], Result.FAIL, text))
        else:
            # With a coarse quantum or a coarse unit of an asset even rounding leaves much.
            most = each.money(max(apart for _, apart, _ in differences))
            text = f"the debt statement values every position as equity does; rounding leaves {most} a lot at most"
            claims.append(Claim(Topic.POSITIONS, each.number, "", Result.PASS, text))
    return claims


def _differences(
    layout: RecordLayout, form: FullForm, debts: Mapping[str, Sequence[DisclosedDebt]]
) -> list[tuple[str, int, Fraction]]:
    """Return how far debt rows value each position from equity, and what rounding explains, both in value quanta."""
    found = []
    for number, column in enumerate(layout.columns):
        if column.kind is not ColumnKind.POSITION:
            continue
        balance = layout.index(ColumnKind.BALANCE, column.settled)
        ends = form.lowest[number], form.greatest[number]
        prices = form.lowest[balance], form.greatest[balance]
        # If no row discloses debts in the asset that settles it, nothing counts it.
        counted = [debt.row.base[number] for debt in debts.get(column.settled, ())] or [0]
        found += [(column.key, *pair) for units in counted for pair in _difference(units, prices, ends)]
    return found


def _strays(layout: RecordLayout, debts: Mapping[str, Sequence[DisclosedDebt]]) -> list[str]:
    """Return the positions that some debt row counts in another asset than the one that settles them."""
    rows = [(asset, debt.row) for asset, found in debts.items() for debt in found]
    positions = [pair for pair in enumerate(layout.columns) if pair[1].kind is ColumnKind.POSITION]
    return [c.key for number, c in positions if any(row.base[number] and asset != c.settled for asset, row in rows)]


def _difference(
    units: int, prices: tuple[int, int], ends: tuple[int, int]
) -> tuple[tuple[int, Fraction], tuple[int, Fraction]]:
    """Return how far the value of so many units of an asset is from that of a position, and what rounding explains.

    prices, ends: least and greatest coefficient in equity of the asset and of the position. Each end is judged by its
    own price: a charge on what is owed may make the greatest one as large as a venue likes.
    """
    pairs = zip(sorted(((units * prices[0], prices[0]), (units * prices[1], prices[1]))), ends, strict=True)
    low, high = (
        (abs(value - end), 2 + Fraction(price, 2) + abs(units) * min(Fraction(1, 2), Fraction(price, COARSEST)))
        for (value, price), end in pairs
    )
    return low, high


def _debt_row(compiled: CompiledPolicy, debt: Definition) -> Row | None:
    """Return the row claim + debt >= 0 of a debt, if there is one (SPEC B.3).

    Its coefficient is 1 on the balance and the entry value of the asset, 0 on every other balance and entry value,
    anything on positions, 1 on the debt, and 0 on every other auxiliary; it has no offset, which would hide a debt in
    each account.
    """
    columns, relation = compiled.policy.layout.columns, compiled.relation
    auxiliary = compiled.auxiliary_of[debt.name]
    alone = tuple(int(number == auxiliary) for number in range(len(relation.auxiliaries)))
    derivation = compiled.derivations[auxiliary]
    # No other row has a positive coefficient on it alone; a stranger's policy may have many rows and many debts.
    for row in [relation.rows[number] for number in (derivation.rows if isinstance(derivation, Least) else ())]:
        fits = all(
            coefficient == int(column.name == debt.subject)
            for column, coefficient in zip(columns, row.base, strict=True)
            if column.kind is not ColumnKind.POSITION
        )
        if fits and row.auxiliary == alone and row.offset == 0:
            return row
    return None


def _failed(each: JudgedStatement, debt: Definition, reason: str) -> Claim:
    return Claim(Topic.COVERAGE, each.number, debt.subject, Result.FAIL, f"{debt.subject}: {reason}")
