"""Analytic exposures are the derivatives of the values of column units, whatever the column."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from crossmargin.loading import load_parameters
from crossmargin.market.exposures import exposures, forward_deltas, quadratic_pnl
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import Valuation

BOOK = Path(__file__).parents[2] / "examples" / "book"
STEP = Fraction(1, 2000)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Return the columns of the example, with contracts settled in a third asset."""
    catalogue = load_parameters(BOOK).catalogue
    terms = {"kind": "perpetual", "underlying": "ETH", "contract_size": "1", "lot": "1", "limit": "1000"}
    strange = (
        {**terms, "name": "linear-in-BTC", "contract": "linear", "settlement": "BTC"},
        {**terms, "name": "linear-in-ETH", "contract": "linear", "settlement": "ETH"},
        {**terms, "name": "inverse-in-BTC", "contract": "inverse", "settlement": "BTC"},
    )
    data = catalogue.model_dump()
    return Catalogue.model_validate({**data, "instruments": (*data["instruments"], *strange)})


@pytest.fixture(scope="module")
def market() -> Market:
    market = load_parameters(BOOK).market
    mark = market.marks["ETH-PERPETUAL"]
    strange = dict.fromkeys(("linear-in-BTC", "linear-in-ETH", "inverse-in-BTC"), mark)
    return market.model_copy(update={"marks": {**market.marks, **strange}})


def values(catalogue: Catalogue, market: Market, name: str, move: Fraction, volatility: Fraction) -> np.ndarray:
    return Valuation(catalogue, market).unit_values(Scenario(1, "moved", {name: move}, {name: volatility}))


@pytest.mark.parametrize("name", ["BTC", "ETH", "SOL", "USDT", "USDC"])
def test_exposures_are_central_differences(catalogue: Catalogue, market: Market, name: str) -> None:
    now = Valuation(catalogue, market).unit_values()
    up, down = (values(catalogue, market, name, step, Fraction(0)) for step in (STEP, -STEP))
    bright, calm = (values(catalogue, market, name, Fraction(0), step) for step in (STEP, -STEP))
    found, step = exposures(Valuation(catalogue, market), name), float(STEP)
    scale = np.maximum(np.abs(now), 1e-12)
    np.testing.assert_allclose(found.delta, (up - down) / (2 * step), atol=2e-5 * scale.max(), rtol=2e-5)
    np.testing.assert_allclose(found.vega, (bright - calm) / (2 * step), atol=1e-6 * scale.max(), rtol=1e-5)
    second = (up - 2 * now + down) / step**2
    np.testing.assert_allclose(found.gamma, second, rtol=2e-4, atol=1e-7 * scale.max())


def test_an_inverse_position_with_its_entry_is_delta_one(catalogue: Catalogue, market: Market) -> None:
    """The coins of the entry value are the exposure: together they are the contract's size in USD."""
    keys = [column.key for column in catalogue.layout().columns]
    delta = exposures(Valuation(catalogue, market), "BTC").delta
    mark, index = float(market.marks["BTC-PERPETUAL"].price), float(market.index["BTC"].price)
    coins = 8500 * 10 / mark / 1e-8
    net = 8500 * delta[keys.index("position BTC-PERPETUAL")] + coins * delta[keys.index("entry BTC")]
    assert net == pytest.approx(8500 * 10 * index / mark)


def test_expired_options_have_the_delta_of_their_intrinsic_value(catalogue: Catalogue, market: Market) -> None:
    later = market.model_copy(update={"as_of": datetime(2025, 6, 27, 8, tzinfo=UTC)})
    keys = [column.key for column in catalogue.layout().columns]
    found = exposures(Valuation(catalogue, later), "BTC")
    index = float(market.index["BTC"].price)
    for option, expected in (
        ("BTC-27JUN25-70000-C", 0.1 * index),
        ("BTC-27JUN25-70000-P", 0),
        ("BTC-27JUN25-100000-C", 0),
        ("BTC-27JUN25-100000-P", -0.1 * index),
    ):
        number = keys.index(f"position {option}")
        assert found.delta[number] == pytest.approx(expected)
        assert found.gamma[number] == found.vega[number] == 0
    assert datetime(2025, 4, 25, 8, tzinfo=UTC) in forward_deltas(Valuation(catalogue, later), "BTC"), (
        "futures keep their mark"
    )


def moved_expiry(market: Market, catalogue: Catalogue, expiry: datetime | None, factor: Fraction) -> Market:
    """Return the market with the marks and forwards of one expiry of BTC moved, and the index at rest."""
    names = [each.name for each in catalogue.instruments if each.underlying == "BTC" and each.expiry == expiry]
    scale = Decimal(factor.numerator) / Decimal(factor.denominator)
    return market.model_copy(
        update={
            "marks": {
                name: each.model_copy(update={"price": each.price * scale}) if name in names else each
                for name, each in market.marks.items()
            },
            "options": {
                name: each.model_copy(update={"forward": each.forward and each.forward * scale})
                if name in names
                else each
                for name, each in market.options.items()
            },
        }
    )


def test_forward_deltas_are_central_differences(catalogue: Catalogue, market: Market) -> None:
    found = forward_deltas(Valuation(catalogue, market), "BTC")
    assert next(iter(found)) is None
    assert [each.date().isoformat() for each in list(found)[1:] if each] == ["2025-04-25", "2025-06-27", "2025-09-26"]
    for expiry, deltas in found.items():
        up, down = (
            Valuation(catalogue, moved_expiry(market, catalogue, expiry, 1 + step)).unit_values()
            for step in (STEP, -STEP)
        )
        np.testing.assert_allclose(deltas, (up - down) / (2 * float(STEP)), rtol=1e-5, atol=1e-5)
        assert deltas.any()


def test_forwards_and_index_together_are_the_whole_delta(catalogue: Catalogue, market: Market) -> None:
    """Per contract settled in USD nothing is left for the index; a coin-settled one owes its size in coins."""
    keys = [column.key for column in catalogue.layout().columns]
    rest = exposures(Valuation(catalogue, market), "BTC").delta - sum(
        forward_deltas(Valuation(catalogue, market), "BTC").values()
    )
    now = Valuation(catalogue, market).unit_values()
    for key, left, value in zip(keys, rest, now, strict=True):
        if not key.startswith("position") or "BTC" not in key:
            continue
        inverse = key in (
            "position BTC-PERPETUAL",
            "position BTC-25APR25",
            "position BTC-27JUN25",
            "position BTC-26SEP25",
        )
        settled = inverse or key.endswith("in-BTC")
        assert left == pytest.approx(value if settled else 0, abs=1e-9)


def test_quadratic_meets_full_revaluation_to_third_order(catalogue: Catalogue, market: Market) -> None:
    """Halving the move divides what the quadratic misses by about eight."""

    def missed(size: Fraction) -> np.ndarray:
        scenario = Scenario(1, "test", {"BTC": size}, {}, Fraction(1, 2))
        full = (Valuation(catalogue, market).unit_values(scenario) - Valuation(catalogue, market).unit_values()) / 2
        return np.abs(quadratic_pnl({"BTC": exposures(Valuation(catalogue, market), "BTC")}, scenario) - full)

    wide, half = missed(Fraction(1, 50)), missed(Fraction(1, 100))
    curved = wide > 1e-4
    assert curved.sum() > 10
    assert np.all(half[curved] < wide[curved] / 6)
