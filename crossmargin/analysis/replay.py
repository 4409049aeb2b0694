"""Replay a model over a price path: the requirement of a book day by day.

At every time of the path the market moves to that time's prices: index, marks and forwards of each name by its own
move, while implied volatilities and the basis stand still and options age with the date. The model is recomputed from
the history up to then, and the engine evaluates the book. Positions are fixed, or given day by day; entry values are
part of the records and stay. The underlyings move; other assets of the path (stablecoins) move only where they are
named, since a quantum that resolves their smallest unit near par may not resolve it at another price.

A model with a contagion buffer reads the totals that a crowding statement of the row before would have disclosed: the
buffer of a day comes from the book of the day before, so that only public data is used. The first row reads its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
from scipy.sparse import csr_array

from crossmargin.analysis.procyclicality import Procyclicality, procyclicality
from crossmargin.book.exact_sum import total_of
from crossmargin.engine.crowding_totals import crowding_of
from crossmargin.engine.evaluate import Margin, evaluate
from crossmargin.errors import InputError, InputErrors
from crossmargin.market.crowding import Crowding
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import PriceHistory
from crossmargin.market.scenarios import Scenario
from crossmargin.models import MarginModel, build_policy
from crossmargin.models.base import CROWDING, StatementConfig
from crossmargin.models.oracle import resolved
from crossmargin.models.scan import ScanModel
from crossmargin_circuits.compile import compile_policy

__all__ = ["Replay", "Step", "environment_at", "opened_crowding", "replay"]

VENUE = "replay"
"""Venue in the policies of a replay, which are not published."""

Books = csr_array | Callable[[datetime], csr_array]
"""Records (n, V), the same all the time, or of each time."""


@dataclass(frozen=True, repr=False)
class Step:
    """One time of a replay: totals of the book in quanta, accounts under water, and what the model read.

    ranges: price ranges that held, by name, where the model has them; margin: of every account, where asked for.
    """

    time: datetime
    requirement: int
    equity: int
    shortfall: int
    under_water: int
    ranges: Mapping[str, Decimal]
    crowding: Crowding | None
    margin: Margin | None


@dataclass(frozen=True, repr=False)
class Replay:
    """The steps of a replay, oldest first; amounts are quanta of `quantum` USD."""

    quantum: Decimal
    steps: tuple[Step, ...]

    @property
    def times(self) -> tuple[datetime, ...]:
        """The times replayed."""
        return tuple(step.time for step in self.steps)

    @property
    def requirement(self) -> tuple[int, ...]:
        """Requirement of the book, path."""
        return tuple(step.requirement for step in self.steps)

    @property
    def procyclicality(self) -> Procyclicality:
        """Measures of the requirement path; raises ValueError where nothing is required at some time."""
        return procyclicality(self.requirement)

    def ranges(self, name: str) -> tuple[Decimal, ...]:
        """Return the price ranges of a name, path; raises KeyError."""
        return tuple(step.ranges[name] for step in self.steps)

    def risen(self, name: str, part: Decimal) -> datetime | None:
        """Return the first time at which the range of a name is above its first one by more than a part of it."""
        first = self.steps[0].ranges[name]
        return next((step.time for step in self.steps if step.ranges[name] > first * (1 + part)), None)


def replay(
    environment: MarketEnvironment,
    model: MarginModel,
    statement: str,
    books: Books,
    path: PriceHistory,
    *,
    names: Sequence[str] | None = None,
    first: int = 0,
    per_account: bool = False,
) -> Replay:
    """Replay a statement of a model over a path of prices.

    environment: catalogue, and a market that the path moves; its history and crowding are not read. path: also the
    history that the model reads, up to each time. names: whose prices move, by default the underlyings. Rows from
    `first` on are replayed, but none for which the model does not have enough history yet.

    Raises:
        InputError: a path without any of the names, a value that the quantum cannot hold, or a range that reaches a
        price of zero. InputErrors: what the model lacks even at the end of the path, or at a time after it had it.
        LimitError: a record beyond a column's limit.
    """
    environment = resolved(environment, model.oracle)
    moving = environment.catalogue.underlyings if names is None else tuple(names)
    if moving and len(path.missing(moving)) == len(moving):
        raise InputError(
            f"the path has no prices of {', '.join(moving)}: nothing would move",
            hint="add a column for each to the file of the path",
            field="prices",
        )
    steps: list[Step] = []
    crowding: Crowding | None = None
    for number, time in enumerate(path.times):
        if number < first:
            continue
        records = books(time) if callable(books) else books
        here = environment_at(environment, path, number, moving)
        before = crowding
        if model.thresholds:
            crowding = opened_crowding(here, model, records)
        here = replace(here, crowding=before or crowding)
        problems = [model.located(each) for each in model.check(here)]
        if problems and (steps or number == len(path) - 1):
            raise InputErrors(problems)
        if not problems:
            steps.append(_step(here, model, statement, records, per_account))
    return Replay(model.value_unit.quantum, tuple(steps))


def environment_at(
    environment: MarketEnvironment, path: PriceHistory, number: int, names: Sequence[str]
) -> MarketEnvironment:
    """Return the environment at row `number` of a path: its prices, its date, and the history until then; no crowding.

    names: whose prices move, as far as the path has them. At row 0 there is no history yet.
    """
    time = path.times[number]
    index = environment.market.index
    moves = {
        name: Fraction(path.prices[name][number]) / Fraction(index[name].price) - 1
        for name in names
        if name in path.prices
    }
    market = environment.market.moved(environment.catalogue, Scenario(1, "replay", moves, {}))
    history = path.until(time) if number else None
    moved = environment.at(market.model_copy(update={"as_of": time}))
    return replace(moved, history=history, crowding=None)


def opened_crowding(environment: MarketEnvironment, model: MarginModel, records: csr_array) -> Crowding:
    """Return the totals that a model's crowding statement would disclose over records (n, V) in an environment.

    Raises:
        InputError: an underlying without a threshold. LimitError: a record beyond a column's limit.
    """
    opening = model.model_copy(update={"statements": (StatementConfig(name=CROWDING),)})
    policy = build_policy(VENUE, environment, opening, CROWDING)
    return crowding_of(compile_policy(policy), records, f"{CROWDING} {environment.market.as_of:%Y-%m-%dT%H:%M:%SZ}")


def _step(
    environment: MarketEnvironment, model: MarginModel, statement: str, records: csr_array, per_account: bool
) -> Step:
    margin = evaluate(compile_policy(build_policy(VENUE, environment, model, statement)), records)
    ranges = model.ranges(environment) if isinstance(model, ScanModel) else {}
    return Step(
        time=environment.market.as_of,
        requirement=total_of(margin.requirement),
        equity=total_of(margin.equity),
        shortfall=total_of(margin.shortfall),
        under_water=int(np.count_nonzero(margin.excess < 0)),
        ranges={name: each.price_range for name, each in ranges.items()},
        crowding=environment.crowding,
        margin=margin if per_account else None,
    )
