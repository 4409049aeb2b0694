"""Procyclicality of a requirement: the measures of a requirement path of fixed positions.

    peak to trough   greatest requirement / least requirement over the path
    n-day call       greatest rise over n days, of which the margin calls are made: max over t of R(t + n) - R(t), and
                     the same relative to R(t); zero where the path never rises

Source of the measures: Murphy, Vasios, Vause, An investigation into the procyclicality of risk-based initial margin
models, Bank of England Financial Stability Paper 29 (2014).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["DAYS", "Procyclicality", "Rise", "procyclicality"]

DAYS = (1, 5, 20)
"""Rows of a path over which rises are measured, where it is that long."""


@dataclass(frozen=True)
class Rise:
    """Greatest rise over `days` rows: in quanta, and relative to where it began (each the greatest of its kind)."""

    days: int
    amount: int
    relative: Fraction


@dataclass(frozen=True)
class Procyclicality:
    """Measures of one path; `peak_to_trough` is at least 1."""

    peak_to_trough: Fraction
    rises: tuple[Rise, ...]

    def rise(self, days: int) -> Rise:
        """Return the rise over that many rows; raises KeyError where the path is shorter."""
        for each in self.rises:
            if each.days == days:
                return each
        raise KeyError(days)


def procyclicality(path: Sequence[int], days: Sequence[int] = DAYS) -> Procyclicality:
    """Measure a requirement path (T,), in quanta, oldest first, T > 0.

    Raises:
        ValueError: nothing in the path, or a requirement that is not positive, against which nothing can be measured.
    """
    if not path or min(path) <= 0:
        raise ValueError("a requirement path needs requirements above zero")
    rises = []
    for gap in days:
        if gap >= len(path):
            continue
        pairs = list(zip(path, path[gap:], strict=False))
        amount = max(0, *(later - earlier for earlier, later in pairs))
        relative = max(Fraction(0), *(Fraction(later - earlier, earlier) for earlier, later in pairs))
        rises.append(Rise(gap, amount, relative))
    return Procyclicality(Fraction(max(path), min(path)), tuple(rises))
