"""A crowding statement, proven on the command line and verified: its totals are those of crowding.yaml, and no more."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from crossmargin.analysis.replay import opened_crowding
from crossmargin.loading import Inputs, load_folder
from crossmargin.loading.yaml import read_yaml
from crossmargin.market.crowding import BOOK_VALUE, Crowding
from crossmargin.market.exposures import exposures
from crossmargin.models.policies import rebuild_policy
from crossmargin_circuits.policy import POLICY_FILE, Policy, PolicyKind
from crossmargin_prover.cli import main
from crossmargin_prover.vault.vault import Vault
from crossmargin_prover.workflow.proven import Proven
from crossmargin_prover.workflow.thin_totals import thin_totals
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.check_receipt import check_receipt
from crossmargin_verifier.bundle.verdict import Outcome, Result, Verdict
from crossmargin_verifier.cli import main as verifier

SMALL = Path(__file__).parents[2] / "examples" / "small"
RULE = {
    "weights": {"concentration": "0.4", "one_sidedness": "0.2", "leverage": "0.25", "common_exposure": "0.15"},
    "leverage_limit": "1",
    "start": "0.3",
    "maximum": "0",
    "thresholds": {"BTC": "10000"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small book; before any totals were opened the buffer is switched off by a maximum of 0."""
    made = Path(shutil.copytree(SMALL, tmp_path_factory.mktemp("crowded") / "book"))
    model = read_yaml(made / "model.yaml").value
    model = {**model, "contagion": RULE}
    model["statements"] = [{"name": "initial", "factor": "1"}, {"name": "coverage"}, {"name": "crowding"}]
    positions = (made / "positions.csv").read_text(encoding="utf-8")
    # Twice the linear contract, so that one account is net short.
    (made / "positions.csv").write_text(positions.replace("1500", "3000"), encoding="utf-8")
    (made / "model.yaml").write_text(yaml.safe_dump(model), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def crowded(folder: Path) -> Path:
    bundle = folder.parent / "bundle"
    parts = ("--vault", str(folder.parent / "vault"), "--bundle", str(bundle))
    receipts = ("--receipts", str(folder.parent / "receipts"), "--packing", "0", "--processes", "1")
    result = CliRunner().invoke(main, ["run", "--book", str(folder), *parts, *receipts])
    assert result.exit_code == 0, result.output
    return bundle


@pytest.fixture(scope="module")
def verdict(crowded: Path) -> Verdict:
    return check_bundle(crowded)


@pytest.fixture(scope="module")
def inputs(folder: Path) -> Inputs:
    return load_folder(folder)


@pytest.fixture(scope="module")
def computed(inputs: Inputs) -> Crowding:
    return opened_crowding(inputs.environment, inputs.model, inputs.book.records)


def test_opened_totals_are_those_of_the_file(verdict: Verdict, computed: Crowding) -> None:
    totals = computed.exposures["BTC"]
    assert totals.gross > totals.large_longs + totals.large_shorts
    assert totals.large_longs > totals.large_shorts > 0
    (statement,) = [each for each in verdict.statements if each.kind == "crowding"]
    assert {each.name: each.total.value for each in statement.exposures} == {
        "gross BTC": Fraction(totals.gross),
        "large longs BTC": Fraction(totals.large_longs),
        "large shorts BTC": Fraction(totals.large_shorts),
    }


def test_verdict_has_nothing_against_the_statement(verdict: Verdict) -> None:
    (statement,) = [each for each in verdict.statements if each.kind == "crowding"]
    assert statement.shortfall is statement.requirement is None
    about = [claim for claim in verdict.claims if claim.statement == statement.number]
    assert about
    assert {claim.result for claim in about} <= {Result.PASS, Result.INFO}
    assert verdict.outcome is Outcome.VERIFIED


def test_published_policy_is_computed_again(crowded: Path) -> None:
    policy = Policy.decode((crowded / "statements" / "crowding" / POLICY_FILE).read_bytes())
    assert policy.kind is PolicyKind.CROWDING
    assert rebuild_policy(policy) == policy


def test_equity_is_computed_from_the_net_totals_of_the_columns(
    crowded: Path, inputs: Inputs, computed: Crowding
) -> None:
    policy = Policy.decode((crowded / "statements" / "crowding" / POLICY_FILE).read_bytes())
    assert policy.definition(BOOK_VALUE).expression
    totals = [int(each) for each in np.asarray(inputs.book.records.sum(axis=0)).ravel()]
    value = sum(price * total for price, total in zip(policy.array("value").coefficients, totals, strict=True))
    assert Fraction(computed.equity) == value * Fraction(policy.value_unit.quantum) > 0


def test_holders_see_their_part_of_what_is_opened(folder: Path, crowded: Path, computed: Crowding) -> None:
    """The exposures on all receipts add up to the totals of the bundle; the command line prints them."""
    receipts = folder.parent / "receipts"
    index = json.loads((receipts / "index.json").read_text(encoding="utf-8"))["receipts"]
    summed: dict[str, Fraction] = {}
    for account, name in index.items():
        margins = check_receipt(receipts / f"{name}.json", account, bundle=crowded).margins
        (part,) = [each.exposures for each in margins if each.exposures]
        for key, amount in part.items():
            summed[key] = summed.get(key, Fraction(0)) + Fraction(amount.split()[0].replace(",", ""))
    totals = computed.exposures["BTC"]
    assert summed == {
        "gross BTC": Fraction(totals.gross),
        "large longs BTC": Fraction(totals.large_longs),
        "large shorts BTC": Fraction(totals.large_shorts),
    }
    shown = CliRunner().invoke(
        verifier, ["receipt", str(receipts / f"{index['acct-a']}.json"), "--bundle", str(crowded), "--id", "acct-a"]
    )
    assert shown.exit_code == 0 and "gross BTC" in shown.stdout


def test_few_accounts_on_one_side_are_warned_about(folder: Path, crowded: Path, inputs: Inputs) -> None:
    """With the net total both sides of a gross exposure follow from it, so each side is counted."""
    assert crowded.is_dir()
    deltas = exposures(inputs.environment.valuation, "BTC").delta
    net = inputs.book.records @ deltas
    proven = Vault.open(folder.parent / "vault").proven
    statements = [Proven(name, path) for name, path in proven.items()]
    lines = [line for line in thin_totals(Vault.open(folder.parent / "vault").load(), statements) if "have it" in line]
    warned = dict(line.rsplit(": accounts that have it: ", 1) for line in lines)
    assert int(warned["crowding, gross BTC (side 1)"]) == np.count_nonzero(net > 0)
    assert int(warned["crowding, gross BTC (side 2)"]) == np.count_nonzero(net < 0)
    assert int(warned["crowding, gross BTC"]) == np.count_nonzero(net)
