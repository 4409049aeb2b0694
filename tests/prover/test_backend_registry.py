"""Backends by name: our own, and those that other distributions register."""

import importlib
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from crossmargin.loading import load_folder
from crossmargin_prover import BackendError, Run, commit, prove, publish, select_backend
from crossmargin_prover.backend import available
from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_prover.cli import main

PLUGINS = Path(__file__).parents[1] / "plugins"
SMALL = Path(__file__).parents[2] / "examples" / "small"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test distribution is installed."""
    monkeypatch.syspath_prepend(PLUGINS)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, entry: str, source: str = "") -> None:
    """Install a distribution with one entry point and one module of its name."""
    monkeypatch.delitem(sys.modules, name, raising=False)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[crossmargin.backends]\n{entry}\n", encoding="utf-8")
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)


@pytest.mark.usefixtures("outside")
def test_backend_from_outside_proves_and_publishes(tmp_path: Path) -> None:
    counting = importlib.import_module("crossmargin_outside.backend")
    assert available()[-1] == "counting"
    assert available()[0] != "counting", "the default stays ours"
    book, run = load_folder(SMALL), Run(backend=select_backend("counting"), packing=0)
    committed = commit(book, tmp_path / "vault", run)
    # Its costs choose the shards, its arithmetic judges the bundle.
    assert committed.snapshot.manifest.accounts_per_shard == 2
    assert counting.CountingBackend.rows == 5
    prove(book, tmp_path / "vault", ["coverage"], Run(packing=0))
    publish(book, tmp_path / "vault", tmp_path / "bundle", run=run, despite_claims=True)
    assert counting.CountingArithmetic.points > 0


@pytest.mark.usefixtures("outside")
def test_command_line_offers_it(tmp_path: Path) -> None:
    arguments = ("commit", "--book", SMALL, "--vault", tmp_path / "vault", "--processes", 1, "--backend", "counting")
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    assert "backend: counting" in result.stderr
    assert "|counting]" in CliRunner().invoke(main, ["commit", "--help"]).output
    wrong = CliRunner().invoke(main, [*(str(each) for each in arguments[:-1]), "abacus"])
    assert wrong.exit_code == 2
    assert "'abacus' is not installed; there are: " in wrong.stderr


def test_name_of_ours_is_not_given_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "greedy", "reference = greedy:make", "def make():\n    raise ValueError\n")
    assert available().count("reference") == 1
    assert isinstance(select_backend("reference"), ReferenceBackend)


def test_name_that_two_distributions_register_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        install(tmp_path / name, monkeypatch, name, f"shared = {name}:make")
    assert available().count("shared") == 1
    with pytest.raises(BackendError, match="'shared' is registered by first and second: uninstall all but one"):
        select_backend("shared")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_the_kind", "cannot be used: ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("", "cannot be used: AttributeError"),
        ("def make():\n    raise OSError('no device')\n", "cannot be used: OSError: no device"),
        ("def make(threads):\n    pass\n", "cannot be used: TypeError"),
        ("def make():\n    return 7\n", "not a backend: it has no arithmetic, bit_sumcheck, .*costs, .*msm, name"),
    ],
)
def test_backend_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    install(tmp_path, monkeypatch, "broken", "broken = broken:make", source)
    assert "broken" in available()
    with pytest.raises(BackendError, match=rf"backend 'broken' of broken, broken:make: {reason}"):
        select_backend("broken")


def test_missing_backend_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(BackendError, match=r"'abacus' is not installed; there are: .*reference"):
        select_backend("abacus")
