"""Rows of the balances and positions tables to record entries: (sub-account, column, value in column units).

A balance is amount / unit, a position quantity / lot, both exact. The entry value of a perpetual or future is the part
of its profit that no price moves. It is rounded down, so that rounding never favours an account:

    linear    floor(-quantity * contract_size * entry_price / unit)
    inverse   floor( quantity * contract_size / entry_price / unit)      unit: of the settlement asset

An option's premium is part of the balance, so its entry price is not needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmargin.book.records import RecordBuilder, Repeated
from crossmargin.loading.accounts import Locator
from crossmargin.loading.decimals import Integers, Status, Statuses, parse_digits, to_units
from crossmargin.loading.problems import LineProblems
from crossmargin.loading.table import Table
from crossmargin.market.instruments import Catalogue, Contract, Kind
from crossmargin.units import decimal_places, format_decimal
from crossmargin_circuits.layout import RECORD_BOUND, ColumnKind, RecordLayout

__all__ = ["BALANCE_COLUMNS", "POSITION_COLUMNS", "Cells", "add_balances", "add_positions", "entry_values"]

BALANCE_COLUMNS = ("account", "sub_account", "asset", "amount")
POSITION_COLUMNS = ("account", "sub_account", "instrument", "quantity", "entry_price")

_SAFE = float(2**61)
"""A product with a floating estimate below this is below 2^62."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
class Cells:
    """The target of table entries: the columns of a catalogue, and the cells known to be filled repeatedly."""

    catalogue: Catalogue
    layout: RecordLayout
    builder: RecordBuilder
    repeated: Repeated

    @classmethod
    def empty(cls, catalogue: Catalogue, repeated: Repeated) -> "Cells":
        """Return an empty set of entries."""
        layout = catalogue.layout()
        additive = np.array([column.kind is ColumnKind.ENTRY for column in layout.columns])
        return cls(catalogue, layout, RecordBuilder(len(layout), additive), repeated)

    def once(
        self, table: Table, subs: Integers, columns: Integers, known: Mask, field: str, problems: LineProblems
    ) -> Mask:
        """Return which rows do not repeat the cell of an earlier row; report the others."""
        once = np.ones(len(known), dtype=np.bool_)
        if len(self.repeated):
            once[known] = ~self.repeated.later(subs[known] * np.int64(len(self.layout)) + columns[known])
        reason = f"this account (or sub-account) and {field} stand on an earlier line"
        problems.add(table, ~once, field, reason, "keep one line, with the sum")
        return once


def add_balances(table: Table, locator: Locator, cells: Cells, problems: LineProblems) -> None:
    """Enter the balances of a batch; enter a row with a problem as zero and report it."""
    assets = cells.catalogue.assets
    names = [asset.name for asset in assets]
    subs = locator.locate(table, problems)
    asset = members(table, "asset", names, problems)
    units = [asset.unit for asset in assets]
    amounts, status = in_units(table.frame["amount"], asset, units)
    finer = [f"the unit {format_decimal(one.unit)} of {one.name}" for one in assets]
    report(table, "amount", status, asset, finer, problems)
    good = (asset >= 0) & (status == Status.OK)
    limits = np.array([item.limit_units for item in assets], dtype=np.int64)
    beyond = good & (np.abs(amounts) > limits[asset])
    problems.add(
        table,
        beyond,
        "amount",
        lambda row: f"beyond the limit of {format_decimal(assets[asset[row]].limit)} {names[asset[row]]}",
        "check the amount, or raise the asset's limit",
    )
    borrowable = np.array([item.borrowable for item in assets])
    owed = good & (amounts < 0) & ~borrowable[asset]
    problems.add(
        table,
        owed,
        "amount",
        lambda row: f"negative balance of {names[asset[row]]}, which cannot be borrowed",
        "correct the amount, or make the asset borrowable",
    )
    columns = np.array([cells.layout.index(ColumnKind.BALANCE, name) for name in names], dtype=np.int64)[asset]
    known = (asset >= 0) & (subs >= 0)
    given = known & cells.once(table, subs, columns, known, "asset", problems)
    amounts = np.where(good & ~beyond & ~owed, amounts, 0)
    cells.builder.add(subs[given], columns[given], amounts[given])


def add_positions(table: Table, locator: Locator, cells: Cells, problems: LineProblems) -> None:
    """Enter the positions of a batch and their entry values; enter a row with a problem as zero and report it."""
    instruments = cells.catalogue.instruments
    names = [item.name for item in instruments]
    subs = locator.locate(table, problems)
    item = members(table, "instrument", names, problems)
    lots = [instrument.lot for instrument in instruments]
    quantity, status = in_units(table.frame["quantity"], item, lots)
    finer = [f"the lot {format_decimal(one.lot)} of {one.name}" for one in instruments]
    report(table, "quantity", status, item, finer, problems)
    if not names:
        return
    good = (item >= 0) & (status == Status.OK)
    limits = np.array([instrument.limit_lots for instrument in instruments], dtype=np.int64)
    beyond = good & (np.abs(quantity) > limits[item])
    problems.add(
        table,
        beyond,
        "quantity",
        lambda row: f"beyond the limit of {format_decimal(instruments[item[row]].limit)} contracts",
        "check the quantity, or raise the instrument's limit",
    )
    layout = cells.layout
    columns = np.array([layout.index(ColumnKind.POSITION, name) for name in names], dtype=np.int64)[item]
    known = (item >= 0) & (subs >= 0)
    given = known & cells.once(table, subs, columns, known, "instrument", problems)
    values, priced = _entries(table, cells.catalogue, item, np.where(good & ~beyond, quantity, 0), problems)
    keep = good & ~beyond & priced
    cells.builder.add(subs[given], columns[given], np.where(keep, quantity, 0)[given])
    found = [layout.find(ColumnKind.ENTRY, instrument.settlement) for instrument in instruments]
    settled = np.array([column or 0 for column in found], dtype=np.int64)
    entered = given & keep & (values != 0)
    cells.builder.add(subs[entered], settled[item[entered]], values[entered])


def entry_values(lots: Integers, item: Integers, price: Integers, scale: Integers, catalogue: Catalogue) -> Integers:
    """Return the entry value in units of the settlement asset, rounded down; +-2^62 where it would be larger.

    lots: signed position; item: number of the instrument (a perpetual or future); price / 10^scale > 0: entry price.
    """
    ratios, linear = [], []
    for instrument in catalogue.instruments:
        unit = catalogue.asset(instrument.settlement).unit
        ratios.append(Fraction(instrument.lot) * Fraction(instrument.contract_size) / Fraction(unit))
        linear.append(instrument.contract is Contract.LINEAR)
    tops = np.array([float(ratio.numerator) for ratio in ratios])[item]
    bottoms = np.array([float(ratio.denominator) for ratio in ratios])[item]
    by_price = np.array(linear)[item]
    power = 10 ** np.minimum(scale, 18)
    upper, lower = np.where(by_price, price, power), np.where(by_price, power, price)
    fits = (np.abs(lots) * tops * upper < _SAFE) & (bottoms * lower < _SAFE) & (scale <= 18)
    sign = np.where(by_price, -1, 1)
    whole = [(ratio.numerator, ratio.denominator) for ratio in ratios]
    top = np.array([n if n < RECORD_BOUND else 0 for n, _ in whole], dtype=np.int64)[item]
    bottom = np.array([d if d < RECORD_BOUND else 1 for _, d in whole], dtype=np.int64)[item]
    one = np.int64(1)
    values: Integers = (sign * np.where(fits, lots * top * upper, 0)) // np.where(fits, bottom * lower, one)
    for row in np.flatnonzero(~fits):
        ratio = ratios[item[row]]
        entry = Fraction(int(price[row]), 10 ** int(scale[row]))
        exact = -int(lots[row]) * ratio * entry if by_price[row] else int(lots[row]) * ratio / entry
        values[row] = min(max(exact.numerator // exact.denominator, -RECORD_BOUND), RECORD_BOUND)
    return values


def _entries(
    table: Table, catalogue: Catalogue, item: Integers, lots: Integers, problems: LineProblems
) -> tuple[Integers, Mask]:
    """Return the entry values (0 for options) and which rows have a usable entry price."""
    option = np.array([instrument.kind is Kind.OPTION for instrument in catalogue.instruments])[item]
    needed = (item >= 0) & ~option
    price = parse_digits(table.frame["entry_price"])
    status = np.where(~needed & (price.status == Status.EMPTY), Status.OK, price.status)
    report(table, "entry_price", status, item, [], problems)
    long = (status == Status.OK) & (price.status == Status.OK) & ~price.fits
    problems.add(table, long, "entry_price", "more than 18 digits", "write fewer digits")
    sane = (status == Status.OK) & ~long
    low = sane & ((needed & (price.digits <= 0)) | (price.digits < 0))
    problems.add(table, low, "entry_price", "not positive", "write the price at which the position was opened")
    sane &= ~low
    values = np.zeros(len(item), dtype=np.int64)
    rows = np.flatnonzero(needed & sane)
    values[rows] = entry_values(lots[rows], item[rows], price.digits[rows], price.scale[rows], catalogue)
    limits = np.array([catalogue.asset(i.settlement).limit_units for i in catalogue.instruments], dtype=np.int64)
    beyond = np.abs(values) > limits[item]
    problems.add(
        table,
        beyond,
        "entry_price",
        lambda row: f"entry value beyond the limit of {catalogue.instruments[item[row]].settlement}",
        "check quantity and entry price, or raise the asset's limit",
    )
    return values, sane & ~beyond


def members(table: Table, field: str, names: Sequence[str], problems: LineProblems) -> Integers:
    """Return the number of each row's name, or -1 (a problem)."""
    column = table.frame[field]
    found = column.cast(pl.Enum(names), strict=False).to_physical().cast(pl.Int64).fill_null(-1)
    numbers: Integers = found.to_numpy()
    unknown = numbers < 0
    problems.add(
        table,
        unknown,
        field,
        lambda row: f"unknown {field} {column[row][:64]!r}" if column[row] else f"empty {field}",
        "correct the name, or add it to instruments.yaml",
    )
    return numbers


def in_units(text: pl.Series, item: Integers, units: Sequence[Decimal]) -> tuple[Integers, Statuses]:
    """Return a column in the unit of each row's item (1 where the item is unknown)."""
    parts = [*(decimal_places(unit) for unit in units), (1, 0)]
    mantissa = np.array([m for m, _ in parts], dtype=np.int64)[item]
    places = np.array([e for _, e in parts], dtype=np.int64)[item]
    return to_units(parse_digits(text), mantissa, places)


def report(
    table: Table, field: str, status: Statuses, item: Integers, finer: Sequence[str], problems: LineProblems
) -> None:
    """Report the rows with a decimal that is not OK; `finer` describes the unit of each item in words."""
    for kind in Status:
        if kind is Status.FINE:
            bad = (status == kind) & (item >= 0)
            problems.add(table, bad, field, lambda row: f"finer than {finer[item[row]]}", kind.hint)
        elif kind is not Status.OK:
            problems.add(table, status == kind, field, kind.reason, kind.hint)
