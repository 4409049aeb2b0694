"""Moves of prices: joint relative moves over a horizon, their EWMA volatility, and moves filtered by it.

With p_t the price in row t of the history (a row is a day: one row a calendar day or a trading day) and r_t =
ln(p_t / p_(t-1)):

    volatility   s_t^2 = decay s_(t-1)^2 + (1 - decay) r_t^2, s_0^2 = the mean of the first 20 squares (of all, if
                 there are fewer); s_t is known once p_t is, and is the estimate for the next row (RiskMetrics 1996)
    move         m_t = p_t / p_(t-h) - 1 over h rows; moves of consecutive rows overlap in h - 1 of them
    filtered     (p_t / p_(t-h))^(s_T / s_(t-h)) - 1, T the last row: the logarithmic move, scaled from the volatility
                 estimated before it to that of now (Hull, White 1998; Barone-Adesi, Giannopoulos, Vosper 1999)

Where the volatility before a move is zero, the move is not scaled. Moves are rounded to the nearest 10^-9, ties to
even, so that they are the same numbers on every machine. All of this happens before any risk array is fixed.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crossmargin.errors import InputError
from crossmargin.market.history import PriceHistory

__all__ = ["check_history", "ewma_volatility", "exact_move", "filtered_moves", "log_returns", "moves", "rows_between"]

Floats = NDArray[np.float64]

SEED_ROWS = 20
"""Squared returns whose mean starts the recursion; what they leave fades by the factor decay a row."""

MOVE_PLACES = 9
"""Decimal places of a move."""

SHORTEST_ROW = timedelta(hours=12)
"""Rows are days: two that are closer are refused."""

LONGEST_ROW = timedelta(days=7)
"""Longer than any closure of a market: two rows further apart leave out days."""


def log_returns(history: PriceHistory, name: str) -> Floats:
    """Return r_t of one name for the rows 1 .. n-1, float64[n-1]."""
    result: Floats = np.diff(np.log(_prices(history, name)))
    return result


def ewma_volatility(history: PriceHistory, name: str, decay: float) -> Floats:
    """Return s_t of one name for the rows 0 .. n-1, per row (not per year), float64[n]; 0 <= decay < 1."""
    squares = log_returns(history, name) ** 2
    variance = np.empty(len(squares) + 1)
    variance[0] = squares[:SEED_ROWS].mean()
    for row, square in enumerate(squares.tolist(), start=1):
        variance[row] = decay * variance[row - 1] + (1 - decay) * square
    result: Floats = np.sqrt(variance)
    return result


def moves(history: PriceHistory, name: str, horizon: int) -> Floats:
    """Return m_t of one name for the rows h .. n-1, float64[n-h]: entry i ends in row i + h."""
    prices = _prices(history, name)
    return _rounded(prices[horizon:] / prices[:-horizon] - 1)


def filtered_moves(history: PriceHistory, name: str, horizon: int, decay: float) -> Floats:
    """Return the filtered moves of one name for the rows h .. n-1, float64[n-h]: entry i ends in row i + h."""
    logarithms = np.log(_prices(history, name))
    volatility = ewma_volatility(history, name, decay)
    before = volatility[:-horizon]
    scale = np.divide(volatility[-1], before, out=np.ones_like(before), where=before > 0)
    return _rounded(np.expm1((logarithms[horizon:] - logarithms[:-horizon]) * scale))


def exact_move(move: float) -> Fraction:
    """Return a move of this module as the exact fraction of 10^9 that it is."""
    return Fraction(round(move * 10**MOVE_PLACES), 10**MOVE_PLACES)


def rows_between(history: PriceHistory, first: datetime, last: datetime) -> range:
    """Return the rows with times in first <= time <= last."""
    start = sum(time < first for time in history.times)
    return range(start, max(start, sum(time <= last for time in history.times)))


def check_history(
    history: PriceHistory | None, names: tuple[str, ...], rows: int, as_of: datetime, field: str
) -> list[InputError]:
    """Return the problems of a history for a model that reads `rows` daily rows of `names` up to as_of.

    field: the parameter of the model that asks for the history.
    """

    def problem(reason: str, hint: str) -> InputError:
        return InputError(reason, hint=hint, field=field)

    if history is None:
        return [
            problem(
                f"the model needs a price history of {', '.join(names)}",
                f"add history.csv with {rows} daily rows up to as_of",
            )
        ]
    problems = [
        problem(f"history.csv has no prices of {name}", f"add a column {name} to history.csv")
        for name in history.missing(names)
    ]
    times = [time for time in history.times if time <= as_of]
    if len(times) < rows:
        reason = f"history.csv has {len(times)} rows up to as_of, the model needs {rows}"
        problems.append(problem(reason, f"add {rows - len(times)} earlier rows, or ask for fewer days"))
        return problems
    if as_of - times[-1] > LONGEST_ROW:
        reason = f"the last row of history.csv up to as_of is of {times[-1]:%Y-%m-%d}, more than 7 days before it"
        problems.append(problem(reason, "add the rows up to as_of"))
    for earlier, later in pairwise(times):
        if not SHORTEST_ROW <= later - earlier <= LONGEST_ROW:
            reason = f"the rows of {earlier:%Y-%m-%d %H:%M} and {later:%Y-%m-%d %H:%M} in history.csv are no days apart"
            problems.append(problem(reason, "give one row a day: 12 hours to 7 days from one to the next"))
            break
    return problems


def _prices(history: PriceHistory, name: str) -> Floats:
    return np.array([float(price) for price in history.prices[name]], dtype=np.float64)


def _rounded(values: Floats) -> Floats:
    result: Floats = np.round(values, MOVE_PLACES)
    return result
