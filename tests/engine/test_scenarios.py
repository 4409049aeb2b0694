"""The SPAN grid is SPAN's, and people can read it."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from crossmargin.loading.folder import Parameters
from crossmargin.market import Market
from crossmargin.scenarios import Scenario, span_grid
from crossmargin.valuation import unit_values

SPAN = json.loads((Path(__file__).parents[1] / "vectors" / "span.json").read_text(encoding="utf-8"))


def test_grid_is_the_published_one(parameters: Parameters) -> None:
    """The published profits of a long future are its price range times the moves of the grid."""
    grid = span_grid(parameters.model.scan, parameters.model.extreme)
    width = Fraction(15, 100)
    profits = [scenario.covered * scenario.price_moves["BTC"] / width * 10000 for scenario in grid]
    # The book rounds a third of 10,000 to 3,330 and two thirds to 6,670.
    assert [round(profit / 10) * 10 for profit in profits] == SPAN["long_future"]
    assert [scenario.number for scenario in grid] == list(range(1, 17))
    directions = ["up" if s.volatility_moves.get("BTC", 0) > 0 else "down" for s in grid[:14]]
    assert directions == [name.split()[-1] for name in SPAN["scenarios"][:14]]
    assert all(not scenario.volatility_moves for scenario in grid[14:])
    assert [scenario.covered for scenario in grid[14:]] == [Fraction(35, 100)] * 2


def test_labels_and_descriptions(parameters: Parameters) -> None:
    grid = span_grid(parameters.model.scan, parameters.model.extreme)
    assert grid[7].label == "scenario 8: price +2/3, vol down"
    assert grid[7].description == "BTC price +10 %, vol -25 %"
    assert grid[5].description == "BTC price -5 %, vol -25 %"
    assert grid[0].description == "BTC price 0 %, vol +40 %"
    assert grid[15].label == "scenario 16: price extreme down, vol unchanged"
    assert grid[15].description == "BTC price -30 %, vol 0 %; 35 % of the loss counts"
    assert len({scenario.label for scenario in grid}) == 16


def test_one_underlying_alone() -> None:
    both = Scenario(3, "scenario 3", {"BTC": Fraction(1, 10), "ETH": Fraction(1, 5)}, {"ETH": Fraction(1, 2)})
    alone = both.only("ETH")
    assert alone.price_moves == {"ETH": Fraction(1, 5)}
    assert alone.volatility_moves == {"ETH": Fraction(1, 2)}
    assert alone.label == "ETH scenario 3"
    assert Scenario(1, "rest", {}, {}).description == "nothing moves"


def test_moved_market_is_worth_what_the_scenario_says(parameters: Parameters) -> None:
    """A market that was moved values every column as the scenario does on the market before."""
    catalogue, market = parameters.catalogue, parameters.market
    for scenario in span_grid(parameters.model.scan, parameters.model.extreme):
        moved = market.moved(catalogue, scenario)
        assert Market.model_validate(moved.model_dump()) == moved
        np.testing.assert_allclose(
            unit_values(catalogue, moved), unit_values(catalogue, market, scenario), rtol=1e-12, atol=1e-12
        )
