"""Scenario points of a model: the sixteen of the SPAN type or a grid of its own, and tails.

    without `grid`   the sixteen scenarios of `span_grid`; `extreme` is then needed
    grid             price_steps (fractions of each price range) times volatility moves; `extreme` may be added
    tails            moves far out, each with the part of the loss that counts and a dampener in USD

A scenario contributes max(0, covered * loss - dampener) to a maximum, so its form is covered * pnl + dampener: affine
in the record. Dampeners are fixed amounts, so that a model with one is convex, but twice a position may need
more than twice the margin; without them the maximum is positively homogeneous.

Venues whose tables fit: Deribit (nine prices by three volatilities; tails of -66 % to +500 %, covered by
range / |move|, dampened), Paradex (24 scenarios with tails), Derive (tails damped to 2 % to 42 %), Bybit (eleven prices
by three volatilities), OCC TIMS (ten equidistant prices).
"""

from decimal import Decimal
from typing import Annotated

from pydantic import model_validator

from crossmargin.fields import Listed, refuse
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.scenarios import (
    Extreme,
    Grid,
    Scenario,
    Tail,
    price_volatility_grid,
    span_grid,
    tail_scenarios,
)
from crossmargin.models.scan import ScanModel

__all__ = ["GridModel"]


class GridModel(ScanModel):
    """A model that takes losses at scenario points."""

    extreme: Extreme | None = None
    grid: Grid | None = None
    tails: Annotated[tuple[Tail, ...], Listed] | None = None

    @model_validator(mode="after")
    def _check_points(self) -> "GridModel":
        if self.extreme is None and self.grid is None:
            raise refuse("neither extreme nor grid", "add extreme (sixteen SPAN scenarios), or a grid", "extreme")
        for name, scan in self.scan.items():
            if self.extreme is not None and scan.price_range * self.extreme.multiple >= 1:
                raise refuse(
                    f"the extreme move of {name}, price_range times multiple, reaches a price of zero",
                    "lower price_range or multiple so that the product is below 1",
                    f"scan.{name}.price_range",
                )
        for number, tail in enumerate(self.tails or ()):
            for name, scan in self.scan.items():
                if tail.price_move(scan.price_range) <= -1:
                    raise refuse(
                        f"this multiple of the price range {scan.price_range} of {name} reaches a price of zero",
                        "choose a multiple whose product with every range is above -1, or write a move",
                        f"tails[{number}].multiple",
                    )
        return self

    @property
    def coherent(self) -> frozenset[str]:
        """Properties with these tails: a dampener is an amount, which does not grow with the positions."""
        claimed = super().coherent
        damped = any(tail.dampener is not None for tail in self.tails or ())
        return claimed - {"subadditive", "positively homogeneous"} if damped else claimed

    @property
    def reach(self) -> Decimal:
        """The largest multiple of a price range that a scenario moves a price down by."""
        down = [-tail.multiple for tail in self.tails or () if tail.multiple is not None]
        return max([Decimal(1), *down, *([] if self.extreme is None else [self.extreme.multiple])])

    def points(self, environment: MarketEnvironment) -> tuple[Scenario, ...]:
        """Return the scenarios with the ranges that hold in an environment, numbered from 1."""
        ranges = self.ranges(environment)
        if self.grid is None and self.extreme is not None:
            found = span_grid(ranges, self.extreme)
        else:
            found = price_volatility_grid(ranges, self.grid) if self.grid is not None else ()
            found += tail_scenarios(ranges, _extremes(self.extreme), len(found) + 1)
        return found + tail_scenarios(ranges, self.tails or (), len(found) + 1)


def _extremes(extreme: Extreme | None) -> tuple[Tail, ...]:
    """Return the two extreme moves as tails, for a grid that has them."""
    if extreme is None:
        return ()
    return tuple(Tail(multiple=sign * extreme.multiple, covered=extreme.covered) for sign in (1, -1))
