"""SPAN-type margin: scanning risk of each underlying, inter-month charges, inter-commodity credits, and a minimum.

Of an underlying u (a combined commodity), with P its price scan range (the extreme move's covered part, if larger),
d_e its exposure in expiry e by composite delta (see `composite_delta`), d = sum_e d_e, L and S the sums of the long
and of the short d_e, and c the charge for one unit of exposure in a spread:

    scanning risk        max(0, -pnl_{u,1}, .., -pnl_{u,16})
    inter-month charge   c min(L, S) = (c/2) (sum_e |d_e| - |d|)
    short option minimum sum over the options on u of rate * index price * size * (-position)+
    requirement_u        max(short option minimum, scanning risk + inter-month charge)

and the requirement is the sum over the underlyings, less the inter-commodity credits. The structure is that of SPAN
(CME Group, "Components of SPAN"; figures in McMillan, Options as a Strategic Investment, ch. 34).

Curvature. Scanning risk and minimum are convex; the inter-month charge is not, because of -|d|. It is written exactly
where the sum is convex: without options on u scanning risk is P |d|, so the sum is (P - c/2) |d| + (c/2) sum_e |d_e|,
convex if and only if c <= 2P or there is one expiry alone. `rule: bound` leaves out -(c/2) |d| instead, with any
options, and charges more by that much. A credit of rate k for opposite exposures in A and B, in the ratio r_A : r_B of
coins, is k (w_A r_A + w_B r_B) = 2K for each min(|a| / r_A, |b| / r_B), with a, b in coins and w = P times the index
price. Without options on either, what is left is

    (w_A - K/r_A) |a| + (w_B - K/r_B) |b| + K |a/r_A + b/r_B|,

convex if and only if K <= w_A r_A and K <= w_B r_B, with w less half of an exact inter-month charge. What is not convex
is refused with its figures. So are tables of credits by priority, which are disjunctions.

Net option value. SPAN takes it off the risk; here equity has the mark value of options in it, so equity - requirement
is what SPAN calls cash - (risk - net option value).

The requirement is subadditive and positively homogeneous, and cash in an asset that does not move leaves it as it is.
It is not monotone: the minimum and the spread charges look at positions, not at their profits.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Frozen, Listed, Name, Positive, between, refuse
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Kind
from crossmargin.market.scenarios import Extreme, ScanRange, span_grid
from crossmargin.models.composite_delta import DeltaWeights, composite_deltas
from crossmargin.models.policy_builder import PolicyBuilder, added, worst_loss
from crossmargin.models.scan import ScanModel
from crossmargin_circuits.expression import Abs, Expression, Max, PositivePart, Scale
from crossmargin_circuits.layout import ColumnKind

__all__ = ["InterCommodity", "InterMonth", "SpanModel"]

Floats = NDArray[np.float64]
Legs = Mapping[datetime | None, Floats]

_Rate = Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]


class InterMonth(Frozen):
    """Charge for opposite exposures in two expiries, as a part of the index price; and how it is written."""

    charge: _Rate
    rule: Literal["exact", "bound"]


class InterCommodity(Frozen):
    """Credit for opposite exposures in two underlyings: coins of each in one spread, and the part that is credited."""

    legs: Annotated[dict[Name, Positive], Field(min_length=2, max_length=2)]
    rate: _Rate


class SpanModel(ScanModel):
    """Sixteen scenarios for each underlying, spread charges and credits, and a minimum for short options."""

    COHERENT: ClassVar[frozenset[str]] = frozenset({"subadditive", "positively homogeneous", "translation"})

    model: Literal["span"]
    extreme: Extreme
    delta_weights: DeltaWeights = DeltaWeights()
    short_option_minimum: dict[Name, _Rate] = Field(default_factory=dict)
    inter_month: dict[Name, InterMonth] = Field(default_factory=dict)
    inter_commodity: Annotated[tuple[InterCommodity, ...], Listed] = ()

    @model_validator(mode="after")
    def _check_credits(self) -> "SpanModel":
        seen: set[str] = set()
        for number, credit in enumerate(self.inter_commodity):
            for name in credit.legs:
                if name in seen:
                    raise refuse(
                        f"a second credit for {name}: credits by priority are a choice between spreads, which no "
                        "convex requirement states",
                        f"keep one credit for {name}; the requirement is then higher by the other at most",
                        f"inter_commodity[{number}].legs.{name}",
                    )
                seen.add(name)
        return self

    @property
    def reach(self) -> Decimal:
        """The extreme multiple, which is 1 or more."""
        return self.extreme.multiple

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return everything missing, foreign or not convex in this environment."""
        problems = super().check(environment)
        named = [(f"short_option_minimum.{name}", name) for name in self.short_option_minimum]
        named += [(f"inter_month.{name}", name) for name in self.inter_month]
        for number, credit in enumerate(self.inter_commodity):
            named += [(f"inter_commodity[{number}].legs.{name}", name) for name in credit.legs]
        known = environment.catalogue.underlyings
        problems += [
            InputError(f"{name} is not an underlying", hint=f"use one of {', '.join(known)}", field=field)
            for field, name in named
            if name not in known
        ]
        if problems:
            return problems
        for name, charge in self.inter_month.items():
            if charge.rule == "exact":
                problems += self._check_month(environment, name, charge)
        for number, credit in enumerate(self.inter_commodity):
            problems += self._check_credit(environment, f"inter_commodity[{number}]", credit)
        return problems

    def requirement(self, builder: PolicyBuilder) -> Expression:
        """Return the sum over the underlyings, with credited pairs written together."""
        ranges = self.ranges(builder.environment)
        grid = span_grid(ranges, self.extreme)
        legs = composite_deltas(builder.valuation, _price_ranges(ranges), self.delta_weights)
        credited = {name for credit in self.inter_commodity for name in credit.legs}
        parts: list[Expression] = []
        for name in ranges:
            mine = legs.get(name, {})
            charge = self.inter_month.get(name)
            exact = charge is not None and charge.rule == "exact" and len(mine) > 1
            risk: list[Expression] = []
            if name not in credited and not exact:
                scan = worst_loss(builder.scenarios(f"pnl {name}", [each.only(name) for each in grid]))
                risk.append(builder.abbreviate(f"scanning risk {name}", "largest loss over the scenarios", scan))
            elif name not in credited:
                risk += self._net(builder, name, mine, self._slope(builder.environment, name))
            if charge is not None and len(mine) > 1:
                risk.append(self._spread(builder, name, mine, charge))
            minimum = self._minimum(builder, name)
            if risk:
                parts.append(added(risk) if minimum is None else Max((minimum, added(risk))))
        for credit in self.inter_commodity:
            parts += self._pair(builder, credit, legs)
        return added(parts)

    def _slope(self, environment: MarketEnvironment, name: str) -> Fraction:
        """Return P, less half of the inter-month charge where that is written exactly: the coefficient of |d|."""
        extreme = Fraction(self.extreme.multiple) * Fraction(self.extreme.covered)
        slope = max(Fraction(1), extreme) * Fraction(self.ranges(environment)[name].price_range)
        charge = self.inter_month.get(name)
        if charge is None or charge.rule != "exact" or len(self._legs(environment)[name]) < 2:
            return slope
        return slope - Fraction(charge.charge) / 2

    def _legs(self, environment: MarketEnvironment) -> Mapping[str, Legs]:
        ranges = _price_ranges(self.ranges(environment))
        return composite_deltas(environment.valuation, ranges, self.delta_weights)

    def _check_month(self, environment: MarketEnvironment, name: str, charge: InterMonth) -> list[InputError]:
        field = f"inter_month.{name}"
        hint = "write rule: bound, which charges more by charge / 2 times the net exposure"
        if _has_options(environment, name):
            reason = f"with options on {name}, scanning risk plus inter-month charge is not convex"
            return [InputError(reason, hint=hint, field=f"{field}.rule")]
        slope = self._slope(environment, name)
        if slope >= 0:
            return []
        reason = (
            f"the charge of {charge.charge} is more than twice the price scan range of "
            f"{_figure(slope + Fraction(charge.charge) / 2)}, so that the requirement is not convex"
        )
        return [InputError(reason, hint=f"lower it, or {hint}", field=f"{field}.charge")]

    def _check_credit(self, environment: MarketEnvironment, field: str, credit: InterCommodity) -> list[InputError]:
        lost = "without it the requirement is higher by the credit at most"
        for name in credit.legs:
            if _has_options(environment, name):
                reason = f"with options on {name}, scanning risk less an inter-commodity credit is not convex"
                return [InputError(reason, hint=f"remove the credit; {lost}", field=f"{field}.legs.{name}")]
        spread = self._spread_credit(environment, credit)
        for name, coins in credit.legs.items():
            outright = self._slope(environment, name) * Fraction(environment.market.index[name].price) * Fraction(coins)
            if spread > outright:
                allowed = Fraction(credit.rate) * outright / spread
                reason = (
                    f"half the credit of one spread, {_figure(spread)} USD, is more than the {_figure(outright)} USD "
                    f"that its leg of {coins} {name} needs, so that the requirement is not convex"
                )
                hint = f"lower the rate to {_floor(allowed)} or change the legs"
                if allowed <= 0:
                    hint = "lower the inter-month charge"
                return [InputError(reason, hint=f"{hint}, or remove the credit; {lost}", field=f"{field}.rate")]
        return []

    def _spread_credit(self, environment: MarketEnvironment, credit: InterCommodity) -> Fraction:
        """Return K: half of the credit for one spread, USD. The credit is a part of the scanning risk."""
        extreme = max(Fraction(1), Fraction(self.extreme.multiple) * Fraction(self.extreme.covered))
        ranges = self.ranges(environment)
        outright = sum(
            extreme
            * Fraction(ranges[name].price_range)
            * Fraction(environment.market.index[name].price)
            * Fraction(coins)
            for name, coins in credit.legs.items()
        )
        return Fraction(credit.rate) * outright / 2

    def _net(self, builder: PolicyBuilder, name: str, legs: Legs, slope: Fraction) -> list[Expression]:
        """Return slope |d|, or nothing where the slope is zero."""
        if slope == 0 or not legs:
            return []
        array = builder.charge(
            f"net {name}", f"{_figure(slope)} of the net exposure to {name}", float(slope) * sum(legs.values())
        )
        return [builder.abbreviate(f"net risk {name}", "price move on the net exposure", Abs(array))]

    def _spread(self, builder: PolicyBuilder, name: str, legs: Legs, charge: InterMonth) -> Expression:
        """Return (c/2) sum_e |d_e|."""
        half = float(charge.charge) / 2
        absolute: list[Expression] = []
        for expiry, exposure in legs.items():
            word = "spot" if expiry is None else expiry.isoformat().replace("+00:00", "Z")
            meaning = f"half the inter-month charge on the exposure to {name}, {word}"
            absolute.append(Abs(builder.charge(f"inter-month {name} {word}", meaning, half * exposure)))
        return builder.abbreviate(f"inter-month charge {name}", "on the exposure in each expiry", added(absolute))

    def _minimum(self, builder: PolicyBuilder, name: str) -> Expression | None:
        """Return the short option minimum, or None where nothing is charged."""
        rate = self.short_option_minimum.get(name)
        columns = [] if rate is None else _options(builder.environment, name)
        if rate is None or not columns:
            return None
        price = float(builder.market.index[name].price)
        shorts: list[Expression] = []
        for number, option, size in columns:
            values = np.zeros(len(builder.layout))
            values[number] = float(rate * size) * price
            array = builder.charge(f"minimum {option}", f"minimum for one short lot of {option}", values)
            shorts.append(PositivePart(Scale(-1, array)))
        return builder.abbreviate(f"short option minimum {name}", "on every option sold", added(shorts))

    def _pair(self, builder: PolicyBuilder, credit: InterCommodity, legs: Mapping[str, Legs]) -> list[Expression]:
        """Return the requirement of a pair after its credit: two nets at the lower slopes, and K |a/r_A + b/r_B|."""
        environment = builder.environment
        spread = self._spread_credit(environment, credit)
        joint = np.zeros(len(builder.layout))
        parts: list[Expression] = []
        for name, coins in credit.legs.items():
            value = Fraction(environment.market.index[name].price) * Fraction(coins)
            parts += self._net(builder, name, legs[name], self._slope(environment, name) - spread / value)
            joint += float(spread / value) * sum(legs[name].values())
        pair = " ".join(credit.legs)
        array = builder.charge(f"pair {pair}", f"spreads of {pair} that do not offset", joint)
        return [*parts, builder.abbreviate(f"pair risk {pair}", "what the credit leaves", Abs(array))]


def _price_ranges(ranges: Mapping[str, ScanRange]) -> dict[str, Fraction]:
    return {name: Fraction(each.price_range) for name, each in ranges.items()}


def _options(environment: MarketEnvironment, name: str) -> list[tuple[int, str, Decimal]]:
    """Return column, name and units of the underlying per lot of every option on an underlying."""
    catalogue = environment.catalogue
    columns = enumerate(catalogue.layout().columns)
    found = []
    for number, column in columns:
        if column.kind is ColumnKind.POSITION:
            item = catalogue.instrument(column.name)
            if item.kind is Kind.OPTION and item.underlying == name:
                found.append((number, item.name, item.lot * item.contract_size))
    return found


def _has_options(environment: MarketEnvironment, name: str) -> bool:
    return bool(_options(environment, name))


def _figure(value: Fraction) -> str:
    return f"{float(value):.6g}"


def _floor(value: Fraction) -> str:
    """Return four decimals, rounded down, so that the rate is accepted."""
    return f"{int(value * 10**4) / 10**4:.4f}"
