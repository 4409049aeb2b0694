"""Liquidation by the rule of a venue: every position by the same share, in steps, or all of them at once.

Of a position of x lots the share s closes ceil(s |x|) lots, at the mark or as the cost parameters say. The venue may
take a penalty of the part `penalty` of the maintenance requirement that is closed: ceil(s * penalty * requirement), in
quanta, rounded up to units of the asset it is paid in. Shares are s = step, 2 step, .. up to 1, each counted from the
record before liquidation, and the first one ends it at which

    requirement < target * equity

both after the trades and the penalty. Paradex: step 20 %, target 90 % (documentation, "Liquidations").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate
from crossmargin.liquidation.cost import ClosingCost, Quotes
from crossmargin.liquidation.rule import Rule
from crossmargin.liquidation.trades import Trade, after_trades
from crossmargin.market.environment import MarketEnvironment
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.layout import ColumnKind

__all__ = ["ShareRule", "Step", "close_by_share", "close_in_steps"]


@dataclass(frozen=True)
class ShareRule:
    """step, target, penalty: see the module; penalty_asset: in whose balance the penalty is taken."""

    step: Fraction
    target: Fraction
    penalty: Fraction = Fraction(0)
    penalty_asset: str = ""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a share or a target outside of 0 < value <= 1, a negative penalty, or one without an asset.
        """
        if not (0 < self.step <= 1 and 0 < self.target <= 1 and self.penalty >= 0):
            raise ValueError("a rule needs 0 < step <= 1, 0 < target <= 1 and a penalty of zero or more")
        if self.penalty and not self.penalty_asset:
            raise ValueError("a penalty needs the asset that it is paid in")


@dataclass(frozen=True, repr=False)
class Step:
    """One share: trades, penalty (units of its asset), the record after, its equity and requirement (quanta)."""

    share: Fraction
    trades: tuple[Trade, ...]
    penalty: int
    record: tuple[int, ...]
    equity: int
    requirement: int


def close_in_steps(
    rule: Rule,
    environment: MarketEnvironment,
    record: Sequence[int],
    shares: ShareRule,
    cost: ClosingCost | None = None,
) -> list[Step]:
    """Return the shares that were tried, in order; the last one restores the target or is all of the account.

    record: V integers.

    Raises:
        InputError: as `Rule.policy`. ValueError: more lots than the depth of the market allows.
    """
    compiled = rule.compiled(environment)
    quotes = Quotes(environment, cost or ClosingCost())
    before = _margin(compiled, record)[1]
    steps: list[Step] = []
    share = Fraction(0)
    while share < 1:
        share = min(share + shares.step, Fraction(1))
        steps.append(_step(compiled, quotes, record, share, shares, before))
        if steps[-1].requirement < shares.target * steps[-1].equity:
            break
    return steps


def close_by_share(
    environment: MarketEnvironment, record: Sequence[int], share: Fraction, cost: ClosingCost | None = None
) -> tuple[list[Trade], list[int]]:
    """Return the trades that close a share of every position, and the record after them.

    Raises:
        ValueError: not 0 < share <= 1, or more lots than the depth of the market allows.
    """
    if not 0 < share <= 1:
        raise ValueError("a share lies in 0 < share <= 1")
    return _close(Quotes(environment, cost or ClosingCost()), record, share)


def _close(quotes: Quotes, record: Sequence[int], share: Fraction) -> tuple[list[Trade], list[int]]:
    catalogue = quotes.environment.catalogue
    trades = []
    for column, entry in zip(catalogue.layout().columns, record, strict=True):
        if column.kind is ColumnKind.POSITION and entry:
            lots = -((-share * abs(int(entry))).__floor__())
            trades += quotes.trades(catalogue.instrument(column.name), int(entry), lots)
    return trades, after_trades(quotes.environment, record, trades)


def _step(
    compiled: CompiledPolicy, quotes: Quotes, record: Sequence[int], share: Fraction, shares: ShareRule, before: int
) -> Step:
    trades, after = _close(quotes, record, share)
    penalty = 0
    if shares.penalty:
        asset = quotes.environment.catalogue.asset(shares.penalty_asset)
        quanta = -((-share * shares.penalty * before).__floor__())
        usd = quanta * Fraction(compiled.policy.value_unit.quantum)
        unit = Fraction(asset.unit) * Fraction(quotes.environment.market.index[asset.priced_as].price)
        penalty = -((-usd / unit).__floor__())
        after[quotes.environment.catalogue.layout().index(ColumnKind.BALANCE, asset.name)] -= penalty
    equity, requirement = _margin(compiled, after)
    return Step(share, tuple(trades), penalty, tuple(after), equity, requirement)


def _margin(compiled: CompiledPolicy, record: Sequence[int]) -> tuple[int, int]:
    margin = evaluate(compiled, csr_array(np.array([record], dtype=np.int64)))
    return int(margin.equity[0]), int(margin.requirement[0])
