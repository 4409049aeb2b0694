"""Expected shortfall: the mean of the largest losses over the moves that prices made, as they were or filtered.

With pnl_s the profit of an account if everything moved again as it did over h days up to day s (see `returns`), over
the last S such moves, and k = tail S, a whole number:

    ES       = (1/k) * the sum of the k largest of -pnl_1, .., -pnl_S
    stressed = the same over the moves that end in a stressed window, unfiltered, with its own tail
    requirement = max(0, (1 - weight) ES + weight stressed)

`netting: by_underlying` takes max(0, ES) of each underlying and asset that moves alone, and adds them up. The division
by k and the weights are in the risk arrays. Expected shortfall: Acerbi, Tasche 2002; as rows: Rockafellar, Uryasev
2000; filtered moves: Hull, White 1998; a weight of 25 % on stressed observations: Delegated Regulation (EU) 153/2013,
article 28 (1) (b). Mixed with a stressed part it has the shape of CME's SPAN 2.

A volatility moves by volatility_beta times the price move of its underlying, but not below a tenth of itself; without
a beta it stays. Underlyings and other assets need prices in history.csv, but for assets that are stated to be `still`.
Stablecoins are better held still and charged by haircut or depeg: their daily moves are a few quanta of a unit, and k
rounded arrays are added up.

Curvature: a sum of largest values of linear forms is convex. The requirement is subadditive, positively homogeneous
and monotone in the profits, and cash in an asset that is still leaves it as it is. A quantile (value at risk) is not
convex and is refused: expected shortfall of the same tail is at least as high.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Frozen, Instant, Listed, Name, WholeNumber, between, refuse
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import HistoryNeed, PriceHistory
from crossmargin.market.instruments import Catalogue, Kind
from crossmargin.market.returns import exact_move, filtered_moves, moves, rows_between
from crossmargin.market.scenarios import Scenario
from crossmargin.models.base import MarginModel
from crossmargin.models.collateral import foreign_asset
from crossmargin.models.policy_builder import PolicyBuilder, added
from crossmargin.units import format_decimal
from crossmargin_circuits.expression import Expression, PositivePart, Scale, SumLargest
from crossmargin_circuits.layout import ColumnKind

__all__ = ["ExpectedShortfallModel", "Stressed"]

LEAST_VOLATILITY = Fraction(-9, 10)
"""Relative move of a volatility that no beta goes below."""

MOVES = (Fraction(-95, 100), Fraction(19))
"""Relative moves beyond these are refused: a price is wrong, or the filter enlarges a move past belief."""

RESOLUTION = 200
"""Rounding k arrays may change the charge for a unit by one part in this many of the unit's value, at most."""

_Tail = Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]


class Stressed(Frozen):
    """A window of the history: the moves that end in it, how much of them is the tail, and the weight of that part."""

    model_config = ConfigDict(serialize_by_alias=True)

    first: Annotated[Instant, Field(alias="from")]
    until: Instant
    tail: _Tail
    weight: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]

    @model_validator(mode="after")
    def _check(self) -> "Stressed":
        if self.until < self.first:
            raise refuse("until is before from", "exchange them", "until")
        return self


@dataclass(frozen=True)
class _Part:
    """One expected shortfall: its name and that of its arrays, scenarios, how many losses count, and its weight."""

    word: str
    pnl: str
    scenarios: tuple[Scenario, ...]
    count: int
    weight: Fraction


class ExpectedShortfallModel(MarginModel):
    """Expected shortfall over the last `observations` moves of `horizon_days`, mixed with a stressed window."""

    COHERENT: ClassVar[frozenset[str]] = frozenset({"subadditive", "monotone", "positively homogeneous", "translation"})

    model: Literal["expected_shortfall"]
    measure: str = "expected_shortfall"
    tail: _Tail
    observations: Annotated[WholeNumber, Field(ge=2)]
    horizon_days: Annotated[WholeNumber, Field(ge=1, le=60)] = 1
    filter_decay: Annotated[ExactDecimal, AfterValidator(between("0.5", "1", high_in=False))] | None = None
    stressed: Stressed | None = None
    netting: Literal["joint", "by_underlying"] = "joint"
    still: Annotated[tuple[Name, ...], Listed] = ()
    volatility_beta: dict[Name, Annotated[ExactDecimal, AfterValidator(between("-10", "10"))]] = Field(
        default_factory=dict
    )

    def needed_history(self, environment: MarketEnvironment) -> HistoryNeed:
        """Return the history of the scenarios: the underlyings, and without a history all names that must move."""
        names = environment.catalogue.underlyings
        if environment.history is None:
            names += tuple(name for name in self._others(environment.catalogue) if name not in self.still)
        return HistoryNeed(names, self.observations + self.horizon_days, "observations")

    def _others(self, catalogue: Catalogue) -> list[str]:
        return [asset.name for asset in catalogue.whole_assets if asset.name not in catalogue.underlyings]

    @property
    def coherent(self) -> frozenset[str]:
        """As a coherent measure of risk, and with cash that does not move if there is such an asset."""
        return super().coherent if self.still else super().coherent - {"translation"}

    @model_validator(mode="after")
    def _check_measure(self) -> "ExpectedShortfallModel":
        if self.measure == "value_at_risk":
            raise refuse(
                "value at risk is a quantile and not convex: two accounts that cover it can make one that does not "
                "(1,217 of 20,000 random pairs on 40 scenarios; expected shortfall: none), so no set of rows states it",
                "write measure: expected_shortfall, which is at least as high at the same tail",
                "measure",
            )
        if self.measure != "expected_shortfall":
            raise refuse("not a measure", "write expected_shortfall", "measure")
        if (self.tail * self.observations) % 1:
            raise refuse(
                f"{format_decimal(self.tail)} of {self.observations} observations is not a whole number",
                _whole_tail(self.tail, self.observations, "observations: "),
                "tail",
            )
        return self

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return the inputs of this model that history and catalogue lack."""
        problems = super().check(environment)
        catalogue = environment.catalogue
        problems += [
            InputError(f"{name} is not an underlying", hint="remove it", field=f"volatility_beta.{name}")
            for name in self.volatility_beta
            if name not in catalogue.underlyings
        ]
        others = self._others(catalogue)
        for number, name in enumerate(self.still):
            field = f"still[{number}]"
            if name in catalogue.underlyings:
                problems.append(InputError(f"{name} is an underlying, which moves", hint="remove it", field=field))
            elif name not in others:
                problems.append(foreign_asset(catalogue, name, field))
        if environment.history is not None:
            problems += [
                InputError(
                    f"history.csv has no prices of {name}, and the model does not hold it still",
                    hint=f"add a column {name} to history.csv, or {name} to still",
                    field="still",
                )
                for name in environment.history.missing(others)
                if name not in self.still
            ]
        if problems:
            return problems
        if self.stressed is not None:
            problems += self._check_window(environment.past, self.stressed)
        return problems or self._check_moves(environment) or self._check_resolution(environment)

    def requirement(self, builder: PolicyBuilder) -> Expression:
        """Return the weighted sum of the expected shortfalls, joint or by underlying."""
        parts: list[Expression] = []
        for part in self._parts(builder.environment):
            if self.netting == "joint":
                tail = self._tail(builder, part, part.pnl, part.scenarios)
                parts.append(builder.abbreviate(part.word, _meaning(part), tail))
                continue
            alone: list[Expression] = []
            for name in self._names(builder.environment):
                tail = self._tail(builder, part, f"{part.pnl} {name}", [each.only(name) for each in part.scenarios])
                meaning = f"{_meaning(part)}, {name} alone"
                alone.append(builder.abbreviate(f"{part.word} {name}", meaning, PositivePart(tail)))
            parts.append(added(alone))
        return added(parts)

    def _tail(self, builder: PolicyBuilder, part: _Part, prefix: str, scenarios: Sequence[Scenario]) -> Expression:
        """Return weight / k times the sum of the k largest losses."""
        scale = float(part.weight / part.count)
        pnls = [
            builder.charge(f"{prefix} {each.number}", each.label, scale * builder.valuation.scenario_pnl(each))
            for each in scenarios
        ]
        return SumLargest(part.count, tuple(Scale(-1, pnl) for pnl in pnls))

    def _parts(self, environment: MarketEnvironment) -> list[_Part]:
        """Return the expected shortfalls of an environment that has passed `check`."""
        history = environment.past
        decay = self.filter_decay
        by_name = {
            name: moves(history, name, self.horizon_days)
            if decay is None
            else filtered_moves(history, name, self.horizon_days, float(decay))
            for name in self._names(environment)
        }
        rows = range(len(history) - self.observations, len(history))
        weight = Fraction(0) if self.stressed is None else Fraction(self.stressed.weight)
        parts = [
            _Part(
                "expected shortfall",
                "pnl",
                self._scenarios(history, rows, by_name),
                _count(self.tail, rows),
                1 - weight,
            )
        ]
        if self.stressed is not None:
            rows = self._window(history, self.stressed)
            plain = {name: moves(history, name, self.horizon_days) for name in self._names(environment)}
            scenarios = self._scenarios(history, rows, plain)
            parts.append(
                _Part("stressed shortfall", "stressed pnl", scenarios, _count(self.stressed.tail, rows), weight)
            )
        return [part for part in parts if part.weight]

    def _names(self, environment: MarketEnvironment) -> tuple[str, ...]:
        """Return the names that move: the underlyings, and the other assets that have prices and are not still."""
        known = () if environment.history is None else environment.history.prices
        others = [asset.name for asset in environment.catalogue.whole_assets if asset.name in known]
        return tuple(
            name for name in dict.fromkeys((*environment.catalogue.underlyings, *others)) if name not in self.still
        )

    def _scenarios(self, history: PriceHistory, rows: range, by_name: Mapping[str, np.ndarray]) -> tuple[Scenario, ...]:
        """Return the scenario of every row, in which everything moves as over the horizon up to that row."""
        found = []
        for number, row in enumerate(rows, start=1):
            prices = {name: exact_move(each[row - self.horizon_days]) for name, each in by_name.items()}
            volatilities = {
                name: max(LEAST_VOLATILITY, Fraction(beta) * prices[name])
                for name, beta in self.volatility_beta.items()
            }
            days = f"{self.horizon_days} day{'s' if self.horizon_days > 1 else ''}"
            label = f"moves of the {days} to {history.times[row]:%Y-%m-%d}"
            found.append(Scenario(number, label, prices, volatilities))
        return tuple(found)

    def _window(self, history: PriceHistory, stressed: Stressed) -> range:
        """Return the rows of the stressed window that have a row `horizon_days` before them."""
        rows = rows_between(history, stressed.first, stressed.until)
        return range(max(rows.start, self.horizon_days), rows.stop)

    def _check_window(self, history: PriceHistory, stressed: Stressed) -> list[InputError]:
        count = len(self._window(history, stressed))
        if count == 0:
            reason = "history.csv has no moves that end in the stressed window"
            first, last = history.times[self.horizon_days], history.times[-1]
            hint = f"choose a window from {first:%Y-%m-%d} to {last:%Y-%m-%d}, or add rows"
            return [InputError(reason, hint=hint, field="stressed.from")]
        if (stressed.tail * count) % 1:
            reason = (
                f"{format_decimal(stressed.tail)} of the {count} moves that end in the window is not a whole number"
            )
            hint = _whole_tail(stressed.tail, count, "a window with as many moves as ")
            return [InputError(reason, hint=hint, field="stressed.tail")]
        return []

    def _check_moves(self, environment: MarketEnvironment) -> list[InputError]:
        for part in self._parts(environment):
            for scenario in part.scenarios:
                for name, move in scenario.price_moves.items():
                    if not MOVES[0] <= move <= MOVES[1]:
                        reason = f"{name} moves by {float(move):+.2%} in the {scenario.label}"
                        hint = "correct the prices in history.csv, or choose a filter_decay nearer to 1 or none"
                        return [InputError(reason, hint=hint, field="filter_decay")]
        return []

    def _check_resolution(self, environment: MarketEnvironment) -> list[InputError]:
        """Refuse a quantum that k roundings of half a quantum are too coarse for; options may be worth nothing."""
        counts = sum(part.count for part in self._parts(environment))
        catalogue = environment.catalogue
        quanta = np.abs(environment.valuation.unit_values()) / float(self.value_unit.quantum)
        priced = {asset.name: asset.priced_as for asset in catalogue.assets}
        settled = [priced.get(name, "") for name in catalogue.settlement_of_columns()]
        names = self._names(environment)
        for number, column in enumerate(catalogue.layout().columns):
            if settled[number] not in names:
                continue
            if column.kind is ColumnKind.POSITION and catalogue.instrument(column.name).kind is Kind.OPTION:
                continue
            if counts * RESOLUTION > 2 * quanta[number]:
                reason = (
                    f"rounding the {counts} losses that count may change the charge for one unit of {column.key} "
                    f"({column.unit}) by more than one part in {RESOLUTION} of its value"
                )
                hint = "choose a finer quantum or a shorter tail, or hold the asset still if it is a stablecoin"
                return [InputError(reason, hint=hint, field="value_unit.quantum")]
        return []


def _count(tail: Decimal, rows: range) -> int:
    return int(tail * len(rows))


def _meaning(part: _Part) -> str:
    mean = f"mean of the {part.count} largest losses of {len(part.scenarios)}"
    return mean if part.weight == 1 else f"{float(part.weight):.4g} of the {mean}"


def _whole_tail(tail: Decimal, count: int, what: str) -> str:
    """Return the hint for a tail that does not fit a number of observations."""
    step = Fraction(tail).denominator
    nearest = [number for number in (count // step * step, -(-count // step) * step) if number]
    return f"write {what}{' or '.join(str(number) for number in dict.fromkeys(nearest))}, or another tail"
