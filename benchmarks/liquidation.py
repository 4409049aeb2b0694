"""`python -m benchmarks.liquidation`: liquidation prices and a cascade on a made-up book, on one core.

Every account holds ten positions in linear perpetuals, and cash of 5 % to 50 % of their notional, so that some are
liquidated now, some after a shock, and some never. Models: sixteen scenarios on four underlyings over 500 contracts,
and brackets of five tiers on each of 200 contracts. Times are of the processor, from records and model to the figures,
compilation included.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.sparse import csr_array

from crossmargin.instruments import Catalogue
from crossmargin.liquidation.cascade import CascadeConfig, replay_cascade
from crossmargin.liquidation.price import liquidation_prices
from crossmargin.liquidation.rule import Rule
from crossmargin.market import Market
from crossmargin.models import parse_model
from crossmargin.scenarios import Scenario
from crossmargin.setting import Setting

__all__ = ["Figures", "main", "measure"]

AS_OF = "2025-03-28T08:00:00Z"
UNDERLYINGS = ("U0", "U1", "U2", "U3")
HELD = 10
CONTRACTS = {"scenario_portfolio_margin": 500, "cross_margin": 200}

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
class Figures:
    """Of one model: positions, those with a price, seconds for the prices; seconds and rounds of a cascade."""

    model: str
    positions: int
    priced: int
    price_seconds: float
    cascade_seconds: float
    rounds: int


def measure(model: str, accounts: int, contracts: int, seed: int = 1) -> Figures:
    """Measure one model of CONTRACTS on a book of so many accounts."""
    setting = _setting(contracts)
    rule = Rule("benchmark", parse_model(_model(model, contracts)), "maintenance")
    records = _records(setting, accounts, seed)
    start = time.process_time()
    prices = liquidation_prices(rule, setting, records)
    price_seconds = time.process_time() - start
    shock = Scenario(1, "shock", dict.fromkeys(UNDERLYINGS, Fraction(-1, 10)), {})
    depth = {name: str(200_000 * accounts) for name in UNDERLYINGS}
    config = CascadeConfig.model_validate({"share": "0.2", "depth": depth, "rounds": "40"})
    start = time.process_time()
    cascade = replay_cascade(rule, setting, records, shock, config)
    seconds = time.process_time() - start
    priced = int(np.isfinite(prices.prices).sum())
    return Figures(model, len(prices.prices), priced, price_seconds, seconds, len(cascade.steps))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every model and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    accounts = parser.parse_args(arguments).accounts
    for model, contracts in CONTRACTS.items():
        found = measure(model, accounts, contracts)
        print(
            f"{model}, {contracts} contracts: {found.positions} positions, {found.priced} with a price, "
            f"{found.price_seconds:.2f} s; cascade of {found.rounds} rounds, {found.cascade_seconds:.2f} s"
        )


def _spot(contract: int) -> int:
    return 50 + 13 * (contract % len(UNDERLYINGS))


def _setting(contracts: int) -> Setting:
    def price(value: int) -> dict[str, str]:
        return {"price": str(value), "source": "benchmarks/liquidation.py", "time": AS_OF}

    instruments = [
        {
            "name": f"P{number}",
            "kind": "perpetual",
            "contract": "linear",
            "underlying": UNDERLYINGS[number % len(UNDERLYINGS)],
            "settlement": "USDC",
            "contract_size": "1",
            "lot": "1",
            "limit": "5000",
        }
        for number in range(contracts)
    ]
    asset = {"name": "USDC", "unit": "0.000001", "haircut": "0", "borrowable": True, "limit": "100000000"}
    index = {"USDC": price(1), **{name: price(_spot(number)) for number, name in enumerate(UNDERLYINGS)}}
    marks = {f"P{number}": price(_spot(number)) for number in range(contracts)}
    return Setting(
        Catalogue.model_validate({"assets": [asset], "instruments": instruments}),
        Market.model_validate({"as_of": AS_OF, "index": index, "marks": marks}),
    )


def _model(model: str, contracts: int) -> dict[str, object]:
    if model == "cross_margin":
        futures = {f"P{number}": {"tiers": TIERS} for number in range(contracts)}
        return {**COMMON, "model": model, "by": "instrument", "futures": futures}
    scan = {"price_range": "0.15", "volatility_up": "0.4", "volatility_down": "0.25"}
    extreme = {"multiple": "2", "covered": "0.35"}
    return {**COMMON, "model": model, "scan": dict.fromkeys(UNDERLYINGS, scan), "extreme": extreme}


def _records(setting: Setting, accounts: int, seed: int) -> csr_array:
    """Return the book: account, cash, entry value, and positions at up to 1,024 lots, opened at the mark."""
    contracts = len(setting.catalogue.instruments)
    generator = np.random.default_rng(seed)
    # Sorted draws plus 0, 1, 2, .. are different contracts.
    chosen = np.sort(generator.integers(0, contracts - HELD + 1, (accounts, HELD)), axis=1) + np.arange(HELD)
    lots = np.exp2(generator.uniform(0, 10, (accounts, HELD))).astype(np.int64)
    lots *= generator.choice(np.array([-1, 1]), lots.shape)
    worth = lots * np.array([_spot(number) for number in range(contracts)])[chosen] * 10**6
    cash = (np.abs(worth).sum(axis=1) * generator.uniform(0.05, 0.5, accounts)).astype(np.int64)
    fixed = np.stack([np.ones(accounts, dtype=np.int64), cash, -worth.sum(axis=1)], axis=1)
    columns = np.concatenate([np.broadcast_to(np.arange(3), (accounts, 3)), 3 + chosen], axis=1)
    width = 3 + HELD
    starts = np.arange(0, width * accounts + 1, width)
    data = np.concatenate([fixed, lots], axis=1).ravel()
    return csr_array((data, columns.ravel(), starts), shape=(accounts, 3 + contracts))


if __name__ == "__main__":
    main()
