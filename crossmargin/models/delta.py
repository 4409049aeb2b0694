"""Delta margin: net directional exposure of each underlying against a price shock, with gamma and vega on top.

With Delta_u, Gamma_u and Vega_u of the whole account (crossmargin/market/exposures.py) and r_u the price range,

    delta risk   r_u |Delta_u|                                   first-order loss of a move of +- r_u
    gamma risk   r_u^2 / 2 (-Gamma_u)+                           optional: only a net short gamma is charged
    vega risk    max(-up_u Vega_u, down_u Vega_u)                optional: volatilities move up or down; with equal
                                                                 moves that move times |Vega_u|
    requirement  sum_u of these

Source: the delta-plus method of the Basel Committee (Minimum capital requirements for market risk, MAR40): positions by
delta at the shock of the underlying, Gamma (shock)^2 / 2 for negative gamma alone, 25 % of volatility times vega.
Underlyings do not offset each other. Every price with a scan range counts, so an asset that is held counts too.

A sum of absolute values and positive parts of linear forms: convex, sublinear, polyhedral with one auxiliary a term but
the widest. Not monotone, since exposures are not profits: gamma that pays nothing at the shock may still be charged. It
charges less than full revaluation where losses grow faster than their second order says: `span` and the scenario models
take those into account.
"""

from typing import ClassVar, Literal

from crossmargin.fields import Flag
from crossmargin.market.exposures import exposures
from crossmargin.models.policy_builder import PolicyBuilder, added
from crossmargin.models.scan import ScanModel
from crossmargin_circuits.expression import Abs, Expression, Max, PositivePart, Scale

__all__ = ["DeltaModel"]


class DeltaModel(ScanModel):
    """First-order margin by underlying; `gamma` and `vega` add what options need."""

    COHERENT: ClassVar[frozenset[str]] = frozenset({"subadditive", "positively homogeneous", "translation"})

    model: Literal["delta_margin"]
    gamma: Flag = False
    vega: Flag = False

    def requirement(self, builder: PolicyBuilder) -> Expression:
        """Return the sum of delta, gamma and vega risks; what no column is exposed to is left out."""
        parts: list[Expression] = []
        for name, scan in self.ranges(builder.environment).items():
            found = exposures(builder.valuation, name)
            shock = float(scan.price_range)
            delta = builder.charge(f"delta {name}", f"{name} price move of {scan.price_range:f}", shock * found.delta)
            parts.append(builder.abbreviate(f"delta risk {name}", f"net {name} against its price", Abs(delta)))
            if self.gamma and found.gamma.any():
                bent = builder.charge(f"gamma {name}", f"{name} gamma at that move", shock**2 / 2 * found.gamma)
                short = PositivePart(Scale(-1, bent))
                parts.append(builder.abbreviate(f"gamma risk {name}", f"net short gamma of {name}", short))
            if self.vega and found.vega.any():
                up = builder.charge(f"vega {name} up", f"{name} volatility up", float(scan.volatility_up) * found.vega)
                down = builder.charge(
                    f"vega {name} down", f"{name} volatility down", -float(scan.volatility_down) * found.vega
                )
                worse = PositivePart(Max((Scale(-1, up), Scale(-1, down))))
                parts.append(builder.abbreviate(f"vega risk {name}", f"{name} against its volatility", worse))
        return added(parts)
