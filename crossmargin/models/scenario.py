"""Scenario portfolio margin: the requirement is the worst loss over a grid of joint price and volatility moves.

    scenario_portfolio_margin   requirement = max(0, -pnl_1(x), .., -pnl_S(x))
                                one scan over the whole account: positions offset across underlyings, because all
                                underlyings make the same fraction of their own move together
    sum_of_underlyings          requirement = sum_u max(0, -pnl_{u,1}(x), .., -pnl_{u,S}(x))
                                each underlying moves alone: no offset across underlyings; one more auxiliary for each
                                but one of them

pnl_s(x) is the change in value of the account in scenario s, rounded once into an integer risk array. The requirement
is convex in the record: a maximum, or a sum of maxima, of linear forms.
"""

from decimal import Decimal
from typing import Literal

from pydantic import model_validator

from crossmargin.fields import refuse
from crossmargin.models.scan import ScanModel
from crossmargin.models.terms import Terms, added, worst_loss
from crossmargin.scenarios import Extreme, span_grid
from crossmargin_circuits.expression import Expression

__all__ = ["ScenarioModel"]


class ScenarioModel(ScanModel):
    """Full revaluation on the sixteen scenarios of the SPAN type."""

    model: Literal["scenario_portfolio_margin", "sum_of_underlyings"]
    extreme: Extreme

    @model_validator(mode="after")
    def _check_extreme(self) -> "ScenarioModel":
        for name, scan in self.scan.items():
            if scan.price_range * self.extreme.multiple >= 1:
                raise refuse(
                    f"the extreme move of {name}, price_range times multiple, reaches a price of zero",
                    "lower price_range or multiple so that the product is below 1",
                    f"scan.{name}.price_range",
                )
        return self

    @property
    def reach(self) -> Decimal:
        """The multiple of the extreme scenarios."""
        return self.extreme.multiple

    def requirement(self, terms: Terms) -> Expression:
        """Return the worst loss, over all underlyings together or of each alone."""
        ranges = self.ranges(terms.setting)
        grid = span_grid(ranges, self.extreme)
        if self.model == "scenario_portfolio_margin":
            return worst_loss(terms.scenarios("pnl", grid))
        return added(
            [worst_loss(terms.scenarios(f"pnl {name}", [each.only(name) for each in grid])) for name in ranges]
        )
