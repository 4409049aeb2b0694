"""The record after trades: positions, entry values, premiums and fees, in exact integers.

A trade of d lots (bought: d > 0) at price p has per lot the value, in units of the settlement asset,

    linear     r = lot * contract_size * p / unit
    inverse    r = -lot * contract_size / p / unit
    option     r = lot * contract_size * p / index / unit       p in USD, index: of the settlement asset

and changes the record by

    position += d
    entry value of the settlement asset (option: its balance, which pays or receives the premium) += floor(-d r)
    balance of the settlement asset -= ceil(rate * |d r|)                                            the fee

both roundings against the account. Closing at the mark changes equity by the fee and by less than two units of
rounding. Realised profit stays in the entry value as long as the account has positions that settle in that asset, for
the record does not say which of them it belongs to; `realise` moves it to the balance once there are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Contract, Instrument, Kind
from crossmargin_circuits.layout import ColumnKind

__all__ = ["Trade", "after_trades", "ceil_times", "fee_units", "floor_times", "realise", "value_per_lot"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Trade:
    """`lots` bought (sold where negative) of `instrument` at `price` (as its mark; option: USD per unit of the
    underlying), with a fee of `fee_rate` times the value of the trade."""

    instrument: str
    lots: int
    price: Fraction
    fee_rate: Fraction = Fraction(0)


def value_per_lot(environment: MarketEnvironment, instrument: Instrument, price: Fraction) -> Fraction:
    """Return r of the module's text: the value of one lot traded at a price, in units of the settlement asset.

    Raises:
        ValueError: a price of zero or less; an option may be worth zero.
    """
    option = instrument.kind is Kind.OPTION
    if price < 0 or (price == 0 and not option):
        raise ValueError(f"{instrument.name}: a trade at a price that is not positive")
    asset = environment.catalogue.asset(instrument.settlement)
    size = Fraction(instrument.lot) * Fraction(instrument.contract_size) / Fraction(asset.unit)
    if option:
        return size * price / Fraction(environment.market.index[asset.name].price)
    return size * price if instrument.contract is Contract.LINEAR else -size / price


def fee_units(lots: int, per_lot: Fraction, rate: Fraction) -> int:
    """Return ceil(rate * |lots * per_lot|) in units of the settlement asset."""
    return -((-abs(lots * per_lot) * rate).__floor__())


def floor_times(factor: Fraction, lots: Integers) -> Integers:
    """Return floor(factor * lots) for every entry, exactly; results are int64.

    Raises:
        OverflowError: a result beyond 63 bits.
    """
    return ((lots.astype(object) * factor.numerator) // factor.denominator).astype(np.int64)


def ceil_times(factor: Fraction, lots: Integers) -> Integers:
    """Return ceil(factor * lots) for every entry, exactly.

    Raises:
        OverflowError: a result beyond 63 bits.
    """
    return -floor_times(-factor, lots)


def after_trades(environment: MarketEnvironment, record: Sequence[int], trades: Sequence[Trade]) -> list[int]:
    """Return the record of V integers after trades, each rounded on its own.

    Raises:
        KeyError: an instrument that is not in the catalogue. ValueError: as `value_per_lot`.
    """
    layout = environment.catalogue.layout()
    changed = [int(entry) for entry in record]  # numpy's integers would wrap
    for trade in trades:
        instrument = environment.catalogue.instrument(trade.instrument)
        per_lot = value_per_lot(environment, instrument, trade.price)
        balance = layout.index(ColumnKind.BALANCE, instrument.settlement)
        paid = balance if instrument.kind is Kind.OPTION else layout.index(ColumnKind.ENTRY, instrument.settlement)
        changed[layout.index(ColumnKind.POSITION, instrument.name)] += trade.lots
        changed[paid] += (-trade.lots * per_lot).__floor__()
        changed[balance] -= fee_units(trade.lots, per_lot, trade.fee_rate)
    return changed


def realise(environment: MarketEnvironment, record: Sequence[int]) -> list[int]:
    """Return the record with the entry value of every asset in which no future or perpetual is open moved to balance.

    Equity does not change: both columns count units of one asset.
    """
    catalogue = environment.catalogue
    layout = catalogue.layout()
    changed = [int(entry) for entry in record]  # numpy's integers would wrap
    open_assets = {
        each.settlement
        for each in catalogue.instruments
        if each.kind is not Kind.OPTION and changed[layout.index(ColumnKind.POSITION, each.name)]
    }
    for asset in catalogue.settlements:
        if asset not in open_assets:
            entry = layout.index(ColumnKind.ENTRY, asset)
            changed[layout.index(ColumnKind.BALANCE, asset)] += changed[entry]
            changed[entry] = 0
    return changed


def price_of(environment: MarketEnvironment, instrument: Instrument, values: NDArray[np.float64]) -> Fraction:
    """Return the price at which a lot is valued in `values` (V,), USD per column unit: the mark, or the option's value.

    A future's mark is exact; an option's value is the float of the model, as a fraction.
    """
    if instrument.kind is not Kind.OPTION:
        return Fraction(environment.market.marks[instrument.name].price)
    column = environment.catalogue.layout().index(ColumnKind.POSITION, instrument.name)
    size: Decimal = instrument.lot * instrument.contract_size
    return Fraction(float(values[column])) / Fraction(size)
