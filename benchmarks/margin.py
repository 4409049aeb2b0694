"""`python -m benchmarks.margin`: margin, liquidation prices and a cascade of a made-up book, on one core.

Every account holds ten positions in linear perpetuals, and cash of 5 % to 50 % of their notional, so that some are
liquidated now, some after a shock, and some never. Times are of the processor: of margin after the policy is compiled
(as after loading a book), of prices and cascades from records and model to the figures, compilation included.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate
from crossmargin.liquidation.cascade import CascadeConfig, replay_cascade
from crossmargin.liquidation.price import liquidation_prices
from crossmargin.liquidation.rule import Rule
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Scenario
from crossmargin.models import build_policy, parse_model
from crossmargin_circuits.compile import compile_policy

__all__ = ["Liquidation", "main", "measure_liquidation", "measure_margin"]

AS_OF = "2025-03-28T08:00:00Z"
HELD = 10
FIXED = 2
"""Columns that are no positions: balance and entry value."""

MARGIN = {"scenario_portfolio_margin": (500, 4), "sum_of_underlyings": (500, 50)}
"""Contracts and underlyings on which margin is measured, sixteen scenarios each."""

LIQUIDATION = {"scenario_portfolio_margin": (500, 4), "cross_margin": (200, 4)}
"""The same for liquidation; cross margin has brackets of five tiers on each contract."""

TARGETS = {"scenario_portfolio_margin": 1, "sum_of_underlyings": 30}
"""Seconds for the margin of a million accounts."""

PRICES_TARGET = 10
"""Seconds for the liquidation prices of all positions of a hundred thousand accounts."""

COMMON = {
    "version": 1,
    "value_unit": {"currency": "USD", "quantum": "0.000001"},
    "staleness_limit_seconds": 600,
    "statements": [{"name": "maintenance", "factor": "1"}],
}
TIERS = [
    {"from": start, "rate": rate}
    for start, rate in (("0", "0.01"), ("5000", "0.02"), ("20000", "0.05"), ("50000", "0.1"), ("200000", "0.2"))
]


@dataclass(frozen=True)
class Liquidation:
    """Of one model: positions, those with a price, seconds for the prices; seconds and rounds of a cascade."""

    positions: int
    priced: int
    price_seconds: float
    cascade_seconds: float
    rounds: int


def measure_margin(model: str, accounts: int, contracts: int, underlyings: int, seed: int = 1) -> float:
    """Return the seconds that the margin of so many accounts takes."""
    environment = _environment(contracts, underlyings)
    policy = build_policy("benchmark", environment, parse_model(_model(model, contracts, underlyings)), "maintenance")
    compiled = compile_policy(policy)
    records = _records(environment, accounts, underlyings, seed)
    start = time.process_time()
    evaluate(compiled, records)
    return time.process_time() - start


def measure_liquidation(model: str, accounts: int, contracts: int, underlyings: int, seed: int = 1) -> Liquidation:
    """Measure prices and a cascade under one model on a book of so many accounts."""
    environment = _environment(contracts, underlyings)
    rule = Rule("benchmark", parse_model(_model(model, contracts, underlyings)), "maintenance")
    records = _records(environment, accounts, underlyings, seed)
    start = time.process_time()
    prices = liquidation_prices(rule, environment, records)
    price_seconds = time.process_time() - start
    names = _names(underlyings)
    shock = Scenario(1, "shock", dict.fromkeys(names, Fraction(-1, 10)), {})
    depth = {name: str(200_000 * accounts) for name in names}
    config = CascadeConfig.model_validate({"share": "0.2", "depth": depth, "rounds": "40"})
    start = time.process_time()
    cascade = replay_cascade(rule, environment, records, shock, config)
    seconds = time.process_time() - start
    priced = int(np.isfinite(prices.prices).sum())
    return Liquidation(len(prices.prices), priced, price_seconds, seconds, len(cascade.steps))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every model and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000, help="accounts of the book whose margin is measured")
    accounts = parser.parse_args(arguments).accounts
    for model, size in MARGIN.items():
        seconds = min(measure_margin(model, accounts, *size) for _ in range(2))
        print(
            f"margin, {model}, {size[1]} underlyings, {accounts:,} accounts: {seconds:.2f} s "
            f"(target for 1,000,000: {TARGETS[model]} s)"
        )
    fewer = accounts // 10
    for model, size in LIQUIDATION.items():
        found = measure_liquidation(model, fewer, *size)
        print(
            f"liquidation, {model}, {size[0]} contracts, {fewer:,} accounts: {found.positions:,} positions, "
            f"{found.priced:,} with a price, {found.price_seconds:.2f} s (target for 100,000 accounts: "
            f"{PRICES_TARGET} s); cascade of {found.rounds} rounds, {found.cascade_seconds:.2f} s"
        )


def _names(underlyings: int) -> list[str]:
    return [f"U{number}" for number in range(underlyings)]


def _spot(contract: int, underlyings: int) -> int:
    return 50 + 13 * (contract % underlyings)


def _environment(contracts: int, underlyings: int) -> MarketEnvironment:
    names = _names(underlyings)

    def price(value: int) -> dict[str, str]:
        return {"price": str(value), "source": "benchmarks/margin.py", "time": AS_OF}

    instruments = [
        {
            "name": f"P{number}",
            "kind": "perpetual",
            "contract": "linear",
            "underlying": names[number % underlyings],
            "settlement": "USDC",
            "contract_size": "1",
            "lot": "1",
            "limit": "5000",
        }
        for number in range(contracts)
    ]
    asset = {"name": "USDC", "unit": "0.000001", "haircut": "0", "borrowable": True, "limit": "100000000"}
    index = {"USDC": price(1), **{name: price(_spot(number, underlyings)) for number, name in enumerate(names)}}
    marks = {f"P{number}": price(_spot(number, underlyings)) for number in range(contracts)}
    return MarketEnvironment(
        Catalogue.model_validate({"assets": [asset], "instruments": instruments}),
        Market.model_validate({"as_of": AS_OF, "index": index, "marks": marks}),
    )


def _model(model: str, contracts: int, underlyings: int) -> dict[str, object]:
    if model == "cross_margin":
        futures = {f"P{number}": {"tiers": TIERS} for number in range(contracts)}
        return {**COMMON, "model": model, "by": "instrument", "futures": futures}
    scan = {"price_range": "0.15", "volatility_up": "0.4", "volatility_down": "0.25"}
    extreme = {"multiple": "2", "covered": "0.35"}
    return {**COMMON, "model": model, "scan": dict.fromkeys(_names(underlyings), scan), "extreme": extreme}


def _records(environment: MarketEnvironment, accounts: int, underlyings: int, seed: int) -> csr_array:
    """Return the book: cash, entry value, and positions at up to 1,024 lots, opened at the mark."""
    contracts = len(environment.catalogue.instruments)
    generator = np.random.default_rng(seed)
    # Sorted draws plus 0, 1, 2, .. are different contracts.
    chosen = np.sort(generator.integers(0, contracts - HELD + 1, (accounts, HELD)), axis=1) + np.arange(HELD)
    lots = np.exp2(generator.uniform(0, 10, (accounts, HELD))).astype(np.int64)
    lots *= generator.choice(np.array([-1, 1]), lots.shape)
    worth = lots * np.array([_spot(number, underlyings) for number in range(contracts)])[chosen] * 10**6
    cash = (np.abs(worth).sum(axis=1) * generator.uniform(0.05, 0.5, accounts)).astype(np.int64)
    fixed = np.stack([cash, -worth.sum(axis=1)], axis=1)
    columns = np.concatenate([np.broadcast_to(np.arange(FIXED), (accounts, FIXED)), FIXED + chosen], axis=1)
    width = FIXED + HELD
    starts = np.arange(0, width * accounts + 1, width)
    data = np.concatenate([fixed, lots], axis=1).ravel()
    return csr_array((data, columns.ravel(), starts), shape=(accounts, FIXED + contracts))


if __name__ == "__main__":
    main()
