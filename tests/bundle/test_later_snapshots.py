"""An hour later: prices have moved, some accounts have traded; whatever did not change is reused."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crossmargin_prover.backend import available
from crossmargin_prover.cli import main as prover
from crossmargin_prover.vault.vault import Vault
from crossmargin_verifier.cli import main as verifier

SMALL = Path(__file__).parents[2] / "examples" / "small"
PUBLIC = ("columns.cm2", "positions.cm2", "snapshot.cm2", "totals.cm2", "records-000000.cm2")


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def change(book: Path, file: str, old: str, new: str) -> None:
    text = (book / file).read_text(encoding="utf-8")
    assert old in text
    (book / file).write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The same book an hour later, at another price of bitcoin."""
    book = Path(shutil.copytree(SMALL, tmp_path / "book"))
    change(book, "market.yaml", "2025-03-28T08:00:00Z", "2025-03-28T09:00:00Z")
    change(book, "market.yaml", "T07:59", "T08:59")
    change(book, "market.yaml", '"85412.37"', '"85512.37"')
    return book


def prove(book: Path, vault: Path, since: Path, *more: object) -> Result:
    options = ("--packing", 0, "--processes", 1, "--statement", "coverage")
    return run(prover, "prove", "--book", book, "--vault", vault, "--since", since, *options, *more)


def publish(book: Path, vault: Path, out: Path, *more: object) -> None:
    arguments = ("publish", "--book", book, "--vault", vault, "--out", out, "--processes", 1, "--despite-claims")
    result = run(prover, *arguments, *more)
    assert result.exit_code == 4, result.output
    check = run(verifier, "bundle", out, "--processes", 1)
    assert check.exit_code == result.exit_code


def test_price_move_keeps_snapshot_and_receipts(venue: Any, later: Path, tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    result = prove(later, vault, venue.vault)
    assert result.exit_code == 0, result.output
    assert "no account changed: the earlier snapshot and its receipts remain valid; its digest" in result.output
    assert "re-randomized" not in result.output
    for name in PUBLIC:
        assert (vault / "snapshot" / name).read_bytes() == (venue.vault / "snapshot" / name).read_bytes()
    refused = run(prover, "publish", "--book", later, "--vault", vault, "--out", tmp_path / "bundle", "--processes", 1)
    assert refused.exit_code == 1
    assert "would be the second view of a snapshot" in refused.stderr
    publish(later, vault, tmp_path / "bundle", "--other-prices")
    first, second = (each / "statements" / "coverage" for each in (venue.bundle, tmp_path / "bundle"))
    assert (first / "slack.cm2").read_bytes() != (second / "slack.cm2").read_bytes()
    for account in ("acct-a", "acct-e"):
        receipt = venue.receipt(account)
        checked = run(verifier, "receipt", receipt, "--bundle", tmp_path / "bundle", "--id", account)
        assert checked.exit_code == 0, checked.output
        assert "signature  holds" in checked.output
    again = prove(later, vault, venue.vault)
    assert again.exit_code == 0
    assert "committed already; snapshot digest" in again.output
    older = ("publish", "--book", SMALL, "--vault", venue.vault, "--out", tmp_path / "bundle", "--processes", 1)
    refused = run(prover, *older)
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1].startswith(
        f"refused: {tmp_path / 'bundle'} holds a later bundle, snapshot of"
    )
    assert run(prover, *older, "--older").exit_code == 0


def test_changed_accounts_are_committed_from_the_earlier_ones(venue: Any, later: Path, tmp_path: Path) -> None:
    change(later, "balances.csv", "acct-b,,USDC,65000", "acct-b,,USDC,65001")
    with (later / "accounts.csv").open("a", encoding="utf-8") as stream:
        stream.write("acct-new,\n")
    with (later / "balances.csv").open("a", encoding="utf-8") as stream:
        stream.write("acct-new,,USDC,100\n")
    vault = tmp_path / "vault"
    result = prove(later, vault, venue.vault, "--backend", "reference")
    assert result.exit_code == 0, result.output
    assert "re-randomized: 4 unchanged accounts, 1 changed; committed: 1" in result.output
    assert "publish it now" in result.output
    publish(later, vault, tmp_path / "bundle")
    assert Vault.open(vault).signing_key.public == Vault.open(venue.vault).signing_key.public
    assert Vault.open(vault).signing_key.public == Vault.open(venue.vault).signing_key.public
    before, after = (Vault.open(path).load().whole() for path in (venue.vault, vault))
    assert not {before.encoding(leaf) for leaf in range(5)} & {after.encoding(leaf) for leaf in range(6)}
    refused = prove(SMALL, vault, venue.vault)
    assert refused.exit_code == 1
    assert "holds the finished snapshot of other accounts" in refused.stderr


def test_other_columns_are_committed_anew(venue: Any, later: Path, tmp_path: Path) -> None:
    change(later, "instruments.yaml", "BTC-27JUN25-100000-C", "BTC-27JUN25-110000-C")
    change(later, "instruments.yaml", '"100000"', '"110000"')
    change(later, "market.yaml", "BTC-27JUN25-100000-C", "BTC-27JUN25-110000-C")
    change(later, "positions.csv", "BTC-27JUN25-100000-C", "BTC-27JUN25-110000-C")
    result = run(
        prover, "commit", "--book", later, "--vault", tmp_path / "vault", "--since", venue.vault, "--processes", 1
    )
    assert result.exit_code == 0, result.output
    assert "recommitting all accounts: the columns are not those of the earlier snapshot" in result.output


@pytest.mark.skipif("kernel" not in available(), reason="the compiled kernel is not installed (make kernel)")
def test_short_records_are_committed_anew_by_the_kernel(venue: Any, later: Path, tmp_path: Path) -> None:
    change(later, "balances.csv", "acct-b,,USDC,65000", "acct-b,,USDC,65001")
    result = prove(later, tmp_path / "vault", venue.vault, "--backend", "kernel")
    assert result.exit_code == 0, result.output
    assert "recommitting all accounts: with records this short it is faster than re-randomizing" in result.output


def test_earlier_vaults_that_are_refused(venue: Any, later: Path, tmp_path: Path) -> None:
    Vault.create(tmp_path / "begun")
    for earlier in ("none", "begun"):
        result = prove(later, tmp_path / "vault", tmp_path / earlier)
        assert result.exit_code == 1
        assert "holds no committed snapshot" in result.stderr
        assert not (tmp_path / "vault").exists()
    damaged = Path(shutil.copytree(venue.vault, tmp_path / "damaged"))
    (damaged / "snapshot" / "positions.cm2").write_bytes(b"CM2X")
    result = prove(later, tmp_path / "vault", damaged)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"refused: {damaged / 'snapshot'}: positions.cm2: ")
