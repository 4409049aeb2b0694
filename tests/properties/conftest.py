"""A small venue with every kind of column: plain and cut collateral, linear, inverse, dated and option contracts."""

from datetime import UTC, datetime

import pytest

from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.models import MarginModel, parse_model

NOW = "2025-03-28T08:00:00Z"


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return two underlyings, three assets, seven instruments."""

    def asset(name: str, unit: str, haircut: str, limit: str) -> dict[str, object]:
        return {"name": name, "unit": unit, "haircut": haircut, "borrowable": True, "limit": limit}

    def contract(name: str, kind: str, style: str, underlying: str, settlement: str, **more: str) -> dict[str, object]:
        terms = {"contract_size": "0.001", "lot": "1", "limit": "1000000", **more}
        return {
            "name": name,
            "kind": kind,
            "contract": style,
            "underlying": underlying,
            "settlement": settlement,
            **terms,
        }

    expiry = "2025-06-27T08:00:00Z"
    return Catalogue.model_validate(
        {
            "assets": [
                asset("USDC", "0.000001", "0", "1000000000"),
                asset("BTC", "0.00000001", "0.05", "10000"),
                asset("ETH", "0.00000001", "0.1", "100000"),
            ],
            "instruments": [
                contract("BTC_USDC-PERPETUAL", "perpetual", "linear", "BTC", "USDC"),
                contract("ETH_USDC-PERPETUAL", "perpetual", "linear", "ETH", "USDC", contract_size="0.01"),
                contract("BTC-PERPETUAL", "perpetual", "inverse", "BTC", "BTC", contract_size="10"),
                contract("BTC-27JUN25", "future", "inverse", "BTC", "BTC", contract_size="10", expiry=expiry),
                contract(
                    "BTC-27JUN25-100000-C",
                    "option",
                    "inverse",
                    "BTC",
                    "BTC",
                    contract_size="1",
                    lot="0.1",
                    limit="10000",
                    expiry=expiry,
                    strike="100000",
                    option="call",
                ),
                contract(
                    "BTC-27JUN25-70000-P",
                    "option",
                    "inverse",
                    "BTC",
                    "BTC",
                    contract_size="1",
                    lot="0.1",
                    limit="10000",
                    expiry=expiry,
                    strike="70000",
                    option="put",
                ),
            ],
        }
    )


@pytest.fixture(scope="session")
def market() -> Market:
    """Return prices of one moment."""

    def price(value: str) -> dict[str, str]:
        return {"price": value, "source": "test", "time": NOW}

    def option(iv: str) -> dict[str, str]:
        return {"iv": iv, "source": "test", "time": NOW}

    return Market.model_validate(
        {
            "as_of": datetime(2025, 3, 28, 8, tzinfo=UTC),
            "index": {"USDC": price("0.9998"), "BTC": price("85123.4"), "ETH": price("1890.55")},
            "marks": {
                "BTC_USDC-PERPETUAL": price("85140.2"),
                "ETH_USDC-PERPETUAL": price("1891.1"),
                "BTC-PERPETUAL": price("85131"),
                "BTC-27JUN25": price("86990"),
            },
            "options": {"BTC-27JUN25-100000-C": option("0.52"), "BTC-27JUN25-70000-P": option("0.61")},
            "rates": {"USD": "0.04"},
        }
    )


@pytest.fixture(scope="session")
def environment(catalogue: Catalogue, market: Market) -> MarketEnvironment:
    """Return catalogue and market together."""
    return MarketEnvironment(catalogue, market)


@pytest.fixture(scope="session", params=["scenario_portfolio_margin", "sum_of_underlyings"])
def model(request: pytest.FixtureRequest) -> MarginModel:
    """Return each model with maintenance, initial and coverage statements."""
    scan = {"price_range": "0.15", "volatility_up": "0.4", "volatility_down": "0.25"}
    return parse_model(
        {
            "model": request.param,
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "0.00000001"},
            "staleness_limit_seconds": 600,
            "scan": {"BTC": scan, "ETH": {**scan, "price_range": "0.2"}},
            "extreme": {"multiple": "2", "covered": "0.35"},
            "statements": [
                {"name": "maintenance", "factor": "0.8"},
                {"name": "initial", "factor": "1"},
                {"name": "coverage"},
            ],
        }
    )
