"""Replay of a liquidation cascade: a shock, liquidations, their price impact, and again, until it is quiet.

One round, in this order:

    1  the market is what shock and impact have made of it; the rule's policy is built and the whole book evaluated
    2  every account with less equity than its requirement and with open positions is liquidated: of each position of
       x lots ceil(share |x|) are closed at the mark; all of them where equity is not above zero
    3  fees, fee_rate times the value traded, go to the insurance fund (in quanta, rounded down)
    4  an account without positions and with negative equity is bankrupt: the fund pays its deficit as far as it
       reaches, the rest is counted as uncovered, and the account is written off (its record is empty afterwards)
    5  impact, linear and permanent: what is sold of an underlying in all moves its price by

           -(net USD sold) / depth,  at most `largest_move` in a round, rounded to a billionth;

       index, marks and forwards of the underlying move together, volatilities stay

The liquidated positions go to buyers outside the book, so nobody else's record changes. Collateral is not sold: an
account that lacks margin without positions stays as it is (`stuck`). USD sold are the change of value per relative move
of the underlying of what is traded, payment included, so that inverse contracts and options count by their exposure.
Same input, same replay: nothing is drawn, and ties do not occur.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import check_limits
from crossmargin.fields import ExactDecimal, Frozen, Name, Positive, WholeNumber, between
from crossmargin.liquidation.ray import Rays
from crossmargin.liquidation.rule import Rule, equity_of, excess_of
from crossmargin.liquidation.trades import ceil_times, floor_times, price_of, value_per_lot
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Kind
from crossmargin.market.scenarios import Scenario
from crossmargin.models.oracle import resolved
from crossmargin_circuits.layout import ColumnKind

__all__ = ["Cascade", "CascadeConfig", "CascadeStep", "replay_cascade"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

PROBE = Fraction(1, 10_000)
"""Relative move from which exposures are taken."""

MOVE_PLACES = 10**9
"""Moves are rounded to one part in this many."""


class CascadeConfig(Frozen):
    """Parameters of a replay.

    share: of each position per round, 1 closes the account; depth: USD that move each underlying by 100 %, an
    underlying without depth does not move; fund: USD; rounds: the most that are played.
    """

    share: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))] = Decimal(1)
    depth: dict[Name, Positive] = Field(default_factory=dict)
    fee_rate: Annotated[ExactDecimal, AfterValidator(between("0", "1", high_in=False))] = Decimal(0)
    fund: Annotated[ExactDecimal, AfterValidator(between("0", "1000000000000000"))] = Decimal(0)
    rounds: Annotated[WholeNumber, Field(ge=1)] = 100
    largest_move: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False, high_in=False))] = Decimal(
        "0.5"
    )


@dataclass(frozen=True, repr=False)
class CascadeStep:
    """One round: what was met and what it did. Amounts of money are quanta, USD where stated.

    prices: index of each underlying when the round begins; liquidated, bankrupt: rows of accounts; sold: net USD sold
    of each underlying; volume: USD traded in all, as exposure; moves: the impact on each underlying.
    """

    prices: Mapping[str, Decimal]
    liquidated: Integers
    bankrupt: Integers
    sold: Mapping[str, float]
    volume: float
    fees: int
    deficits: int
    fund_pays: int
    fund: int
    moves: Mapping[str, Fraction]


@dataclass(frozen=True, repr=False)
class Cascade:
    """All rounds with a liquidation, and the state after them.

    quiet: whether nobody is left to be liquidated; stuck: accounts that lack margin without positions.
    """

    steps: tuple[CascadeStep, ...]
    quiet: bool
    stuck: int
    uncovered: int
    fund: int
    environment: MarketEnvironment
    records: csr_array

    @property
    def liquidated(self) -> Integers:
        """Rows of the accounts that were liquidated in any round."""
        parts = [step.liquidated for step in self.steps]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)


def replay_cascade(
    rule: Rule, environment: MarketEnvironment, records: csr_array, shock: Scenario, config: CascadeConfig
) -> Cascade:
    """Return the rounds that a shock sets off.

    records: (n, V) int64; they are not changed.

    Raises:
        InputError, LimitError, BudgetError: as `Rule.policy`, `evaluate`, `Rays`.
        ValueError: a depth of what is no underlying.
    """
    unknown = [name for name in config.depth if name not in environment.catalogue.underlyings]
    if unknown:
        raise ValueError(f"depth of {unknown[0]}, which is not an underlying")
    environment = resolved(environment, rule.model.oracle).moved(shock)
    quantum = Fraction(rule.model.value_unit.quantum)
    fund, uncovered = (Fraction(config.fund) / quantum).__floor__(), 0
    first = len(environment.catalogue.layout()) - len(environment.catalogue.instruments)
    steps: list[CascadeStep] = []
    while True:
        policy = rule.policy(environment)
        check_limits(policy, records)
        lacking = Rays(policy, excess_of(policy)).now(records) < 0
        held = np.zeros(int(records.shape[0]), dtype=np.bool_)
        held[np.repeat(np.arange(len(held)), np.diff(records.indptr))[records.indices >= first]] = True
        rows = np.flatnonzero(lacking & held)
        stuck = int(np.count_nonzero(lacking & ~held))
        if not len(rows) or len(steps) == config.rounds:
            return Cascade(tuple(steps), not len(rows), stuck, uncovered, fund, environment, records)
        sales = _Sales(environment, config)
        worth = Rays(policy, equity_of(policy))
        change = sales.close(records, rows, worth.now(records[rows]) <= 0)
        records = csr_array(records + change)
        records.eliminate_zeros()
        fees = (sales.fees_usd / quantum).__floor__()
        after = records[rows]
        flat = np.diff(csr_array(after[:, first:]).indptr) == 0
        equity = worth.now(after)
        broke = flat & (equity < 0)
        deficits = -sum(int(each) for each in equity[broke])
        pays = min(fund + fees, deficits)
        fund, uncovered = fund + fees - pays, uncovered + deficits - pays
        records = _written_off(records, rows[broke])
        moves = {name: move for name in config.depth if (move := sales.impact(name)) != 0}
        steps.append(
            CascadeStep(
                {name: environment.market.index[name].price for name in environment.catalogue.underlyings},
                rows,
                rows[broke],
                sales.sold,
                sales.volume,
                fees,
                deficits,
                pays,
                fund,
                moves,
            )
        )
        if moves:
            environment = environment.moved(Scenario(len(steps), "impact", moves, {}))


class _Sales:
    """Closing trades of one round at one market, exact in units, and the exposure that they sell."""

    def __init__(self, environment: MarketEnvironment, config: CascadeConfig) -> None:
        self._environment, self._config = environment, config
        catalogue, layout = environment.catalogue, environment.catalogue.layout()
        self._first = len(layout) - len(catalogue.instruments)
        values = environment.valuation.unit_values()
        self._per_lot = [
            value_per_lot(environment, each, price_of(environment, each, values)) for each in catalogue.instruments
        ]
        self._balance = [layout.index(ColumnKind.BALANCE, each.settlement) for each in catalogue.instruments]
        self._paid = [
            balance if each.kind is Kind.OPTION else layout.index(ColumnKind.ENTRY, each.settlement)
            for each, balance in zip(catalogue.instruments, self._balance, strict=True)
        ]
        self.sold = dict.fromkeys(catalogue.underlyings, 0.0)
        self.volume = 0.0
        self.fees_usd = Fraction(0)

    def close(self, records: csr_array, rows: Integers, whole: NDArray[np.bool_]) -> csr_array:
        """Return the change of the records (n, V) when rows close their share, or the whole of it."""
        part = records[rows]
        owner = np.repeat(np.arange(len(rows)), np.diff(part.indptr))
        positions = part.indices >= self._first
        owner, item, lots = owner[positions], part.indices[positions] - self._first, part.data[positions]
        shares = ceil_times(Fraction(self._config.share), np.abs(lots))
        traded = -np.sign(lots) * np.where(whole[owner], np.abs(lots), shares)
        paid, fees = np.zeros_like(traded), np.zeros_like(traded)
        net = np.zeros(len(self._per_lot))
        gross = np.zeros(len(self._per_lot))
        order = np.argsort(item, kind="stable")
        present, starts = np.unique(item[order], return_index=True)
        for number, group in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
            per_lot = self._per_lot[number]
            paid[group] = floor_times(-per_lot, traded[group])
            fees[group] = ceil_times(Fraction(self._config.fee_rate) * abs(per_lot), np.abs(traded[group]))
            net[number], gross[number] = traded[group].sum(), np.abs(traded[group]).sum()
            self.fees_usd += int(fees[group].sum()) * self._usd(self._balance[number])
        self._count(net, gross)
        target = rows[owner]
        entries = (np.concatenate([traded, paid, -fees]), (
            np.concatenate([target] * 3),
            np.concatenate([item + self._first, np.array(self._paid)[item], np.array(self._balance)[item]]),
        ))  # fmt: skip
        return csr_array(entries, shape=records.shape)

    def impact(self, underlying: str) -> Fraction:
        """Return the relative move that the sales make."""
        largest = Fraction(self._config.largest_move)
        move = Fraction(-self.sold[underlying]) / Fraction(self._config.depth[underlying])
        move = Fraction(round(move * MOVE_PLACES), MOVE_PLACES)
        return min(max(move, -largest), largest)

    def _count(self, net: Floats, gross: Floats) -> None:
        """Add up exposures sold: net lots (bought positive) and gross lots by instrument."""
        per_lot = np.array([float(each) for each in self._per_lot])
        for name in self.sold:
            probe = Scenario(1, "probe", {name: PROBE}, {})
            change = self._environment.valuation.scenario_pnl(probe) / float(PROBE)
            exposure = change[self._first :] - per_lot * change[self._paid]
            self.sold[name] = -float(net @ exposure)
            self.volume += float(gross @ np.abs(exposure))

    def _usd(self, balance: int) -> Fraction:
        """Return USD per unit of a balance."""
        asset = self._environment.catalogue.asset(self._environment.catalogue.layout().columns[balance].name)
        return Fraction(asset.unit) * Fraction(self._environment.market.index[asset.priced_as].price)


def _written_off(records: csr_array, rows: Integers) -> csr_array:
    """Return the records with nothing in some rows."""
    if not len(rows):
        return records
    gone = np.zeros(int(records.shape[0]), dtype=np.bool_)
    gone[rows] = True
    cleared = records.copy()
    owner = np.repeat(np.arange(len(gone)), np.diff(cleared.indptr))
    cleared.data[gone[owner]] = 0
    cleared.eliminate_zeros()
    return cleared
