"""Black-76 against published prices, and the value of a column unit against the contract's definition."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.loading import Parameters
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Scenario, span_grid
from crossmargin.market.valuation import Valuation, black76, check_option_marks
from crossmargin.models import build_policy

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "black76.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_published_prices(case: dict[str, float]) -> None:
    value = black76(
        case["forward"], case["strike"], case["volatility"], case["years"], case["rate"], case["type"] == "call"
    )
    assert float(value) == pytest.approx(case["value"], abs=case["tolerance"])


prices = st.floats(1, 1e6)


@given(prices, prices, st.floats(0, 5), st.floats(0, 3), st.floats(-0.05, 0.2))
def test_put_call_parity_and_bounds(forward: float, strike: float, sigma: float, years: float, rate: float) -> None:
    call = float(black76(forward, strike, sigma, years, rate, True))
    put = float(black76(forward, strike, sigma, years, rate, False))
    discount = math.exp(-rate * years)
    scale = max(forward, strike)
    assert call - put == pytest.approx(discount * (forward - strike), abs=1e-9 * scale)
    assert discount * max(forward - strike, 0) - 1e-9 * scale <= call <= discount * forward + 1e-9 * scale
    assert discount * max(strike - forward, 0) - 1e-9 * scale <= put <= discount * strike + 1e-9 * scale


@given(prices, prices, st.floats(0.01, 2), st.floats(0.01, 2))
def test_price_rises_with_volatility(forward: float, strike: float, sigma: float, years: float) -> None:
    low, high = black76(forward, strike, [sigma, 1.5 * sigma], years, 0.0, True)
    assert high >= low - 1e-9 * forward


def test_no_time_left_is_the_intrinsic_value() -> None:
    assert black76([110, 90, 100], 100, 0.5, 0, 0.04, True).tolist() == [10, 0, 0]
    assert black76([110, 90, 100], 100, 0, 1, 0, False).tolist() == [0, 10, 0]


def test_unit_values(parameters: Parameters) -> None:
    values = parameters.environment.valuation.unit_values()
    years = 91 / 365
    option = 0.1 * float(black76(86000, 100000, 0.55, years, 0.04, True))
    expected = [1e-6, 85000e-8, 130e-6, 1e-6, 85000e-8, 85.01, -10 / 85005 * 85000, option]
    assert values == pytest.approx(expected, rel=1e-14)


def test_scenario_profit(parameters: Parameters) -> None:
    scenario = Scenario(1, "test", {"BTC": Fraction(1, 10)}, {"BTC": Fraction(-1, 4)}, Fraction(1, 2))
    profit = parameters.environment.valuation.scenario_pnl(scenario)
    before = float(black76(86000, 100000, 0.55, 91 / 365, 0.04, True))
    after = float(black76(94600, 100000, 0.4125, 91 / 365, 0.04, True))
    full = [0, 8500e-8, 0, 0, 8500e-8, 8.501, 0, 0.1 * (after - before)]
    # An inverse contract moves against its own coin: in USD its value -(10 / mark) * index stays as it is.
    assert profit == pytest.approx([figure / 2 for figure in full], rel=1e-12, abs=1e-12)


def test_inverse_position_with_its_entry_is_delta_one(parameters: Parameters) -> None:
    """q contracts opened at the mark: value moves by q * size * (1 - mark / moved mark) * moved index, in USD."""
    scenario = Scenario(1, "test", {"BTC": Fraction(1, 5)}, {})
    profit = parameters.environment.valuation.scenario_pnl(scenario)
    layout = parameters.catalogue.layout()
    keys = [column.key for column in layout.columns]
    entry = 8500 * 10 / 85005 / 1e-8
    moved = 8500 * profit[keys.index("position BTC-PERPETUAL")] + entry * profit[keys.index("entry BTC")]
    assert moved == pytest.approx(8500 * 10 * (1 / 85005 - 1 / (85005 * 1.2)) * 85000 * 1.2, rel=1e-9)


def test_rest_is_worth_nothing(parameters: Parameters) -> None:
    at_rest = parameters.environment.valuation.scenario_pnl(Scenario(1, "rest", {}, {}))
    assert not at_rest.any()


def test_every_scenario_of_the_grid_is_finite(parameters: Parameters) -> None:
    for scenario in span_grid(parameters.model.scan, parameters.model.extreme):
        assert np.isfinite(parameters.environment.valuation.scenario_pnl(scenario)).all()


def moved(market: Market, **changes: object) -> Market:
    return Market.model_validate({**market.model_dump(), **changes})


def test_expired_option_is_its_intrinsic_value(parameters: Parameters) -> None:
    quote = {"price": "120000", "source": "x", "time": "2025-06-27T08:00:00Z"}
    index = {name: {**quote, "price": "1"} for name in ("USDC", "SOL")} | {"BTC": quote}
    market = moved(parameters.market, as_of="2025-06-27T08:00:00Z", index=index, options={})
    assert Valuation(parameters.catalogue, market).unit_values()[-1] == pytest.approx(0.1 * 20000)
    up = Scenario(1, "up", {"BTC": Fraction(1, 10)}, {"BTC": Fraction(1)})
    assert Valuation(parameters.catalogue, market).scenario_pnl(up)[-1] == pytest.approx(0.1 * 12000)


def test_forward_follows_the_rate_where_it_is_not_quoted(parameters: Parameters) -> None:
    options = {"BTC-27JUN25-100000-C": {"iv": "0.55", "source": "x", "time": "2025-03-28T08:00:00Z"}}
    market = moved(parameters.market, options=options)
    years = 91 / 365
    forward = 85000 * math.exp(0.04 * years)
    expected = 0.1 * float(black76(forward, 100000, 0.55, years, 0.04, True))
    assert Valuation(parameters.catalogue, market).unit_values()[-1] == pytest.approx(expected, rel=1e-14)


def test_option_marks_are_compared(catalogue: Catalogue, parameters: Parameters) -> None:
    price = float(black76(86000, 100000, 0.55, 91 / 365, 0.04, True))
    quote = {"iv": "0.55", "forward": "86000", "source": "x", "time": "2025-03-28T08:00:00Z"}
    for stated, problems in ((price, 0), (price + 40, 0), (price * 1.05, 1), (price / 85000, 1)):
        options = {"BTC-27JUN25-100000-C": {**quote, "mark_price": f"{stated:.8f}"}}
        found = check_option_marks(catalogue, moved(parameters.market, options=options))
        assert len(found) == problems
    assert found[0].field == "options.BTC-27JUN25-100000-C.mark_price"


def test_markets_in_turn_are_read_once_each(parameters: Parameters, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of a market belong to its environment, so that two of them do not push each other out."""
    read: list[Market] = []

    class Counted(Valuation):
        def __init__(self, catalogue: Catalogue, market: Market) -> None:
            read.append(market)
            super().__init__(catalogue, market)

    monkeypatch.setattr("crossmargin.market.valuation.Valuation", Counted)
    fall = Scenario(1, "fall", {"BTC": Fraction(-1, 10)}, {})
    first, second = parameters.environment.at(parameters.market), parameters.environment.moved(fall)
    for _ in range(3):
        for environment in (first, second):
            build_policy("test", environment, parameters.model, "initial")
            environment.valuation.scenario_pnl(fall)
    assert read == [first.market, second.market]
    assert not np.array_equal(first.valuation.unit_values(), second.valuation.unit_values())
