"""Depeg scenarios: stable coins lose their peg, or find it again; the worst loss is added to the requirement.

In a scenario the prices of the named assets fall by the stated parts, all at once, and so does the value of whatever is
settled in them, at unchanged quotes: with V_a as in crossmargin/models/collateral.py and d_a the falls,

    pnl_k(x) = -sum_a d_ka V_a(x)

Options are left out of V_a: they are worth an amount of USD, which is paid in as much of the asset as it takes. An
account that owes an asset loses when it rises. For every named asset that is more than 0.1 % below its peg of 1 USD
there is one more scenario in which it alone returns to it, pnl = (1 / price - 1) V_a(x).

    charge = factor * max(0, -pnl_1(x), .., -pnl_K(x))

Convex and without fixed amounts: sublinear, so pooling accounts never adds to it. It is on top of the model's own
requirement, which may move the same assets: losses from two causes are added, never netted.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field

from crossmargin.engine.risk_arrays import check_resolution
from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Listed, Name, between
from crossmargin.market.instruments import Catalogue
from crossmargin.market.scenarios import Scenario
from crossmargin.models.collateral import foreign_asset
from crossmargin.models.policy_builder import PolicyBuilder, worst_loss
from crossmargin_circuits.expression import Reference

__all__ = ["DepegScenarios", "check_depeg", "depeg_charge", "depeg_scenarios"]

PEG = Fraction(1)
"""USD for one unit of a stable coin."""

AT_PEG = PEG * Fraction(999, 1000)
"""From this price on an asset is at its peg: the quantum of a policy need not show less."""

_Fall = Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False, high_in=False))]

DepegScenarios = Annotated[
    tuple[Annotated[dict[Name, _Fall], Field(min_length=1, max_length=20)], ...],
    Listed,
    Field(min_length=1),
]
"""Falls by asset, a mapping for each scenario."""


def check_depeg(catalogue: Catalogue, scenarios: Sequence[Mapping[str, Decimal]]) -> list[InputError]:
    """Return the names that are no assets; the field is stated, the file is not."""
    whole = {asset.name for asset in catalogue.whole_assets}
    return [
        foreign_asset(catalogue, name, f"depeg[{number}].{name}")
        for number, falls in enumerate(scenarios)
        for name in falls
        if name not in whole
    ]


def depeg_scenarios(prices: Mapping[str, Decimal], scenarios: Sequence[Mapping[str, Decimal]]) -> tuple[Scenario, ...]:
    """Return the falls in order, then one rise for each named asset below its peg, by name; prices: USD by asset."""
    found = []
    for number, falls in enumerate(scenarios, start=1):
        label = "depeg: " + ", ".join(f"{name} -{float(100 * fall):.4g} %" for name, fall in sorted(falls.items()))
        found.append(Scenario(number, label, {name: -Fraction(fall) for name, fall in falls.items()}, {}))
    for name in sorted({name for falls in scenarios for name in falls}):
        price = Fraction(prices[name])
        if price < AT_PEG:
            label = f"{name} back at {float(PEG):g} USD"
            found.append(Scenario(len(found) + 1, label, {name: PEG / price - 1}, {}))
    return tuple(found)


def depeg_charge(builder: PolicyBuilder, scenarios: Sequence[Mapping[str, Decimal]]) -> Reference:
    """Define the charge as an abbreviation called `depeg charge`, and return it.

    Raises:
        InputError: a quantum so coarse that rounding changes a loss by more than 1/1000 of the value of a unit.
    """
    prices = {name: quote.price for name, quote in builder.market.index.items()}
    moves = depeg_scenarios(prices, scenarios)
    values = builder.valuation.unit_values()
    for each in moves:
        change = builder.valuation.scenario_pnl(each)
        check_resolution(change, builder.quantum, builder.catalogue, values)
    losses = worst_loss(builder.scenarios("depeg", moves))
    return builder.abbreviate("depeg charge", "worst loss over the depeg scenarios", losses)
