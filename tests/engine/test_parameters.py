"""market.yaml, model.yaml and reserves.yaml: what is missing, foreign, stale or impossible."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from crossmargin.errors import InputErrors
from crossmargin.loading import Parameters, load_parameters

WriteFolder = Callable[..., Path]
Files = Mapping[str, str]

QUOTE = "source: exchange, time: 2025-03-28T08:00:00Z}"


@pytest.mark.parametrize(
    ("file", "find", "put", "line", "field", "reason"),
    [
        ("market.yaml", 'price: "85000"', 'price: "-1"', 4, "index.BTC.price", "not positive"),
        ("market.yaml", 'price: "85000"', "price: .inf", 4, "index.BTC.price", "not a finite decimal"),
        ("market.yaml", f'  SOL: {{price: "130", {QUOTE}\n', "", 3, "index.SOL", "no index price"),
        ("market.yaml", "  BTC-PERPETUAL:", "  ETH-PERPETUAL:", 7, "marks.BTC-PERPETUAL", "no mark price"),
        ("market.yaml", 'iv: "0.55"', 'iv: "0"', 10, "options.BTC-27JUN25-100000-C.iv", "not positive"),
        ("market.yaml", 'bid: "85009"', 'bid: "85012"', 7, "marks.BTC_USDC-PERPETUAL.bid", "crossed"),
        ("market.yaml", "07:59:59", "07:49:59", 8, "marks.BTC-PERPETUAL.time", "stale: 601 s"),
        ("market.yaml", "07:59:59", "08:00:01", 8, "marks.BTC-PERPETUAL.time", "after as_of"),
        ("market.yaml", 'rates: {USD: "0.04"}', "rates: {}", 11, "rates.USD", "no USD rate"),
        ("market.yaml", 'USD: "0.04"', 'USD: "4%"', 11, "rates.USD", "not a finite decimal"),
        ("market.yaml", 'USD: "0.04"', 'USD: "0.04", EUR: "0.02"', 11, "rates.EUR", "only rate"),
        ("market.yaml", "source: exchange, time: 2025-03-28T07:59:59Z", "time: 2025-03-28T07:59:59Z", 8,
         "marks.BTC-PERPETUAL.source", "missing"),
        ("model.yaml", "scenario_portfolio_margin", "var", 1, "model", "not one of"),
        ("model.yaml", "USD", "EUR", 2, "value_unit.currency", "USD"),
        ("model.yaml", "600", "0", 3, "staleness_limit_seconds", "greater than or equal to 1"),
        ("model.yaml", "600", "ten", 3, "staleness_limit_seconds", "whole number"),
        ("model.yaml", '"0.15"', '"1"', 5, "scan.BTC.price_range", "not in 0 < value < 1"),
        ("model.yaml", '"0.15"', '"0.5"', 5, "scan.BTC.price_range", "price of zero"),
        ("model.yaml", "  BTC:", "  ETH:", 5, "scan", "no scan range for underlying BTC"),
        ("model.yaml", '"0.35"', '"0"', 6, "extreme.covered", "not in"),
        ("model.yaml", "name: initial", "name: maintenance", 9, "statements[1].name", "second statement"),
        ("model.yaml", '{name: initial, factor: "1"}', "{name: initial}", 9, "statements[1].factor", "no factor"),
        ("model.yaml", "{name: coverage}", '{name: coverage, factor: "1"}', 10, "statements[2].factor", "factor"),
        ("model.yaml", "name: initial", "name: Initial Margin", 9, "statements[1].name", "not a statement name"),
        ("model.yaml", "strict: false", "strict: 0", 11, "strict", "neither true nor false"),
        ("reserves.yaml", ', SOL: "3"', "", 1, "assets", "no reserves stated for SOL"),
        ("reserves.yaml", 'SOL: "3"', 'SOL: "3", ETH: "1"', 1, "assets.ETH", "not an asset"),
        ("reserves.yaml", 'SOL: "3"', 'SOL: "-3"', 1, "assets.SOL", "negative"),
        ("reserves.yaml", 'BTC: "1.5"', 'BTC: "1.000000001"', 1, "assets.BTC", "finer than the unit of BTC"),
        ("reserves.yaml", '"2500"', '"2500.000000001"', 2, "insurance_fund", "finer than the value quantum"),
        ("venue.yaml", "book: main", "book: main/2", 2, "book", "not a name"),
        ("venue.yaml", "venue: test-venue", "venue: ''", 1, "venue", "not a name"),
        ("instruments.yaml", "borrowable: false", "borrowable: no", 4, "assets[2].borrowable", "neither"),
        ("instruments.yaml", 'lot: "0.1"', 'lot: "0"', 11, "instruments[2].lot", "not positive"),
    ],
)  # fmt: skip
def test_refusals(
    write_folder: WriteFolder, files: Files, file: str, find: str, put: str, line: int, field: str, reason: str
) -> None:
    assert files[file].count(find) == 1
    folder = write_folder({file: files[file].replace(find, put)})
    with pytest.raises(InputErrors) as caught:
        load_parameters(folder)
    found = [problem for problem in caught.value.problems if problem.field == field]
    assert found, str(caught.value)
    assert (found[0].file, found[0].line) == (file, line)
    assert reason in found[0].reason
    assert found[0].hint


def test_all_problems_of_all_files_are_listed(write_folder: WriteFolder, files: Files) -> None:
    folder = write_folder(
        {
            "market.yaml": files["market.yaml"].replace('"85000"', '"0"').replace('"130"', '"x"'),
            "model.yaml": files["model.yaml"].replace("false", "maybe"),
            "venue.yaml": None,
        }
    )
    with pytest.raises(InputErrors) as caught:
        load_parameters(folder)
    assert caught.value.count == 4
    assert [problem.file for problem in caught.value.problems] == [
        "venue.yaml",
        "market.yaml",
        "market.yaml",
        "model.yaml",
    ]
    assert "4 problems" in str(caught.value)


def test_unquoted_decimals_are_read_as_written(write_folder: WriteFolder, files: Files) -> None:
    text = files["market.yaml"].replace('"', "")
    assert load_parameters(write_folder({"market.yaml": text})).market == load_parameters(write_folder(name="b")).market


def test_json_is_read_as_well(write_folder: WriteFolder) -> None:
    folder = write_folder({"venue.yaml": '{"venue": "test-venue", "book": "main"}'})
    assert load_parameters(folder).snapshot_id == "test-venue/main/2025-03-28T08:00:00Z"


def test_reserves_in_units(parameters: Parameters) -> None:
    assert parameters.reserves.units(parameters.catalogue) == {
        "USDC": 60_000 * 10**6,
        "BTC": 15 * 10**7,
        "SOL": 3 * 10**6,
    }
    assert parameters.reserves.insurance_fund_quanta(parameters.model.value_unit.quantum) == 2500 * 10**8
