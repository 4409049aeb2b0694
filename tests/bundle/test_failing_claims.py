"""True proofs about bad books: the proof holds, the claim fails, and the verdict and the exit code say so."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crossmargin_circuits.expression import Abs, Expression, Linear, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Constraint, Definition, Policy, RiskArray, Role, ValueUnit
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.verdict import Claim, Result, Verdict
from crossmargin_verifier.cli import main
from crossmargin_verifier.protocol.manifests import AUXILIARY_TOTALS_FILE, BOUNDED, TOTALS_FILE

Rewrite = Callable[[Path, Callable[[Any], None]], None]

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.ACCOUNT, "", "1 account", 1),
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.ENTRY, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.ENTRY, "EUR", "0.01 EUR", 10**9),
        Column(ColumnKind.POSITION, "PERP", "1 contract", 10**6),
    )
)
# account 0: 147 USD, entry -50 USD, entry 3 EUR, long 3; account 1: 153 USD, entry 20 USD, short 2.
RECORDS = [(1, 14_700, -5_000, 300, 3), (1, 15_300, 2_000, 0, -2)]
OWED_USD = Fraction(14_700 + 15_300 - 5_000 + 2_000, 100)


def margin_policy(*, shortfall: bool = False, constraint: bool = False) -> Policy:
    """Requirement 50 USD a contract either way, equity balance and entries; with or without who covers what."""
    arrays = (
        RiskArray("cash", "cash", (0, 1, 1, 1, 0)),
        RiskArray("pnl", "price falls by 50 USD", (0, 0, 0, 0, -5_000)),
    )
    worst = Abs(Linear("pnl"))
    gap: Expression = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    definitions = [
        Definition("equity", "cash", Role.ABBREVIATION, Linear("cash")),
        Definition("requirement", "requirement covers the loss", Role.REQUIREMENT, worst),
    ]
    if shortfall:
        definitions.append(Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap))
    constraints = (Constraint("solvency", "equity - requirement >= 0", Scale(-1, gap)),) if constraint else ()
    return Policy(
        "test-exchange", "test margin", 0, ValueUnit("USD", "0.01"), LAYOUT, arrays, tuple(definitions), constraints
    )


@pytest.fixture(scope="module")
def made(workshop: Any) -> tuple[Any, dict[str, Any]]:
    """A snapshot and statements about it; account 0 lacks 50 USD, the requirement is 250 USD."""
    snapshot = workshop.commit(margin_policy(), RECORDS)
    closed = workshop.prove(snapshot, margin_policy(shortfall=True), BOUNDED)
    for name in (TOTALS_FILE, AUXILIARY_TOTALS_FILE):
        del closed[name]
    return snapshot, {
        "margin": workshop.prove(snapshot, margin_policy(shortfall=True)),
        "bare": workshop.prove(snapshot, margin_policy()),
        "closed": closed,
    }


@pytest.fixture
def make(workshop: Any, made: tuple[Any, dict[str, Any]], tmp_path: Path) -> Callable[..., Path]:
    def write(*names: str, fund: str = "50", usd: str = "270", eur: str = "3") -> Path:
        snapshot, statements = made
        chosen = {name: statements[name] for name in names}
        assets = {"USD": usd, "EUR": eur}
        folder: Path = workshop.write(tmp_path / "made", snapshot, chosen, assets, fund, "test-exchange")
        return folder

    return write


def failing(verdict: Verdict) -> list[str]:
    return [each.name for each in verdict.claims if each.result is Result.FAIL]


def claim(verdict: Verdict, name: str) -> Claim:
    return next(each for each in verdict.claims if each.name == name)


def exit_code(folder: Path) -> int:
    result = CliRunner().invoke(main, ["bundle", str(folder)])
    assert "Verdict: REJECTED" in result.stdout
    assert "VERIFIED" not in result.stdout
    return result.exit_code


def test_net_position_fails_open_interest(make: Callable[..., Path]) -> None:
    """Account 0 is long 3, account 1 short 2: a side of a trade is missing."""
    folder = make("margin")
    verdict = check_bundle(folder)
    assert failing(verdict) == ["open interest PERP"]
    assert claim(verdict, "open interest PERP").figures == "net 1 contract"
    assert exit_code(folder) == 1


def test_everything_else_about_that_book_holds(make: Callable[..., Path]) -> None:
    verdict = check_bundle(make("margin"))
    assert claim(verdict, "margin: shortfall").figures == "total 50 USD, insurance fund 50 USD"
    assert claim(verdict, "margin: requirement").figures == "total 250 USD"
    assert OWED_USD == 270
    assert claim(verdict, "liabilities USD").figures == "owed 270 USD, reserves 270 USD"
    assert claim(verdict, "liabilities EUR").figures == "owed 3 EUR, reserves 3 EUR"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"usd": "269.9999"}, "liabilities USD"),
        ({"usd": "0"}, "liabilities USD"),
        ({"eur": "2.99"}, "liabilities EUR"),
        ({"fund": "49.99"}, "margin: shortfall"),
        ({"fund": "0"}, "margin: shortfall"),
    ],
)
def test_one_unit_less_than_needed_fails(make: Callable[..., Path], options: dict[str, str], name: str) -> None:
    folder = make("margin", **options)
    assert failing(check_bundle(folder)) == sorted([name, "open interest PERP"], key=lambda each: each[0] == "o")
    assert exit_code(folder) == 1


def test_asset_without_declared_reserves_fails(make: Callable[..., Path], rewrite: Rewrite) -> None:
    """An asset that appears in entry values alone is owed all the same."""
    folder = make("margin")
    rewrite(folder / "reserves.json", lambda root: root["assets"].pop("EUR"))
    verdict = check_bundle(folder)
    assert "liabilities EUR" in failing(verdict)
    assert claim(verdict, "liabilities EUR").figures == "owed 3 EUR, reserves none declared"


def test_insurance_fund_in_another_currency_fails(make: Callable[..., Path], rewrite: Rewrite) -> None:
    folder = make("margin", fund="1000000")
    rewrite(folder / "reserves.json", lambda root: root["insurance_fund"].update(currency="JPY"))
    assert "margin: shortfall" in failing(check_bundle(folder))


def test_requirement_that_nothing_has_to_cover_fails(make: Callable[..., Path]) -> None:
    """The policy computes a requirement and says nothing of equity: every book satisfies it."""
    folder = make("bare")
    verdict = check_bundle(folder)
    assert failing(verdict) == ["bare: solvency", "solvency", "open interest PERP"]
    assert exit_code(folder) == 1
    assert failing(check_bundle(folder)) == ["bare: solvency", "solvency", "open interest PERP"]


@pytest.mark.parametrize("names", [("closed",), ("margin", "closed"), ("closed", "margin")])
def test_statement_with_closed_totals_fails(make: Callable[..., Path], names: tuple[str, ...]) -> None:
    """A bounded statement may keep its totals closed; then its shortfall is not shown, whatever stands beside it."""
    folder = make(*names)
    verdict = check_bundle(folder)
    assert "closed: totals" in failing(verdict)
    assert not any(each.name == "closed: shortfall" for each in verdict.claims)
    assert exit_code(folder) == 1


@pytest.mark.parametrize(
    "accounts",
    [
        {"loaded": 1, "padding": 1, "rejected": 0},
        {"loaded": 3, "padding": 0, "rejected": 0},
        {"loaded": 2, "padding": 6, "rejected": 0},
        {"loaded": 0, "padding": 2, "rejected": 2},
    ],
)
def test_wrong_count_of_accounts_fails(make: Callable[..., Path], rewrite: Rewrite, accounts: dict[str, int]) -> None:
    folder = make("margin")
    rewrite(folder / "bundle.json", lambda root: root.update(accounts=accounts))
    assert "accounts" in failing(check_bundle(folder))
    assert exit_code(folder) == 1


@pytest.mark.usefixtures("proofs_once")
@pytest.mark.parametrize(
    ("asset", "enough", "short"),
    [("USDC", "102849.5", "102849.499999"), ("BTC", "2.21503965", "2.21503964"), ("SOL", "2.5", "2.499999")],
)
def test_reserves_one_unit_below_liabilities_fail(
    bundle: Path, rewrite: Rewrite, asset: str, enough: str, short: str
) -> None:
    """On the small book, whose liabilities the test of the verdict computes from its files."""
    for name in ("summary.json", "summary.txt"):
        (bundle / name).unlink()
    rewrite(bundle / "reserves.json", lambda root: root["assets"].update({asset: enough}))
    assert failing(check_bundle(bundle)) == []
    rewrite(bundle / "reserves.json", lambda root: root["assets"].update({asset: short}))
    assert failing(check_bundle(bundle)) == [f"liabilities {asset}"]
    assert exit_code(bundle) == 1
    result = CliRunner().invoke(main, ["bundle", str(bundle), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verified"] is False


@pytest.mark.usefixtures("proofs_once")
def test_insurance_fund_one_quantum_below_the_shortfall_fails(bundle: Path, rewrite: Rewrite) -> None:
    for name in ("summary.json", "summary.txt"):
        (bundle / name).unlink()
    rewrite(bundle / "reserves.json", lambda root: root["insurance_fund"].update(amount="3722.86367835"))
    assert failing(check_bundle(bundle)) == []
    rewrite(bundle / "reserves.json", lambda root: root["insurance_fund"].update(amount="3722.86367834"))
    assert failing(check_bundle(bundle)) == ["initial: shortfall"]
    rewrite(bundle / "reserves.json", lambda root: root["insurance_fund"].update(amount="0"))
    assert failing(check_bundle(bundle)) == ["maintenance: shortfall", "initial: shortfall"]
