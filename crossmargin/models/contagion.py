"""Contagion buffer: price ranges that grow with crowding, before volatility does.

Computed from the totals by underlying that an earlier statement disclosed (crossmargin/market/crowding.py), and from
nothing about any single account:

    concentration    C_u = (large longs + large shorts) / gross
    one-sidedness    O_u = |large longs - large shorts| / (large longs + large shorts)
    leverage         L_u = min(1, gross_u / (leverage_limit * equity of the book))
    common exposure  X_u = gross_u / sum_v gross_v

(each in [0, 1], and 0 without exposure)

    index       kappa_u  = c C_u + o O_u + l L_u + x X_u          weights >= 0, together at most 1
    spill-over  kappa*_u = min(1, kappa_u + sum_v w_uv kappa_v)   0 <= w_uv <= 1
    buffer      b_u      = maximum * max(0, kappa*_u - start) / (1 - start)

    price range and volatility moves of u times (1 + b_u), the range rounded up to `decimals`
    concentration charge of u:  rate_u * (b_u / maximum) * max(0, |Delta_u(x)| - threshold_u)

The charge is convex in the record (a maximum of affine forms, the threshold a fixed amount of each account) and the
ranges are numbers, so the requirement keeps its curvature. Being free up to an amount, the charge is not subadditive
(two accounts pooled into one have one threshold) and not positively homogeneous; the wider ranges alone keep both.

Before the first totals are disclosed, the buffer is at its maximum, the safe side; the first crowding statement starts
there.

What holds: b_u never decreases in any indicator; 0 <= b_u <= maximum; it is a function of the published file and the
published rule, in exact fractions; without exposure it is zero.

In the raw totals it is not monotone everywhere: exposure of small accounts dilutes C, exposure on the weaker side
balances O, a book that grows elsewhere lowers X; and O steps from 0 when the first account becomes large. What does
hold: b_u never decreases when all totals grow in proportion at the same equity, when equity falls, and when accounts
that are large already add to u on the dominating side, which is how a crowd builds up. (Then C, O and L do not fall;
X_u gains what the other X_v lose together, so that spill-over weights of at most 1 cannot turn the sum.)

Wider ranges charge more of whatever loses more the further prices move. Of a portfolio that loses most in between (a
short butterfly), wider scenario points may meet less; the requirement is then lower with the buffer than without.

The disclosed gross is at least the true gross: a book that discloses more gross than it has lowers its own C and raises
its L. Weights on C alone depend on tight disclosed totals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Frozen, Name, Positive, WholeNumber, between, refuse
from crossmargin.market.crowding import Crowding
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.exposures import exposures
from crossmargin.market.scenarios import ScanRange
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.expression import Expression, Max, PositivePart

__all__ = ["ContagionRule", "IndexWeights", "Indicators"]

_Part = Annotated[ExactDecimal, AfterValidator(between("0", "1"))]

MOST_VOLATILITY_UP = Decimal(10)
"""Bound of a relative move of volatility upwards, that of a scan range."""


class IndexWeights(Frozen):
    """Weights of the four indicators in the index, together at most 1."""

    concentration: _Part
    one_sidedness: _Part
    leverage: _Part
    common_exposure: _Part

    @model_validator(mode="after")
    def _check(self) -> "IndexWeights":
        total = self.concentration + self.one_sidedness + self.leverage + self.common_exposure
        if total > 1:
            raise refuse(f"the weights add up to {total:f}", "lower them so that they add up to at most 1")
        return self


@dataclass(frozen=True)
class Indicators:
    """The four indicators of one underlying, each in [0, 1]."""

    concentration: Fraction
    one_sidedness: Fraction
    leverage: Fraction
    common_exposure: Fraction


class ContagionRule(Frozen):
    """Section `contagion` of a model with scan ranges; thresholds are USD of net exposure of one account."""

    weights: IndexWeights
    leverage_limit: Positive
    start: Annotated[ExactDecimal, AfterValidator(between("0", "1", high_in=False))]
    maximum: Annotated[ExactDecimal, AfterValidator(between("0", "10"))]
    thresholds: dict[Name, Positive]
    spill_over: dict[Name, dict[Name, _Part]] = Field(default_factory=dict)
    rates: dict[Name, _Part] = Field(default_factory=dict)
    decimals: Annotated[WholeNumber, Field(ge=1, le=12)] = 4
    maximum_age_days: WholeNumber = 2

    @model_validator(mode="after")
    def _check(self) -> "ContagionRule":
        for name in self.rates:
            if name not in self.thresholds:
                raise refuse(f"a rate for {name} and no threshold", f"add thresholds.{name}", f"rates.{name}")
            if not self.maximum and self.rates[name]:
                raise refuse(f"a rate for {name} and no buffer to charge it with", "raise maximum", f"rates.{name}")
        for name, weights in self.spill_over.items():
            if name in weights:
                raise refuse(f"{name} spills over to itself", "remove it", f"spill_over.{name}.{name}")
        return self

    def indicators(self, crowding: Crowding) -> dict[str, Indicators]:
        """Return the indicators by underlying."""
        everything = sum((Fraction(each.gross) for each in crowding.exposures.values()), Fraction(0))
        capacity = Fraction(self.leverage_limit) * Fraction(crowding.equity)
        result = {}
        for name, each in crowding.exposures.items():
            gross, longs, shorts = Fraction(each.gross), Fraction(each.large_longs), Fraction(each.large_shorts)
            large = longs + shorts
            result[name] = Indicators(
                concentration=large / gross if gross else Fraction(0),
                one_sidedness=abs(longs - shorts) / large if large else Fraction(0),
                leverage=(min(Fraction(1), gross / capacity) if capacity else Fraction(1)) if gross else Fraction(0),
                common_exposure=gross / everything if gross else Fraction(0),
            )
        return result

    def index(self, indicators: Indicators) -> Fraction:
        """Return kappa, the weighted sum of the indicators, in [0, 1]."""
        return (
            Fraction(self.weights.concentration) * indicators.concentration
            + Fraction(self.weights.one_sidedness) * indicators.one_sidedness
            + Fraction(self.weights.leverage) * indicators.leverage
            + Fraction(self.weights.common_exposure) * indicators.common_exposure
        )

    def buffers(self, crowding: Crowding | None) -> dict[str, Fraction]:
        """Return b, by underlying, in [0, maximum]: the maximum where no totals have been disclosed."""
        if crowding is None:
            return dict.fromkeys(self.thresholds, Fraction(self.maximum))
        index = {name: self.index(each) for name, each in self.indicators(crowding).items()}
        return {name: self.buffer(self.spilled(name, index)) for name in index}

    def spilled(self, name: str, index: Mapping[str, Fraction]) -> Fraction:
        """Return kappa* of an underlying from the indices of all."""
        others = self.spill_over.get(name, {})
        added = sum((Fraction(weight) * index.get(other, Fraction(0)) for other, weight in others.items()), Fraction(0))
        return min(Fraction(1), index[name] + added)

    def buffer(self, spilled: Fraction) -> Fraction:
        """Return the buffer of an index after spill-over."""
        start = Fraction(self.start)
        return Fraction(self.maximum) * max(Fraction(0), spilled - start) / (1 - start)

    def ranges(self, scan: Mapping[str, ScanRange], crowding: Crowding | None) -> dict[str, ScanRange]:
        """Return scan ranges with the buffer on them; a downward move of volatility stays below 1.

        Raises:
            InputError: a price range of 1 or more.
        """
        buffers = self.buffers(crowding)
        return {name: self._buffered(name, each, buffers.get(name, Fraction(0))) for name, each in scan.items()}

    def _buffered(self, name: str, scan: ScanRange, buffer: Fraction) -> ScanRange:
        if not buffer:
            return scan
        step = Decimal(1).scaleb(-self.decimals)

        def raised(width: Decimal) -> Decimal:
            steps = Fraction(width) * (1 + buffer) / Fraction(step)
            return -(-steps.numerator // steps.denominator) * step

        width = raised(scan.price_range)
        if width >= 1:
            raise InputError(
                f"{name}: a price range of {scan.price_range:f} with a buffer of {float(buffer):.4f} becomes "
                f"{width:f}, which reaches a price of zero",
                hint="lower contagion.maximum or the price range",
                field="contagion.maximum",
            )
        return scan.model_copy(
            update={
                "price_range": width,
                "volatility_up": max(scan.volatility_up, min(raised(scan.volatility_up), MOST_VOLATILITY_UP)),
                "volatility_down": max(scan.volatility_down, min(raised(scan.volatility_down), 1 - step)),
            }
        )

    def charges(self, builder: PolicyBuilder, crowding: Crowding | None) -> list[Expression]:
        """Write the concentration charges, of the underlyings that have a rate and a buffer."""
        result: list[Expression] = []
        for name, buffer in self.buffers(crowding).items():
            if not buffer or not self.rates.get(name):
                continue
            exact = Fraction(self.rates[name]) * buffer / Fraction(self.maximum)
            rate, free = float(exact), -exact * Fraction(self.thresholds[name])
            delta = rate * exposures(builder.valuation, name).delta
            beyond = tuple(
                builder.plus(
                    builder.charge(
                        f"crowded {word} {name}",
                        f"{rate:.6g} of the net {word} exposure to {name} beyond {self.thresholds[name]:f} USD",
                        sign * delta,
                    ),
                    free,
                )
                for sign, word in ((1, "long"), (-1, "short"))
            )
            meaning = f"concentration charge on exposure to {name}"
            result.append(builder.abbreviate(f"crowding charge {name}", meaning, PositivePart(Max(beyond))))
        return result

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return missing and foreign names in the catalogue and the totals of an environment."""
        underlyings = environment.catalogue.underlyings
        problems = [
            InputError(
                f"no threshold for {name}", hint=f"add contagion.thresholds.{name}", field="contagion.thresholds"
            )
            for name in underlyings
            if name not in self.thresholds
        ]
        named = {f"thresholds.{name}": name for name in self.thresholds}
        named |= {f"spill_over.{name}": name for name in self.spill_over}
        named |= {f"spill_over.{name}.{other}": other for name, each in self.spill_over.items() for other in each}
        problems += [
            InputError(f"{name} is not an underlying", hint="remove it", field=f"contagion.{field}")
            for field, name in named.items()
            if name not in underlyings
        ]
        return problems if not self.maximum else [*problems, *self._check_totals(environment)]

    def _check_totals(self, environment: MarketEnvironment) -> list[InputError]:
        crowding = environment.crowding
        if crowding is None:
            return []
        underlyings = environment.catalogue.underlyings
        problems = [
            InputError(f"no totals of {name} in crowding.yaml", hint="open a crowding statement", field="contagion")
            for name in underlyings
            if name not in crowding.exposures
        ]
        problems += [
            InputError(f"totals of {name}, which is not an underlying", hint="remove them", field="contagion")
            for name in crowding.exposures
            if name not in underlyings
        ]
        age = environment.market.as_of - crowding.as_of
        if age < timedelta(0):
            reason = f"the totals are dated {-age.total_seconds():.0f} s after as_of"
            problems.append(InputError(reason, hint="take those of an earlier statement", field="contagion"))
        elif age > timedelta(days=self.maximum_age_days):
            reason = f"the totals are {age / timedelta(days=1):.1f} days old, the limit is {self.maximum_age_days}"
            hint = "take those of a later statement, or raise maximum_age_days"
            problems.append(InputError(reason, hint=hint, field="contagion.maximum_age_days"))
        return problems
