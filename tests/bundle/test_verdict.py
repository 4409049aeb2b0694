"""The verdict on an honest bundle: every figure computed again from the book, every digest, both forms of the text."""

import hashlib
import json
from dataclasses import fields
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
from crossmargin_verifier.bundle.claim import Result
from crossmargin_verifier.bundle.figures import Amount, Asset, Statement
from crossmargin_verifier.bundle.verdict import NOT_SHOWN, Outcome, Verdict
from crossmargin_verifier.protocol.errors import RejectedError

pytestmark = pytest.mark.usefixtures("proofs_once")

UNITS = {"USDC": Fraction(1, 10**6), "BTC": Fraction(1, 10**8), "SOL": Fraction(1, 10**6)}
QUANTUM = Fraction(1, 10**8)


@pytest.fixture(scope="module")
def verdict(venue: Any) -> Verdict:
    return check_bundle(venue.bundle)


def asset(verdict: Verdict, name: str) -> Asset:
    (found,) = (each for each in verdict.assets if each.asset == name)
    return found


def statement(verdict: Verdict, name: str) -> Statement:
    (found,) = (each for each in verdict.statements if each.name == name)
    return found


def number(amount: Amount | None) -> Fraction:
    assert amount is not None
    return Fraction(Decimal(amount.amount))


def column_total(small: Inputs, kind: ColumnKind, name: str) -> int:
    number = small.catalogue.layout().index(kind, name)
    return int(np.asarray(small.book.records.sum(axis=0)).ravel()[number])


def tagged(label: str, data: bytes) -> str:
    """H_T of SPEC S1, written out again."""
    tag = f"crossmargin/2/{label}".encode()
    return hashlib.sha256(bytes([len(tag)]) + tag + data).hexdigest()


def test_every_claim_is_there_and_none_fails(verdict: Verdict) -> None:
    assert verdict.outcome is Outcome.VERIFIED
    assert [(str(each.topic), each.statement, each.subject, each.result) for each in verdict.claims] == [
        ("solvency", 1, "", Result.PASS),
        ("full form", 1, "", Result.PASS),
        ("shortfall", 1, "", Result.PASS),
        ("solvency", 2, "", Result.PASS),
        ("full form", 2, "", Result.PASS),
        ("shortfall", 2, "", Result.PASS),
        ("coverage", 3, "", Result.PASS),
        ("positions", 1, "", Result.PASS),
        ("positions", 2, "", Result.PASS),
        ("liabilities", 0, "USDC", Result.PASS),
        ("liabilities", 0, "BTC", Result.PASS),
        ("liabilities", 0, "SOL", Result.PASS),
        ("open interest", 0, "", Result.PASS),
        ("reserves", 0, "", Result.INFO),
    ]
    assert all(each.text for each in verdict.claims)
    assert [each.name for each in verdict.statements] == ["maintenance", "initial", "coverage"]


@pytest.mark.parametrize("name", UNITS)
def test_assets_are_balances_and_entry_values(verdict: Verdict, small: Inputs, name: str) -> None:
    found = asset(verdict, name)
    net = column_total(small, ColumnKind.BALANCE, name)
    assert number(found.balances) == net * UNITS[name]
    if small.catalogue.layout().find(ColumnKind.ENTRY, name) is not None:
        entries = column_total(small, ColumnKind.ENTRY, name)
        assert number(found.entry_values) == entries * UNITS[name]
        net += entries
    assert number(found.net) == net * UNITS[name]
    assert number(found.reserves) == Fraction(small.reserves.assets[name])


@pytest.mark.parametrize("name", ["maintenance", "initial"])
def test_requirement_and_shortfall_are_the_engines(verdict: Verdict, small: Inputs, name: str) -> None:
    policy = build_policy(small.venue.venue, small.environment, small.model, name)
    margin = evaluate(compile_policy(policy), small.book.records)
    found = statement(verdict, name)
    assert number(found.requirement) == sum(margin.requirement.tolist()) * QUANTUM
    missing = sum(max(0, -excess) for excess in margin.excess.tolist())
    assert number(found.shortfall) == missing * QUANTUM
    assert missing > 0, "the small book has an account under water"
    assert number(verdict.reserves.insurance_fund) == Fraction(small.reserves.insurance_fund)
    assert number(found.equity) >= sum(margin.equity.tolist()) * QUANTUM
    assert (found.factor, found.strict) == ({"maintenance": "0.8", "initial": "1"}[name], False)


@pytest.mark.parametrize("name", ["USDC", "BTC"])
def test_debts_are_the_negative_claims(verdict: Verdict, small: Inputs, name: str) -> None:
    """A claim is balance, entry value and the mark value of what settles in the asset, rounded once per lot."""
    values = small.environment.valuation.unit_values()
    unit = values[small.catalogue.layout().index(ColumnKind.BALANCE, name)]
    settled = [each == name for each in small.catalogue.settlement_of_columns()]
    weights = np.where(settled, np.rint(values / unit), 0).astype(np.int64)
    claims = (small.book.records @ weights).tolist()
    found = asset(verdict, name)
    assert number(found.debts) == sum(-each for each in claims if each < 0) * UNITS[name]
    assert number(found.owed) == sum(each for each in claims if each > 0) * UNITS[name]


def test_accounts_and_instruments(verdict: Verdict, small: Inputs) -> None:
    assert verdict.snapshot.accounts == len(small.book) == 5
    assert verdict.headline.startswith("Each of the 5 committed accounts, checked by its holder or not, has equity")
    assert [each.instrument for each in verdict.instruments] == [each.name for each in small.catalogue.instruments]
    assert all(number(each.net) == 0 for each in verdict.instruments)
    assert [each.settled_in for each in verdict.instruments] == ["USDC", "BTC", "BTC", "BTC"]


def test_digests_are_those_of_the_files(venue: Any, verdict: Verdict) -> None:
    expected = {"snapshot": tagged("snapshot", (venue.bundle / "snapshot" / "snapshot.cm2").read_bytes())}
    for name in ("maintenance", "initial", "coverage"):
        for file, label in (("statement.cm2", "statement"), ("policy.json", "policy")):
            expected[f"{name} {label}"] = tagged(label, (venue.bundle / "statements" / name / file).read_bytes())
    declared = json.loads((venue.bundle / "bundle.json").read_bytes())
    expected["bundle"] = hashlib.sha256((venue.bundle / "anchor.json").read_bytes()).hexdigest()
    assert verdict.digests == {**expected, "receipt key": declared["receipt_key"]}
    assert verdict.digests["snapshot"] == declared["snapshot"]


def test_equal_digests_are_compared(venue: Any, verdict: Verdict) -> None:
    expected = {name: bytes.fromhex(digest) for name, digest in verdict.digests.items()}
    compared = check_bundle(venue.bundle, expected)
    assert set(compared.compared) == set(expected)
    assert compared.text.count("compared: equal") == len(expected)
    assert "not compared" not in compared.text
    some = check_bundle(venue.bundle, {"bundle": expected["bundle"]})
    assert some.compared == ("bundle",)
    assert "  bundle, compared: equal\n" in some.text


def test_verdict_without_comparison_says_so(verdict: Verdict) -> None:
    assert verdict.compared == ()
    text = " ".join(verdict.text.split())
    assert "not compared with an independent publication show only that the bundle agrees with itself" in text
    assert "compared: equal" not in text


@pytest.mark.parametrize(
    "name", ["bundle", "snapshot", "maintenance statement", "initial policy", "coverage statement", "receipt key"]
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
    assert text.endswith("\n\nVERIFIED\n")
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.replace("venue's words: ", "").split())
    for each in verdict.claims:
        assert f"  {each.result} {each.topic}" in text
        assert each.text in flat
    for described in verdict.statements:
        assert all(" ".join(line.split()) in flat for line in described.formulas)
        assert described.title in flat
    assert "shortfall >= requirement - equity" in flat
    assert all(f"- {line}" in flat for line in NOT_SHOWN)
    assert all(digest in text for digest in verdict.digests.values())


def test_json_says_the_same(verdict: Verdict) -> None:
    data = json.loads(verdict.encoded)
    assert data == verdict.data
    assert set(data) == {"format", "outcome", "not_shown", *(each.name for each in fields(verdict))}
    assert data["outcome"] == "verified"
    assert [(each["topic"], each["result"]) for each in data["claims"]] == [
        (str(each.topic), str(each.result)) for each in verdict.claims
    ]
    assert data["digests"] == dict(verdict.digests)
    assert data["not_shown"] == list(NOT_SHOWN)


def test_files_are_those_of_the_bundle(venue: Any, verdict: Verdict) -> None:
    unlisted = {"anchor.json", "anchor.sig", "summary.json", "summary.txt"}
    assert [each.path for each in verdict.files] == [name for name in venue.files if name not in unlisted]
    for each in verdict.files:
        data = (venue.bundle / each.path).read_bytes()
        assert (each.size, each.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_summaries_in_the_bundle_are_the_verdict_of_the_run_that_made_them(venue: Any, verdict: Verdict) -> None:
    """But for how and when it was reached."""
    summary = json.loads((venue.bundle / "summary.json").read_bytes())
    assert {**summary, "run": None} == {**verdict.data, "run": None}
    assert verdict.run is not None
    assert set(summary["run"]) == {"verifier", "arithmetic", "started", "ended"}
    assert summary["run"]["verifier"] == verdict.run.verifier == "0.2.0"
    text = (venue.bundle / "summary.txt").read_text(encoding="utf-8")
    assert text.partition("  crossmargin-verify ")[0] == verdict.text.partition("  crossmargin-verify ")[0]


def test_bundle_without_summaries_gets_the_same_verdict(bundle: Path, verdict: Verdict) -> None:
    for name in ("summary.json", "summary.txt"):
        (bundle / name).unlink()
    assert check_bundle(bundle) == verdict
