"""Margin before and after a change: trades of one account, or a shock to all accounts."""

from dataclasses import dataclass
from html import escape

import polars as pl

from crossmargin.api.margin import Margin

__all__ = ["Change"]


@dataclass(frozen=True, repr=False, eq=False)
class Change:
    """The margin of the same accounts before and after a change, which `cause` puts in words.

    >>> import crossmargin as cm
    >>> change = cm.load("examples/small").stress({"BTC": "-0.1"})
    >>> change.cause
    'BTC -0.1'
    >>> change.after.equity < change.before.equity
    True
    """

    cause: str
    before: Margin
    after: Margin

    def frame(self) -> pl.DataFrame:
        """Return one row an account: account, then equity, requirement and excess before and after, in `currency`."""
        before, after = self.before.frame(), self.after.frame()
        names = ("equity", "requirement", "excess")
        return pl.DataFrame(
            [
                before["account"],
                *(frame[name].alias(f"{name}_{when}") for name in names for when, frame in self._both(before, after)),
            ]
        )

    def __repr__(self) -> str:
        """Return the totals before and after, rounded down to cents."""
        names = ("equity", "requirement", "shortfall")
        figures = [f"{name} {self.before._text(name)} -> {self.after._text(name)}" for name in names]
        sunk = f"{len(self.before.under_water):,} -> {len(self.after.under_water):,} under water"
        return f"<Change by {self.cause}: {', '.join(figures)} {self.before.currency}; {sunk}>"

    def _repr_html_(self) -> str:
        """Return the totals and the ten accounts with the least excess afterwards, for notebooks."""
        last = self.frame().sort("excess_after").head(10)
        return f"<p>{escape(repr(self)[1:-1])}</p>{last._repr_html_()}"

    @staticmethod
    def _both(before: pl.DataFrame, after: pl.DataFrame) -> tuple[tuple[str, pl.DataFrame], ...]:
        return (("before", before), ("after", after))
