"""Values of one column unit in USD, now and under a scenario (floats; what becomes normative is rounded once, later).

Per contract: linear: contract_size * mark * index(settlement); inverse: -(contract_size / mark) * index(settlement);
option: contract_size * Black-76 on the forward, in USD; expired option: contract_size * intrinsic value on the index.
Per unit of a balance or an entry value: unit * index(asset). A scenario moves the index, the mark and the forward of
each underlying by the same relative move and its volatilities by theirs, as its volatility term says; what is dated
also moves by the scenario's basis moves, 1 + b years. Time does not pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from crossmargin.errors import InputError
from crossmargin.instruments import Catalogue, Contract, Instrument, Kind, OptionType
from crossmargin.market import RATE_CURRENCY, Market
from crossmargin.scenarios import Scenario
from crossmargin_circuits.layout import ColumnKind

__all__ = ["OptionInputs", "black76", "check_option_marks", "option_inputs", "scenario_pnl", "unit_values"]

MARK_TOLERANCE = (0.01, 0.0005)
"""A stated option price may differ from Black-76 by this part of itself plus this part of the forward."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OptionInputs:
    """What Black-76 reads of n options, each (n,): forward and strike in USD, volatility, years, whether a call.

    size: units of the underlying per lot; rate: per year, of all.
    """

    size: Floats
    forward: Floats
    strike: Floats
    volatility: Floats
    years: Floats
    rate: float
    call: NDArray[np.bool_]

    @property
    def prices(self) -> Floats:
        """USD per unit of the underlying, (n,)."""
        return black76(self.forward, self.strike, self.volatility, self.years, self.rate, self.call)


def black76(
    forward: ArrayLike,
    strike: ArrayLike,
    volatility: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    call: ArrayLike,
) -> Floats:
    """Return exp(-rate years) (w F N(w d1) - w K N(w d2)), w = 1 for calls and -1 for puts, elementwise.

    d1 = ln(F/K)/s + s/2, d2 = d1 - s, s = volatility sqrt(years); where s = 0 the discounted intrinsic value.
    forward, strike > 0; volatility, years >= 0; rate per year, continuously compounded; call: booleans.
    """
    future, strikes, sigma, time, rates = (
        np.asarray(item, dtype=np.float64) for item in (forward, strike, volatility, years, rate)
    )
    sign = np.where(np.asarray(call, dtype=np.bool_), 1.0, -1.0)
    deviation = sigma * np.sqrt(time)
    moving = deviation > 0
    safe = np.where(moving, deviation, 1.0)
    d1 = np.log(future / strikes) / safe + safe / 2
    value = sign * (future * ndtr(sign * d1) - strikes * ndtr(sign * (d1 - safe)))
    intrinsic = np.maximum(sign * (future - strikes), 0.0)
    result: Floats = np.exp(-rates * time) * np.where(moving, np.maximum(value, 0.0), intrinsic)
    return result


def unit_values(catalogue: Catalogue, market: Market, scenario: Scenario | None = None) -> Floats:
    """Return the USD value of one unit of every column, float64[V]; 0 for the account column.

    `market` has passed `Market.check` for this catalogue.
    """
    shock = _Shock(scenario)
    layout = catalogue.layout()
    values = np.zeros(len(layout), dtype=np.float64)
    index = {name: float(quote.price) * shock.price(name) for name, quote in market.index.items()}
    for number, column in enumerate(layout.columns):
        if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY):
            asset = catalogue.asset(column.name)
            values[number] = float(asset.unit) * index[asset.priced_as]
    first = len(layout) - len(catalogue.instruments)
    options: list[int] = []
    for number, item in enumerate(catalogue.instruments, start=first):
        if item.kind is Kind.OPTION:
            options.append(number)
            continue
        per_lot = float(item.lot * item.contract_size)
        mark = float(market.marks[item.name].price) * shock.price(item.underlying) * shock.basis(item, market)
        quoted = mark if item.contract is Contract.LINEAR else -1.0 / mark
        values[number] = per_lot * quoted * index[item.settlement]
    if options:
        inputs = _inputs([catalogue.instruments[number - first] for number in options], market, index, shock)
        values[options] = inputs.size * inputs.prices
    return values


def option_inputs(items: Sequence[Instrument], market: Market) -> OptionInputs:
    """Return what Black-76 reads of options now; of an expired one the index as forward, and no time."""
    return _inputs(items, market, {name: float(quote.price) for name, quote in market.index.items()}, _Shock(None))


def scenario_pnl(catalogue: Catalogue, market: Market, scenario: Scenario, now: Floats | None = None) -> Floats:
    """Return covered * (value under the scenario - value now) of one unit of every column, USD, float64[V].

    now: the values without a scenario, for callers who take many scenarios.
    """
    change = unit_values(catalogue, market, scenario) - (unit_values(catalogue, market) if now is None else now)
    result: Floats = float(scenario.covered) * change
    return result


def check_option_marks(catalogue: Catalogue, market: Market) -> list[InputError]:
    """Return the options whose stated mark_price is not Black-76 of the stated volatility, within MARK_TOLERANCE."""
    items = [
        item
        for item in catalogue.instruments
        if item.name in market.options and market.options[item.name].mark_price is not None and not market.expired(item)
    ]
    if not items:
        return []
    inputs = option_inputs(items, market)
    problems = []
    for item, price, forward in zip(items, inputs.prices, inputs.forward, strict=True):
        stated = float(market.options[item.name].mark_price or Decimal(0))
        if abs(stated - price) > MARK_TOLERANCE[0] * stated + MARK_TOLERANCE[1] * forward:
            reason = f"{item.name}: mark_price {stated:.6g} USD, Black-76 at the stated iv gives {price:.6g} USD"
            mend = "correct iv, forward or mark_price (USD per unit of the underlying)"
            problems.append(InputError(reason, mend=mend, field=f"options.{item.name}.mark_price"))
    return problems


class _Shock:
    """What a scenario does to prices and volatilities; without one nothing."""

    def __init__(self, scenario: Scenario | None) -> None:
        self._scenario = scenario
        moves = {} if scenario is None else scenario.price_moves
        self._factors = {name: float(1 + move) for name, move in moves.items()}

    def price(self, name: str) -> float:
        return self._factors.get(name, 1.0)

    def basis(self, item: Instrument, market: Market) -> float:
        if self._scenario is None or item.underlying not in self._scenario.basis_moves:
            return 1.0
        return 1 + float(self._scenario.basis_moves[item.underlying]) * market.years(item)

    def volatility(self, stated: float, item: Instrument, market: Market) -> float:
        move = self._scenario and self._scenario.volatility_moves.get(item.underlying)
        if self._scenario is None or not move:
            return stated
        if self._scenario.volatility_term is None:
            return stated * float(1 + move)
        return self._scenario.volatility_term.moved(stated, float(move), market.years(item))


def _forwards(items: Sequence[Instrument], market: Market, index: dict[str, float], shock: _Shock) -> Floats:
    """Return the forward of each option: quoted, else index * exp(rate * years); moved with underlying and basis."""
    rate = float(market.rates.get(RATE_CURRENCY, Decimal(0)))
    forwards = []
    for item in items:
        quote = market.options.get(item.name)
        if market.expired(item) or quote is None or quote.forward is None:
            forward = index[item.underlying] * float(np.exp(rate * market.years(item)))
        else:
            forward = float(quote.forward) * shock.price(item.underlying)
        forwards.append(forward * shock.basis(item, market))
    return np.array(forwards, dtype=np.float64)


def _inputs(items: Sequence[Instrument], market: Market, index: dict[str, float], shock: _Shock) -> OptionInputs:
    """Return what Black-76 reads of options after a shock; `index` has moved already."""
    volatilities = [
        0.0 if market.expired(item) else shock.volatility(float(market.options[item.name].iv), item, market)
        for item in items
    ]
    return OptionInputs(
        size=np.array([float(item.lot * item.contract_size) for item in items]),
        forward=_forwards(items, market, index, shock),
        strike=np.array([float(item.strike or Decimal(0)) for item in items]),
        volatility=np.array(volatilities),
        years=np.array([market.years(item) for item in items]),
        rate=float(market.rates.get(RATE_CURRENCY, Decimal(0))),
        call=np.array([item.option is OptionType.CALL for item in items]),
    )
