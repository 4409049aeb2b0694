"""Delta shock: a charge that grows with the size of an account's net delta beyond a threshold, and its convex bound.

The published rule, as third parties re-implement Deribit's, with D = |Delta_u| in USD, threshold t, slope m, cap c:

    h(D) = min(m max(D - t, 0), c) D         0 up to t, then quadratic, then c D

is not convex: with K = t + c / m, where the cap begins, its slope falls there from m t + 2 c to c, so that two accounts
of D on either side of K need less on average than the account between them. It is refused. Offered in its place
(`rule: bound`) is the chord of h from t to K, continued:

    g(D) = m K max(D - t, 0)

    over-charge g - h = m (D - t) (K - D)   for t <= D <= K: at most c^2 / (4 m) in USD, at D = (t + K) / 2, and at most
                                            m (sqrt(K) - sqrt(t))^2 of D, at D = sqrt(t K)
                        m t (D - K)         beyond: less than m t of D, or m t / c of the rule

g is convex and polyhedral, monotone in |Delta_u|; the threshold is an amount, so it is not positively homogeneous.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, Field, model_validator

from crossmargin.fields import ExactDecimal, Frozen, Positive, refuse
from crossmargin.market.exposures import exposures
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.expression import Expression, Max, PositivePart

__all__ = ["DeltaShock", "delta_shock", "published_shock", "shock_bound"]

Floats = NDArray[np.float64]


def _cap(value: Decimal) -> Decimal:
    if not 0 < value <= 1:
        raise refuse("not in 0 < cap <= 1", "write the part of the delta that is charged at most, such as 0.1")
    return value


class DeltaShock(Frozen):
    """Threshold in USD, slope per USD beyond it, cap as a part of delta; `rule` must ask for the bound."""

    threshold: Annotated[ExactDecimal, Field(ge=0)]
    slope: Positive
    cap: Annotated[ExactDecimal, AfterValidator(_cap)]
    rule: Literal["bound", "published"] = "published"

    @model_validator(mode="after")
    def _check(self) -> "DeltaShock":
        if self.rule == "published":
            m, c, t = float(self.slope), float(self.cap), float(self.threshold)
            raise refuse(
                f"a capped delta shock is not convex: beyond a delta of {t + c / m:,.12g} USD its slope falls from "
                f"{m * t + 2 * c:.4g} to {c:.4g}",
                f"write rule: bound for the convex {m * t + c:.4g} * max(delta - {t:,.12g}, 0), which charges at most "
                f"{c * c / (4 * m):,.12g} USD more below that delta and at most {m * t / c:.2%} more beyond it",
                "rule",
            )
        return self

    @property
    def rate(self) -> Fraction:
        """Charge per USD of delta beyond the threshold: slope * threshold + cap."""
        return Fraction(self.slope) * Fraction(self.threshold) + Fraction(self.cap)


def delta_shock(builder: PolicyBuilder, underlying: str, rule: DeltaShock) -> Expression:
    """Return the bound of an underlying's delta shock as an abbreviation."""
    delta = exposures(builder.valuation, underlying).delta
    free, rate = -rule.rate * Fraction(rule.threshold), float(rule.rate)
    sides = [
        builder.plus(
            builder.charge(f"delta shock {underlying} {word}", f"{word} delta beyond", sign * rate * delta), free
        )
        for word, sign in (("long", 1), ("short", -1))
    ]
    return builder.abbreviate(
        f"delta shock {underlying}", f"net delta of {underlying} beyond a threshold", PositivePart(Max(tuple(sides)))
    )


def published_shock(rule: DeltaShock, delta: ArrayLike) -> Floats:
    """Return the published charge h(|delta|), USD, elementwise."""
    size = np.abs(np.asarray(delta, dtype=np.float64))
    part = np.minimum(float(rule.slope) * np.maximum(size - float(rule.threshold), 0), float(rule.cap))
    result: Floats = part * size
    return result


def shock_bound(rule: DeltaShock, delta: ArrayLike) -> Floats:
    """Return the charge in its place g(|delta|), USD, elementwise."""
    size = np.abs(np.asarray(delta, dtype=np.float64))
    result: Floats = float(rule.rate) * np.maximum(size - float(rule.threshold), 0)
    return result
