"""Dynamic margin: price ranges that follow volatility, with three tools against procyclicality.

Of each name, from the log returns of its daily prices (crossmargin/market/returns.py):

    short     s     EWMA volatility after the last return
    stressed  h     root mean square of the most turbulent `days` consecutive returns of the last ten years (tool b)
    long      l     root mean square of the last `long_run_days` returns, ten years at most
    mixed     m     sqrt((1 - w) s^2 + w h^2), w the weight of stressed observations; s without tool b
    floored   f     max(m, l); m without tool c                                                              (tool c)
    buffered  v     min((1 + p) f, max(f, (1 + p) r l)); f without tool a                                    (tool a)

    price range = max(published range, multiplier * v * sqrt(horizon_days)), rounded up to `decimals`

Tool a: a buffer of the part p is held while volatility is below the release level r l; as f rises from there to
(1 + p) r l it is used up and the range stands still; above, nothing of it is left. v never decreases in f, is
continuous (its slope is at most 1 + p) and lies between f and (1 + p) f.

The tools are those of Commission Delegated Regulation (EU) 153/2013, article 28(1): (a) a buffer of at least 25 % that
may be used up when requirements rise significantly, (b) at least 25 % weight to stressed observations, (c) no less than
with the volatility of ten years. Where today is the worst on record, the mixture of (b) is below s by construction.

The rule changes numbers before they become scenarios, so it leaves the curvature of the requirement alone. Logarithms
are floats; rounding up at `decimals` makes everybody's range the same decimal (what is within 10^-9 of a step above a
decimal is that decimal).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Flag, Frozen, Positive, WholeNumber, between
from crossmargin.market.history import HistoryNeed, PriceHistory
from crossmargin.market.returns import ewma_volatility, log_returns
from crossmargin.market.scenarios import ScanRange

__all__ = ["Buffer", "DynamicRule", "Stressed", "Volatility", "round_up"]

TEN_YEARS = 3650
"""Days of the longest look-back."""

NEGLIGIBLE = 1e-9
"""Part of a step that rounding up leaves out: more than floats err, less than anybody's margin."""

Decimals = Annotated[WholeNumber, Field(ge=1, le=12)]


class Buffer(Frozen):
    """Tool a: the part added to the range, and the level, in long-run volatilities, above which it is used up."""

    part: Annotated[ExactDecimal, AfterValidator(between("0.25", "1"))]
    release: Positive


class Stressed(Frozen):
    """Tool b: weight of the stressed observations, which are the most turbulent `days` consecutive ones."""

    weight: Annotated[ExactDecimal, AfterValidator(between("0.25", "1"))]
    days: Annotated[WholeNumber, Field(ge=2, le=TEN_YEARS)]


@dataclass(frozen=True)
class Volatility:
    """Daily volatilities of one name, step by step as in the module's text."""

    short: float
    stressed: float
    long: float
    mixed: float
    floored: float
    buffered: float


class DynamicRule(Frozen):
    """Section `dynamic` of a model with scan ranges; the published price ranges are then minimums."""

    decay: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False, high_in=False))]
    multiplier: Positive
    horizon_days: Positive
    minimum_days: Annotated[WholeNumber, Field(ge=2, le=TEN_YEARS)]
    long_run_days: Annotated[WholeNumber, Field(ge=2, le=TEN_YEARS)] = TEN_YEARS
    decimals: Decimals = 4
    buffer: Buffer | None = None
    stressed: Stressed | None = None
    floor: Flag = False

    def volatility(self, history: PriceHistory, name: str) -> Volatility:
        """Return the volatilities of a name after the last row of a history."""
        squares = log_returns(history, name)[-TEN_YEARS:] ** 2
        short = float(ewma_volatility(history, name, float(self.decay))[-1])
        long = math.sqrt(float(np.mean(squares[-self.long_run_days :])))
        stressed = short
        if self.stressed is not None:
            days = min(self.stressed.days, len(squares))
            sums = np.cumsum(np.concatenate(([0.0], squares)))
            stressed = math.sqrt(max(0.0, float(np.max(sums[days:] - sums[:-days]))) / days)
        weight = 0.0 if self.stressed is None else float(self.stressed.weight)
        mixed = math.sqrt((1 - weight) * short**2 + weight * stressed**2)
        floored = max(mixed, long) if self.floor else mixed
        return Volatility(short, stressed, long, mixed, floored, self.buffered(floored, long))

    def buffered(self, volatility: float, long: float) -> float:
        """Return a volatility with what is left of the buffer."""
        if self.buffer is None:
            return volatility
        whole = 1 + float(self.buffer.part)
        return min(whole * volatility, max(volatility, whole * float(self.buffer.release) * long))

    def ranges(self, scan: Mapping[str, ScanRange], history: PriceHistory) -> dict[str, ScanRange]:
        """Return the ranges that hold after a history of all their names.

        Raises:
            InputError: a range of 1 or more.
        """
        result = {}
        for name, each in scan.items():
            volatility = self.volatility(history, name)
            exact = float(self.multiplier) * volatility.buffered * math.sqrt(float(self.horizon_days))
            width = max(each.price_range, round_up(exact, self.decimals))
            if width >= 1:
                raise InputError(
                    f"{name}: a price range of {width:f} (daily volatility {volatility.buffered:.4f} times multiplier "
                    f"{self.multiplier:f} over {self.horizon_days:f} days) reaches a price of zero",
                    hint="lower dynamic.multiplier or dynamic.horizon_days",
                    field="dynamic.multiplier",
                )
            result[name] = each.model_copy(update={"price_range": width})
        return result

    def needed_history(self, scan: Mapping[str, ScanRange]) -> HistoryNeed:
        """Return the history that the ranges read: one more price than returns."""
        return HistoryNeed(tuple(scan), self.minimum_days + 1, "dynamic.minimum_days")


def round_up(value: float, decimals: int) -> Decimal:
    """Return the least multiple of 10^-decimals that is not below a value, but for NEGLIGIBLE of a step."""
    steps = math.ceil(Fraction(value) * 10**decimals - Fraction(NEGLIGIBLE))
    return Decimal(steps).scaleb(-decimals)
