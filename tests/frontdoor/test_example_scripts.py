"""What a reader copies from examples/ runs, and imports nothing that is not public."""

import ast
import io
import json
import os
import runpy
import sqlite3
import subprocess
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import crossmargin as cm
from crossmargin.loading import load_parameters
from crossmargin.market.valuation import Valuation
from crossmargin.models import ARCHITECTURES
from tools.api_pages import PUBLIC

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
PACKAGES = ("crossmargin", "crossmargin_circuits", "crossmargin_prover", "crossmargin_verifier")


def code_cells(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def source_of(file: Path) -> str:
    return "\n".join(code_cells(file)) if file.suffix == ".ipynb" else file.read_text(encoding="utf-8")


def private_names(source: str) -> list[str]:
    """Return what a text imports or reads that is not public: modules, names, attributes with an underscore."""
    tree = ast.parse(source)
    found: list[str] = []
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.partition(".")[0] in PACKAGES:
                    found += [] if name.name in PUBLIC else [name.name]
                    aliases[name.asname or name.name] = name.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
            module = node.module or ""
            names = [name.name for name in node.names]
            known = import_module(module).__all__ if module in PUBLIC else []
            found += [f"{module}.{name}" for name in names if name not in known]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr.startswith("_") and not node.attr.endswith("__"):
                found.append(node.attr)
            if isinstance(node.value, ast.Name) and node.value.id in aliases:
                module = aliases[node.value.id]
                if module in PUBLIC and node.attr not in import_module(module).__all__:
                    found.append(f"{module}.{node.attr}")
    return found


def test_there_are_three_scripts_and_a_notebook() -> None:
    assert len(SCRIPTS) >= 3
    assert len(NOTEBOOKS) >= 1


@pytest.mark.parametrize("file", [*SCRIPTS, *NOTEBOOKS], ids=lambda file: file.name)
def test_examples_use_public_names_alone(file: Path) -> None:
    assert private_names(source_of(file)) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from crossmargin.engine.evaluate import evaluate", "crossmargin.engine.evaluate.evaluate"),
        ("import crossmargin.book.book", "crossmargin.book.book"),
        ("from crossmargin import api", "crossmargin.api"),
        ("import crossmargin as cm\ncm.api", "crossmargin.api"),
        ("import crossmargin as cm\ncm.load('b')._environment", "_environment"),
        ("from crossmargin.fields import _name", "crossmargin.fields._name"),
    ],
)
def test_private_names_are_found(source: str, name: str) -> None:
    assert private_names(source) == [name]


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_run_from_anywhere(file: Path, tmp_path: Path) -> None:
    """In an interpreter of their own, for what a script registers is meant for its program alone."""
    done = subprocess.run(
        [sys.executable, file],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_own_model_and_database_give_what_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database holds the small book; the model requires a rate of the value of every position, and nothing nets."""
    monkeypatch.setattr(ARCHITECTURES, "_registered", dict(ARCHITECTURES._registered))
    script = runpy.run_path(str(EXAMPLES / "own_model_and_database.py"))
    connection = sqlite3.connect(":memory:")
    script["fill"](connection)
    book = cm.load(script["Ledger"](connection), parameters=load_parameters(EXAMPLES / "small"))
    connection.close()
    of_files = cm.load(EXAMPLES / "small")
    assert book.accounts == of_files.accounts
    assert (book.inputs.book.sub_records != of_files.inputs.book.sub_records).nnz == 0
    common = book.model.model_dump(exclude={"model", "scan", "extreme"}, exclude_none=True)
    flat = book.with_model({**common, "model": "flat_rate", "rate": "0.05"})
    values = Valuation(book.catalogue, book.market).unit_values()
    for account in book.accounts:
        held = book.inputs.book.record(account)
        columns = zip(book.catalogue.layout().columns, held, values, strict=True)
        gross = sum(abs(units * value) for column, units, value in columns if column.kind == "position")
        assert float(flat.margin("initial").of(account).requirement) == pytest.approx(0.05 * gross, rel=1e-6)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.name)
def test_notebooks_run_in_order(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(notebook)):
        tree = ast.parse(cell)
        last = tree.body[-1]
        with redirect_stdout(io.StringIO()):
            exec(compile(ast.Module(tree.body[:-1], []), f"{notebook.name}, cell {number}", "exec"), names)  # noqa: S102
            shown = isinstance(last, ast.Expr)
            mode = ast.Expression(last.value) if isinstance(last, ast.Expr) else ast.Module([last], [])
            value = eval(compile(mode, f"{notebook.name}, cell {number}", "eval" if shown else "exec"), names)  # noqa: S307
        # What a notebook shows of a value: a page where it has one, or else its text.
        assert not shown or getattr(value, "_repr_html_", value.__repr__)()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.name)
def test_notebooks_are_valid_and_small(notebook: Path) -> None:
    """The shape that nbformat 4.5 asks of a notebook; without outputs, so that a change shows as what it is."""
    data = json.loads(notebook.read_text(encoding="utf-8"))
    assert set(data) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (data["nbformat"], data["nbformat_minor"]) == (4, 5)
    assert data["metadata"]["kernelspec"].keys() >= {"name", "display_name"}
    for cell in data["cells"]:
        assert cell["cell_type"] in ("code", "markdown")
        code = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | code
        assert isinstance(cell["source"], list)
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        assert (cell.get("outputs", []), cell.get("execution_count")) == ([], None)
    assert len({cell["id"] for cell in data["cells"]}) == len(data["cells"])
    assert notebook.stat().st_size < 20_000
