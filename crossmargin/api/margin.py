"""Margin as a value in money: of one account or of many.

excess = equity - requirement        shortfall = max(0, -excess)        ratio = equity / requirement
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from html import escape

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmargin.api.frames import RATIO_PLACES, money_column, ratio_column
from crossmargin.book.exact_sum import total_of
from crossmargin.engine import evaluate
from crossmargin.errors import InputError
from crossmargin.units import amount_of, format_money

__all__ = ["Margin"]

Rows = NDArray[np.int64]


@dataclass(frozen=True, repr=False, eq=False)
class Margin:
    """Margin of the accounts of a book under one statement; amounts are exact decimals in `currency`.

    `equity`, `requirement`, `excess`, `shortfall` and `deficit` are sums over the accounts. `of`, `under_water`,
    `bankrupt` and `least` choose accounts and return their margin: one account has the same figures as a book.

    >>> import crossmargin as cm
    >>> margin = cm.load("examples/small").margin("maintenance")
    >>> margin
    <Margin of 5 accounts: maintenance margin, scenario portfolio margin; equity 282,863.77, requirement 24,060.98,
    shortfall 2,062.54 USD; 1 under water>
    >>> margin.of("acct-c").excess
    Decimal('61602.47989043')
    >>> margin.of("acct-c").ratio
    Decimal('16.278377')
    >>> margin.under_water.frame()["account", "shortfall"].rows()
    [('acct-d', Decimal('2062.54444485'))]
    """

    title: str
    currency: str
    quantum: Decimal
    accounts: tuple[str, ...]
    quanta: evaluate.Margin

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self.accounts)

    @property
    def equity(self) -> Decimal:
        """Value of the accounts after haircuts."""
        return self._total(self.quanta.equity)

    @property
    def requirement(self) -> Decimal:
        """Equity that the model requires of them."""
        return self._total(self.quanta.requirement)

    @property
    def excess(self) -> Decimal:
        """Equity less requirement."""
        return self.equity - self.requirement

    @property
    def shortfall(self) -> Decimal:
        """Sum of the accounts' shortfalls; the excess of one account does not offset the shortfall of another."""
        return self._total(self.quanta.shortfall)

    @property
    def deficit(self) -> Decimal:
        """Sum of negative equities, as a positive amount that no holder covers."""
        return self._total(-np.minimum(self.quanta.equity, 0))

    @property
    def ratio(self) -> Decimal | None:
        """Equity / requirement, rounded down to 6 decimals: at least 1 exactly where covered; None without one."""
        equity, requirement = total_of(self.quanta.equity), total_of(self.quanta.requirement)
        if not requirement:
            return None
        return amount_of(equity * 10**RATIO_PLACES // requirement, Decimal(1).scaleb(-RATIO_PLACES))

    @property
    def under_water(self) -> "Margin":
        """The margin of the accounts whose equity does not cover their requirement."""
        return self._chosen(np.flatnonzero(self.quanta.excess < 0))

    @property
    def bankrupt(self) -> "Margin":
        """The margin of the accounts with negative equity."""
        return self._chosen(np.flatnonzero(self.quanta.equity < 0))

    def of(self, account: str) -> "Margin":
        """Return the margin of one account.

        Raises:
            InputError: no such account here.
        """
        if account not in self._numbers:
            raise InputError(f"no account {account!r} here", hint="check the id; it is compared byte for byte")
        return self._chosen(np.array([self._numbers[account]], dtype=np.int64))

    def least(self, count: int = 10) -> "Margin":
        """Return the margin of the accounts with the least excess, least first."""
        return self._chosen(np.argsort(self.quanta.excess, kind="stable")[:count])

    def frame(self) -> pl.DataFrame:
        """Return one row an account: account, equity, requirement, excess, shortfall, ratio, worst_scenario.

        Amounts are exact decimals in `currency`. The ratio is rounded down to 6 decimals. Where nothing is required,
        ratio and worst scenario are null.
        """
        found = self.quanta
        amounts = {
            "equity": found.equity,
            "requirement": found.requirement,
            "excess": found.excess,
            "shortfall": found.shortfall,
        }
        meanings = pl.Series([*found.scenarios, None], dtype=pl.String)
        return pl.DataFrame(
            [
                pl.Series("account", self.accounts, dtype=pl.String),
                *(money_column(name, quanta, self.quantum) for name, quanta in amounts.items()),
                ratio_column("ratio", found.equity, found.requirement),
                meanings.gather(np.where(found.worst < 0, len(found.scenarios), found.worst)).alias("worst_scenario"),
            ]
        )

    def __repr__(self) -> str:
        """Return the totals, rounded down to cents; never the accounts of a book."""
        whose = f"account {self.accounts[0]}" if len(self) == 1 else f"{len(self):,} accounts"
        amounts = ("equity", "requirement", "excess" if len(self) == 1 else "shortfall")
        figures = ", ".join(f"{name} {self._text(name)}" for name in amounts)
        sunk = int(np.count_nonzero(self.quanta.excess < 0))
        fate = ("; under water" if sunk else "") if len(self) == 1 else f"; {sunk:,} under water"
        return f"<Margin of {whose}: {self.title}; {figures} {self.currency}{fate}>"

    def _repr_html_(self) -> str:
        """Return the totals and a table of the accounts with the least excess, for notebooks."""
        return f"<p>{escape(repr(self)[1:-1])}</p>{self.least().frame()._repr_html_()}"

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {account: number for number, account in enumerate(self.accounts)}

    def _total(self, quanta: Rows) -> Decimal:
        return amount_of(total_of(quanta), self.quantum)

    def _text(self, name: str) -> str:
        return format_money(total_of(getattr(self.quanta, name)), self.quantum)

    def _chosen(self, rows: Rows) -> "Margin":
        found = self.quanta
        part = evaluate.Margin(found.equity[rows], found.requirement[rows], found.worst[rows], found.scenarios)
        accounts = tuple(self.accounts[row] for row in rows.tolist())
        return Margin(self.title, self.currency, self.quantum, accounts, part)
