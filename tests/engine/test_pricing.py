"""Option prices and Greeks computed a second way: numerical integration of the payoff, and a published table."""

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from crossmargin.market.exposures import exposures
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.valuation import Valuation, black76

TABLE = json.loads((Path(__file__).parents[1] / "vectors" / "greeks.json").read_text(encoding="utf-8"))["cases"]
NOW = datetime(2025, 1, 1, tzinfo=UTC)


def integrated(forward: float, strike: float, deviation: float, call: bool) -> float:
    """Return the mean of the payoff over a lognormal price with that mean, by quadrature up to and from the strike."""
    sign = 1 if call else -1

    def paid(z: float) -> float:
        price = forward * math.exp(deviation * z - deviation**2 / 2)
        return max(sign * (price - strike), 0) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    kink = (math.log(strike / forward) + deviation**2 / 2) / deviation
    ends = (-40.0, min(max(kink, -40.0), 40.0), 40.0)
    # The bulk of the integral lies within some deviations of its own mean, which quad must not miss.
    cuts = sorted({*ends, *(cut for cut in (-8.0, 0.0, deviation, 8.0 + deviation) if -40 < cut < 40)})
    return sum(quad(paid, low, high, epsabs=1e-11 * forward)[0] for low, high in pairwise(cuts))


@given(st.floats(0.3, 3), st.floats(0.05, 3), st.floats(0.003, 2), st.floats(-0.02, 0.2), st.booleans())
def test_black76_is_the_integral_of_the_payoff(
    moneyness: float, sigma: float, years: float, rate: float, call: bool
) -> None:
    forward, strike = 100.0, 100.0 * moneyness
    expected = math.exp(-rate * years) * integrated(forward, strike, sigma * math.sqrt(years), call)
    assert float(black76(forward, strike, sigma, years, rate, call)) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def venue(case: dict[str, str]) -> tuple[Catalogue, Market]:
    """Return one option on an index of a single price, at the terms of a table, its forward carried at the rate."""
    expiry = NOW + timedelta(days=float(case["days"]))
    option = {
        "name": "option",
        "kind": "option",
        "contract": "linear",
        "underlying": "INDEX",
        "settlement": "USD",
        "contract_size": "1",
        "lot": "1",
        "limit": "1000",
        "expiry": expiry,
        "strike": case["strike"],
        "option": case["type"],
    }
    cash = {"name": "USD", "unit": "0.01", "haircut": "0", "borrowable": True, "limit": "1000000"}
    catalogue = Catalogue.model_validate({"assets": [cash], "instruments": [option]})
    quote = {"source": "table", "time": NOW}
    market = Market.model_validate(
        {
            "as_of": NOW,
            "index": {"USD": {"price": "1", **quote}, "INDEX": {"price": case["spot"], **quote}},
            "options": {"option": {"iv": case["volatility"], **quote}},
            "rates": {"USD": case["rate"]},
        }
    )
    return catalogue, market


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["id"])
def test_published_greeks(case: dict[str, str]) -> None:
    catalogue, market = venue(case)
    found = exposures(Valuation(catalogue, market), "INDEX")
    spot, sigma, exact = float(case["spot"]), float(case["volatility"]), float(case["tolerance"])
    assert Valuation(catalogue, market).unit_values()[-1] == pytest.approx(float(case["price"]), abs=exact)
    assert found.delta[-1] / spot == pytest.approx(float(case["delta"]), abs=exact)
    assert found.gamma[-1] / spot**2 == pytest.approx(float(case["gamma"]), abs=exact)
    assert found.vega[-1] / sigma == pytest.approx(float(case["vega"]), abs=exact)


@given(st.integers(20, 300), st.integers(5, 200), st.integers(1, 700))
def test_calls_and_puts_differ_by_a_forward(strike: int, volatility: int, days: int) -> None:
    """Of put-call parity the derivatives: deltas differ by the discounted forward, gammas and vegas are equal."""
    terms = {"spot": "100", "strike": str(strike), "rate": "0.03", "days": str(days)}
    terms["volatility"] = str(Decimal(volatility) / 100)
    call, put = (exposures(Valuation(*venue({**terms, "type": word})), "INDEX") for word in ("call", "put"))
    # The forward is carried at the rate, so that its discounted value is the index.
    assert call.delta[-1] - put.delta[-1] == pytest.approx(100)
    np.testing.assert_allclose((call.gamma, call.vega), (put.gamma, put.vega))
    assert call.gamma[-1] >= 0
    assert call.vega[-1] >= 0
