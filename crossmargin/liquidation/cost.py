"""Costs and prices of closing positions: fees, slippage, automation.

    fee         fee_rate times the traded value, paid by the account
    slippage    depth of the market: the first lots of an instrument are done at mark * (1 -+ slippage), the next at a
                worse rate (a convex step function; one step without lots is linear slippage); borne by the account
    automation  a fixed cost per instrument that is touched (a transaction, an order, a keeper), borne by the venue

Costs are compared in USD, exactly, as fractions: the account's payments and its loss from slippage, before rounding to
units, plus automation.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Frozen, Listed, Name, WholeNumber, between, refuse
from crossmargin.liquidation.trades import Trade, price_of, value_per_lot
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue, Instrument

__all__ = ["ClosingCost", "Depth", "Quotes"]

Rate = Annotated[ExactDecimal, AfterValidator(between("0", "1", high_in=False))]
Amount = Annotated[ExactDecimal, AfterValidator(between("0", "1000000000000"))]


class Depth(Frozen):
    """`lots` that can be done at a relative slippage of `slippage`; without lots, any number."""

    slippage: Rate
    lots: WholeNumber | None = None


class ClosingCost(Frozen):
    """Cost parameters of closing positions; `depth` and `fees` of instruments that differ from the common ones."""

    fee_rate: Rate = Decimal(0)
    automation: Amount = Decimal(0)
    slippage: Rate = Decimal(0)
    fees: dict[Name, Rate] = Field(default_factory=dict)
    depth: dict[Name, Annotated[tuple[Depth, ...], Listed, Field(min_length=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "ClosingCost":
        for name, steps in self.depth.items():
            rates = [step.slippage for step in steps]
            if rates != sorted(rates):
                raise refuse(
                    f"slippage of {name} falls with size",
                    "order the steps of depth by slippage: closing more is never cheaper per lot",
                    f"depth.{name}",
                )
            if any(step.lots is None for step in steps[:-1]):
                raise refuse(f"a step of {name} without lots is not the last one", "state its lots", f"depth.{name}")
        return self

    def check(self, catalogue: Catalogue) -> list[InputError]:
        """Return the names that are no instruments, so that their costs would apply to nothing; the field is stated."""
        known = {each.name for each in catalogue.instruments}
        return [
            InputError(f"{name} is not an instrument", hint="remove it or correct the name", field=f"{section}.{name}")
            for section, names in (("fees", self.fees), ("depth", self.depth))
            for name in names
            if name not in known
        ]

    def fee_of(self, name: str) -> Fraction:
        """Return the fee rate of an instrument."""
        return Fraction(self.fees.get(name, self.fee_rate))

    def steps_of(self, name: str) -> tuple[Depth, ...]:
        """Return the steps of an instrument's depth."""
        return self.depth.get(name, (Depth(slippage=self.slippage),))


class Quotes:
    """Prices and costs of closing in an environment."""

    def __init__(self, environment: MarketEnvironment, cost: ClosingCost) -> None:
        """Value every instrument once."""
        self.environment = environment
        self.cost = cost
        values = environment.valuation.unit_values()
        self._marks = {each.name: price_of(environment, each, values) for each in environment.catalogue.instruments}

    def price(self, instrument: Instrument, closing: int, slippage: Decimal) -> Fraction:
        """Return the price of a trade; closing: +1 where a long position is sold, -1 where a short one is bought."""
        return self._marks[instrument.name] * (1 - closing * Fraction(slippage))

    def trades(self, instrument: Instrument, position: int, lots: int) -> list[Trade]:
        """Return the trades that close `lots` of a position, cheapest step of depth first.

        Raises:
            ValueError: more lots than the position has or its depth allows.
        """
        if not 0 <= lots <= abs(position):
            raise ValueError(f"{instrument.name}: a plan closes between none and all lots of a position")
        closing, fee = 1 if position > 0 else -1, self.cost.fee_of(instrument.name)
        made, left = [], lots
        for step in self.cost.steps_of(instrument.name):
            done = left if step.lots is None else min(left, step.lots)
            if done:
                price = self.price(instrument, closing, step.slippage)
                made.append(Trade(instrument.name, -closing * done, price, fee))
            left -= done
        if left:
            raise ValueError(f"{instrument.name}: the depth allows {lots - left} of {lots} lots")
        return made

    def cost_per_lot(self, instrument: Instrument, trade: Trade) -> Fraction:
        """Return fee and slippage of one lot of a trade in USD."""
        settlement = self.environment.catalogue.asset(instrument.settlement)
        usd = Fraction(settlement.unit) * Fraction(self.environment.market.index[settlement.name].price)
        done = value_per_lot(self.environment, instrument, trade.price)
        mark = value_per_lot(self.environment, instrument, self._marks[instrument.name])
        return (abs(done - mark) + trade.fee_rate * abs(done)) * usd

    def cost_of(self, closed: Mapping[str, int], positions: Mapping[str, int]) -> Fraction:
        """Return the cost in USD of closing lots by instrument out of signed positions.

        Raises:
            ValueError: as `trades`.
        """
        total = Fraction(0)
        for name, lots in closed.items():
            if not lots:
                continue
            instrument = self.environment.catalogue.instrument(name)
            total += Fraction(self.cost.automation)
            for trade in self.trades(instrument, positions[name], lots):
                total += abs(trade.lots) * self.cost_per_lot(instrument, trade)
        return total
