"""A book is committed only if its files are those of its control file, whose digest the report keeps."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from crossmargin.loading import write_control
from crossmargin_prover.cli import main
from crossmargin_prover.vault.vault import Vault

SMALL = Path(__file__).parents[2] / "examples" / "small"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    folder = tmp_path / "book"
    shutil.copytree(SMALL, folder)
    write_control(folder)
    return folder


def test_commit_prints_and_keeps_the_digest(book: Path, tmp_path: Path) -> None:
    arguments = ["commit", "--book", str(book), "--vault", str(tmp_path / "vault"), "--processes", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    digest = hashlib.sha256((book / "control.json").read_bytes()).hexdigest()
    assert f"files as control.json states them, SHA-256\n  {digest}\n" in result.stdout
    vault = Vault(tmp_path / "vault")
    assert vault.load_report().control == digest
    # A report of a book without a control file, or of an earlier release, has no such key.
    report = vault.path / "report.json"
    report.write_text(json.dumps({**json.loads(report.read_bytes()), "control": None}))
    assert vault.load_report().control is None
    content = json.loads(report.read_bytes())
    del content["control"]
    report.write_text(json.dumps(content))
    assert vault.load_report().control is None


def test_commit_refuses_what_was_not_exported(book: Path, tmp_path: Path) -> None:
    positions = book / "positions.csv"
    positions.write_bytes(b"".join(positions.read_bytes().splitlines(keepends=True)[:-1]))
    result = CliRunner().invoke(main, ["commit", "--book", str(book), "--vault", str(tmp_path / "vault")])
    assert result.exit_code == 1
    assert "positions.csv: SHA-256" in result.stderr
    assert "rows where control.json states" in result.stderr
    assert not (tmp_path / "vault").exists()
