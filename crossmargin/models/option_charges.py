"""Charges of options outside scenarios: each alone by the standard rule, or an expiry by its maximum loss.

`call`, `put`, each option alone, without netting; S the index price, otm what the option is out of the money by, mark
its value:

    long     what equity counts of its mark value: an option does not pay for other positions
    short    max(rate S - otm, floor S, of_mark mark) for a unit, and nothing for the mark value, which equity already
             holds as a debt (venues that write "+ mark" keep it out of equity)

that is max(mark x, -short x) for x units: convex. Deribit's and Aevo's standard margin is of this form: initial rate
0.15, floor 0.1, maintenance rate and floor 0.075 (puts: of_mark 0.075).

Of a long option equity holds (1 - h) mark, h the haircut of its settlement asset; min(1, factor) of that is charged:
nothing of it is left as collateral in a statement with factor 1 or more, and an account of paid-up options alone is
never short, but for rounding. Where the account owes in that asset, equity counts the value in full, and h of it
offsets the debt. A factor below 1 leaves 1 - factor as collateral; a venue that allows none writes its maintenance
rates at factor 1.

`max_loss`, all options of one expiry together: what they lose from their marks to their worst settlement. The payoff
is linear between strikes, so that it is enough to look at each strike and at zero; beyond the last strike only calls
sold in excess of calls bought lose, and these are charged `unpaired` of the index price:

    max(0, max over K in {0, strikes} of -sum_i x_i (payoff_i(K) - mark_i)) + unpaired S max(0, -sum of calls)

convex and positively homogeneous. Derive's standard manager charges the lesser of the two rules for each expiry. That
is no convex requirement: the mean of two accounts, of which either is charged little by another rule, can need more
than both. One rule has to be chosen; either bounds the lesser from above.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, model_validator

from crossmargin.fields import ExactDecimal, Frozen, between, refuse
from crossmargin.market.instruments import Instrument, OptionType
from crossmargin.models.brackets import Rate
from crossmargin.models.policy_builder import PolicyBuilder, added, worst_loss
from crossmargin_circuits.expression import Expression, Max, PositivePart, Reference
from crossmargin_circuits.layout import ColumnKind

__all__ = ["MaxLoss", "OptionCharges", "ShortOption", "option_margin"]

Floats = NDArray[np.float64]

Part = Annotated[ExactDecimal, AfterValidator(between("0", "1"))]


class ShortOption(Frozen):
    """max(rate S - otm, floor S, of_mark mark) for a short option on one unit of the underlying."""

    rate: Rate
    floor: Part
    of_mark: Part = Decimal(0)

    def charge(self, index: float, out_of_the_money: float, mark: float) -> float:
        """Return USD for one unit of the underlying, from prices in USD."""
        return max(float(self.rate) * index - out_of_the_money, float(self.floor) * index, float(self.of_mark) * mark)


class MaxLoss(Frozen):
    """Worst settlement of an expiry; `unpaired`: part of the index price for every call sold in excess."""

    unpaired: Rate


class OptionCharges(Frozen):
    """Charges of options of one underlying: short calls and short puts each alone, or the maximum loss by expiry."""

    call: ShortOption | None = None
    put: ShortOption | None = None
    max_loss: MaxLoss | None = None

    @model_validator(mode="after")
    def _check(self) -> "OptionCharges":
        alone = [each for each in (self.call, self.put) if each is not None]
        if self.max_loss is not None and alone:
            raise refuse(
                "the lesser of the standard rule and the maximum loss is a choice between two charges, which no convex "
                "requirement states",
                "keep max_loss, or call and put: each is a safe bound of the lesser",
                "max_loss",
            )
        if self.max_loss is None and len(alone) < 2:
            missing = "call" if self.call is None else "put"
            raise refuse(f"no charge for a short {missing}", f"add {missing}, or write max_loss alone", missing)
        return self


def option_margin(
    builder: PolicyBuilder, underlying: str, items: Sequence[Instrument], charges: OptionCharges
) -> Reference:
    """Return the charge of the options of one underlying, named."""
    if charges.max_loss is not None:
        parts = _by_expiry(builder, items, charges.max_loss)
        return builder.abbreviate(f"options {underlying}", f"options on {underlying}, by expiry", added(parts))
    if charges.call is None or charges.put is None:
        raise ValueError("charges of options without call and put")
    parts = [_alone(builder, item, charges.call if item.option is OptionType.CALL else charges.put) for item in items]
    return builder.abbreviate(f"options {underlying}", f"options on {underlying}, each alone", added(parts))


def _alone(builder: PolicyBuilder, item: Instrument, rates: ShortOption) -> Expression:
    """Return max(mark x, -short x) of one option."""
    index = float(builder.market.index[item.underlying].price)
    values = builder.valuation.unit_values()
    # `charge` multiplies by the factor: by 1 at most in all.
    counted = min(1.0, 1.0 / float(builder.factor))
    number = builder.layout.index(ColumnKind.POSITION, item.name)
    size, strike = float(item.lot * item.contract_size), float(item.strike or Decimal(0))
    otm = strike - index if item.option is OptionType.CALL else index - strike
    held, written = np.zeros_like(values), np.zeros_like(values)
    held[number] = counted * float(builder.catalogue.weight(item.settlement)) * values[number]
    written[number] = -size * rates.charge(index, max(0.0, otm), values[number] / size)
    long = builder.charge(f"long {item.name}", f"long {item.name}: its value is no collateral", held)
    short = builder.charge(f"short {item.name}", f"short {item.name}: margin besides its value", written)
    return Max((long, short))


def _by_expiry(builder: PolicyBuilder, items: Sequence[Instrument], rule: MaxLoss) -> list[Expression]:
    """Return worst settlement and unpaired calls of every expiry."""
    values = builder.valuation.unit_values()
    parts: list[Expression] = []
    for expiry in sorted({item.expiry for item in items if item.expiry is not None}):
        mine = [item for item in items if item.expiry == expiry]
        name = f"{mine[0].underlying} {expiry:%Y-%m-%dT%H:%M:%SZ}"
        settlements = [Decimal(0), *sorted({item.strike for item in mine if item.strike is not None})]
        losses = worst_loss([_settled(builder, name, mine, price, values) for price in settlements])
        parts.append(builder.abbreviate(f"max loss {name}", f"worst settlement of {name}", losses))
        calls = np.zeros_like(values)
        for item in mine:
            if item.option is OptionType.CALL:
                number = builder.layout.index(ColumnKind.POSITION, item.name)
                index = float(builder.market.index[item.underlying].price)
                calls[number] = -float(item.lot * item.contract_size) * float(rule.unpaired) * index
        if calls.any():
            unpaired = builder.charge(f"unpaired calls {name}", f"calls sold in excess, {name}", calls)
            parts.append(PositivePart(unpaired))
    return parts


def _settled(
    builder: PolicyBuilder, name: str, items: Sequence[Instrument], price: Decimal, values: Floats
) -> Expression:
    """Return the form of what the options of an expiry gain from their marks to a settlement price."""
    pnl = np.zeros_like(values)
    for item in items:
        number = builder.layout.index(ColumnKind.POSITION, item.name)
        strike = item.strike or Decimal(0)
        payoff = max(Decimal(0), price - strike if item.option is OptionType.CALL else strike - price)
        pnl[number] = float(item.lot * item.contract_size * payoff) - values[number]
    return builder.charge(f"settled {name} at {price:f}", f"{name} settled at {price:f} USD", pnl)
