"""Scenarios: how far each underlying's price and volatility move, and how much of the loss counts.

Joint rule: in one scenario all underlyings move together, each by the same fraction of its own price range, and all
volatilities move in the same direction. A portfolio that is long one underlying and short another is therefore offset
by the ratio of their ranges; the model `sum_of_underlyings` gives no such offset.

`span_grid` has the sixteen scenarios of the SPAN type, in SPAN's order: price 0, +-1/3, +-2/3, +-3/3 of the range,
each with volatility up and down, then two extreme moves of which a part is covered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator

from crossmargin.fields import ExactDecimal, Frozen, between

__all__ = ["Extreme", "ScanRange", "Scenario", "span_grid"]


class ScanRange(Frozen):
    """How far one underlying moves: relative price range, relative volatility moves up and down."""

    price_range: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False, high_in=False))]
    volatility_up: Annotated[ExactDecimal, AfterValidator(between("0", "10"))]
    volatility_down: Annotated[ExactDecimal, AfterValidator(between("0", "1", high_in=False))]


class Extreme(Frozen):
    """The two extreme scenarios: a multiple of the price range, of whose loss the part `covered` counts."""

    multiple: Annotated[ExactDecimal, AfterValidator(between("1", "20"))]
    covered: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]


@dataclass(frozen=True)
class Scenario:
    """One scenario; moves are relative (1/10 = +10 %), exact, and zero for what is not listed.

    number: from 1; covered: the part of profit and loss that counts, in 0 < covered <= 1.
    """

    number: int
    label: str
    price_moves: Mapping[str, Fraction]
    volatility_moves: Mapping[str, Fraction]
    covered: Fraction = Fraction(1)

    @property
    def description(self) -> str:
        """The figures per underlying: "BTC price +10 %, vol -25 %; ETH price +12.67 %, vol -25 %"."""
        names = dict.fromkeys((*self.price_moves, *self.volatility_moves))
        parts = [
            f"{name} price {_percent(self.price_moves.get(name, Fraction(0)))}, "
            f"vol {_percent(self.volatility_moves.get(name, Fraction(0)))}"
            for name in names
        ]
        text = "; ".join(parts) if parts else "nothing moves"
        return text if self.covered == 1 else f"{text}; {_percent(self.covered)[1:]} of the loss counts"

    def only(self, underlying: str) -> "Scenario":
        """Return this scenario with one underlying moving and everything else at rest."""
        return Scenario(
            number=self.number,
            label=f"{underlying} {self.label}",
            price_moves={name: move for name, move in self.price_moves.items() if name == underlying},
            volatility_moves={name: move for name, move in self.volatility_moves.items() if name == underlying},
            covered=self.covered,
        )


def span_grid(scan: Mapping[str, ScanRange], extreme: Extreme) -> tuple[Scenario, ...]:
    """Return the sixteen SPAN-type scenarios of scan ranges by underlying, numbered from 1."""
    ranges = {name: Fraction(each.price_range) for name, each in scan.items()}
    up = {name: Fraction(each.volatility_up) for name, each in scan.items()}
    down = {name: -Fraction(each.volatility_down) for name, each in scan.items()}
    scenarios: list[Scenario] = []

    def add(price: str, step: Fraction, volatility: str, moves: Mapping[str, Fraction], covered: Fraction) -> None:
        number = len(scenarios) + 1
        label = f"scenario {number}: price {price}, vol {volatility}"
        prices = {name: step * width for name, width in ranges.items()}
        scenarios.append(Scenario(number, label, prices, moves, covered))

    for thirds in (0, 1, -1, 2, -2, 3, -3):
        price = "0" if thirds == 0 else f"{thirds:+d}/3"
        add(price, Fraction(thirds, 3), "up", up, Fraction(1))
        add(price, Fraction(thirds, 3), "down", down, Fraction(1))
    multiple, covered = Fraction(extreme.multiple), Fraction(extreme.covered)
    for sign, word in ((1, "extreme up"), (-1, "extreme down")):
        add(word, sign * multiple, "unchanged", {}, covered)
    return tuple(scenarios)


def _percent(move: Fraction) -> str:
    """Return "+10 %", "-12.67 %", "0 %": two decimals at most, for people."""
    text = f"{float(move * 100):+.2f}".rstrip("0").rstrip(".")
    return f"{'0' if text in ('+0', '-0') else text} %"
