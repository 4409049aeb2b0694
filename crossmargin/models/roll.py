"""Term structure: charges of dated contracts for moves against the index and against each other.

With Delta_e the forward delta of expiry e (`forward_deltas`: the index is at rest, so inverse contracts have one too)
and T_e its years to expiry:

    roll risk    sum_e |Delta_e| * max(minimum, annual * T_e)      no offset between expiries (Deribit's roll shock;
                                                                   minimum 1 %, annual 7.5 % for BTC)
    basis risk   max(0, -pnl(+b), -pnl(-b))                        every dated mark and forward moves by 1 +- b T_e
                                                                   together: full revaluation, offset between expiries

The first is a sum of absolute values with an auxiliary for each expiry, the second a maximum: both convex, polyhedral
and sublinear.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Frozen, between
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.exposures import forward_deltas
from crossmargin.market.scenarios import Scenario
from crossmargin.models.policy_builder import PolicyBuilder, added, worst_loss
from crossmargin_circuits.expression import Abs, Expression

__all__ = ["BasisMove", "RollRule", "basis_risk", "check_dated", "roll_risk"]

BasisMove = Annotated[ExactDecimal, AfterValidator(between("0", "10", low_in=False))]
"""Relative move a year of what is dated against the index."""


class RollRule(Frozen):
    """Relative move of one expiry alone: `annual` times years to expiry, at least `minimum`."""

    minimum: Annotated[ExactDecimal, AfterValidator(between("0", "1"))]
    annual: Annotated[ExactDecimal, AfterValidator(between("0", "10"))]


def roll_risk(builder: PolicyBuilder, underlying: str, rule: RollRule) -> Expression | None:
    """Return the roll risk of an underlying as an abbreviation, or None where nothing of it is dated."""
    parts: list[Expression] = []
    for expiry, deltas in forward_deltas(builder.valuation, underlying).items():
        if expiry is None:
            continue
        years = max(0.0, (expiry - builder.market.as_of).total_seconds() / (365 * 86400))
        move = max(float(rule.minimum), float(rule.annual) * years)
        day = expiry.strftime("%Y-%m-%dT%H:%MZ")
        if move > 0:
            parts.append(Abs(builder.charge(f"roll {underlying} {day}", f"roll move of {day}", move * deltas)))
    if not parts:
        return None
    return builder.abbreviate(f"roll risk {underlying}", f"expiries of {underlying} moving apart", added(parts))


def basis_risk(builder: PolicyBuilder, underlying: str, move: Fraction) -> Expression:
    """Return the basis risk of an underlying as an abbreviation."""
    pnls: list[Expression] = []
    for number, (word, sign) in enumerate((("up", 1), ("down", -1)), start=1):
        scenario = Scenario(number, f"{underlying} basis {word}", {}, {}, basis_moves={underlying: sign * move})
        values = builder.valuation.scenario_pnl(scenario)
        pnls.append(builder.charge(f"basis {underlying} {word}", scenario.label, values))
    return builder.abbreviate(
        f"basis risk {underlying}", f"forwards of {underlying} against its index", worst_loss(pnls)
    )


def check_dated(
    environment: MarketEnvironment, roll: Mapping[str, RollRule] | None, basis: Mapping[str, ExactDecimal] | None
) -> list[InputError]:
    """Return names that are no underlying, and basis moves that take the longest forward to zero."""
    catalogue, market = environment.catalogue, environment.market
    sections: tuple[tuple[str, Mapping[str, object]], ...] = (("roll", roll or {}), ("basis", basis or {}))
    problems = [
        InputError(f"{name} is not an underlying", hint="remove it or correct the name", field=f"{section}.{name}")
        for section, rules in sections
        for name in rules
        if name not in catalogue.underlyings
    ]
    for name, move in (basis or {}).items():
        longest = max((market.years(item) for item in catalogue.instruments if item.underlying == name), default=0.0)
        if float(move) * longest >= 1:
            problems.append(
                InputError(
                    f"a basis move of {move} a year over {longest:.4g} years takes the longest forward to zero",
                    hint=f"write less than {1 / longest:.4g}",
                    field=f"basis.{name}",
                )
            )
    return problems
