"""Assets held on several chains: one price, haircuts that compose, deposits that count once their block is final."""

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.book import records
from crossmargin.book.pending import PendingAmount
from crossmargin.engine.evaluate import evaluate
from crossmargin.errors import InputErrors
from crossmargin.loading import csv, load_book, load_folder, load_parameters, parquet
from crossmargin.market.exposures import exposures
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import Valuation
from crossmargin.models import build_policy, rebuild_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.layout import ColumnKind

WriteFolder = Callable[..., Path]
Files = Mapping[str, str]

HELD = """\
  - {name: USDC.ethereum, of: USDC, chain: ethereum, haircut: "0", unit: "0.000001", borrowable: false, limit: "900000"}
  - {name: USDC.solana, of: USDC, chain: solana, haircut: "0.01", unit: "0.000001", borrowable: false, limit: "900000"}
"""
CHAINS = """\
chains:
  - {name: ethereum, haircut: "0.02", finalized: 22000000}
  - {name: solana, haircut: "0.05", finalized: 330000000}
"""
DEPOSITS = """\
account,sub_account,asset,block,amount
ann,,USDC.ethereum,22000000,100
ann,,USDC.ethereum,22000001,40
ann,,USDC.ethereum,21999999,0.5
bob,,USDC.solana,330000001,7
ann,hedge,USDC.ethereum,22000009,2.25
"""


@pytest.fixture
def chained(files: Files) -> dict[str, str]:
    """Return the files of the book with USDC on two chains and some deposits."""
    text = files["instruments.yaml"].replace("instruments:\n", HELD + "instruments:\n") + CHAINS
    reserves = files["reserves.yaml"].replace('SOL: "3"', 'SOL: "3", USDC.ethereum: "150", USDC.solana: "10"')
    return {**files, "instruments.yaml": text, "reserves.yaml": reserves, "deposits.csv": DEPOSITS}


def test_final_deposits_are_balances_and_later_ones_are_pending(write_folder: WriteFolder, chained: Files) -> None:
    book = load_folder(write_folder(chained)).book
    ethereum = book.layout.index(ColumnKind.BALANCE, "USDC.ethereum")
    solana = book.layout.index(ColumnKind.BALANCE, "USDC.solana")
    assert book.record("ann")[ethereum] == 100_500_000
    assert book.record("bob")[solana] == 0
    assert book.pending is not None
    assert book.pending.assets() == (
        PendingAmount("USDC.ethereum", 2, 42_250_000),
        PendingAmount("USDC.solana", 1, 7_000_000),
    )
    assert book.pending.of(book.number("ann")) == (PendingAmount("USDC.ethereum", 2, 42_250_000),)
    assert book.pending.of(book.number("bob")) == (PendingAmount("USDC.solana", 1, 7_000_000),)
    assert "42" not in repr(book.pending)


def test_deposits_add_to_what_balances_state(write_folder: WriteFolder, chained: dict[str, str]) -> None:
    chained["balances.csv"] += "ann,,USDC.ethereum,5\n"
    book = load_folder(write_folder(chained)).book
    assert book.record("ann")[book.layout.index(ColumnKind.BALANCE, "USDC.ethereum")] == 105_500_000


def test_without_a_deposits_table_nothing_is_pending(write_folder: WriteFolder, chained: dict[str, str]) -> None:
    del chained["deposits.csv"]
    pending = load_folder(write_folder(chained)).book.pending
    assert pending is not None
    assert pending.assets() == pending.of(0) == ()


def test_a_chain_that_goes_on_turns_pending_into_balance(write_folder: WriteFolder, chained: dict[str, str]) -> None:
    chained["instruments.yaml"] = chained["instruments.yaml"].replace("finalized: 22000000", "finalized: 22000009")
    book = load_folder(write_folder(chained)).book
    assert book.pending is not None
    assert [each.asset for each in book.pending.assets()] == ["USDC.solana"]
    assert book.record("ann")[book.layout.index(ColumnKind.BALANCE, "USDC.ethereum")] == 142_750_000


def test_price_is_that_of_the_asset_and_haircuts_compose(write_folder: WriteFolder, chained: Files) -> None:
    chained = {**chained, "market.yaml": chained["market.yaml"].replace('USDC: {price: "1"', 'USDC: {price: "0.98"')}
    parameters = load_parameters(write_folder(chained))
    catalogue, layout = parameters.catalogue, parameters.catalogue.layout()
    assert catalogue.weight("USDC.ethereum") == Fraction(98, 100)
    assert catalogue.weight("USDC.solana") == Fraction(99, 100) * Fraction(95, 100)
    assert catalogue.weight("BTC") == Fraction(95, 100)
    values = Valuation(catalogue, parameters.market).unit_values()
    falling = Valuation(catalogue, parameters.market).unit_values(Scenario(1, "fall", {"USDC": Fraction(-1, 10)}, {}))
    delta = exposures(Valuation(catalogue, parameters.market), "USDC").delta
    for name in ("USDC", "USDC.ethereum", "USDC.solana"):
        column = layout.index(ColumnKind.BALANCE, name)
        assert values[column] == pytest.approx(0.98e-6)
        assert falling[column] == pytest.approx(0.9 * 0.98e-6)
        assert delta[column] == values[column]
        assert catalogue.underlying_of_columns()[column] == "USDC"


def test_equity_pools_all_chains(write_folder: WriteFolder, chained: Files) -> None:
    inputs = load_folder(write_folder(chained))
    policy = build_policy("test", inputs.environment, inputs.model, "initial")
    assert rebuild_policy(policy) == policy
    compiled = compile_policy(policy)
    layout = compiled.policy.layout
    record = np.zeros((1, len(layout)), dtype=np.int64)
    record[0, 0] = 1
    for name, units in (("USDC", -100_000_000), ("USDC.ethereum", 100_000_000), ("USDC.solana", 200_000_000)):
        record[0, layout.index(ColumnKind.BALANCE, name)] = units
    equity = evaluate(compiled, records.csr_array(record)).equity[0]
    # -100 + 98 % of 100 + 94.05 % of 200 USD, with 94.05 quanta of 10^-8 USD for a unit of 10^-6 rounded to 94.
    assert equity == (-100 + 98) * 10**8 + 200 * 94 * 10**6


INSTRUMENTS, MARKET, MODEL, TABLE = "instruments.yaml", "market.yaml", "model.yaml", "deposits.csv"


@pytest.mark.parametrize(
    ("file", "find", "put", "line", "field", "reason"),
    [
        (INSTRUMENTS, "of: USDC, chain: solana, ", "chain: solana, ", 6, "assets[4].of", "of no asset"),
        (INSTRUMENTS, "of: USDC, chain: solana, ", "of: USDC, ", 6, "assets[4].chain", "on no chain"),
        (INSTRUMENTS, "chain: solana, ", "chain: tron, ", 6, "assets[4].chain", "tron is not a stated chain"),
        (INSTRUMENTS, "chain: solana, ", "chain: ethereum, ", 6, "assets[4].chain", "both USDC on ethereum"),
        (INSTRUMENTS, "of: USDC, chain: solana", "of: DAI, chain: solana", 6, "assets[4].of", "not an asset by itself"),
        (INSTRUMENTS, "of: USDC, chain: solana", "of: USDC.ethereum, chain: solana", 6, "assets[4].of", "by itself"),
        (INSTRUMENTS, "BTC_USDC-PERPETUAL, kind: perpetual, contract: linear, underlying: BTC, settlement: USDC",
         "perp, kind: perpetual, contract: linear, underlying: BTC, settlement: USDC.solana", 8,
         "instruments[0].settlement", "perp settles in USDC.solana, which is held on a chain"),
        (INSTRUMENTS, "BTC_USDC-PERPETUAL, kind: perpetual, contract: linear, underlying: BTC",
         "perp, kind: perpetual, contract: linear, underlying: USDC.solana", 8,
         "instruments[0].underlying", "perp is written on USDC.solana, which is held on a chain"),
        (INSTRUMENTS, 'solana, haircut: "0.05"', 'solana, haircut: "1"', 16, "chains[1].haircut", "0 <= haircut < 1"),
        (INSTRUMENTS, "finalized: 330000000", "finalized: -1", 16, "chains[1].finalized", "whole number"),
        (INSTRUMENTS, "finalized: 330000000", "finalized: 9007199254740992", 16, "chains[1].finalized", "less than"),
        (INSTRUMENTS, "name: solana, haircut", "name: ethereum, haircut", 16, "chains[1].name", "twice"),
        (MARKET, "  SOL: {", '  USDC.solana: {price: "1", source: x, time: 2025-03-28T08:00:00Z}\n  SOL: {', 5,
         "index.USDC.solana", "price of its own"),
        (MODEL, "scan:\n", 'scan:\n  USDC.solana: {price_range: "0.1", volatility_up: "0", volatility_down: "0"}\n', 5,
         "scan.USDC.solana", "neither an asset nor"),
        ("reserves.yaml", ', USDC.solana: "10"', "", 1, "assets", "no reserves stated for USDC.solana"),
    ],
)  # fmt: skip
def test_refused_parameters(
    write_folder: WriteFolder, chained: Files, file: str, find: str, put: str, line: int, field: str, reason: str
) -> None:
    assert chained[file].count(find) == 1
    with pytest.raises(InputErrors) as caught:
        load_parameters(write_folder({**chained, file: chained[file].replace(find, put)}))
    [problem] = [each for each in caught.value.problems if each.field == field]
    assert (problem.file, problem.line) == (file, line)
    assert reason in problem.reason
    assert problem.hint


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("ann,,USDC,1,1", "asset", "USDC is held on no chain"),
        ("ann,,DAI,1,1", "asset", "unknown asset"),
        ("eve,,USDC.solana,1,1", "account", "account not in accounts.csv"),
        ("ann,side,USDC.solana,1,1", "sub_account", "sub-account not in"),
        ("ann,,USDC.solana,,1", "block", "empty"),
        ("ann,,USDC.solana,-1,1", "block", "negative"),
        ("ann,,USDC.solana,1.5,1", "block", "finer than one block"),
        ("ann,,USDC.solana,0x10,1", "block", "not a finite decimal"),
        ("ann,,USDC.solana,99999999999999999999,1", "block", "beyond 2^62"),
        ("ann,,USDC.solana,1,-1", "amount", "not positive"),
        ("ann,,USDC.solana,1,0", "amount", "not positive"),
        ("ann,,USDC.solana,1,0.0000001", "amount", "finer than the unit"),
        ("ann,,USDC.solana,1,1000001", "amount", "beyond the limit"),
        ("ann,,USDC.solana,1,1e3", "amount", "not a finite decimal"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_refused_deposits(
    write_folder: WriteFolder, chained: dict[str, str], row: str, field: str, reason: str, suffix: str
) -> None:
    text = chained.pop(TABLE) + row + "\n"
    folder = write_folder(chained)
    (folder / TABLE).write_text(text)
    if suffix == "parquet":
        pl.read_csv(folder / TABLE, infer_schema=False).fill_null("").write_parquet(folder / "deposits.parquet")
        (folder / TABLE).unlink()
    with pytest.raises(InputErrors) as caught:
        load_folder(folder)
    [problem] = caught.value.problems
    where = (TABLE, 7) if suffix == "csv" else ("deposits.parquet", 6)
    assert (problem.file, problem.line, problem.field) == (*where, field)
    assert reason in problem.reason
    assert problem.hint


@pytest.mark.parametrize(("block", "what"), [(1, "total"), (330000001, "pending")])
def test_sums_of_deposits_stay_within_the_limit(
    write_folder: WriteFolder, chained: dict[str, str], block: int, what: str
) -> None:
    chained[TABLE] += f"bob,,USDC.solana,{block},600000\n" * 2
    with pytest.raises(InputErrors, match=f"the account's {what} balance USDC.solana is beyond its limit"):
        load_folder(write_folder(chained))


def test_both_files_or_another_header_are_refused(write_folder: WriteFolder, chained: dict[str, str]) -> None:
    folder = write_folder(chained)
    pl.read_csv(folder / TABLE, infer_schema=False).write_parquet(folder / "deposits.parquet")
    with pytest.raises(InputErrors, match=r"both deposits.csv and deposits.parquet"):
        load_folder(folder)
    chained[TABLE] = chained[TABLE].replace("block", "height")
    with pytest.raises(InputErrors, match=r"deposits.csv, line 1: wrong header"):
        load_folder(write_folder(chained, name="header"))


def test_rejected_accounts_take_their_pending_deposits_along(
    write_folder: WriteFolder, chained: dict[str, str]
) -> None:
    chained[TABLE] += "ann,,USDC.solana,x,1\n"
    book = load_folder(write_folder(chained), on_bad="reject").book
    assert book.accounts == ("bob",)
    assert book.pending is not None
    assert book.pending.assets() == book.pending.of(0) == (PendingAmount("USDC.solana", 1, 7_000_000),)


def test_totals_of_many_large_amounts_are_exact(write_folder: WriteFolder, chained: dict[str, str]) -> None:
    """Two thousand times almost 2^53 units is beyond an int64."""
    chained["instruments.yaml"] = chained["instruments.yaml"].replace(
        'haircut: "0.01", unit: "0.000001", borrowable: false, limit: "900000"',
        'haircut: "0.01", unit: "0.000001", borrowable: false, limit: "9007199254"',
    )
    names = [f"a{number}" for number in range(2000)]
    chained["accounts.csv"] += "".join(f"{name},\n" for name in names)
    chained[TABLE] = "account,sub_account,asset,block,amount\n" + "".join(
        f"{name},,USDC.solana,400000000,9007199253.999999\n" for name in names
    )
    pending = load_folder(write_folder(chained)).book.pending
    assert pending is not None
    assert pending.assets() == (PendingAmount("USDC.solana", 2000, 2000 * 9007199253_999999),)


rows = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["USDC.ethereum", "USDC.solana"]),
        st.sampled_from([0, 21_999_999, 22_000_000, 22_000_001, 330_000_000, 330_000_001]),
        st.integers(1, 10**9),
    ),
    max_size=12,
)


@given(rows, st.integers(1, 4))
def test_nothing_is_lost_or_counted_twice(
    tmp_path_factory: pytest.TempPathFactory, files: Files, rows: Sequence[tuple[str, str, int, int]], size: int
) -> None:
    """Every deposit is in the records or pending, by its block alone, whatever the batches are."""
    folder = tmp_path_factory.mktemp("chains")
    text = files["instruments.yaml"].replace("instruments:\n", HELD + "instruments:\n") + CHAINS
    for name, content in {**files, "instruments.yaml": text}.items():
        (folder / name).write_text(content)
    reserves = files["reserves.yaml"].replace('SOL: "3"', 'SOL: "3", USDC.ethereum: "0", USDC.solana: "0"')
    (folder / "reserves.yaml").write_text(reserves)
    catalogue = load_parameters(folder).catalogue
    lines = [f"{a},,{asset},{block},{units // 10**6}.{units % 10**6:06d}\n" for a, asset, block, units in rows]
    (folder / TABLE).write_text("account,sub_account,asset,block,amount\n" + "".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "BATCH_BYTES", 20 * size)
        patch.setattr(parquet, "BATCH_ROWS", size)
        patch.setattr(records, "CHUNK_ENTRIES", size)
        book = load_book(folder, catalogue)
    final = {"USDC.ethereum": 22_000_000, "USDC.solana": 330_000_000}
    wanted: dict[tuple[str, str, bool], list[int]] = {}
    for account, asset, block, units in rows:
        wanted.setdefault((account, asset, block <= final[asset]), []).append(units)
    assert book.pending is not None
    for account in book.accounts:
        pending: dict[str, Any] = {each.asset: each for each in book.pending.of(book.number(account))}
        for asset in final:
            held = book.record(account)[book.layout.index(ColumnKind.BALANCE, asset)]
            assert held == sum(wanted.get((account, asset, True), []))
            later = wanted.get((account, asset, False), [])
            found = pending.get(asset, PendingAmount(asset, 0, 0))
            assert (found.count, found.units) == (len(later), sum(later))


def test_the_example_with_a_chain_and_feeds() -> None:
    inputs = load_folder(Path(__file__).parents[2] / "examples" / "edges" / "chains-and-feeds")
    assert inputs.book.pending is not None
    assert inputs.book.pending.assets() == (PendingAmount("USDC.ethereum", 1, 1200 * 10**6),)
    assert inputs.book.record("acct-a")[inputs.book.layout.index(ColumnKind.BALANCE, "USDC.ethereum")] == 1000 * 10**6
    policy = build_policy("test", inputs.environment, inputs.model, "initial")
    assert rebuild_policy(policy) == policy
    report = policy.inputs["oracle"]["BTC"]
    assert report["used"] == ["one", "two", "three"]
    assert [each["reason"].split(":")[0] for each in report["dropped"]] == ["stale", "outlier"]


def test_documented_sections_are_those_of_the_example() -> None:
    root = Path(__file__).parents[2]
    example = root / "examples" / "edges" / "chains-and-feeds"
    files = [(example / name).read_text() for name in ("instruments.yaml", "market.yaml", "model.yaml")]
    blocks = re.findall(r"```text\n([a-z]+:\n.*?)```", (root / "docs" / "formats.md").read_text(), re.DOTALL)
    sections = {"assets", "chains", "feeds", "collateral", "mismatch", "depeg", "oracle"}
    assert sections <= {name for block in blocks for name in re.findall(r"^([a-z]+):", block, re.MULTILINE)}
    for block in blocks:
        mine = set(re.findall(r"^([a-z]+):", block, re.MULTILINE)) <= sections
        for line in block.splitlines() if mine else ():
            assert any(line in text.splitlines() for text in files), line
