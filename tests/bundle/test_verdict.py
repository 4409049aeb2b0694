"""The verdict on an honest bundle: every figure computed again from the book, every digest, both forms of the text."""

import hashlib
import json
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossmargin.engine.evaluate import evaluate
from crossmargin.loading import Inputs
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.layout import ColumnKind
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.verdict import NOT_SHOWN, Claim, Result, Verdict
from crossmargin_verifier.protocol.errors import RejectedError

pytestmark = pytest.mark.usefixtures("proofs_once")

UNITS = {"USDC": Fraction(1, 10**6), "BTC": Fraction(1, 10**8), "SOL": Fraction(1, 10**6)}
QUANTUM = Fraction(1, 10**8)


@pytest.fixture(scope="module")
def verdict(venue: Any) -> Verdict:
    return check_bundle(venue.bundle)


def claim(verdict: Verdict, name: str) -> Claim:
    found = [each for each in verdict.claims if each.name == name]
    assert len(found) == 1, name
    return found[0]


def amounts(text: str) -> list[Fraction]:
    """Every number in a text, thousands separators read."""
    return [Fraction(Decimal(found.replace(",", ""))) for found in re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)]


def column_total(small: Inputs, kind: ColumnKind, name: str) -> int:
    number = small.catalogue.layout().index(kind, name)
    return int(np.asarray(small.book.records.sum(axis=0)).ravel()[number])


def tagged(label: str, data: bytes) -> str:
    """H_T of SPEC S1, written out again."""
    tag = f"crossmargin/1/{label}".encode()
    return hashlib.sha256(bytes([len(tag)]) + tag + data).hexdigest()


def test_every_claim_is_there_and_none_fails(verdict: Verdict) -> None:
    assert verdict.verified
    assert [(each.name, each.result) for each in verdict.claims] == [
        ("maintenance", Result.PASS),
        ("maintenance: requirement", Result.INFO),
        ("maintenance: shortfall", Result.PASS),
        ("initial", Result.PASS),
        ("initial: requirement", Result.INFO),
        ("initial: shortfall", Result.PASS),
        ("coverage", Result.PASS),
        ("coverage: debt USDC", Result.INFO),
        ("coverage: debt BTC", Result.INFO),
        ("coverage: debt SOL", Result.INFO),
        ("reserves", Result.INFO),
        ("accounts", Result.PASS),
        ("liabilities USDC", Result.PASS),
        ("liabilities BTC", Result.PASS),
        ("liabilities SOL", Result.PASS),
        ("open interest", Result.PASS),
    ]
    assert all(each.meaning for each in verdict.claims)


@pytest.mark.parametrize("asset", UNITS)
def test_liabilities_are_balances_and_entry_values(verdict: Verdict, small: Inputs, asset: str) -> None:
    owed = column_total(small, ColumnKind.BALANCE, asset)
    if small.catalogue.layout().find(ColumnKind.ENTRY, asset) is not None:
        owed += column_total(small, ColumnKind.ENTRY, asset)
    expected = [owed * UNITS[asset], Fraction(small.reserves.assets[asset])]
    assert amounts(claim(verdict, f"liabilities {asset}").figures) == expected
    assert expected[0] > 0


@pytest.mark.parametrize("statement", ["maintenance", "initial"])
def test_requirement_and_shortfall_are_the_engines(verdict: Verdict, small: Inputs, statement: str) -> None:
    policy = build_policy(small.venue.venue, small.environment, small.model, statement)
    margin = evaluate(compile_policy(policy), small.book.records)
    required = sum(margin.requirement.tolist())
    missing = sum(max(0, -excess) for excess in margin.excess.tolist())
    assert amounts(claim(verdict, f"{statement}: requirement").figures) == [required * QUANTUM]
    fund = Fraction(small.reserves.insurance_fund)
    assert amounts(claim(verdict, f"{statement}: shortfall").figures) == [missing * QUANTUM, fund]
    assert missing > 0, "the small book has an account under water"


@pytest.mark.parametrize("asset", ["USDC", "BTC"])
def test_debts_are_the_negative_claims(verdict: Verdict, small: Inputs, asset: str) -> None:
    """A claim is balance, entry value and the mark value of what settles in the asset, rounded once per lot."""
    values = small.environment.valuation.unit_values()
    unit = values[small.catalogue.layout().index(ColumnKind.BALANCE, asset)]
    settled = [name == asset for name in small.catalogue.settlement_of_columns()]
    weights = np.where(settled, np.rint(values / unit), 0).astype(np.int64)
    claims = (small.book.records @ weights).tolist()
    debt = sum(-each for each in claims if each < 0)
    credit = sum(each for each in claims if each > 0)
    expected = [debt * UNITS[asset], credit * UNITS[asset]]
    assert amounts(claim(verdict, f"coverage: debt {asset}").figures) == expected


def test_accounts_and_open_interest(verdict: Verdict, small: Inputs) -> None:
    assert amounts(claim(verdict, "accounts").figures) == [5, 3, 5, 3, 0]
    assert len(small.book) == 5
    instruments = [each.name for each in small.catalogue.instruments]
    assert all(column_total(small, ColumnKind.POSITION, name) == 0 for name in instruments)
    assert amounts(claim(verdict, "open interest").figures) == [len(instruments)]


def test_declarations_are_shown(verdict: Verdict, small: Inputs) -> None:
    shown = claim(verdict, "reserves")
    assert amounts(shown.figures) == [3, Fraction(small.reserves.insurance_fund)]
    assert small.reserves.source in shown.figures


def test_digests_are_those_of_the_files(venue: Any, verdict: Verdict) -> None:
    expected = {"snapshot": tagged("snapshot", (venue.bundle / "initial" / "snapshot.cm1").read_bytes())}
    for name in ("maintenance", "initial", "coverage"):
        for file, label in (("statement.cm1", "statement"), ("policy.json", "policy")):
            expected[f"{name} {label}"] = tagged(label, (venue.bundle / name / file).read_bytes())
    declared = json.loads((venue.bundle / "bundle.json").read_bytes())
    assert verdict.digests == {**expected, "receipt key": declared["receipt_key"]}
    assert verdict.digests["snapshot"] == declared["snapshot"]


def test_equal_digests_are_compared(venue: Any, verdict: Verdict) -> None:
    expected = {name: bytes.fromhex(digest) for name, digest in verdict.digests.items()}
    compared = check_bundle(venue.bundle, expected)
    assert set(compared.compared) == set(expected)
    assert compared.text.count("compared: equal") == len(expected)
    assert "Not compared" not in compared.text
    some = check_bundle(venue.bundle, {"snapshot": expected["snapshot"]})
    assert some.compared == ("snapshot",)
    assert "Not compared: maintenance statement, maintenance policy" in " ".join(some.text.split())


def test_verdict_without_comparison_says_so(verdict: Verdict) -> None:
    assert verdict.compared == ()
    text = " ".join(verdict.text.split())
    assert "Not compared: snapshot, maintenance statement" in text
    assert "A verdict without the comparison says only that the bundle agrees with itself." in text
    assert "compared: equal" not in text


@pytest.mark.parametrize(
    "name", ["snapshot", "maintenance statement", "initial policy", "coverage statement", "receipt key"]
)
def test_different_digest_is_rejected(venue: Any, verdict: Verdict, name: str) -> None:
    digest = bytes.fromhex(verdict.digests[name])
    other = digest[:-1] + bytes([digest[-1] ^ 1])
    with pytest.raises(RejectedError, match=f"^V10: {name}: expected {other.hex()}, found {verdict.digests[name]}$"):
        check_bundle(venue.bundle, {name: other})


@pytest.mark.parametrize("name", ["stress statement", "policy", "Snapshot", ""])
def test_digest_of_something_that_is_not_there_is_rejected(venue: Any, name: str) -> None:
    with pytest.raises(RejectedError, match=f"^V10: the bundle has no {name} to compare"):
        check_bundle(venue.bundle, {name: bytes(32)})


def test_text_shows_every_claim_formula_and_limit(verdict: Verdict) -> None:
    text = verdict.text
    assert text.endswith("\nVerdict: VERIFIED\n")
    for each in verdict.claims:
        assert f"  {each.result}  {each.name}" in text
        assert each.figures in text
        assert each.meaning in text
    flat = " ".join(text.split())
    for lines in verdict.formulas.values():
        assert all(" ".join(line.split()) in flat for line in lines)
    assert "shortfall >= requirement - equity" in text
    assert "What this does not show" in text
    assert all(f"  - {line}\n" in text for line in NOT_SHOWN)
    assert all(digest in text for digest in verdict.digests.values())


def test_json_says_the_same(verdict: Verdict) -> None:
    data = json.loads(verdict.encoded)
    assert data == verdict.data
    assert data["verified"] is True
    assert [(each["claim"], each["result"]) for each in data["claims"]] == [
        (each.name, str(each.result)) for each in verdict.claims
    ]
    assert data["digests"] == dict(verdict.digests)
    assert data["not shown"] == list(NOT_SHOWN)


def test_summaries_in_the_bundle_are_the_verdict(venue: Any, verdict: Verdict) -> None:
    assert (venue.bundle / "summary.json").read_bytes() == verdict.encoded
    assert (venue.bundle / "summary.txt").read_text(encoding="utf-8") == verdict.text


def test_bundle_without_summaries_gets_the_same_verdict(bundle: Path, verdict: Verdict) -> None:
    for name in ("summary.json", "summary.txt"):
        (bundle / name).unlink()
    assert check_bundle(bundle) == verdict
