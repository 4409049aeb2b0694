"""A made-up path of daily prices that ends at the index prices of the example book.

Logarithmic moves are a market factor times a loading, plus a move of the coin's own, all Student-t with five degrees
of freedom and with the daily volatility of a regime. The year has calm months, a crash in August with a rebound, and
a nervous fortnight in December; USDT trades at a discount during the crash. Moves are rounded to 10^-6 before prices
are multiplied up from the end in decimal arithmetic, so that a price is the same on every machine.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from tools.contracts import AS_OF, ASSETS

__all__ = ["price_path"]

DAYS = 365
SEED = 20240328
DEGREES = 5

CALM, NERVOUS, STRESSED = 0.017, 0.034, 0.052
"""Daily volatility of the market factor."""

REGIMES = ((120, CALM), (10, NERVOUS), (28, STRESSED), (17, NERVOUS), (80, CALM), (15, NERVOUS), (95, CALM))
"""Days and volatility, oldest first; 365 days."""

CRASH = {133: -0.148, 134: -0.061, 135: 0.094}
"""Moves of the market factor that are set, by day."""

LOADING = {"BTC": 1.0, "ETH": 1.22, "SOL": 1.45}
OWN = {"BTC": 0.25, "ETH": 0.55, "SOL": 0.85}
"""Volatility of the coin's own move, relative to that of the market factor."""

PEG_WIDTH = {"USDC": 0.00015, "USDT": 0.00025}
"""Standard deviation of a stablecoin's price around its level of now."""

DISCOUNT = {"USDT": {133: 0.004, 134: 0.0215, 135: 0.0132, 136: 0.0061, 137: 0.0028}}
"""Distance of a stablecoin below its level, by day."""

PLACES = {"USDC": 4, "USDT": 4}
"""Decimal places of a price; 2 for a coin."""


def price_path() -> tuple[Sequence[datetime], Mapping[str, Sequence[Decimal]]]:
    """Return DAYS + 1 times, a day apart and the last at AS_OF, and the prices of every asset at them."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    volatility = np.repeat([width for _, width in REGIMES], [days for days, _ in REGIMES])
    factor = volatility * _student(rng)
    for day, move in CRASH.items():
        factor[day] = move
    prices = {}
    for asset in ASSETS:
        if asset.name in PEG_WIDTH:
            prices[asset.name] = _pegged(asset.name, asset.index, rng.standard_normal(DAYS))
        else:
            own = OWN[asset.name] * volatility * _student(rng)
            prices[asset.name] = _coin(asset.index, LOADING[asset.name] * factor + own)
    return [AS_OF - timedelta(days=DAYS - day) for day in range(DAYS + 1)], prices


def _student(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return DAYS draws with variance 1."""
    normal, square = rng.standard_normal(DAYS), (rng.standard_normal((DAYS, DEGREES)) ** 2).sum(axis=1)
    drawn: NDArray[np.float64] = normal * np.sqrt((DEGREES - 2) / square)
    return drawn


def _coin(last: Decimal, moves: NDArray[np.float64]) -> list[Decimal]:
    """Return prices that end at `last` after these logarithmic moves."""
    exact = [Decimal(int(step)).scaleb(-6) for step in np.rint(moves * 1e6)]
    ahead = [Decimal(0), *accumulate(reversed(exact))]
    return [_round(last * (-sum_).exp(), 2) for sum_ in reversed(ahead)]


def _pegged(name: str, level: Decimal, noise: NDArray[np.float64]) -> list[Decimal]:
    """Return prices around a level, the last one at it; day d of DISCOUNT is the day of the d-th move."""
    deviations = np.rint(PEG_WIDTH[name] * noise * 1e6)
    below = DISCOUNT.get(name, {})
    path = [level + Decimal(int(deviation)).scaleb(-6) for deviation in deviations]
    path = [price - Decimal(str(below.get(day - 1, 0))) for day, price in enumerate(path)]
    return [_round(price, PLACES[name]) for price in [*path, level]]


def _round(price: Decimal, places: int) -> Decimal:
    return price.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
