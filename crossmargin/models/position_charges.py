"""Charges of positions: futures by rate, bracket table or curve, options by the standard rule or maximum loss.

Futures and perpetuals, with n the signed notional in USD of a group (quantity × contract size × mark price in the
settlement asset × its index price; for inverse contracts the size itself, which is in USD):

    rate, tiers              max_k (r_k |n| - c_k)                              (brackets.py)
    linear_in_size, power    chords of the curve over sizes in the underlying, times its index price  (chords.py)

Options by the standard rule or by maximum loss: crossmargin/models/option_charges.py.

The charges act on positions alone: balances and entry values are collateral here and no risk.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import Frozen, Name, refuse
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue, Contract, Instrument, Kind
from crossmargin.market.prices import Market
from crossmargin.models.base import MarginModel
from crossmargin.models.brackets import BracketTable, Rate, Tiers, bracketed
from crossmargin.models.chords import Curve, LinearInSize, Power
from crossmargin.models.option_charges import OptionCharges, option_margin
from crossmargin.models.policy_builder import PolicyBuilder, added
from crossmargin.units import format_decimal
from crossmargin_circuits.expression import Expression, Reference
from crossmargin_circuits.layout import ColumnKind

__all__ = ["FuturesCharge", "PositionModel"]

Floats = NDArray[np.float64]

TIERED = frozenset({"translation"})
FLAT = TIERED | {"subadditive", "positively homogeneous"}


class FuturesCharge(Frozen):
    """Charge of futures: exactly one of a flat rate, tiers of USD notional, and curves over sizes in the underlying."""

    rate: Rate | None = None
    tiers: Tiers | None = None
    linear_in_size: LinearInSize | None = None
    power: Power | None = None

    @model_validator(mode="after")
    def _check_one(self) -> "FuturesCharge":
        stated = [each for each in (self.rate, self.tiers, self.linear_in_size, self.power) if each is not None]
        if len(stated) != 1:
            raise refuse(f"{len(stated)} charges", "write exactly one of rate, tiers, linear_in_size and power")
        return self

    @property
    def curve(self) -> Curve | None:
        """The curve over sizes, if it is one."""
        return self.linear_in_size or self.power

    @property
    def table(self) -> BracketTable:
        """The table: in USD, or of a curve in units of the underlying."""
        if self.curve is not None:
            return self.curve.table
        if self.tiers is not None:
            return BracketTable(tiers=self.tiers)
        return BracketTable.model_validate({"tiers": [{"from": "0", "rate": self.rate}]})


class PositionModel(MarginModel):
    """A model that charges futures in groups and options one by one; architectures say what a group is.

    futures: charges by instrument, or by underlying for all of its futures that have none of their own.
    of_statement: by statement, charges in place of these, such as initial rates beside maintenance brackets.
    options: charges by underlying.
    """

    futures: dict[Name, FuturesCharge] = Field(default_factory=dict)
    of_statement: dict[Name, dict[Name, FuturesCharge]] = Field(default_factory=dict)
    options: dict[Name, OptionCharges] = Field(default_factory=dict)

    @property
    def coherent(self) -> frozenset[str]:
        """Return all but monotone for flat rates; with tiers a larger position needs more than its share."""
        charges = [each for table in (self.futures, *self.of_statement.values()) for each in table.values()]
        flat = all(charge.curve is None and len(charge.table.pieces) == 1 for charge in charges)
        return FLAT if flat else TIERED

    def groups(self, catalogue: Catalogue) -> Mapping[str, Sequence[Instrument]]:
        """Return the groups: name (an instrument or underlying) -> its futures; every future once."""
        raise NotImplementedError(f"{type(self).__name__} groups nothing")

    def charge_of(self, group: str, underlying: str, statement: str = "") -> FuturesCharge | None:
        """Return the charge of a group: the statement's, or the common one; its own, or that of its underlying."""
        of_statement = self.of_statement.get(statement, {})
        found = of_statement.get(group) or of_statement.get(underlying)
        return found or self.futures.get(group) or self.futures.get(underlying)

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return missing and foreign charges, and groups with limits beyond the last knot of their curve."""
        catalogue = environment.catalogue
        problems = super().check(environment)
        groups = self.groups(catalogue)
        if not catalogue.instruments:
            problems.append(InputError("no instruments to charge", hint="choose another model", field="model"))
        lacking = {
            group[0].underlying: "" for name, group in groups.items() if not self.charge_of(name, group[0].underlying)
        }
        for name in lacking:
            problems.append(InputError(f"no charge for futures on {name}", hint=f"add futures.{name}", field="futures"))
        for name in catalogue.underlyings:
            if name not in self.options and any(_is_option_on(item, name) for item in catalogue.instruments):
                problems.append(
                    InputError(f"no charge for short options on {name}", hint=f"add options.{name}", field="options")
                )
        charged = {*groups, *catalogue.underlyings}
        foreign = [f"futures.{name}" for name in self.futures if name not in charged]
        for statement, table in self.of_statement.items():
            if statement not in {each.name for each in self.statements if each.factor is not None}:
                reason, field = f"{statement} is not a margin statement", f"of_statement.{statement}"
                problems.append(InputError(reason, hint="name one of statements", field=field))
            foreign += [f"of_statement.{statement}.{name}" for name in table if name not in charged]
        foreign += [f"options.{name}" for name in self.options if name not in catalogue.underlyings]
        for field in foreign:
            reason = f"{field.rpartition('.')[2]} is not an instrument or underlying"
            problems.append(InputError(reason, hint="remove it or correct the name", field=field))
        for statement in ("", *self.of_statement):
            problems += [found for name in groups for found in self._beyond(environment, name, groups[name], statement)]
        return list({(problem.field, problem.reason): problem for problem in problems}.values())

    def _beyond(
        self, environment: MarketEnvironment, name: str, group: Sequence[Instrument], statement: str
    ) -> list[InputError]:
        """Return the problem of limits beyond the last knot: there the last chord would lie below the curve."""
        underlying = group[0].underlying
        charge = self.charge_of(name, underlying, statement)
        # An absent index price is the market's problem, which is reported elsewhere.
        if charge is None or charge.curve is None or underlying not in environment.market.index:
            return []
        catalogue, last = environment.catalogue, charge.curve.last
        limits = np.array([column.limit for column in catalogue.layout().columns], dtype=np.float64)
        reach = float(np.sum(np.abs(_sizes(catalogue, environment.market, group)) * limits))
        if reach <= float(last):
            return []
        table = self.of_statement.get(statement, {})
        own = [each for each in (name, underlying) if each in table]
        field = (
            f"of_statement.{statement}.{own[0]}" if own else f"futures.{name if name in self.futures else underlying}"
        )
        reason = (
            f"the limits of {name} allow {reach:.6g} {underlying}, and the last knot is {format_decimal(last)}: beyond "
            "it the last chord charges less than the curve"
        )
        return [InputError(reason, hint=f"add a knot of {reach:.6g} or more, or lower the limits", field=field)]

    def requirement(self, builder: PolicyBuilder) -> Expression:
        """Return the sum of the groups' and the options' charges."""
        parts: list[Expression] = []
        for name, group in self.groups(builder.catalogue).items():
            parts.append(self._futures(builder, name, group))
        for name in builder.catalogue.underlyings:
            items = [item for item in builder.catalogue.instruments if _is_option_on(item, name)]
            if items:
                parts.append(option_margin(builder, name, items, self.options[name]))
        return added(parts)

    def _futures(self, builder: PolicyBuilder, name: str, group: Sequence[Instrument]) -> Reference:
        underlying = group[0].underlying
        charge = self.charge_of(name, underlying, builder.statement)
        if charge is None:
            hint = f"add futures.{underlying}"
            raise InputError(f"no charge for futures on {underlying}", field="futures", hint=hint)
        if charge.curve is None:
            found = bracketed(builder, name, charge.table, _notionals(builder.catalogue, builder.market, group))
        else:
            price = builder.market.index[underlying].price
            found = bracketed(builder, name, charge.table, _sizes(builder.catalogue, builder.market, group), price)
        return builder.abbreviate(f"margin {name}", f"margin of {name}", found)


def _is_option_on(item: Instrument, underlying: str) -> bool:
    return item.kind is Kind.OPTION and item.underlying == underlying


def _notionals(catalogue: Catalogue, market: Market, group: Sequence[Instrument]) -> Floats:
    """Return USD of notional per lot of the futures of a group, float64[V]; 0 elsewhere."""
    found = np.zeros(len(catalogue.layout()))
    for item in group:
        notional = float(item.lot * item.contract_size)
        if item.contract is Contract.LINEAR:
            notional *= float(market.marks[item.name].price) * float(market.index[item.settlement].price)
        found[catalogue.layout().index(ColumnKind.POSITION, item.name)] = notional
    return found


def _sizes(catalogue: Catalogue, market: Market, group: Sequence[Instrument]) -> Floats:
    """Return units of the underlying per lot of the futures of a group, float64[V]; inverse ones at the index price."""
    found = np.zeros(len(catalogue.layout()))
    for item in group:
        size = float(item.lot * item.contract_size)
        if item.contract is Contract.INVERSE:
            size /= float(market.index[item.underlying].price)
        found[catalogue.layout().index(ColumnKind.POSITION, item.name)] = size
    return found
