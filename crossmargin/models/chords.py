"""Curved requirements as bracket tables: chords between knots, which lie above a convex curve.

Some venues let the rate rise with every unit of a position, so that the requirement f is curved and no finite set of
rows states it. For sizes x >= 0 in units of the underlying:

    linear in size   f(x) = x (base + slope max(0, x - above))           Deribit (above 0), Delta Exchange
    power            f(x) = max(floor x, base x + coefficient x^e)       Drift: e 1.5, floor w, base 0.8 w

Both are convex. Between two knots a convex curve lies *below* its chord and above its tangents. Chords never charge
less than the venue, so an account that covers them covers f; tangents would call insolvent accounts solvent. At the
knots the two are equal. Beyond the last knot the last chord runs below the curve, so the limits of the columns must
end there (`last`). Slopes of chords are rounded up to SLOPE_PLACES places, never down.

The greatest relative over-charge (t - f) / f between knots a < b, for base r and slope s, q = r / s, above 0:

    linear in size   s (x - a)(b - x) / (r + s x) / x at x = (ab + sqrt(ab (a + q)(b + q))) / (a + b + q); for a = 0 it
                     is b / q, at sizes near zero
    x^1.5, b = 2a    4.55 %, at 1.36 a; x^2, which a steep slope comes near, 12.5 %

Sources: Deribit, article 25944738177565 (Linear Perpetual); Drift and Delta Exchange, their public documentation.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, Decimal, localcontext
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from crossmargin.fields import ExactDecimal, Frozen, Listed, Positive, between, refuse
from crossmargin.models.brackets import DIGITS, BracketTable, Rate, Tier
from crossmargin.units import format_decimal

__all__ = ["Curve", "LinearInSize", "Power", "chords", "greatest_overcharge"]

Floats = NDArray[np.float64]

SLOPE_PLACES = Decimal("0.000000000001")
"""To which the slope of a chord is rounded up."""

MAX_KNOTS = 64

Unsigned = Annotated[ExactDecimal, AfterValidator(between("0", "1000000000000000"))]


class Curve(Protocol):
    """A convex requirement on sizes of an underlying, and the table above it."""

    @property
    def last(self) -> Decimal:
        """The last knot; up to it the table lies on or above the curve."""

    @property
    def table(self) -> BracketTable:
        """Chords through the knots, in units of the underlying."""

    def values(self, sizes: Floats) -> Floats:
        """Return f of many sizes, units of the underlying."""


def _rising(knots: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    for number in range(1, len(knots)):
        if knots[number] <= knots[number - 1]:
            raise refuse("the knots do not rise", "list sizes from the smallest to the largest", f"[{number}]")
    return knots


class LinearInSize(Frozen):
    """The rate is `base`, and grows by `slope` for each unit of the underlying beyond `above`; chords at `knots`."""

    base: Rate
    slope: Positive
    above: Unsigned = Decimal(0)
    knots: Annotated[tuple[Positive, ...], Listed, Field(min_length=1, max_length=MAX_KNOTS), AfterValidator(_rising)]

    @model_validator(mode="after")
    def _check_slopes(self) -> "LinearInSize":
        chords(self._value, self.knots)
        return self

    @property
    def last(self) -> Decimal:
        """The last knot."""
        return self.knots[-1]

    @cached_property
    def table(self) -> BracketTable:
        """Chords through zero and the knots."""
        return chords(self._value, self.knots)

    def values(self, sizes: Floats) -> Floats:
        """Return f of many sizes, units of the underlying."""
        excess = np.maximum(0.0, sizes - float(self.above))
        found: Floats = sizes * (float(self.base) + float(self.slope) * excess)
        return found

    def _value(self, size: Decimal) -> Decimal:
        return size * (self.base + self.slope * max(Decimal(0), size - self.above))


class Power(Frozen):
    """max(floor x, base x + coefficient x^exponent), chords at `first` and its doublings until `up_to` is reached."""

    base: Annotated[ExactDecimal, AfterValidator(between("0", "1"))] = Decimal(0)
    floor: Annotated[ExactDecimal, AfterValidator(between("0", "1"))] = Decimal(0)
    coefficient: Positive
    exponent: Annotated[ExactDecimal, AfterValidator(between("1", "3", low_in=False))]
    first: Positive
    up_to: Positive

    @model_validator(mode="after")
    def _check_knots(self) -> "Power":
        if self.up_to < self.first or self.up_to > self.first * 2 ** (MAX_KNOTS - 1):
            raise refuse(
                f"not between first and {MAX_KNOTS - 1} doublings of it",
                "choose the largest size of a position",
                "up_to",
            )
        chords(self._value, self.knots)
        return self

    @cached_property
    def knots(self) -> tuple[Decimal, ...]:
        """Doubling sizes; the last is the first that reaches `up_to`."""
        found = [self.first]
        while found[-1] < self.up_to:
            found.append(2 * found[-1])
        return tuple(found)

    @property
    def last(self) -> Decimal:
        """The last knot."""
        return self.knots[-1]

    @cached_property
    def table(self) -> BracketTable:
        """Chords through zero and the knots."""
        return chords(self._value, self.knots)

    def values(self, sizes: Floats) -> Floats:
        """Return f of many sizes, units of the underlying."""
        curved = float(self.base) * sizes + float(self.coefficient) * sizes ** float(self.exponent)
        found: Floats = np.maximum(float(self.floor) * sizes, curved)
        return found

    def _value(self, size: Decimal) -> Decimal:
        return max(self.floor * size, self.base * size + self.coefficient * size**self.exponent)


def chords(curve: Callable[[Decimal], Decimal], knots: Sequence[Decimal]) -> BracketTable:
    """Return the table through zero and the knots of a convex curve with value 0 at 0: nowhere below it up to the last.

    Raises:
        PydanticCustomError: a slope above 1.
    """
    tiers: list[Tier] = []
    with localcontext(prec=DIGITS):
        start, low = Decimal(0), Decimal(0)
        for knot in knots:
            high = curve(knot)
            slope = ((high - low) / (knot - start)).quantize(SLOPE_PLACES, ROUND_CEILING).normalize()
            if slope > 1:
                reason = f"between sizes {format_decimal(start)} and {format_decimal(knot)} the rate is above 1"
                raise refuse(reason, "lower the last knot, with the limits of the positions, or the rates")
            if not tiers or slope > tiers[-1].rate:
                tiers.append(Tier.model_validate({"from": start, "rate": slope}))
            start, low = knot, high
    return BracketTable(tiers=tuple(tiers))


def greatest_overcharge(curve: Curve, low: float, high: float, points: int = 100_001) -> float:
    """Return max (t - f) / f of a curve's table t over a geometric grid of sizes, 0 < low <= size <= high <= last."""
    sizes = np.geomspace(low, high, points)
    exact = curve.values(sizes)
    return float(np.max((curve.table.requirements(sizes) - exact) / exact))
