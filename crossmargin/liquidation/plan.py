"""Partial liquidation at least cost: the lots to close in each position to restore an account's buffer.

The rows of the compiled relation are linear in the record and its auxiliaries, so the plan is a mixed-integer linear
programme over the rows themselves, for any model that can be proven:

    minimise    sum over instruments and steps of depth of cost per lot * c  +  automation * z
    subject to  L (x + sum of c * change per lot) + L' u >= 0      every row of the buffered, strict statement
                0 <= c <= lots of the step,  sum of c of an instrument <= |position| z,  c integer, z in {0, 1}, u >= 0

Positions only shrink and never change sign. The programme leaves the rounding of trades to units out and is solved in
floats; the plan that it gives is carried out in exact integers and judged by the relation. It satisfies every row of
the statement, so the record after it can be proven. Where the exact record passes at once, no plan is cheaper
(`least`: but for the rounding, the programme is a relaxation); otherwise the programme is solved again with the missing
amount added, and at last lots are added one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmargin.liquidation.cost import ClosingCost, Quotes
from crossmargin.liquidation.rule import Rule
from crossmargin.liquidation.trades import Trade, after_trades, value_per_lot
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Instrument, Kind
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.layout import ColumnKind

__all__ = ["NoPlanError", "Plan", "least_cost_plan", "plan_of"]

Floats = NDArray[np.float64]

TIME_LIMIT = 1
"""Status of a programme that was given up (scipy.optimize.milp)."""

ATTEMPTS = 4
"""Programmes solved with the missing amount added, before lots are added one by one."""


class NoPlanError(CrossmarginError):
    """No closing of positions, within the depth of the market, restores the buffer."""


@dataclass(frozen=True, repr=False)
class Plan:
    """Lots to close by instrument, the trades, the record after them, and the cost in USD.

    slack: the least slack of a row of the buffered, strict statement, in quanta: negative where the plan does not
    restore the buffer. least: no plan costs less (up to the gap that was asked for).
    """

    closed: Mapping[str, int]
    trades: tuple[Trade, ...]
    record: tuple[int, ...]
    cost: Fraction
    slack: int
    least: bool = False

    @property
    def restores(self) -> bool:
        """Whether the record after it satisfies every row of the buffered statement."""
        return self.slack >= 0


def least_cost_plan(
    rule: Rule,
    environment: MarketEnvironment,
    record: Sequence[int],
    cost: ClosingCost,
    buffer: Decimal = Decimal(0),
    gap: float = 0.0,
    seconds: float = 60.0,
) -> Plan:
    """Return the plan of least cost after which equity >= requirement * (1 + buffer).

    record: V integers; gap: relative distance to the optimum at which the search may end; seconds: its time limit.

    Raises:
        NoPlanError: no plan restores the buffer, or none was found in time. InputError: as `Rule.policy`.
    """
    record = [int(entry) for entry in record]  # numpy's integers would wrap
    compiled = rule.buffered(buffer).strict.compiled(environment)
    quotes = Quotes(environment, cost)
    programme = _Programme(compiled, quotes, record)
    missing = 0
    closed: dict[str, int] = {}
    for attempt in range(ATTEMPTS):
        closed = programme.solve(missing, gap, seconds)
        plan = plan_of(compiled, quotes, record, closed, least=attempt == 0)
        if plan.restores:
            return plan
        missing = 2 * missing - plan.slack
    return _add_lots(compiled, quotes, record, closed)


def plan_of(
    compiled: CompiledPolicy, quotes: Quotes, record: Sequence[int], closed: Mapping[str, int], least: bool = False
) -> Plan:
    """Carry out the closing of lots by instrument exactly, and judge it by the rows of a strict statement.

    Raises:
        ValueError: more lots than a position has, or than the depth allows.
    """
    catalogue = quotes.environment.catalogue
    positions = _positions(quotes.environment, record)
    trades = [
        trade
        for name, lots in closed.items()
        for trade in quotes.trades(catalogue.instrument(name), positions.get(name, 0), lots)
    ]
    after = after_trades(quotes.environment, record, trades)
    slack = min(compiled.witness(after)[1])
    return Plan(closed, tuple(trades), tuple(after), quotes.cost_of(closed, positions), slack, least)


def _positions(environment: MarketEnvironment, record: Sequence[int]) -> dict[str, int]:
    layout = environment.catalogue.layout()
    return {
        column.name: int(entry)
        for column, entry in zip(layout.columns, record, strict=True)
        if column.kind is ColumnKind.POSITION and entry
    }


@dataclass(frozen=True)
class _Choice:
    """One variable: lots of one instrument done at one step of its depth."""

    instrument: Instrument
    trade: Trade
    most: int


class _Programme:
    """The mixed-integer linear programme of one record; money in it is scaled to keep the solver's tolerance fine."""

    def __init__(self, compiled: CompiledPolicy, quotes: Quotes, record: Sequence[int]) -> None:
        self._quotes = quotes
        self._positions = _positions(quotes.environment, record)
        self._choices = self._possible()
        relation = compiled.relation
        now = [sum(a * x for a, x in zip(row.base, record, strict=True) if x) + row.offset for row in relation.rows]
        self._unit = max(1.0, *(abs(each) for each in now)) / 1e5
        self._now = np.array(now, dtype=np.float64) / self._unit
        changes = [self._change(choice) for choice in self._choices]
        self._rows = np.array(
            [
                [float(sum(row.base[column] * by for column, by in change)) / self._unit for change in changes]
                for row in relation.rows
            ]
        ).reshape(len(relation.rows), len(changes))
        self._auxiliaries = np.array([row.auxiliary for row in relation.rows], dtype=np.float64)

    def solve(self, missing: int, gap: float, seconds: float) -> dict[str, int]:
        """Return lots by instrument; every row has to keep `missing` quanta more than nothing.

        Raises:
            NoPlanError: infeasible, or nothing found in time.
        """
        # Imported here: it takes a quarter of a second, which every command would wait for.
        from scipy.optimize import Bounds, LinearConstraint, milp

        names = list(dict.fromkeys(choice.instrument.name for choice in self._choices))
        lots, touched, auxiliaries = len(self._choices), len(names), self._auxiliaries.shape[1]
        costs = [float(self._quotes.cost_per_lot(choice.instrument, choice.trade)) for choice in self._choices]
        price = np.array([*costs, *[float(self._quotes.cost.automation)] * touched, *[0.0] * auxiliaries])
        upper = np.array([*[float(choice.most) for choice in self._choices], *[1.0] * touched, *[np.inf] * auxiliaries])
        rows = np.hstack([self._rows, np.zeros((len(self._now), touched)), self._auxiliaries])
        linked = np.zeros((touched, lots + touched + auxiliaries))
        for number, name in enumerate(names):
            linked[number, lots + number] = abs(self._positions[name])
            for place, choice in enumerate(self._choices):
                if choice.instrument.name == name:
                    linked[number, place] = -1.0
        least = np.concatenate([missing / self._unit - self._now, np.zeros(touched)])
        result: Any = milp(
            price,
            constraints=LinearConstraint(np.vstack([rows, linked]), least, np.inf),
            integrality=np.array([*[1] * (lots + touched), *[0] * auxiliaries]),
            bounds=Bounds(np.zeros(len(price)), upper),
            options={"mip_rel_gap": gap, "time_limit": seconds},
        )
        if result.x is None:
            late = result.status == TIME_LIMIT
            raise NoPlanError("no plan was found in time" if late else "no closing of positions restores the buffer")
        closed = dict.fromkeys(names, 0)
        for choice, value in zip(self._choices, result.x[:lots].tolist(), strict=True):
            closed[choice.instrument.name] += round(value)
        return {name: count for name, count in closed.items() if count}

    def _possible(self) -> list[_Choice]:
        choices = []
        for name, position in self._positions.items():
            instrument = self._quotes.environment.catalogue.instrument(name)
            closing, fee = (1 if position > 0 else -1), self._quotes.cost.fee_of(name)
            for step in self._quotes.cost.steps_of(name):
                trade = Trade(name, -closing, self._quotes.price(instrument, closing, step.slippage), fee)
                most = abs(position) if step.lots is None else min(step.lots, abs(position))
                choices.append(_Choice(instrument, trade, most))
        return choices

    def _change(self, choice: _Choice) -> list[tuple[int, Fraction]]:
        """Return the change of the record per lot, without rounding: columns and amounts."""
        instrument, trade = choice.instrument, choice.trade
        layout = self._quotes.environment.catalogue.layout()
        per_lot = value_per_lot(self._quotes.environment, instrument, trade.price)
        balance = layout.index(ColumnKind.BALANCE, instrument.settlement)
        paid = balance if instrument.kind is Kind.OPTION else layout.index(ColumnKind.ENTRY, instrument.settlement)
        return [
            (layout.index(ColumnKind.POSITION, instrument.name), Fraction(trade.lots)),
            (paid, -trade.lots * per_lot),
            (balance, -trade.fee_rate * abs(per_lot)),
        ]


def _add_lots(compiled: CompiledPolicy, quotes: Quotes, record: Sequence[int], closed: Mapping[str, int]) -> Plan:
    """Add lots one by one, each time that which leaves the greatest slack, until every row holds.

    Raises:
        NoPlanError: nothing is left to close.
    """
    plan = plan_of(compiled, quotes, record, closed)
    while not plan.restores:
        further = []
        for name in _positions(quotes.environment, plan.record):
            more = {**plan.closed, name: plan.closed.get(name, 0) + 1}
            try:
                further.append(plan_of(compiled, quotes, record, more))
            except ValueError:
                continue  # the depth of this instrument is used up
        if not further:
            raise NoPlanError("no closing of positions restores the buffer within the depth of the market")
        plan = max(further, key=lambda each: each.slack)
    return plan
