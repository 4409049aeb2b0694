"""A venue that proves a true statement about a false book: what the verdict says, from the files to the exit code.

Beside this file, by what the venue bends:

    test_failing_claims.py   books whose claims fail, though every proof holds
    test_forged_models.py    policies that print one model and mean another
    test_judging.py          every claim, on books made by hand
    test_bundle_folder.py    files, anchor, names, links, counts
    test_receipts.py         receipts
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.expression import Abs, Linear, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit
from crossmargin_prover.backend import select_backend
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.claim import Result
from crossmargin_verifier.bundle.verdict import Outcome, Verdict
from crossmargin_verifier.cli import main

Rewrite = Callable[[Path, Callable[[Any], None]], None]
Anchoring = Callable[[Path], None]

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.BALANCE, "XVT", "1 XVT", 10**9),
        Column(ColumnKind.POSITION, "PERP", "1 contract", 10**6, "USD"),
    )
)
# A holder is long 3 contracts of 40 USD and is owed 120 USD of profit; the venue's own account is short.
RECORDS = [(0, 100, 3), (20_000, 0, -3)]
UNIT = ValueUnit("USD", "0.01")
TITLE = "\u2800PASS  solvency: nobody-lacks\r\nVERIFIED\x1b[2J"


def solvency() -> Policy:
    arrays = (
        RiskArray("value", "value", (1, 200, 4_000)),
        RiskArray("loss", "price falls by 5 USD", (0, 0, -500)),
    )
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    definitions = (
        Definition("equity", "equity", Role.EQUITY, Linear("value")),
        Definition("requirement", "requirement covers the loss", Role.REQUIREMENT, Abs(Linear("loss"))),
        Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap),
    )
    return Policy(PolicyKind.SOLVENCY, "v", TITLE, 0, UNIT, LAYOUT, arrays, definitions, ())


def coverage(usd: int, xvt: int) -> Policy:
    """Debts in both assets; usd, xvt: units for a contract, of which 4,000 and 0 are right."""
    arrays = (RiskArray("usd", "claim", (1, 0, usd)), RiskArray("xvt", "claim", (0, 1, xvt)))
    debts = (
        Definition("debt USD", "debt", Role.DEBT, Scale(-1, Linear("usd")), "USD"),
        Definition("debt XVT", "debt", Role.DEBT, Scale(-1, Linear("xvt")), "XVT"),
    )
    return Policy(PolicyKind.COVERAGE, "v", "debts", 0, UNIT, LAYOUT, arrays, debts, ())


@pytest.fixture(scope="module")
def proven(workshop: Any) -> tuple[Any, dict[str, dict[str, bytes]]]:
    """A snapshot, and statements about it by their names."""
    policies = {"margin": solvency(), "debts": coverage(4_000, 0), "moved": coverage(0, 20)}
    snapshot = workshop.commit(solvency(), RECORDS)
    return snapshot, {name: workshop.prove(snapshot, policy) for name, policy in policies.items()}


@pytest.fixture
def make(workshop: Any, proven: Any, tmp_path: Path) -> Callable[..., Path]:
    def write(*names: str, **assets: str) -> Path:
        snapshot, statements = proven
        chosen = {name: statements[name] for name in names}
        declared = assets or {"USD": "200", "XVT": "100"}
        folder: Path = workshop.write(tmp_path / "made", snapshot, chosen, declared, "0", "v")
        return folder

    return write


def checked(folder: Path) -> Verdict:
    return check_bundle(folder, arithmetic=select_backend().arithmetic)


def failing(verdict: Verdict) -> list[str]:
    return [f"{each.topic} {each.subject or each.statement}" for each in verdict.claims if each.result is Result.FAIL]


def test_control(make: Callable[..., Path]) -> None:
    verdict = checked(make("margin", "debts"))
    assert verdict.outcome is Outcome.VERIFIED
    assert [str(each.debts) for each in verdict.assets] == ["0 USD", "0 XVT"]


def test_profit_owed_in_dollars_and_counted_in_tokens_fails(make: Callable[..., Path]) -> None:
    """The value is right, the asset is not: what holders are owed in USD misses the profit."""
    verdict = checked(make("margin", "moved"))
    assert failing(verdict) == ["positions position PERP"]
    assert verdict.outcome is Outcome.CLAIMS_OPEN


def test_right_debts_beside_wrong_ones_do_not_help(make: Callable[..., Path]) -> None:
    """Of two statements each debt would be the lesser one, so that the profit were counted in no asset at all."""
    assert failing(checked(make("margin", "debts", "moved"))) == ["positions position PERP"]


def test_reserves_of_an_asset_with_another_spelling_are_none(make: Callable[..., Path]) -> None:
    verdict = checked(make("margin", "debts", usd="1000000", XVT="100"))
    assert failing(verdict) == ["liabilities USD"]
    assert verdict.assets[0].reserves is None


def test_asset_that_has_entry_values_alone_is_refused(make: Callable[..., Path], anchor: Anchoring) -> None:
    """Deposits booked as entry values of an asset without a balance column: nobody would judge what is owed in it."""
    folder = make("margin", "debts")
    for name in ("margin", "debts"):
        file = folder / "statements" / name / "policy.json"
        policy = json.loads(file.read_bytes())
        policy["columns"].insert(2, {**policy["columns"][0], "kind": "entry", "name": "EUR", "unit": "0.01 EUR"})
        for array in policy["arrays"]:
            array["coefficients"].insert(2, 1)
        file.write_bytes(dump_canonical(policy))
    anchor(folder)
    result = CliRunner().invoke(main, ["bundle", str(folder)])
    assert result.exit_code == 1
    assert "EUR has no balance column" in result.output


def test_title_writes_no_line_of_the_verdict(make: Callable[..., Path]) -> None:
    """The venue's words stand on lines that are marked as such; last line and exit code are the verifier's."""
    result = CliRunner().invoke(main, ["bundle", str(make("margin", "moved"))])
    assert result.exit_code == 4
    lines = result.stdout.splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    for word in ("nobody-lacks", "[2J"):
        (line,) = [line for line in lines if word in line]
        assert line.startswith("  venue's words: ")
    assert "VERIFIED" not in [line.strip() for line in lines]
    assert [line for line in lines if line.startswith("VERIFIED, BUT 1 claim fails (positions)")] == lines[-1:]


def test_statement_struck_from_the_list_leaves_files_without_a_place(
    make: Callable[..., Path], rewrite: Rewrite
) -> None:
    """A debt statement that is struck from the list, with a new signature, shows by its files."""
    folder = make("margin", "debts")
    rewrite(folder / "bundle.json", lambda root: root["statements"].pop())
    result = CliRunner().invoke(main, ["bundle", str(folder)])
    assert result.exit_code == 1
    assert "place" in result.output


def test_names_of_other_policies_are_no_other_statement(make: Callable[..., Path], proven: Any, workshop: Any) -> None:
    """The same statement under two names is judged twice, and adds up to nothing more."""
    snapshot, statements = proven
    folder = make("margin", "debts")
    twice = {"a": statements["margin"], "b": statements["margin"], "c": statements["debts"]}
    folder = workshop.write(folder.parent / "twice", snapshot, twice, {"USD": "200", "XVT": "100"}, "0", "v")
    verdict = checked(folder)
    assert verdict.outcome is Outcome.VERIFIED
    first, second = verdict.statements[:2]
    assert dataclasses.replace(first, number=2, name="b") == second
