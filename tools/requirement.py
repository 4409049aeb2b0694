"""A rough margin requirement of many accounts at once, from which the generator sizes their collateral.

For every underlying the worst of sixteen scenarios (seven prices by two volatilities, and two extreme moves of which a
part counts), summed over the underlyings: an upper bound of the worst joint scenario. Floating point, and independent
of the margin core on purpose: an example must not depend on the code that it exercises.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.contracts import ASSETS, INSTRUMENTS, RATE, SCAN, Instrument, implied_volatility, mark

__all__ = [
    "EXTREME_COVERED",
    "EXTREME_MULTIPLE",
    "Holdings",
    "asset_values",
    "lot_values",
    "option_price",
    "requirement",
]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

EXTREME_MULTIPLE = 2.0
EXTREME_COVERED = 0.35

_INDEX = {asset.name: float(asset.index) for asset in ASSETS}


@dataclass(frozen=True)
class Holdings:
    """Open positions and coins of n accounts.

    account, instrument, lots: one entry for every position; cash: (n, assets) float64, the amounts in each asset that
    move with its price: balances and entry values.
    """

    accounts: int
    account: Integers
    instrument: Integers
    lots: Integers
    cash: Floats


def asset_values() -> Floats:
    """Return US dollars per unit of every asset."""
    return np.array([float(asset.index * asset.unit) for asset in ASSETS])


def lot_values(underlying: str | None = None, price: float = 0.0, volatility: float = 0.0) -> Floats:
    """Return US dollars per lot of every instrument, with one underlying (or none) and its volatilities shocked.

    price, volatility: relative moves.
    """
    return np.array(
        [
            _lot_value(instrument, *((price, volatility) if instrument.underlying == underlying else (0.0, 0.0)))
            for instrument in INSTRUMENTS
        ]
    )


def _lot_value(instrument: Instrument, price: float, volatility: float) -> float:
    """Return US dollars per lot: what the position is worth apart from its entry value."""
    amount = float(instrument.contract_size * instrument.lot)
    level = float(mark(instrument)) * (1 + price)
    if instrument.kind == "option":
        return amount * option_price(instrument, price, volatility)
    if instrument.contract == "linear":
        return amount * level * _INDEX[instrument.settlement]
    return -amount / level * _INDEX[instrument.settlement] * (1 + price)


def option_price(instrument: Instrument, price: float = 0.0, volatility: float = 0.0) -> float:
    """Return Black-76 in US dollars per unit of the underlying, with forward and volatility shocked."""
    level, strike, years = float(mark(instrument)) * (1 + price), float(instrument.strike or 0), float(instrument.years)
    width = float(implied_volatility(instrument)) * (1 + volatility) * math.sqrt(years)
    sign = 1 if instrument.option == "call" else -1
    upper = math.log(level / strike) / width + width / 2
    gain = level * _normal(sign * upper) - strike * _normal(sign * (upper - width))
    return sign * gain * math.exp(-float(RATE) * years)


def _normal(value: float) -> float:
    """Return the standard normal distribution function."""
    return math.erfc(-value / math.sqrt(2)) / 2


def requirement(holdings: Holdings) -> Floats:
    """Return the worst loss of every account on every underlying, (n, underlyings) float64 in US dollars."""
    values = lot_values()
    names = [asset.name for asset in ASSETS]
    worst = np.zeros((holdings.accounts, len(SCAN)))
    for column, (underlying, scan) in enumerate(SCAN.items()):
        own = np.array([instrument.underlying == underlying for instrument in INSTRUMENTS])[holdings.instrument]
        account, instrument, lots = (array[own] for array in (holdings.account, holdings.instrument, holdings.lots))
        coins = holdings.cash[:, names.index(underlying)] * _INDEX[underlying]
        reach, up, down = float(scan.price), float(scan.volatility_up), -float(scan.volatility_down)
        shocks = [(reach * step / 3, shift, 1.0) for step in range(-3, 4) for shift in (up, down)]
        shocks += [(sign * EXTREME_MULTIPLE * reach, 0.0, EXTREME_COVERED) for sign in (-1, 1)]
        for price, volatility, counted in shocks:
            gain = (lot_values(underlying, price, volatility) - values)[instrument] * lots
            total = np.bincount(account, gain, minlength=holdings.accounts) + coins * price
            np.maximum(worst[:, column], -counted * total, out=worst[:, column])
    return worst
