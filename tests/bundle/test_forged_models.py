"""Policies that print an honest model and mean another: refused, or judged by what they mean."""

import dataclasses
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import MalformedError, PolicyError
from crossmargin_circuits.expression import Expression, Linear, Max, PositivePart, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Constraint, Definition, Policy, RiskArray, Role, ValueUnit
from crossmargin_prover.signing import SigningKey
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.declarations import BundleManifest
from crossmargin_verifier.bundle.verdict import Claim, Result, Verdict
from crossmargin_verifier.protocol.errors import RejectedError

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.ACCOUNT, "", "1 account", 1),
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.BALANCE, "OWN", "1 OWN", 10**9),
    )
)
# A holder with 100 USD, and an account of the venue's own: minus 99 USD against its own token.
RECORDS = [(1, 10_000, 0), (1, -9_900, 10**6)]


def policy(*definitions: Definition, arrays: tuple[RiskArray, ...] = ()) -> Policy:
    given = (
        RiskArray("cash", "cash", (0, 1, 0)),
        RiskArray("loss", "loss", (0, 0, 1)),
        RiskArray("balance USD", "balance of USD", (0, 1, 0)),
    )
    return Policy("test-exchange", "forged", 0, ValueUnit("USD", "0.01"), LAYOUT, (*arrays, *given), definitions, ())


def define(name: str, role: Role, expression: Expression, subject: str = "") -> Definition:
    return Definition(name, f"{name} covers it", role, expression, subject)


EQUITY = define("equity", Role.ABBREVIATION, Linear("cash"))
REQUIREMENT = define("requirement", Role.REQUIREMENT, Linear("loss"))


def claims(workshop: Any, folder: Path, statement: Policy) -> dict[str, Result]:
    """Prove a policy about RECORDS, bundle it with ample reserves and no fund, and return the claims."""
    snapshot = workshop.commit(statement, RECORDS)
    made = workshop.write(
        folder,
        snapshot,
        {"m": workshop.prove(snapshot, statement)},
        {"USD": "1", "OWN": "1000000"},
        "0",
        "test-exchange",
    )
    return {claim.name: claim.result for claim in check_bundle(made).claims}


def test_hollow_shortfall_fails(workshop: Any, tmp_path: Path) -> None:
    hollow = define("shortfall", Role.SHORTFALL, Sum((Linear("loss"), Scale(-1000, Linear("loss")))))
    found = claims(workshop, tmp_path / "made", policy(EQUITY, REQUIREMENT, hollow))
    assert found["m: shortfall"] is Result.FAIL


def test_shortfall_with_the_label_of_a_hidden_auxiliary_is_not_lost(workshop: Any, tmp_path: Path) -> None:
    """Totals belong to definitions by number; the gap below is counted, whatever its name."""
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    several = Sum((PositivePart(Linear("loss")), Max((Linear("loss"), Linear("cash")))))
    spoiler = define("a", Role.HIDDEN, several)
    found = claims(workshop, tmp_path / "made", policy(EQUITY, spoiler, REQUIREMENT, define("s", Role.SHORTFALL, gap)))
    assert found["m: shortfall"] is Result.FAIL


def test_debt_without_its_row_fails(workshop: Any, tmp_path: Path) -> None:
    """The array behind the debt has another coefficient than 1 on the balance: the theorem says nothing then."""
    hollow = define("debt USD", Role.DEBT, Scale(-1, Linear("nothing")), "USD")
    nothing = RiskArray("nothing", "balance of USD", (0, 0, 1))
    found = claims(workshop, tmp_path / "made", policy(hollow, arrays=(nothing,)))
    assert found["m: debt USD"] is Result.FAIL
    honest = define("debt USD", Role.DEBT, Scale(-1, Linear("balance USD")), "USD")
    assert claims(workshop, tmp_path / "honest", policy(honest))["m: debt USD"] is Result.INFO


def test_hidden_shortfall_beside_an_empty_constraint_fails(workshop: Any, tmp_path: Path) -> None:
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    statement = policy(EQUITY, REQUIREMENT, define("shortfall", Role.HIDDEN, gap))
    accounts = RiskArray("accounts", "accounts", (1, 0, 0))
    empty = Constraint("solvency", "accounts >= 0", Linear("accounts"))
    statement = dataclasses.replace(statement, arrays=(accounts, *statement.arrays), constraints=(empty,))
    found = claims(workshop, tmp_path / "made", statement)
    assert found["m: solvency"] is Result.FAIL
    assert found["solvency"] is Result.FAIL
    assert found["m: credit"] is Result.FAIL


def margin_claims(workshop: Any, folder: Path, cash: tuple[int, ...]) -> dict[str, Result]:
    """Prove an honest formula over an equity array of these coefficients."""
    value = RiskArray("worth", "cash", cash)
    equity = define("equity", Role.ABBREVIATION, Linear("worth"))
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    statement = policy(equity, REQUIREMENT, define("shortfall", Role.SHORTFALL, gap), arrays=(value,))
    return claims(workshop, folder, statement)


def test_asset_that_equity_does_not_count_as_positive_fails(workshop: Any, tmp_path: Path) -> None:
    """Rounded to zero, a made-up account may owe any amount of it; below zero, it gains by owing it."""
    assert margin_claims(workshop, tmp_path / "zero", (0, 1, 0))["m: columns"] is Result.FAIL
    assert margin_claims(workshop, tmp_path / "negative", (0, 1, -1))["m: columns"] is Result.FAIL
    assert "m: columns" not in margin_claims(workshop, tmp_path / "honest", (0, 1, 1))


@pytest.mark.parametrize("fee", [-500, 500])
def test_row_that_depends_on_the_account_column_fails(workshop: Any, tmp_path: Path, fee: int) -> None:
    """A charge on every account is a credit to a made-up one that counts as minus four."""
    assert margin_claims(workshop, tmp_path / "made", (fee, 1, 1))["m: credit"] is Result.FAIL


def test_entry_value_that_is_worth_more_than_the_balance_fails(workshop: Any, tmp_path: Path) -> None:
    entry = Column(ColumnKind.ENTRY, "USD", "0.01 USD", 10**9)
    layout = RecordLayout((*LAYOUT.columns, entry))
    honest = policy(EQUITY, REQUIREMENT)
    arrays = tuple(dataclasses.replace(each, coefficients=(*each.coefficients, 2)) for each in honest.arrays)
    forged = dataclasses.replace(honest, layout=layout, arrays=arrays)
    snapshot = workshop.commit(forged, [(*record, 0) for record in RECORDS])
    proven = {"m": workshop.prove(snapshot, forged)}
    made = workshop.write(tmp_path / "made", snapshot, proven, {"USD": "1"}, "0", "test-exchange")
    found = {claim.name: claim.result for claim in check_bundle(made).claims}
    assert found["m: entry values"] is Result.FAIL


def test_liabilities_pass_only_where_debts_are_opened(workshop: Any, tmp_path: Path) -> None:
    """Net of a made-up debt the holder's 100 USD look like one."""
    assert margin_claims(workshop, tmp_path / "made", (0, 1, 1))["liabilities USD"] is Result.INFO
    honest = define("debt USD", Role.DEBT, Scale(-1, Linear("balance USD")), "USD")
    assert claims(workshop, tmp_path / "honest", policy(honest))["liabilities USD"] is Result.PASS


def test_two_debts_of_one_asset_are_refused() -> None:
    twice = [define(name, Role.DEBT, Scale(-1, Linear("balance USD")), "USD") for name in ("a", "b")]
    with pytest.raises(PolicyError, match="one asset"):
        policy(*twice)


def test_deposit_does_not_pass_as_a_position() -> None:
    with pytest.raises(MalformedError, match="contract"):
        RecordLayout((LAYOUT.columns[0], Column(ColumnKind.POSITION, "balance:USD", "0.01 USD", 10)))


@pytest.mark.parametrize("name", ["reserves", "accounts", "solvency"])
def test_statement_is_not_called_as_a_claim_of_the_verdict(name: str) -> None:
    manifest = BundleManifest("test-exchange", bytes(32), (name,), SigningKey.generate().public, 1, 0, 0)
    with pytest.raises(MalformedError, match="word of the verdict"):
        BundleManifest.decode(manifest.encoded)


@pytest.mark.parametrize(
    "name",
    [
        "requirement - equity",
        "excess of a > sum[2]",
        "max(0",
        "",
        "1 x",
        "a  b",
        " a",
        "a ",
        "réquirement",
        "[x]",
        "a*b",
    ],
)
def test_name_that_reads_as_a_formula_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        policy(define(name, Role.HIDDEN, Linear("loss")))
    with pytest.raises(MalformedError):
        policy(EQUITY, arrays=(RiskArray(name, "x", (0, 0, 0)),))


def test_array_and_definition_do_not_share_a_name() -> None:
    with pytest.raises(MalformedError, match="names two"):
        policy(REQUIREMENT, arrays=(RiskArray("requirement", "x", (0, -1, 0)),))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("BTC [0.0000000000000001 BTC]", "0.00000001 BTC"),
        ("BTC", "0.0000000000000001 BTC] [0.00000001 BTC"),
        ("BTС", "0.00000001 BTC"),
        ("", "0.00000001 BTC"),
        ("BTC", ""),
        ("BTC", "0.00000001 thousand BTC"),
        ("BTC", "0 BTC"),
        ("BTC", "1e-8 BTC"),
    ],
)
def test_column_label_has_one_reading(name: str, unit: str) -> None:
    with pytest.raises(MalformedError):
        RecordLayout((LAYOUT.columns[0], Column(ColumnKind.BALANCE, name, unit, 10)))


def test_statements_that_read_the_columns_differently_are_rejected(workshop: Any, tmp_path: Path) -> None:
    """Kinds and units are part of the label, so only limits can differ; a statement about other columns is refused."""
    first = policy(EQUITY, REQUIREMENT, define("shortfall", Role.SHORTFALL, Reference("requirement")))
    coarse = dataclasses.replace(LAYOUT.columns[1], unit="1 USD")
    other = dataclasses.replace(first, layout=RecordLayout((LAYOUT.columns[0], coarse, LAYOUT.columns[2])))
    snapshot = workshop.commit(first, RECORDS)
    statements = {"a": workshop.prove(snapshot, first)}
    made = workshop.write(tmp_path / "made", snapshot, statements, {"USD": "1"}, "0", "test-exchange")
    (made / "a" / "policy.json").write_bytes(other.encoded)
    with pytest.raises(RejectedError, match="V2"):
        check_bundle(made)


@pytest.mark.timeout(60)
def test_formula_of_many_megabytes_is_shown_in_time() -> None:
    """Words of one letter: wrapping 20 MB of them takes half a minute."""
    name = "n" + 240 * " a"
    formula = str(define("u", Role.HIDDEN, Sum(tuple(Linear(name) for _ in range(40_000)))))
    claim = Claim("m", Result.PASS, "", "")
    verdict = Verdict("v", "s", 0, (claim,), {"m": (formula,)}, {"snapshot": "00"}, ())
    started = process_time()
    assert f"\n  {formula}\n" in verdict.text
    assert process_time() - started < 15


def test_nested_scaling_is_refused_before_it_takes_long() -> None:
    expression: Expression = Max(tuple(Scale(by, Linear("loss")) for by in range(1, 2000)))
    chain = [define("d0", Role.ABBREVIATION, expression)]
    for level in range(1, 60):
        chain.append(define(f"d{level}", Role.ABBREVIATION, Scale(1, Reference(f"d{level - 1}"))))
    with pytest.raises(PolicyError, match=r"too large|too much work"):
        compile_policy(policy(*chain, define("u", Role.HIDDEN, Reference("d59"))))
