"""A strict statement, without a shortfall column: refused where an account is under water, proven where none is."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crossmargin_prover.cli import main
from crossmargin_prover.vault.vault import Vault, VaultError
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.claim import Topic

EXAMPLES = Path(__file__).parents[2] / "examples"


def strict(book: str, folder: Path) -> Path:
    """Copy a book, with `strict: true` in its model."""
    shutil.copytree(EXAMPLES / book, folder)
    model = folder / "model.yaml"
    text = model.read_text(encoding="utf-8")
    assert "strict: false" in text
    model.write_text(text.replace("strict: false", "strict: true"), encoding="utf-8")
    return folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def vault(venue: Any, tmp_path: Path) -> Path:
    """A copy of the vault with nothing proven in it."""
    copy = Path(shutil.copytree(venue.vault, tmp_path / "vault"))
    shutil.rmtree(copy / "statements")
    return copy


@pytest.mark.parametrize(("statement", "missing"), [("maintenance", "2,062.54444485"), ("initial", "3,722.86367835")])
def test_book_with_an_account_under_water_is_refused(vault: Path, tmp_path: Path, statement: str, missing: str) -> None:
    before = contents(vault)
    book = strict("small", tmp_path / "book")
    result = run("prove", "--book", book, "--vault", vault, "--statement", statement, "--processes", "1")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit)
    assert "1 account does not satisfy the statement" in result.stderr
    # The account, the row and what it lacks: the shortfall that the verdict on the lenient statement shows.
    assert (
        f"account acct-d: value in BTC, 0.05 haircut: equity - requirement >= 0: {missing} USD missing" in result.stderr
    )
    for solvent in ("acct-a", "acct-b", "acct-c", "acct-e"):
        assert solvent not in result.stderr
    assert contents(vault) == before


def test_nothing_can_be_published_after_the_refusal(vault: Path, tmp_path: Path) -> None:
    result = run("publish", "--book", EXAMPLES / "small", "--vault", vault, "--out", tmp_path / "bundle")
    assert result.exit_code == 1
    assert "holds no proven statement" in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_solvent_book_is_proven_and_verified(tmp_path: Path) -> None:
    book, vault, bundle = strict("edges/one-account", tmp_path / "book"), tmp_path / "vault", tmp_path / "bundle"
    assert run("commit", "--book", book, "--vault", vault, "--processes", "1").exit_code == 0
    options = ("--statement", "maintenance", "--processes", "1")
    proven = run("prove", "--book", book, "--vault", vault, *options)
    assert proven.exit_code == 0, proven.output
    result = run("publish", "--book", book, "--vault", vault, "--out", bundle, "--despite-claims")
    assert result.exit_code == 4, result.output
    verdict = check_bundle(bundle)
    assert not verdict.failed
    assert {claim.topic for claim in verdict.open} == {Topic.LIABILITIES}, "nothing is stated about coverage"
    (statement,) = verdict.statements
    assert statement.strict
    assert statement.shortfall is None
    assert statement.formulas[-1] == "-(requirement - equity) >= 0"


def test_failed_proof_leaves_an_earlier_statement_in_place(venue: Any, tmp_path: Path) -> None:
    """A strict attempt on a vault that holds the lenient statement changes nothing of it."""
    vault = Path(shutil.copytree(venue.vault, tmp_path / "vault"))
    before = contents(vault)
    book = strict("small", tmp_path / "book")
    result = run("prove", "--book", book, "--vault", vault, "--statement", "maintenance", "--processes", "1")
    assert result.exit_code == 1
    assert contents(vault) == before
    assert list(Vault.open(vault).statements()) == ["coverage", "initial", "maintenance"]


def test_what_a_killed_run_left_over_is_no_statement(venue: Any, tmp_path: Path) -> None:
    vault = Path(shutil.copytree(venue.vault, tmp_path / "vault"))
    shutil.copytree(vault / "statements" / "initial", vault / "statements" / ".initial.0123456789abcdef")
    assert list(Vault.open(vault).statements()) == ["coverage", "initial", "maintenance"]


def test_vault_of_an_interrupted_commit_is_used_again(tmp_path: Path) -> None:
    """Keys alone commit to nothing; anything else in the folder is kept."""
    Vault.create(tmp_path / "vault")
    Vault.create(tmp_path / "vault")
    (tmp_path / "vault" / "diary.txt").write_text("dear diary", encoding="utf-8")
    with pytest.raises(VaultError, match=r"holds something else, diary\.txt"):
        Vault.create(tmp_path / "vault")
