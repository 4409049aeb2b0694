"""The SPAN grid is SPAN's, and people can read it."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from crossmargin.loading import Parameters
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Grid, Scenario, Tail, price_volatility_grid, span_grid, tail_scenarios
from crossmargin.market.valuation import Valuation

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
            Valuation(catalogue, moved).unit_values(),
            Valuation(catalogue, market).unit_values(scenario),
            rtol=1e-12,
            atol=1e-12,
        )


def test_grid_has_every_product(parameters: Parameters) -> None:
    grid = Grid.model_validate({"price_steps": ["-1", "0", "0.25"], "volatility": ["up", "unchanged", "down"]})
    found = price_volatility_grid(parameters.model.scan, grid)
    moves = [(each.price_moves["BTC"], each.volatility_moves.get("BTC", 0)) for each in found]
    width, up, down = Fraction(15, 100), Fraction(2, 5), -Fraction(1, 4)
    assert moves == [(step * width, move) for step in (-1, 0, Fraction(1, 4)) for move in (up, 0, down)]
    assert [each.number for each in found] == list(range(1, 10))
    assert found[6].label == "scenario 7: price +0.25 of the range, vol up"
    assert found[0].label == "scenario 1: price -1 of the range, vol up"
    assert found[3].label == "scenario 4: price 0, vol up"


def test_tails_are_described(parameters: Parameters) -> None:
    tails = [
        Tail.model_validate({"multiple": "-3", "covered": "0.25", "dampener": "2500.5"}),
        Tail.model_validate({"move": "5", "volatility": "down"}),
    ]
    first, second = tail_scenarios(parameters.model.scan, tails, 17)
    assert first.label == "scenario 17: price tail -3 ranges, vol unchanged"
    assert first.description == "BTC price -45 %, vol 0 %; 25 % of the loss counts; 2,500.5 USD of it do not"
    assert second.label == "scenario 18: price tail +500 %, vol down"
    assert second.only("ETH").price_moves == {}
    assert first.only("BTC").dampener == first.dampener
    basis = Scenario(1, "basis", {}, {}, basis_moves={"BTC": Fraction(-1, 10), "ETH": Fraction(1, 10)})
    assert basis.only("BTC").description == "BTC basis -10 % a year"
