"""True proofs about bad books: the proof holds, a claim fails or nobody judges it, and the exit code says so.

Made by the project's own prover for a hostile venue; `test_judging.py` has the claims one by one, without proofs.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crossmargin_circuits.expression import Abs, Amount, Expression, Linear, Min, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Constraint, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit
from crossmargin_prover import statement
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.claim import Result
from crossmargin_verifier.bundle.verdict import Outcome, Verdict
from crossmargin_verifier.cli import main

Rewrite = Callable[[Path, Callable[[Any], None]], None]

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.ENTRY, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.BALANCE, "XVT", "1 XVT", 10**9),
        Column(ColumnKind.POSITION, "PERP", "1 contract", 10**6, "USD"),
    )
)
# account 0: 147 USD, entry -50 USD, long 3; account 1: 153 USD, entry 20 USD, short 2. A contract is worth 40 USD.
RECORDS = [(14_700, -5_000, 0, 3), (15_300, 2_000, 0, -2)]
BALANCED = [(14_700, -5_000, 0, 3), (15_300, 2_000, 0, -3)]
UNIT = ValueUnit("USD", "0.01")
VALUE = RiskArray("value", "value", (1, 1, 200, 4_000))


def solvency(equity: Expression | None = None, *arrays: RiskArray, strict: bool = False) -> Policy:
    """Requirement 50 USD a contract either way; equity the whole value, unless another one is given."""
    pnl = RiskArray("pnl", "price falls by 50 USD", (0, 0, 0, -5_000))
    gap: Expression = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    definitions = [
        Definition("equity", "equity", Role.EQUITY, equity or Linear("value")),
        Definition("requirement", "requirement covers the loss", Role.REQUIREMENT, Abs(Linear("pnl"))),
    ]
    if not strict:
        definitions.append(Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap))
    constraints = (Constraint("solvency", "equity - requirement >= 0", Scale(-1, gap)),) if strict else ()
    given = (VALUE, pnl, *arrays)
    return Policy(PolicyKind.SOLVENCY, "v", "test margin", 0, UNIT, LAYOUT, given, tuple(definitions), constraints)


def coverage(mark: int = 4_000) -> Policy:
    """Debts of USD and XVT; mark: of a contract, in units of USD."""
    arrays = (RiskArray("usd", "claim", (1, 1, 0, mark)), RiskArray("xvt", "claim", (0, 0, 1, 0)))
    debts = (
        Definition("debt USD", "debt", Role.DEBT, Scale(-1, Linear("usd")), "USD"),
        Definition("debt XVT", "debt", Role.DEBT, Scale(-1, Linear("xvt")), "XVT"),
    )
    return Policy(PolicyKind.COVERAGE, "v", "debts", 0, UNIT, LAYOUT, arrays, debts, ())


@pytest.fixture
def make(workshop: Any, tmp_path: Path) -> Callable[..., Path]:
    def write(
        records: list[tuple[int, ...]],
        fund: str = "100",
        usd: str = "270",
        xvt: str = "1000000",
        open_totals: bool = True,
        **policies: Policy,
    ) -> Path:
        first = next(iter(policies.values()))
        snapshot = workshop.commit(first, records, open_totals=open_totals)
        proven = {name: workshop.prove(snapshot, policy) for name, policy in policies.items()}
        folder: Path = workshop.write(tmp_path / "made", snapshot, proven, {"USD": usd, "XVT": xvt}, fund, "v")
        return folder

    return write


def ended(verdict: Verdict, result: Result = Result.FAIL) -> list[str]:
    """Return the claims with a result: topic, and its subject or the number of its statement."""
    return [
        f"{each.topic} {each.subject or each.statement or ''}".strip()
        for each in verdict.claims
        if each.result is result
    ]


def exit_code(folder: Path) -> int:
    result = CliRunner().invoke(main, ["bundle", str(folder)])
    assert result.stdout.splitlines()[-1].startswith("VERIFIED, BUT ") or "\nVERIFIED, BUT " in result.stdout
    assert not result.stdout.endswith("\nVERIFIED\n")
    return result.exit_code


def test_honest_book_of_this_venue_is_verified(make: Callable[..., Path]) -> None:
    """Account 0 has 97 + 120 USD against 150, account 1 has 173 - 120 against 150 and lacks 97 USD."""
    folder = make(BALANCED, m=solvency(), c=coverage())
    verdict = check_bundle(folder)
    assert ended(verdict) == ended(verdict, Result.OPEN) == []
    assert verdict.outcome is Outcome.VERIFIED
    (margin, _) = verdict.statements
    assert [str(each) for each in (margin.requirement, margin.shortfall)] == ["300 USD", "97 USD"]
    assert str(verdict.assets[0].owed) == "270 USD"


def test_net_position_fails_open_interest(make: Callable[..., Path]) -> None:
    """Account 0 is long 3, account 1 short 2: a side of a trade is missing."""
    folder = make(RECORDS, usd="400", m=solvency(), c=coverage())
    assert ended(check_bundle(folder)) == ["open interest PERP"]
    assert exit_code(folder) == 4


def test_deposits_booked_as_contracts_rest_on_the_token_of_the_venue(make: Callable[..., Path]) -> None:
    """D1: holders paid 2 x 120 USD for contracts settled in XVT, and XVT carries the book."""
    earn = Column(ColumnKind.POSITION, "BTC-EARN", "1 contract", 10**6, "XVT")
    layout = RecordLayout((*LAYOUT.columns[:3], earn))
    value = RiskArray("value", "value", (1, 1, 200, 20_000))

    def over(policy: Policy, arrays: dict[str, tuple[int, ...]]) -> Policy:
        kept = tuple(
            RiskArray(each.name, each.name, arrays.get(each.name, each.coefficients)) for each in policy.arrays
        )
        return Policy(policy.kind, "v", "t", 0, UNIT, layout, kept, policy.definitions, policy.constraints)

    margin = over(solvency(), {"value": value.coefficients, "pnl": (0, 0, 0, -10)})
    debts = over(coverage(), {"usd": (1, 1, 0, 0), "xvt": (0, 0, 1, 100)})
    folder = make([(0, 0, 0, 120), (100, 0, 1_000_000, -120)], m=margin, c=debts)
    verdict = check_bundle(folder)
    assert verdict.outcome is Outcome.VERIFIED
    assert {each.asset: each.shares[0].percent for each in verdict.assets} == {"USD": "0", "XVT": "100"}
    assert "BTC-EARN: settled in XVT" in verdict.text


def test_profit_that_no_debt_statement_counts_fails(make: Callable[..., Path]) -> None:
    """D2: a holder is owed 100,000 USD of profit; the debt statement counts no position and finds nothing owed."""
    records = [(0, 0, 0, 2_500), (0, 0, 0, -2_500)]
    folder = make(records, fund="1000000", usd="0", m=solvency(), c=coverage(mark=0))
    verdict = check_bundle(folder)
    assert str(verdict.assets[0].owed) == "0 USD"
    assert ended(verdict) == ["positions position PERP"]
    assert exit_code(folder) == 4


def test_bundle_without_debts_is_not_verified(make: Callable[..., Path]) -> None:
    """D4: without the debt statement nobody judges liabilities."""
    folder = make(BALANCED, m=solvency())
    verdict = check_bundle(folder)
    assert ended(verdict) == []
    assert ended(verdict, Result.OPEN) == ["liabilities USD", "liabilities XVT"]
    assert exit_code(folder) == 4


def test_joint_debts_charged_with_an_amount_alone_fail(make: Callable[..., Path]) -> None:
    """D5: debts of two assets at once, in many accounts, each of which an amount relieves: the shortfall is 0."""
    both = RiskArray("both", "both", (1, 1, 200, 0))
    usd, xvt = RiskArray("usd", "usd", (1, 1, 0, 0)), RiskArray("xvt", "xvt", (0, 0, 200, 0))
    least = Min((Linear("usd"), Linear("xvt"), Sum((Linear("both"), Amount(30_000)))))
    policy = solvency(Sum((Linear("value"), least)), both, usd, xvt)
    folder = make([(40_000, 0, -100, 0), (0, 0, 100, 0)], usd="400", m=policy, c=coverage())
    assert ended(check_bundle(folder)) == ["solvency 1", "full form 1"]
    assert exit_code(folder) == 4


def test_shortfall_that_no_total_opens_fails(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """D16: 1,000,000 USD of debt and no assets; the shortfall takes it all, and nobody sees it."""
    monkeypatch.setattr(statement, "check_totals", lambda *_: None)
    folder = make([(-(10**8), 0, 0, 0)], open_totals=False, m=solvency())
    verdict = check_bundle(folder)
    assert ended(verdict) == ["solvency 1", "shortfall 1"]
    assert exit_code(folder) == 4


def test_strict_statement_without_totals_says_all_of_each_account(make: Callable[..., Path]) -> None:
    folder = make([(10**6, 0, 0, 1), (10**6, 0, 0, 0), (5, 0, 0, 0)], open_totals=False, m=solvency(strict=True))
    verdict = check_bundle(folder)
    assert ended(verdict) == []
    assert ended(verdict, Result.OPEN) == ["liabilities USD", "liabilities XVT", "open interest"]
    assert verdict.headline.startswith("Each of the 3 committed accounts, checked by its holder or not, has equity")


@pytest.mark.parametrize(
    ("options", "name"),
    [({"usd": "269.9999"}, "liabilities USD"), ({"usd": "0"}, "liabilities USD"), ({"fund": "96.99"}, "shortfall 1")],
)
def test_one_unit_less_than_needed_fails(make: Callable[..., Path], options: dict[str, str], name: str) -> None:
    folder = make(BALANCED, **options, m=solvency(), c=coverage())
    assert name in ended(check_bundle(folder))
    assert exit_code(folder) == 4


@pytest.mark.usefixtures("proofs_once")
@pytest.mark.parametrize(
    ("asset", "enough", "short"),
    [("USDC", "102849.5", "102849.499999"), ("BTC", "2.21503965", "2.21503964"), ("SOL", "2.5", "2.499999")],
)
def test_reserves_one_unit_below_liabilities_fail(
    bundle: Path, rewrite: Rewrite, asset: str, enough: str, short: str
) -> None:
    """On the small book, whose liabilities the test of the verdict computes from its files."""
    rewrite(bundle / "reserves.json", lambda root: root["assets"].update({asset: enough}))
    assert ended(check_bundle(bundle)) == []
    rewrite(bundle / "reserves.json", lambda root: root["assets"].update({asset: short}))
    assert ended(check_bundle(bundle)) == [f"liabilities {asset}"]
    assert exit_code(bundle) == 4
    result = CliRunner().invoke(main, ["bundle", str(bundle), "--json"])
    assert result.exit_code == 4
    assert json.loads(result.stdout)["outcome"] == "verified, but claims fail or are not judged"


@pytest.mark.usefixtures("proofs_once")
def test_insurance_fund_one_quantum_below_the_shortfall_fails(bundle: Path, rewrite: Rewrite) -> None:
    rewrite(bundle / "reserves.json", lambda root: root["insurance_fund"].update(amount="3722.86367835"))
    assert ended(check_bundle(bundle)) == []
    rewrite(bundle / "reserves.json", lambda root: root["insurance_fund"].update(amount="3722.86367834"))
    assert ended(check_bundle(bundle)) == ["solvency 2", "shortfall 2"]
    rewrite(bundle / "reserves.json", lambda root: root["insurance_fund"].update(amount="0"))
    assert ended(check_bundle(bundle)) == [*("solvency 1", "shortfall 1", "solvency 2", "shortfall 2")]
