"""Moves of an underlying that liquidate an account, by full repricing: for any model, options included.

A move m takes index, marks and forwards of one underlying to 1 + m times themselves, volatilities stay. With options an
account's excess is not monotone in m, so it is read on a ladder from zero outwards; between the last rung with enough
margin and the first without, bisection on a grid finds a step at which the account lacks margin and did not one step
before. What happens between two rungs that both have enough is not seen: choose the rung accordingly.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import check_limits
from crossmargin.liquidation.ray import Rays
from crossmargin.liquidation.rule import Rule, excess_of
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.scenarios import Scenario
from crossmargin.models.oracle import resolved

__all__ = ["UnderlyingMoves", "liquidation_moves"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
class UnderlyingMoves:
    """Of every account the first relative move down (negative) and up (positive) that liquidates it, NaN for none.

    below: accounts that lack margin now; their moves are NaN.
    """

    down: Floats
    up: Floats
    below: Mask


def liquidation_moves(
    rule: Rule,
    environment: MarketEnvironment,
    records: csr_array,
    underlying: str,
    step: Fraction = Fraction(1, 1000),
    furthest: Fraction = Fraction(1, 2),
    rung: int = 16,
) -> UnderlyingMoves:
    """Return the moves of one underlying that liquidate each account.

    records: (n, V) int64; step: grid of moves; furthest: magnitude of the last one; rung: steps between two readings.

    Raises:
        InputError, LimitError, BudgetError: as `Rule.policy`, `evaluate`, `Rays`.
        ValueError: an unknown underlying, or no such grid.
    """
    if underlying not in environment.catalogue.underlyings:
        raise ValueError(f"{underlying} is not an underlying")
    if not 0 < step <= furthest < 1 or rung < 1:
        raise ValueError("a grid needs 0 < step <= furthest < 1 and a rung of one step at least")
    environment = resolved(environment, rule.model.oracle)
    check_limits(rule.policy(environment), records)
    search = _Search(rule, environment, records, underlying, step)
    everybody = np.arange(int(records.shape[0]), dtype=np.int64)
    below = search.lacking(0, everybody)
    last = int(furthest / step)
    sides = []
    for sign in (-1, 1):
        found = np.zeros(len(everybody), dtype=np.int64)
        left, inner = everybody[~below], 0
        while len(left) and inner < last:
            outer = min(inner + rung, last)
            lacking = search.lacking(sign * outer, left)
            search.bisect(sign, inner, outer, left[lacking], found)
            left, inner = left[~lacking], outer
        sides.append(np.where(found > 0, sign * found * float(step), np.nan))
    return UnderlyingMoves(sides[0], sides[1], below)


class _Search:
    def __init__(
        self, rule: Rule, environment: MarketEnvironment, records: csr_array, underlying: str, step: Fraction
    ) -> None:
        self._rule, self._environment, self._records = rule, environment, records
        self._underlying, self._step = underlying, step

    def lacking(self, steps: int, accounts: Integers) -> Mask:
        """Return which of the accounts lack margin after a move of so many steps."""
        scenario = Scenario(1, "move", {self._underlying: steps * self._step}, {})
        policy = self._rule.policy(self._environment.moved(scenario) if steps else self._environment)
        result: Mask = Rays(policy, excess_of(policy)).now(self._records[accounts, :]) < 0
        return result

    def bisect(self, sign: int, inner: int, outer: int, accounts: Integers, found: Integers) -> None:
        """Set `found` of accounts that have enough at `inner` and lack at `outer` to a step where they begin to."""
        if not len(accounts):
            return
        if outer - inner == 1:
            found[accounts] = outer
            return
        middle = (inner + outer) // 2
        lacking = self.lacking(sign * middle, accounts)
        self.bisect(sign, inner, middle, accounts[lacking], found)
        self.bisect(sign, middle, outer, accounts[~lacking], found)
