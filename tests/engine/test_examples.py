"""The example books are what their generators write, and every broken one is refused where it is broken."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from crossmargin.engine import evaluate as engine
from crossmargin.errors import InputErrors
from crossmargin.loading import Inputs, load_folder
from crossmargin.market.scenarios import span_grid
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.layout import ColumnKind

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BROKEN = yaml.safe_load((EXAMPLES / "broken" / "expected.yaml").read_text(encoding="utf-8"))
GOOD = ("book", "small", "binance", *(f"edges/{folder.name}" for folder in sorted((EXAMPLES / "edges").iterdir())))


def generate(module: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"tools.{module}", *options], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def liabilities(inputs: Inputs) -> dict[str, int]:
    """Balances and entry values together, in units of each asset."""
    layout = inputs.catalogue.layout()
    totals = np.asarray(inputs.book.records.sum(axis=0)).ravel()
    sums = {asset.name: 0 for asset in inputs.catalogue.assets}
    for column, total in zip(layout.columns, totals, strict=True):
        if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY):
            sums[column.name] += int(total)
    return sums


@pytest.fixture(scope="module")
def book() -> Inputs:
    return load_folder(EXAMPLES / "book")


def test_generator_writes_the_committed_book(tmp_path: Path) -> None:
    said = generate("generate_book", "--out", str(tmp_path / "book"))
    assert "1000 accounts" in said
    assert tree(tmp_path / "book") == tree(EXAMPLES / "book")


def test_generator_writes_the_committed_small_broken_and_edge_books(tmp_path: Path) -> None:
    generate("generate_broken", "--out", str(tmp_path))
    for name in ("small", "broken", "edges"):
        written, committed = tree(tmp_path / name), tree(EXAMPLES / name)
        committed.pop("expected.yaml", None)
        assert written.keys() == committed.keys()
        # The bytes of a Parquet file depend on the version of the library that wrote it.
        different = [name for name in written if written[name] != committed[name] and not name.endswith(".parquet")]
        assert different == []


def test_generator_writes_the_committed_binance_book(tmp_path: Path) -> None:
    generate("generate_binance", "--out", str(tmp_path))
    assert tree(tmp_path / "binance") == tree(EXAMPLES / "binance")


def test_csv_and_parquet_hold_the_same_book(tmp_path: Path, book: Inputs) -> None:
    generate("generate_book", "--format", "parquet", "--out", str(tmp_path / "book"))
    other = load_folder(tmp_path / "book").book
    assert other.accounts == book.book.accounts
    assert (other.records != book.book.records).nnz == 0
    assert (other.sub_records != book.book.sub_records).nnz == 0


@pytest.mark.parametrize("accounts", [1, 2, 9, 300])
def test_generator_writes_books_of_any_size(tmp_path: Path, accounts: int) -> None:
    generate("generate_book", "--accounts", str(accounts), "--seed", "7", "--out", str(tmp_path))
    assert len(load_folder(tmp_path).book) == accounts


@pytest.mark.parametrize("name", GOOD)
def test_good_book_loads_whole_and_reserves_cover_liabilities(name: str) -> None:
    inputs = load_folder(EXAMPLES / name)
    assert inputs.book.rejected == ()
    reserves = inputs.reserves.units(inputs.catalogue)
    for asset, owed in liabilities(inputs).items():
        assert reserves[asset] >= owed, asset


@pytest.mark.parametrize("name", ["book", "small"])
def test_positions_net_to_zero_in_every_instrument(name: str) -> None:
    inputs = load_folder(EXAMPLES / name)
    totals = np.asarray(inputs.book.records.sum(axis=0)).ravel()
    held = np.asarray((inputs.book.records != 0).sum(axis=0)).ravel()
    for number, column in enumerate(inputs.catalogue.layout().columns):
        if column.kind is ColumnKind.POSITION:
            assert totals[number] == 0, column.key
            assert held[number] >= 2, column.key


def test_reserves_are_little_more_than_liabilities(book: Inputs) -> None:
    reserves = book.reserves.units(book.catalogue)
    for asset, owed in liabilities(book).items():
        assert 0 < owed < reserves[asset] < 1.03 * owed, asset


def test_book_has_sub_accounts_borrowers_and_empty_accounts(book: Inputs) -> None:
    records = book.book.records
    assert len(book.book) == 1000
    assert len(book.book.sub_accounts) > 1050
    balances = [n for n, c in enumerate(book.catalogue.layout().columns) if c.kind is ColumnKind.BALANCE]
    borrowers = np.asarray((records[:, balances] < 0).sum(axis=1)).ravel()
    assert 30 <= np.count_nonzero(borrowers) <= 150
    assert np.count_nonzero(np.diff(records.indptr) == 1) >= 5


@pytest.mark.parametrize(("statement", "fewest", "most"), [("maintenance", 3, 6), ("initial", 8, 20)])
def test_few_accounts_are_under_water(book: Inputs, statement: str, fewest: int, most: int) -> None:
    policy = build_policy(book.venue.venue, book.environment, book.model, statement)
    margin = engine.evaluate(compile_policy(policy), book.book.records)
    assert fewest <= np.count_nonzero(margin.shortfall) <= most
    fund = book.reserves.insurance_fund_quanta(book.model.value_unit.quantum)
    assert 0 < 20 * int(margin.shortfall.sum()) < fund


def test_limits_leave_room_in_the_bit_budget(book: Inputs) -> None:
    limits = np.array([float(column.limit) for column in book.catalogue.layout().columns])
    now = np.abs(book.environment.valuation.unit_values()) @ limits
    assert now <= 2e10
    for scenario in span_grid(book.model.scan, book.model.extreme):
        value = np.abs(book.environment.valuation.unit_values(scenario)) @ limits
        assert value <= 3 * now <= float(Fraction(2**63, 10**8)), scenario.label


def test_every_broken_book_states_its_refusal() -> None:
    folders = {folder.name for folder in (EXAMPLES / "broken").iterdir() if folder.is_dir()}
    assert folders == set(BROKEN)


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_book_is_refused_where_it_is_broken(name: str) -> None:
    refusal = BROKEN[name]["refusal"]
    with pytest.raises(InputErrors) as caught:
        load_folder(EXAMPLES / "broken" / name)
    assert len(caught.value.problems) == 1
    problem = caught.value.problems[0]
    assert (problem.file, problem.line, problem.field) == (
        refusal["file"],
        refusal.get("line"),
        refusal.get("field", ""),
    )
    assert refusal["reason"] in problem.reason
    assert problem.hint
