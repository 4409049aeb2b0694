"""The control file: damaged files, lost rows and totals that are not the ledger's are refused, each of them named."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from crossmargin.cli.control import control as control_command
from crossmargin.errors import InputErrors
from crossmargin.loading import load, load_folder, load_parameters, write_control
from crossmargin.loading.control import CONTROL_FILE

WriteFolder = Callable[..., Path]
Files = Mapping[str, str]

EXAMPLES = Path(__file__).parents[2] / "examples"
BALANCES = {"USDC": Decimal("49899.5"), "BTC": Decimal("1.25"), "SOL": Decimal(3)}
POSITIONS = {
    "BTC_USDC-PERPETUAL": Decimal(1000),
    "BTC-PERPETUAL": Decimal(-3000),
    "BTC-27JUN25-100000-C": Decimal("-0.5"),
}


@pytest.fixture
def folder(write_folder: WriteFolder) -> Path:
    """A book with a control file that states everything."""
    made = write_folder()
    write_control(made, BALANCES, POSITIONS)
    return made


def faults(folder: Path, **options: Any) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        load_folder(folder, **options)
    return [str(problem) for problem in caught.value.problems]


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / CONTROL_FILE).read_bytes())
    edit(content)
    (folder / CONTROL_FILE).write_text(json.dumps(content), encoding="utf-8")


def test_a_folder_as_it_was_exported(folder: Path, write_folder: WriteFolder) -> None:
    inputs = load_folder(folder)
    assert inputs.control == hashlib.sha256((folder / CONTROL_FILE).read_bytes()).hexdigest()
    assert load_folder(write_folder(name="without")).control is None
    assert load(folder, parameters=load_parameters(folder)).control == inputs.control


def test_rows_and_digests_are_those_of_the_files(folder: Path) -> None:
    content = json.loads((folder / CONTROL_FILE).read_bytes())
    assert content["version"] == 1
    assert {name: entry.get("rows") for name, entry in content["files"].items()} == {
        "venue.yaml": None,
        "instruments.yaml": None,
        "market.yaml": None,
        "model.yaml": None,
        "reserves.yaml": None,
        "accounts.csv": 3,
        "balances.csv": 4,
        "positions.csv": 4,
    }
    for name, entry in content["files"].items():
        assert entry["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_every_file_that_changed_is_named(folder: Path, files: Files) -> None:
    (folder / "balances.csv").write_text("".join(files["balances.csv"].splitlines(keepends=True)[:-1]))
    (folder / "market.yaml").write_text(files["market.yaml"].replace('"85000"', '"85001"'))
    (folder / "positions.csv").unlink()
    (folder / "deposits.csv").write_text("account,sub_account,asset,block,amount\n")
    found = faults(folder)
    assert [fault.split(";")[0].partition(": ")[0] for fault in found] == [
        "deposits.csv",
        "market.yaml",
        "balances.csv",
        "balances.csv",
        "positions.csv",
    ]
    assert "not stated in control.json" in found[0]
    assert "SHA-256" in found[1]
    assert "3 rows where control.json states 4 rows" in found[3]
    assert "stated in control.json, but missing" in found[4]


def test_one_flipped_bit_of_a_parquet_file(write_folder: WriteFolder, files: Files) -> None:
    """Without page checksums the damage loads as another price; with the control file it does not."""
    folder = write_folder({"positions.csv": None})
    rows = [line.split(",") for line in files["positions.csv"].splitlines()]
    frame = pl.DataFrame(rows[1:], schema=dict.fromkeys(rows[0], pl.String), orient="row")
    path = folder / "positions.parquet"
    frame.write_parquet(path, compression="uncompressed")
    data = bytearray(path.read_bytes())
    data[data.index(b"86500")] ^= 1
    write_control(folder)
    assert load_folder(folder).control is not None
    path.write_bytes(data)
    [fault] = faults(folder)
    assert fault.startswith("positions.parquet: SHA-256 ")
    (folder / CONTROL_FILE).unlink()
    assert load_folder(folder).control is None


def test_rows_of_a_parquet_file_are_counted(write_folder: WriteFolder) -> None:
    folder = write_folder({"accounts.csv": None})
    rows = {"account": ["ann", "ann", "bob"], "sub_account": ["", "hedge", ""]}
    pl.DataFrame(rows).write_parquet(folder / "accounts.parquet")
    write_control(folder)
    change(folder, lambda content: content["files"]["accounts.parquet"].update(rows=4))
    assert faults(folder)[0].startswith("accounts.parquet: 3 rows where control.json states 4 rows")


@pytest.mark.parametrize(
    ("table", "name", "amount", "reason"),
    [
        ("balances", "USDC", "49899.500001", "the balances of USDC do not add up to the total stated here"),
        ("balances", "SOL", None, "the balances of SOL do not add up to zero, and no total is stated"),
        ("balances", "DOGE", "1", "DOGE is not in instruments.yaml"),
        ("positions", "BTC-PERPETUAL", "3000", "the positions of BTC-PERPETUAL do not add up to the total"),
        ("positions", "BTC-27JUN25-100000-C", "-0.55", "the positions of BTC-27JUN25-100000-C do not add up to"),
    ],
)
def test_totals_of_the_ledger(folder: Path, table: str, name: str, amount: str | None, reason: str) -> None:
    """An exporter that lost rows writes files that agree with themselves, and not with its ledger."""

    def edit(content: dict[str, Any]) -> None:
        totals = content["totals"][table]
        if amount is None:
            del totals[name]
        else:
            totals[name] = amount

    change(folder, edit)
    [fault] = faults(folder)
    assert reason in fault
    assert fault.startswith("control.json, line 1, totals.")


def test_all_other_totals_are_told_together(folder: Path) -> None:
    change(folder, lambda content: content["totals"].update(balances={}, positions={}))
    assert len(faults(folder)) == 6
    change(folder, lambda content: content["totals"].pop("positions"))
    assert len(faults(folder)) == 3


def test_totals_are_compared_where_every_row_is_sound(folder: Path, files: Files) -> None:
    """The stated totals are those of all rows, and a row that cannot be read has no amount."""
    (folder / "balances.csv").write_text(files["balances.csv"].replace("bob,,SOL,3", "bob,,SOL,x"))
    (folder / CONTROL_FILE).unlink()
    write_control(folder, {"USDC": Decimal(1)})
    assert "not a finite decimal" in faults(folder)[0]
    assert load_folder(folder, on_bad="reject").book.accounts == ("ann",)


def test_deposits_are_no_part_of_the_totals(tmp_path: Path) -> None:
    folder = tmp_path / "book"
    shutil.copytree(EXAMPLES / "edges" / "chains-and-feeds", folder)
    amounts = pl.read_csv(folder / "balances.csv", infer_schema=False).group_by("asset").agg(pl.col("amount"))
    totals = {asset: sum(map(Decimal, found), Decimal()) for asset, found in amounts.iter_rows()}
    write_control(folder, balances=totals)
    assert load_folder(folder).control is not None


def test_files_of_the_binance_layout(tmp_path: Path) -> None:
    folder = tmp_path / "book"
    shutil.copytree(EXAMPLES / "binance", folder)
    unit = load_folder(folder).catalogue.assets[0]
    write_control(folder, balances={unit.name: Decimal(0)})
    assert any(f"the balances of {unit.name} do not add up to" in fault for fault in faults(folder))
    (folder / CONTROL_FILE).unlink()
    write_control(folder)
    users = next((folder / "binance").glob("*.csv"))
    assert load_folder(folder).control is not None
    users.write_bytes(users.read_bytes().replace(b"0.0,", b"0.1,", 1))
    [fault] = faults(folder)
    assert fault.startswith(f"binance/{users.name}: SHA-256")


def test_parameters_alone_are_compared_too(folder: Path, files: Files) -> None:
    (folder / "market.yaml").write_text(files["market.yaml"].replace('"85000"', '"85001"'))
    with pytest.raises(InputErrors, match=r"market\.yaml: SHA-256"):
        load_parameters(folder)
    (folder / "market.yaml").write_text(files["market.yaml"])
    (folder / "balances.csv").unlink()
    assert load_parameters(folder).snapshot_id


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda content: content.update(version=2), "control.json, line 1, version: not version 1"),
        (lambda content: content.pop("files"), "control.json, line 1, files: missing"),
        (lambda content: content["files"].update({"../keys": {"sha256": "0" * 64}}), "not a file of a book folder"),
        (lambda content: content["files"].update({".ssh/id": {"sha256": "0" * 64}}), "not a file of a book folder"),
        (lambda content: content["files"].update({CONTROL_FILE: {"sha256": "0" * 64}}), "not a file of a book folder"),
        (lambda content: content["files"]["market.yaml"].update(sha256="0" * 63), "not in the form ^[0-9a-f]{64}$"),
        (lambda content: content["files"]["market.yaml"].update(rows=2), "no table where control.json states 2 rows"),
        (lambda content: content["files"]["accounts.csv"].update(rows="-1"), "rows: not a whole number"),
        (lambda content: content["totals"]["balances"].update(USDC="1e5"), "totals.balances.USDC: not a finite"),
        (lambda content: content.update(extra=1), "control.json, line 1, extra: unknown field"),
    ],
)
def test_control_files_that_are_refused(folder: Path, edit: Callable[[dict[str, Any]], object], reason: str) -> None:
    change(folder, edit)
    assert reason in faults(folder)[0]


def test_the_command_writes_it_once(write_folder: WriteFolder) -> None:
    folder = write_folder()
    first = CliRunner().invoke(control_command, ["--book", str(folder)])
    assert (first.exit_code, first.output) == (0, f"written to {folder / CONTROL_FILE}\n")
    written = (folder / CONTROL_FILE).read_bytes()
    again = CliRunner().invoke(control_command, ["--book", str(folder)])
    assert again.exit_code == 1
    assert "control.json: exists already" in again.stderr
    assert (folder / CONTROL_FILE).read_bytes() == written
    assert load_folder(folder).control is not None


def test_a_cut_off_control_file_is_refused(folder: Path) -> None:
    path = folder / CONTROL_FILE
    path.write_bytes(path.read_bytes()[:-30])
    assert faults(folder)[0].startswith("control.json")
