"""Values of one column unit in USD, now and under a scenario (floats; what becomes normative is rounded once, later).

Per contract: linear: contract_size * mark * index(settlement); inverse: -(contract_size / mark) * index(settlement);
option: contract_size * Black-76 on the forward, in USD; expired option: contract_size * intrinsic value on the index.
Per unit of a balance or an entry value: unit * index(asset). A scenario moves the index, the mark and the forward of
each underlying by the same relative move and its volatilities by theirs, as its volatility term says; what is dated
also moves by the scenario's basis moves, 1 + b years. Time does not pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from crossmargin.errors import InputError
from crossmargin.market.instruments import Catalogue, Contract, Instrument, Kind, OptionType
from crossmargin.market.prices import RATE_CURRENCY, Market
from crossmargin.market.scenarios import Scenario
from crossmargin_circuits.layout import ColumnKind

__all__ = ["OptionInputs", "Valuation", "black76", "check_option_marks", "option_inputs"]

MARK_TOLERANCE = (0.01, 0.0005)
"""A stated option price may differ from Black-76 by this part of itself plus this part of the forward."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OptionInputs:
    """Inputs of Black-76 for n options, each (n,): forward and strike in USD, volatility, years, whether a call.

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


class Valuation:
    """Values of the columns of a catalogue in one market; what does not move is read once, for many scenarios.

    `market` has passed `Market.check` for this catalogue. A `MarketEnvironment` has its own as `valuation`.
    """

    def __init__(self, catalogue: Catalogue, market: Market) -> None:
        """Read what does not move."""
        self.catalogue = catalogue
        self.market = market
        layout = catalogue.layout()
        self._width = len(layout)
        assets = [
            (number, catalogue.asset(column.name))
            for number, column in enumerate(layout.columns)
            if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY)
        ]
        self._cash = np.array([number for number, _ in assets], dtype=np.int64)
        self._unit = np.array([float(asset.unit) for _, asset in assets], dtype=np.float64)
        self._price, self._priced = _prices([asset.priced_as for _, asset in assets], market)
        numbered = list(enumerate(catalogue.instruments, start=self._width - len(catalogue.instruments)))
        dated = [(number, item) for number, item in numbered if item.kind is not Kind.OPTION]
        self._futures = np.array([number for number, _ in dated], dtype=np.int64)
        self._size = np.array([float(item.lot * item.contract_size) for _, item in dated], dtype=np.float64)
        self._mark = np.array([float(market.marks[item.name].price) for _, item in dated], dtype=np.float64)
        self._linear = np.array([item.contract is Contract.LINEAR for _, item in dated], dtype=np.bool_)
        self._years = np.array([market.years(item) for _, item in dated], dtype=np.float64)
        self._followed = _Names([item.underlying for _, item in dated])
        self._index, self._settled = _prices([item.settlement for _, item in dated], market)
        options = [(number, item) for number, item in numbered if item.kind is Kind.OPTION]
        self._options = np.array([number for number, _ in options], dtype=np.int64)
        self._priced_options = _Options([item for _, item in options], market)

    def unit_values(self, scenario: Scenario | None = None) -> Floats:
        """Return the USD value of one unit of every column, float64[V]."""
        price, mark, index = self._price, self._mark, self._index
        if scenario is not None:
            moves = scenario.price_moves
            price = price * self._priced.factors(moves)
            mark = mark * self._followed.factors(moves) * _basis(self._followed, self._years, scenario)
            index = index * self._settled.factors(moves)
        values = np.zeros(self._width, dtype=np.float64)
        values[self._cash] = self._unit * price
        values[self._futures] = self._size * np.where(self._linear, mark, -1.0 / mark) * index
        if len(self._options):
            inputs = self._priced_options.inputs(scenario)
            values[self._options] = inputs.size * inputs.prices
        return values

    def scenario_pnl(self, scenario: Scenario) -> Floats:
        """Return covered * (value under the scenario - value now) of one unit of every column, USD, float64[V]."""
        result: Floats = float(scenario.covered) * (self.unit_values(scenario) - self._now)
        return result

    @cached_property
    def _now(self) -> Floats:
        return self.unit_values()


def option_inputs(items: Sequence[Instrument], market: Market) -> OptionInputs:
    """Return the inputs of Black-76 now; for an expired option the index as forward, and no time."""
    return _Options(items, market).inputs(None)


def check_option_marks(catalogue: Catalogue, market: Market) -> list[InputError]:
    """Report options with a mark_price beyond MARK_TOLERANCE of Black-76 at the stated volatility."""
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
            hint = "correct iv, forward or mark_price (USD per unit of the underlying)"
            problems.append(InputError(reason, hint=hint, field=f"options.{item.name}.mark_price"))
    return problems


class _Names:
    """Underlyings or assets of a number of columns, to look up how far each of them moves."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(dict.fromkeys(names))
        places = {name: place for place, name in enumerate(self._names)}
        self._place = np.array([places[name] for name in names], dtype=np.int64)

    def spread(self, of: Callable[[str], float]) -> Floats:
        """Return a figure of each column's name, (n,)."""
        result: Floats = np.array([of(name) for name in self._names], dtype=np.float64)[self._place]
        return result

    def factors(self, moves: Mapping[str, Fraction]) -> Floats:
        """Return 1 + move of each column's name, (n,)."""
        return self.spread(lambda name: float(1 + moves[name]) if name in moves else 1.0)


class _Options:
    """The fixed inputs of n options, each (n,), and their values in a scenario."""

    def __init__(self, items: Sequence[Instrument], market: Market) -> None:
        self._rate = float(market.rates.get(RATE_CURRENCY, Decimal(0)))
        self._names = _Names([item.underlying for item in items])
        self._live = np.array([not market.expired(item) for item in items], dtype=np.bool_)
        self._years = np.array([market.years(item) for item in items], dtype=np.float64)
        self._size = np.array([float(item.lot * item.contract_size) for item in items], dtype=np.float64)
        self._strike = np.array([float(item.strike or Decimal(0)) for item in items], dtype=np.float64)
        self._call = np.array([item.option is OptionType.CALL for item in items], dtype=np.bool_)
        volatilities, forwards, carries = [], [], []
        for item, live in zip(items, self._live.tolist(), strict=True):
            quote = market.options.get(item.name)
            volatilities.append(float(market.options[item.name].iv) if live else 0.0)
            # Of an option without a forward of its own: the index and what carries it there.
            quoted = live and quote is not None and quote.forward is not None
            forwards.append(float(quote.forward) if quoted and quote and quote.forward is not None else np.nan)
            carries.append(float(np.exp(self._rate * market.years(item))))
        self._volatility, self._forward, self._carry = (np.array(each) for each in (volatilities, forwards, carries))
        self._index = self._names.spread(lambda name: float(market.index[name].price))

    def inputs(self, scenario: Scenario | None) -> OptionInputs:
        """Return the inputs of Black-76 in a scenario."""
        forward, volatility = np.where(np.isnan(self._forward), self._index, self._forward), self._volatility
        if scenario is not None:
            forward = forward * self._names.factors(scenario.price_moves)
        forward = np.where(np.isnan(self._forward), forward * self._carry, forward)
        if scenario is not None:
            forward = forward * _basis(self._names, self._years, scenario)
            volatility = self._moved(scenario)
        return OptionInputs(self._size, forward, self._strike, volatility, self._years, self._rate, self._call)

    def _moved(self, scenario: Scenario) -> Floats:
        moves, term = scenario.volatility_moves, scenario.volatility_term
        if term is None:
            return self._volatility * self._names.factors(moves)
        move = self._names.spread(lambda name: float(moves.get(name, 0)))
        moved = self._volatility.copy()
        for number in np.flatnonzero((move != 0) & self._live).tolist():
            moved[number] = term.moved(float(moved[number]), float(move[number]), float(self._years[number]))
        return moved


def _prices(names: Sequence[str], market: Market) -> tuple[Floats, _Names]:
    known = _Names(names)
    return known.spread(lambda name: float(market.index[name].price)), known


def _basis(names: _Names, years: Floats, scenario: Scenario) -> Floats:
    """Return 1 + move * years of what is dated, (n,)."""
    return 1 + names.spread(lambda name: float(scenario.basis_moves.get(name, 0))) * years
