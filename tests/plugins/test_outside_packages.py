"""Models and sources of a package that is not part of this tree: found, loaded, computed, and checked as our own."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import crossmargin as cm
from crossmargin.loading import load, load_folder
from crossmargin.loading.inputs import source_of
from crossmargin.loading.yaml import read_yaml
from crossmargin.models import ARCHITECTURES, build_policy, rebuild_policy, register_model
from crossmargin.models.cross import CrossModel
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.policy import Policy
from crossmargin_prover.cli import main

OUTSIDE = Path(__file__).parent
SMALL = OUTSIDE.parents[1] / "examples" / "small"
FLAT = """\
model: flat_rate
version: 1
rate: "0.05"
value_unit: {currency: USD, quantum: "0.00000001"}
staleness_limit_seconds: 600
statements: [{name: maintenance, factor: "0.5"}]
"""
TABLES = ("accounts", "balances", "positions")
PARAMETERS = ("venue", "instruments", "market", "model", "reserves")
Install = Callable[[str, str], None]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is installed."""
    monkeypatch.syspath_prepend(OUTSIDE)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package with these entry points."""

    def write(name: str, entries: str) -> None:
        metadata = tmp_path / "site" / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(entries)
        # One folder a package, as the search path is what tells that something was installed.
        monkeypatch.syspath_prepend(metadata.rename(tmp_path / name / metadata.name).parent)

    (tmp_path / "site").mkdir()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    yield write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small book under the model from outside."""
    made = tmp_path / "book"
    shutil.copytree(SMALL, made)
    (made / "model.yaml").write_text(FLAT)
    return made


@pytest.fixture
def database(tmp_path: Path, folder: Path) -> Path:
    """The same book in a database."""
    path = tmp_path / "book.db"
    with sqlite3.connect(path) as connection:
        for table in TABLES:
            frame = pl.read_csv(folder / f"{table}.csv", infer_schema=False)
            connection.execute(f"CREATE TABLE {table} ({', '.join(frame.columns)})")
            marks = ", ".join("?" for _ in frame.columns)
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", frame.rows())  # noqa: S608 (fixed names)
        connection.execute("CREATE TABLE parameters (name, content)")
        for name in PARAMETERS:
            content = read_yaml(folder / f"{name}.yaml").value
            connection.execute("INSERT INTO parameters VALUES (?, ?)", (name, json.dumps(content)))
    connection.close()
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.mark.usefixtures("outside")
def test_a_database_is_the_book_that_the_folder_is(folder: Path, database: Path) -> None:
    ours, theirs = load_folder(folder), load(f"sqlite:{database}")
    assert theirs.book.accounts == ours.book.accounts
    assert (theirs.book.records != ours.book.records).nnz == 0
    assert theirs.snapshot_id == ours.snapshot_id
    assert type(theirs.model).__name__ == "FlatRate"
    assert theirs.environment == ours.environment
    margin = cm.load(f"sqlite:{database}").margin()
    assert margin.frame().equals(cm.load(folder).margin().frame())
    assert margin.frame()["requirement"].sum() > 0


@pytest.mark.usefixtures("outside")
def test_commands_take_source_and_model(tmp_path: Path, folder: Path, database: Path) -> None:
    shown = run("margin", "show", "--book", f"sqlite:{database}", "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout) == json.loads(run("margin", "show", "--book", folder, "--json").stdout)
    inputs = load_folder(folder)
    policy = tmp_path / "policy.json"
    policy.write_bytes(build_policy("test", inputs.environment, inputs.model, "maintenance").encoded)
    for arguments in ((policy,), (policy, "--book", f"sqlite:{database}")):
        checked = run("policy", "check", *arguments)
        assert checked.exit_code == 0, checked.output
        assert checked.output.startswith("equal: ")


def test_verifying_needs_no_code_of_the_model(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier reads arrays and formulas; only who computes the arrays again needs the class."""
    with monkeypatch.context() as patch:
        patch.syspath_prepend(OUTSIDE)
        inputs = load_folder(folder)
        encoded = build_policy("test", inputs.environment, inputs.model, "maintenance").encoded
    assert "flat_rate" not in ARCHITECTURES
    policy = Policy.decode(encoded)
    assert len(compile_policy(policy).relation.rows) > 0
    with pytest.raises(cm.InputErrors, match=r"inputs\.model: not one of .*span"):
        rebuild_policy(policy)


@pytest.mark.usefixtures("outside")
def test_faults_in_a_database_name_table_and_row(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE balances SET amount = '1e5' WHERE rowid = 3")
        connection.execute("UPDATE positions SET account = 'nobody' WHERE rowid = 2")
    connection.close()
    with pytest.raises(cm.InputErrors) as caught:
        load(f"sqlite:{database}")
    assert [each.place for each in caught.value.problems] == [
        "book.db, balances, row 3, amount",
        "book.db, positions, row 2, account",
    ]
    assert "add it to book.db, accounts" in str(caught.value)
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE positions")
        connection.execute("UPDATE parameters SET content = '{\"venue\": \"a/b\"}' WHERE name = 'venue'")
    connection.close()
    with pytest.raises(cm.InputErrors, match="venue, venue: not a name") as caught:
        load(f"sqlite:{database}")
    parameters = load_folder(SMALL)
    with pytest.raises(cm.InputErrors, match=r"book\.db, positions: cannot be read: OperationalError: no such table"):
        load(source_of(f"sqlite:{database}"), parameters=parameters)


@pytest.mark.usefixtures("outside")
def test_a_source_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(cm.InputErrors, match="cannot be opened: OperationalError: unable to open database file"):
        load(f"sqlite:{tmp_path}/nothing.db")
    shown = run("margin", "show", "--book", f"sqlite:{tmp_path}/nothing.db")
    assert shown.exit_code == 1
    assert "refused: 1 problem in the input" in shown.stderr


def test_an_unknown_scheme_is_no_folder() -> None:
    with pytest.raises(cm.InputErrors, match=r"sqlite:book\.db: no such folder, and no source of this scheme"):
        load("sqlite:book.db")


def test_a_folder_with_a_colon(tmp_path: Path) -> None:
    shutil.copytree(SMALL, tmp_path / "day:1")
    assert len(load(tmp_path / "day:1").book) == 5


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ("[crossmargin.models]\nspan = first:Model\n", "first offers span under crossmargin.models, a name reserved"),
        ("[crossmargin.models]\nmine = first_is_missing:Model\n", "mine of first cannot be imported: ModuleNotFound"),
        ("[crossmargin.models]\nmine = json:dumps\n", "dumps is no margin model"),
        ("[crossmargin.models]\nmine = crossmargin.models.base:MarginModel\n", "MarginModel has no word"),
        ("[crossmargin.models]\nmine = crossmargin.models.cross:CrossModel\n", "does not read the model mine"),
    ],
)
def test_models_that_are_refused(install: Install, entries: str, reason: str) -> None:
    install("first", entries)
    with pytest.raises(cm.InputErrors, match=reason):
        cm.load_model({"model": "mine"})


def test_one_name_of_two_packages(install: Install, tmp_path: Path) -> None:
    install("first", "[crossmargin.sources]\nsqlite = first:Book\n")
    install("second", "[crossmargin.sources]\nsqlite = second:Book\n")
    with pytest.raises(cm.InputErrors, match=r"(first|second) and (first|second) both offer sqlite"):
        load("sqlite:book.db")


def test_words_are_not_taken_twice() -> None:
    class Copy(CrossModel):
        """A model with a word of crossmargin itself."""

    with pytest.raises(cm.InputError, match=r"the model cross_margin exists already; choose another word for .*Copy"):
        register_model(Copy)
    with pytest.raises(cm.InputError, match="is no margin model"):
        register_model(dict)  # type: ignore[type-var]


def test_a_package_may_register_what_it_offers(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ARCHITECTURES, "_registered", {})
    install("first", "[crossmargin.models]\nmine = first_module:Mine\n")
    module = "from typing import Literal\nimport crossmargin as cm\nfrom crossmargin.models.cross import CrossModel\n"
    module += '@cm.register_model\nclass Mine(CrossModel):\n    model: Literal["mine"]\n'
    (tmp_path / "first" / "first_module.py").write_text(module)
    assert ARCHITECTURES["mine"].__name__ == "Mine"
    with pytest.raises(cm.InputError, match="the model mine exists already"):
        register_model(type("Other", (ARCHITECTURES["mine"],), {}))
