"""Liquidation and bankruptcy prices of positions, counting everything else in the account.

The liquidation price of a position is the mark of its instrument at which equity = requirement, all else fixed (the
index, every other mark, every other position and its requirement, and what an oracle rule adds to the ranges now: one
mark that is moved to see where an account ends is no dislocation); the bankruptcy price that at which equity = 0.

Let t = P / P0 for a linear contract and t = P0 / P for an inverse one, P0 the mark now. In the models built here every
coefficient of the instrument's own column is affine in t, a(t) = a + (t - 1) b, and no other column moves. Both are
checked: arrays at t = 2 give b, arrays at another t for every instrument at once have to agree with it to the rounding
of the arrays. So each risk array is F + (t - 1) b x for a position of x lots, and the excess, which is concave in the
forms, is a concave piecewise linear function g of t.

Where g(1) >= 0 it has at most one zero between 1 and the end of the losing side (t = 0, or t = FAR where a loss is
unbounded). Newton's method from that end stays on the side where g < 0, because a tangent of a concave function lies
above it, and lands on a new piece each time: it ends after as many steps as it meets pieces, at the zero exactly but
for the rounding of floats. It runs over all holders of an instrument at once.

A long position loses where the mark falls, a short one where it rises; a hedge can keep the account from ever being
liquidated on that side, and then there is no price.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import check_limits
from crossmargin.errors import InputError
from crossmargin.liquidation.ray import Rays
from crossmargin.liquidation.rule import Rule, equity_of, excess_of
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Contract, Kind
from crossmargin.market.prices import Market
from crossmargin.models.oracle import resolved
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy

__all__ = ["FAR", "PositionPrices", "bankruptcy_prices", "liquidation_prices"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

FAR = float(2**20)
"""Range of the search for a price that nothing bounds: a million times the mark, or a millionth of it."""

CHUNK = 1 << 14
"""Holders worked on at a time, so that their forms stay in the cache."""

MOST_STEPS = 1000
"""Steps of Newton's method, one for each linear piece between the end and the zero."""


@dataclass(frozen=True, repr=False)
class PositionPrices:
    """One entry for every position in a perpetual or future, in the order of the records.

    accounts, columns: row and column; prices: in the quote of the instrument's mark, NaN where there is none;
    below: whether the account is below the line already, now (its price is NaN, too).
    """

    accounts: Integers
    columns: Integers
    prices: Floats
    below: NDArray[np.bool_]

    def __repr__(self) -> str:
        """Return the size alone: positions are secret."""
        return f"PositionPrices({len(self.prices)} positions)"

    def of(self, account: int, column: int) -> float | None:
        """Return the price of one position, or None.

        Raises:
            KeyError: no such position.
        """
        found = np.flatnonzero((self.accounts == account) & (self.columns == column))
        if not len(found):
            raise KeyError(f"account number {account} has no position in column {column}")
        price = float(self.prices[found[0]])
        return None if np.isnan(price) else price


def liquidation_prices(rule: Rule, environment: MarketEnvironment, records: csr_array) -> PositionPrices:
    """Return the cross liquidation price of every position in a perpetual or future.

    records: (n, V) int64.

    Raises:
        LimitError: a record beyond a column's limit. InputError: a model whose charges are not affine in a mark.
        BudgetError: as `Rays`.
    """
    environment = resolved(environment, rule.model.oracle)
    policy = rule.policy(environment)
    return _prices(rule, environment, records, Rays(policy, excess_of(policy)))


def bankruptcy_prices(rule: Rule, environment: MarketEnvironment, records: csr_array) -> PositionPrices:
    """Return the bankruptcy price of every position in a perpetual or future: equity = 0.

    records: (n, V) int64.

    Raises:
        LimitError, InputError, BudgetError: as `liquidation_prices`.
    """
    environment = resolved(environment, rule.model.oracle)
    policy = rule.policy(environment)
    return _prices(rule, environment, records, Rays(policy, equity_of(policy)))


def _prices(rule: Rule, environment: MarketEnvironment, records: csr_array, rays: Rays) -> PositionPrices:
    check_limits(rays.policy, records)
    layout = rays.policy.layout
    slopes = _slopes(rule, environment, rays.policy)
    first = len(layout) - len(environment.catalogue.instruments)
    futures = np.zeros(len(layout), dtype=np.bool_)
    futures[first:] = [each.kind is not Kind.OPTION for each in environment.catalogue.instruments]
    entries = np.flatnonzero(futures[records.indices] & (records.data != 0))
    columns = records.indices[entries].astype(np.int64)
    accounts = np.searchsorted(records.indptr, entries, side="right") - 1
    lots = records.data[entries]
    now = rays.now(records)
    prices = np.full(len(entries), np.nan)
    for column, holders in _groups(columns):
        instrument = environment.catalogue.instruments[column - first]
        mark = float(environment.market.marks[instrument.name].price)
        linear = instrument.contract is Contract.LINEAR
        for start in range(0, len(holders), CHUNK):
            chunk = holders[start : start + CHUNK]
            at = _zero(rays, records, accounts[chunk], lots[chunk], slopes[:, column], now, linear)
            prices[chunk] = mark * at if linear else mark / at
    return PositionPrices(accounts, columns, prices, now[accounts] < 0)


def _zero(
    rays: Rays, records: csr_array, accounts: Integers, lots: Integers, slopes: Integers, now: Integers, linear: bool
) -> Floats:
    """Return the zero of g on the losing side for holders of one instrument: t, or NaN."""
    ray = rays.along(records, accounts, lots, slopes, now)
    bounded = (lots > 0) if linear else (lots < 0)
    at = np.where(bounded, 0.0, FAR)
    value, slope = ray(at)
    moving = (value < 0) & (now[accounts] >= 0)
    result = np.where(moving, at, np.nan)
    for _ in range(MOST_STEPS):
        # On the side where g < 0 a tangent rises towards the zero; what rounding turns around is at the zero.
        moving &= (value < 0) & (np.where(bounded, slope, -slope) > 0)
        step = np.where(moving, -value / np.where(moving, slope, 1.0), 0.0)
        after = at + step
        moving &= after != at
        if not moving.any():
            break
        at = np.where(moving, np.where(bounded, np.minimum(after, 1.0), np.maximum(after, 1.0)), at)
        result = np.where(moving, at, result)
        value, slope = ray(at)
    return result


def _groups(columns: Integers) -> Iterator[tuple[int, Integers]]:
    """Yield each column and the numbers of its entries."""
    if not len(columns):
        return
    order = np.argsort(columns, kind="stable")
    present, starts = np.unique(columns[order], return_index=True)
    yield from zip(present.tolist(), np.split(order, starts[1:]), strict=True)


def _slopes(rule: Rule, environment: MarketEnvironment, policy: Policy) -> Integers:
    """Return b of every array and column, (K, V) int64, zero but for perpetuals and futures.

    Raises:
        InputError: arrays that are not affine in t, each column in its own.
    """
    names = [each.name for each in environment.catalogue.instruments if each.kind is not Kind.OPTION]
    twice = _matrix(rule, environment, policy, dict.fromkeys(names, Fraction(2)))
    here = np.array([array.coefficients for array in policy.arrays], dtype=np.int64)
    slopes = twice - here
    # Another t for each instrument (never 1), so that a column that follows another one's mark shows.
    places = {name: Fraction(1, 2) + Fraction(number * 377 % 610, 611) for number, name in enumerate(names)}
    layout = policy.layout
    step = np.zeros(len(layout))
    for name, place in places.items():
        step[layout.index(ColumnKind.POSITION, name)] = float(place - 1)
    there = _matrix(rule, environment, policy, places)
    # Half a quantum of rounding in each of three arrays, and the floats' own.
    off = np.abs(there - (here + step * slopes)) > 2 + 1e-11 * np.abs(here)
    stray = (slopes != 0) & (step == 0)
    if np.any(off | stray):
        array, column = (int(number) for number in np.argwhere(off | stray)[0])
        problem = InputError(
            f"{policy.arrays[array].name}: the coefficient of {layout.columns[column].key} is not affine in the mark "
            "of its instrument alone, so that a position has no liquidation price of its own",
            hint="ask for the move of the underlying that liquidates (liquidation_moves)",
        )
        raise rule.model.located(problem)
    return slopes


def _matrix(rule: Rule, environment: MarketEnvironment, policy: Policy, places: dict[str, Fraction]) -> Integers:
    """Return the arrays with marks at other t, (K, V) int64."""
    moved = rule.policy(environment.at(_at(environment, places)))
    same = [array.name for array in moved.arrays] == [array.name for array in policy.arrays]
    if not same or moved.definitions != policy.definitions:
        problem = InputError(
            "the model's formula changes with a mark, so that a position has no liquidation price of its own",
            hint="ask for the move of the underlying that liquidates (liquidation_moves)",
        )
        raise rule.model.located(problem)
    return np.array([array.coefficients for array in moved.arrays], dtype=np.int64)


def _at(environment: MarketEnvironment, places: dict[str, Fraction]) -> Market:
    """Return the market with marks at t; their bids and asks, if any, are left out."""
    marks = dict(environment.market.marks)
    for name, place in places.items():
        linear = environment.catalogue.instrument(name).contract is Contract.LINEAR
        times = place if linear else 1 / place
        price = marks[name].price * times.numerator / times.denominator
        marks[name] = marks[name].model_copy(update={"price": price, "bid": None, "ask": None})
    return environment.market.model_copy(update={"marks": marks})
