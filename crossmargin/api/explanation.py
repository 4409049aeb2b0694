"""One account's margin with its parts, in money: the sources of its equity and of its requirement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

import polars as pl

from crossmargin.api.frames import money_column
from crossmargin.engine import explain
from crossmargin.units import amount_of, format_money

__all__ = ["Explanation"]


@dataclass(frozen=True, repr=False, eq=False)
class Explanation:
    """Margin of one account with its parts; amounts are exact decimals in `currency`.

    The parts add up exactly: the rows of `frame` to equity and requirement, the outermost `components` to the
    requirement.

    >>> import crossmargin as cm
    >>> explanation = cm.load("examples/small").explain("acct-a")
    >>> explanation.excess == explanation.equity - explanation.requirement
    True
    >>> explanation.frame()["requirement"].sum() == explanation.requirement
    True
    """

    title: str
    currency: str
    quantum: Decimal
    quanta: explain.Explanation

    @property
    def account(self) -> str:
        """The account's id."""
        return self.quanta.account

    @property
    def value(self) -> Decimal:
        """Value of its holdings at mark, before haircuts."""
        return self._money(self.quanta.value)

    @property
    def haircut(self) -> Decimal:
        """Reduction of the value by haircuts, tiers and caps."""
        return self._money(self.quanta.haircut)

    @property
    def equity(self) -> Decimal:
        """Value less haircut."""
        return self._money(self.quanta.equity)

    @property
    def requirement(self) -> Decimal:
        """Equity that the model requires of the account."""
        return self._money(self.quanta.requirement)

    @property
    def excess(self) -> Decimal:
        """Equity less requirement."""
        return self._money(self.quanta.excess)

    @property
    def worst_scenario(self) -> str:
        """The scenario with the greatest part in the requirement; "" where nothing is required."""
        return self.quanta.worst

    @property
    def binding(self) -> tuple[str, ...]:
        """Rows of the proven relation that hold with equality and therefore decide the margin."""
        return self.quanta.binding

    @property
    def pooling_saves(self) -> Decimal:
        """Sum of the sub-accounts' requirements, each computed alone, less the requirement of the pooled account."""
        return self._money(self.quanta.pooling_saves)

    def frame(self) -> pl.DataFrame:
        """Return one row a column of the account's record: column, held, value, equity, requirement.

        Amounts of tiers and thresholds, which no column has, stand in a last row, "fixed amounts".
        """
        parts = self.quanta.parts
        return pl.DataFrame(
            [
                pl.Series("column", [part.name for part in parts], dtype=pl.String),
                pl.Series("held", [part.held for part in parts], dtype=pl.String),
                money_column("value", [part.value for part in parts], self.quantum),
                money_column("equity", [part.equity for part in parts], self.quantum),
                money_column("requirement", [part.requirement for part in parts], self.quantum),
            ]
        )

    def components(self) -> pl.DataFrame:
        """Return one row a named part of the requirement: component ("outer / inner"), amount, decided_by."""
        found = list(_named(self.quanta.components))
        return pl.DataFrame(
            [
                pl.Series("component", [name for name, _ in found], dtype=pl.String),
                money_column("amount", [each.amount for _, each in found], self.quantum),
                pl.Series("decided_by", [each.decided_by for _, each in found], dtype=pl.String),
            ]
        )

    def sub_accounts(self) -> pl.DataFrame:
        """Return one row a sub-account, computed alone: sub_account, equity, requirement."""
        found = self.quanta.sub_accounts
        return pl.DataFrame(
            [
                pl.Series("sub_account", [each.name for each in found], dtype=pl.String),
                money_column("equity", [each.equity for each in found], self.quantum),
                money_column("requirement", [each.requirement for each in found], self.quantum),
            ]
        )

    def __repr__(self) -> str:
        """Return the totals, rounded down to cents, and the worst scenario."""
        names = ("value", "equity", "requirement", "excess")
        figures = ", ".join(f"{name} {format_money(getattr(self.quanta, name), self.quantum)}" for name in names)
        worst = f"; worst: {self.worst_scenario}" if self.worst_scenario else ""
        return f"<Explanation of account {self.account}: {self.title}; {figures} {self.currency}{worst}>"

    def _repr_html_(self) -> str:
        """Return the totals and the table of the columns, for notebooks."""
        return f"<p>{escape(repr(self)[1:-1])}</p>{self.frame()._repr_html_()}"

    def _money(self, quanta: int) -> Decimal:
        return amount_of(quanta, self.quantum)


def _named(components: Sequence[explain.Component], outer: str = "") -> Iterator[tuple[str, explain.Component]]:
    for each in components:
        name = f"{outer} / {each.name or 'part'}" if outer else each.name or "requirement"
        yield name, each
        yield from _named(each.parts, name)
