"""The accounts called for margin and the accounts to liquidate.

    margin call    equity < requirement under the initial rule,     both times (1 + buffer)
    liquidation    equity < requirement under the maintenance rule

The comparison is exact in quanta. An account on the line, excess 0, is in neither set.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import Margin, evaluate
from crossmargin.liquidation.rule import Rule
from crossmargin.market.environment import MarketEnvironment

__all__ = ["AccountSets", "account_sets", "below"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class AccountSets:
    """Rows of the accounts in each set, ascending, and the shortfall of each, in quanta.

    called, called_shortfall: under the initial rule; liquidated, liquidated_shortfall: under the maintenance rule. An
    liquidated account is usually called too; each set is computed independently. equity: (n,), of every account, under
    the maintenance rule.
    """

    called: Integers
    called_shortfall: Integers
    liquidated: Integers
    liquidated_shortfall: Integers
    equity: Integers

    def __repr__(self) -> str:
        """Return the sizes alone: who is in a set is secret."""
        return f"AccountSets({len(self.called)} called, {len(self.liquidated)} liquidated)"


def below(rule: Rule, environment: MarketEnvironment, records: csr_array) -> tuple[Integers, Integers]:
    """Return the rows of the accounts with negative excess, and their shortfalls in quanta.

    records: (n, V) int64.

    Raises:
        LimitError: a record beyond a column's limit. InputError, ValueError: as `Rule.policy`, `evaluate`.
    """
    return _short(evaluate(rule.compiled(environment), records))


def _short(margin: Margin) -> tuple[Integers, Integers]:
    shortfall = margin.shortfall
    accounts = np.flatnonzero(shortfall)
    return accounts, shortfall[accounts]


def account_sets(
    initial: Rule,
    maintenance: Rule,
    environment: MarketEnvironment,
    records: csr_array,
    call_buffer: Decimal = Decimal(0),
    liquidation_buffer: Decimal = Decimal(0),
) -> AccountSets:
    """Return the margin-call set and the liquidation set.

    records: (n, V) int64; buffers: fractions of the requirement, 0.05 for 105 % of it.

    Raises:
        LimitError, InputError, ValueError: as `below`.
    """
    called, lacking = below(initial.buffered(call_buffer), environment, records)
    margin = evaluate(maintenance.buffered(liquidation_buffer).compiled(environment), records)
    return AccountSets(called, lacking, *_short(margin), margin.equity)
