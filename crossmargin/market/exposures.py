"""Exposures of one column unit to one price and its volatility, in USD: delta, gamma, vega (analytic).

A relative move m of the price of `name`, an underlying or an asset, and a relative move v of its volatilities change
the value of a column unit by about

    pnl(m, v) ~ delta m + gamma m^2 / 2 + vega v        delta = d value / d ln price, gamma the second-order
                                                        coefficient of m, vega = d value / d ln volatility

Everything that names the price moves: index, marks and forwards. Balances, entry values, linear and inverse contracts
are powers of it, value (1 + m)^k, so that delta = k value and gamma = k (k - 1) value; k is 1 for a balance and for a
linear contract settled in something else, 0 for the mark leg of an inverse contract settled in its underlying (the
entry value, in coins, carries its exposure). Options are Black-76 on the forward F, with s = volatility sqrt(years):

    delta = w exp(-rate years) F N(w d1)    gamma = exp(-rate years) F n(d1) / s    vega = exp(-rate years) F n(d1) s

`forward_deltas` is the exposure to the term structure instead: one mark or forward moves, the index stays. There an
inverse future has a delta of its own. What two prices have in common (the mark and the settlement asset of one
contract) is left out: it is of second order, and full revaluation has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from crossmargin.market.instruments import Contract, Instrument, Kind
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import OptionInputs, Valuation, option_inputs
from crossmargin_circuits.layout import ColumnKind

__all__ = ["Exposures", "exposures", "forward_deltas", "quadratic_pnl"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Exposures:
    """Delta, gamma and vega of one unit of every column, (V,) each, USD per relative move of 1 (of m, m^2/2, v)."""

    delta: Floats
    gamma: Floats
    vega: Floats

    def pnl(self, price_move: float, volatility_move: float) -> Floats:
        """Return delta m + gamma m^2 / 2 + vega v of every column, (V,)."""
        result: Floats = price_move * self.delta + price_move**2 / 2 * self.gamma + volatility_move * self.vega
        return result


def exposures(valuation: Valuation, name: str) -> Exposures:
    """Return the exposures of every column to the price and the volatilities of an underlying or asset."""
    catalogue, market = valuation.catalogue, valuation.market
    layout, values = catalogue.layout(), valuation.unit_values()
    power = np.zeros(len(layout))
    for number, column in enumerate(layout.columns):
        if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY) and catalogue.asset(column.name).priced_as == name:
            power[number] = 1
    options: list[int] = []
    first = len(layout) - len(catalogue.instruments)
    for number, item in enumerate(catalogue.instruments, start=first):
        if item.kind is not Kind.OPTION:
            power[number] = (item.settlement == name) + (item.underlying == name) * _mark_power(item)
        elif item.underlying == name:
            options.append(number)
    delta, gamma, vega = power * values, power * (power - 1) * values, np.zeros(len(layout))
    if options:
        inputs = option_inputs([catalogue.instruments[number - first] for number in options], market)
        delta[options], gamma[options], vega[options] = inputs.size * _option_greeks(inputs)
    return Exposures(delta, gamma, vega)


def forward_deltas(valuation: Valuation, underlying: str) -> dict[datetime | None, Floats]:
    """Return d value / d ln forward of every column by expiry, (V,) each, with the index at rest; USD.

    The key None is the mark of the perpetuals; expiries ascend after it. Expired options, which have no forward any
    more, are left out. Positions alone have such a delta, inverse contracts too (their size in USD).
    """
    catalogue, market = valuation.catalogue, valuation.market
    layout, values = catalogue.layout(), valuation.unit_values()
    found: dict[datetime | None, Floats] = {}
    first = len(layout) - len(catalogue.instruments)
    for number, item in enumerate(catalogue.instruments, start=first):
        if item.underlying != underlying or (item.kind is Kind.OPTION and market.expired(item)):
            continue
        deltas = found.setdefault(item.expiry, np.zeros(len(layout)))
        if item.kind is Kind.OPTION:
            inputs = option_inputs([item], market)
            deltas[number] = (inputs.size * _option_greeks(inputs)[0])[0]
        else:
            deltas[number] = _mark_power(item) * values[number]
    expiries: list[datetime | None] = [None] if None in found else []
    expiries += sorted(each for each in found if each is not None)
    return {expiry: found[expiry] for expiry in expiries}


def quadratic_pnl(found: Mapping[str, Exposures], scenario: Scenario) -> Floats:
    """Return covered * (delta m + gamma m^2 / 2 + vega v), summed over the names with exposures, USD, (V,)."""
    moves, volatilities = scenario.price_moves, scenario.volatility_moves
    total: Floats = sum(
        (each.pnl(float(moves.get(name, 0)), float(volatilities.get(name, 0))) for name, each in found.items()),
        start=np.zeros(1),
    )
    return float(scenario.covered) * total


def _mark_power(item: Instrument) -> int:
    """Return the power of the mark in the value of a future or perpetual."""
    return 1 if item.contract is Contract.LINEAR else -1


def _option_greeks(inputs: OptionInputs) -> Floats:
    """Return delta, gamma and vega of options, (3, n), USD per unit of the underlying.

    Without time left: the slope of the intrinsic value, 0 at the strike; no gamma, no vega.
    """
    sign = np.where(inputs.call, 1.0, -1.0)
    deviation = inputs.volatility * np.sqrt(inputs.years)
    moving = deviation > 0
    safe = np.where(moving, deviation, 1.0)
    d1 = np.log(inputs.forward / inputs.strike) / safe + safe / 2
    present = np.exp(-inputs.rate * inputs.years) * inputs.forward
    density = np.where(moving, np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi), 0.0)
    exercised = np.where(moving, ndtr(sign * d1), sign * (inputs.forward - inputs.strike) > 0)
    return np.stack([sign * present * exercised, present * density / safe, present * density * safe])
