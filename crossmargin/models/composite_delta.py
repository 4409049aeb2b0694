"""Composite delta: an account's exposure to each underlying, by expiry, as SPAN's spread charges count it.

The delta of an option is averaged over the seven price scan points, its volatility unchanged, with published weights

    delta = sum_j w_j dV/dS at S (1 + j/3 range),   j = -3 .. 3,   w = 0.270; 0.217; 0.111; 0.037 for |j| = 0 .. 3

(the `deltaPointDef` entries of the SPAN 4.00 parameter files that NSE Clearing publishes; they add up to 1), and is
rounded to six decimals, ties to even, so that it is the same number on every machine. A future has delta 1.

Exposure of one column unit, USD per relative move of the underlying: delta times index price for an option; for a
perpetual or future its mark value, with the sign that it has when the mark alone moves. The index of a settlement
asset moves too, so what is denominated in it (balances, those held on chains among them, entry values, and mark values
of positions settled in it) is exposed to it without an expiry, as coins are. An inverse future is therefore long its
own expiry and short coins by as much, which its entry value makes up for: at its mark, all of its exposure is in its
expiry.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, model_validator

from crossmargin.fields import ExactDecimal, Frozen, between, refuse
from crossmargin.market.instruments import Contract, Kind
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import Valuation
from crossmargin_circuits.layout import ColumnKind

__all__ = ["DeltaWeights", "composite_deltas"]

Floats = NDArray[np.float64]

DELTA_PLACES = 6
"""Decimal places of a composite delta; SPAN's files have four."""

BUMP = Fraction(1, 10**4)
"""Relative move to either side of a scan point between which the value's slope is taken."""

_Weight = Annotated[ExactDecimal, AfterValidator(between("0", "1"))]


class DeltaWeights(Frozen):
    """Weights of the deltas at the price scan points; all but the first hold on either side, and all add up to 1."""

    at_rest: _Weight = Decimal("0.270")
    at_one_third: _Weight = Decimal("0.217")
    at_two_thirds: _Weight = Decimal("0.111")
    at_full_range: _Weight = Decimal("0.037")

    @model_validator(mode="after")
    def _check(self) -> "DeltaWeights":
        total = self.at_rest + 2 * (self.at_one_third + self.at_two_thirds + self.at_full_range)
        if total != 1:
            raise refuse(f"the seven weights add up to {total}", "let at_rest plus twice the others be 1")
        return self

    def by_step(self) -> tuple[tuple[int, Decimal], ...]:
        """Return the weight of each of the steps -3 .. 3, in thirds of the price range."""
        sides = (self.at_one_third, self.at_two_thirds, self.at_full_range)
        steps = [(0, self.at_rest)]
        for step, weight in enumerate(sides, start=1):
            steps += [(step, weight), (-step, weight)]
        return tuple(steps)


def composite_deltas(
    valuation: Valuation, ranges: Mapping[str, Fraction], weights: DeltaWeights
) -> dict[str, dict[datetime | None, Floats]]:
    """Return, by underlying and expiry, the exposure of one unit of every column, float64[V], USD per relative move.

    ranges: price scan range by underlying. The expiry of coins and perpetuals is None. Expiries are in order of time,
    None first; only those are there in which a column has an exposure.
    """
    catalogue = valuation.catalogue
    layout = catalogue.layout()
    values = valuation.unit_values()
    slopes = _option_slopes(valuation, ranges, weights)
    found: dict[str, dict[datetime | None, Floats]] = {name: {} for name in catalogue.underlyings}

    def add(name: str, expiry: datetime | None, number: int, amount: float) -> None:
        if name in found:
            found[name].setdefault(expiry, np.zeros(len(layout)))[number] += amount

    for number, column in enumerate(layout.columns):
        if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY):
            add(catalogue.asset(column.name).priced_as, None, number, values[number])
        elif column.kind is ColumnKind.POSITION:
            item = catalogue.instrument(column.name)
            if item.kind is Kind.OPTION:
                add(item.underlying, item.expiry, number, slopes[number])
            else:
                sign = 1.0 if item.contract is Contract.LINEAR else -1.0
                add(item.underlying, item.expiry, number, sign * values[number])
                add(item.settlement, None, number, values[number])
    return {
        name: {expiry: legs[expiry] for expiry in sorted(legs, key=_order) if np.any(legs[expiry])}
        for name, legs in found.items()
    }


def _order(expiry: datetime | None) -> float:
    return 0.0 if expiry is None else expiry.timestamp()


def _option_slopes(valuation: Valuation, ranges: Mapping[str, Fraction], weights: DeltaWeights) -> Floats:
    """Return the composite delta of every option column times its size and the index price; 0 elsewhere."""
    catalogue, market = valuation.catalogue, valuation.market
    layout = catalogue.layout()
    scales = np.zeros(len(layout))
    first = len(layout) - len(catalogue.instruments)
    for number, item in enumerate(catalogue.instruments, start=first):
        if item.kind is Kind.OPTION:
            scales[number] = float(item.lot * item.contract_size) * float(market.index[item.underlying].price)
    if not np.any(scales):
        return scales
    slopes = np.zeros(len(layout))
    for step, weight in weights.by_step():
        at = Scenario(0, "scan point", {name: Fraction(step, 3) * width for name, width in ranges.items()}, {})
        up, down = (
            valuation.unit_values(replace(at, price_moves=_shifted(at.price_moves, bump))) for bump in (BUMP, -BUMP)
        )
        slopes += float(weight) * (up - down) / (2 * float(BUMP))
    deltas = np.divide(slopes, scales, out=np.zeros_like(slopes), where=scales > 0)
    result: Floats = np.round(deltas, DELTA_PLACES) * scales
    return result


def _shifted(moves: Mapping[str, Fraction], bump: Fraction) -> dict[str, Fraction]:
    return {name: move + bump for name, move in moves.items()}
