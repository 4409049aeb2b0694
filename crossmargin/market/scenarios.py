"""Scenarios: how far each underlying's price and volatility move, and how much of the loss counts.

    loss that counts = max(0, covered * loss - dampener)      dampener: USD per account, or per underlying scanned alone

Joint rule: in one scenario all underlyings move together, each by the same fraction of its own price range, and all
volatilities move in the same direction. A portfolio that is long one underlying and short another is therefore offset
by the ratio of their ranges; the model `sum_of_underlyings` gives no such offset.

`span_grid` has the sixteen scenarios of the SPAN type, in SPAN's order: price 0, +-1/3, +-2/3, +-3/3 of the range,
each with volatility up and down, then two extreme moves of which a part is covered. `price_volatility_grid` has the
products of stated price steps and volatility moves (venues use 9 to 11 prices by 3 volatilities), and `tail_scenarios`
stated moves far out, of whose loss a part counts or which a dampener reduces.

`VolatilityTerm` lets a volatility move depend on the time to expiry: near volatilities move more than far ones,

    v(days) = v (30 / days)^power      power: `short` below 30 days, `long` from there on (Deribit's vega power)

and an upward move ends at `minimum` or higher. `basis_moves` shift what is dated against the index: the mark or
forward with T years left is multiplied by 1 + b T.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crossmargin.fields import ExactDecimal, Frozen, Listed, Positive, between, refuse
from crossmargin.units import format_decimal

__all__ = [
    "Extreme",
    "Grid",
    "ScanRange",
    "Scenario",
    "Tail",
    "VolatilityTerm",
    "price_volatility_grid",
    "span_grid",
    "tail_scenarios",
]


class ScanRange(Frozen):
    """Moves of one underlying: relative price range, relative volatility moves up and down."""

    price_range: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False, high_in=False))]
    volatility_up: Annotated[ExactDecimal, AfterValidator(between("0", "10"))]
    volatility_down: Annotated[ExactDecimal, AfterValidator(between("0", "1", high_in=False))]


class Extreme(Frozen):
    """The two extreme scenarios: a multiple of the price range, of whose loss the part `covered` counts."""

    multiple: Annotated[ExactDecimal, AfterValidator(between("1", "20"))]
    covered: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]


class VolatilityMove(StrEnum):
    """Direction of volatilities: by volatility_up, not at all, by volatility_down."""

    UP = "up"
    UNCHANGED = "unchanged"
    DOWN = "down"


def _direction(value: Any) -> VolatilityMove:
    if value in tuple(VolatilityMove):
        return VolatilityMove(value)
    raise refuse("neither up, unchanged nor down", "write one of these words")


_Direction = Annotated[VolatilityMove, BeforeValidator(_direction)]


def _different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise refuse("a value twice", "keep one of them")
    return values


class Grid(Frozen):
    """Price steps as fractions of the price range, and volatility moves; a scenario for each of their products."""

    price_steps: Annotated[
        tuple[Annotated[ExactDecimal, AfterValidator(between("-1", "1"))], ...],
        Listed,
        Field(min_length=1),
        AfterValidator(_different),
    ]
    volatility: Annotated[tuple[_Direction, ...], Listed, Field(min_length=1), AfterValidator(_different)]


class Tail(Frozen):
    """A move far out: a multiple of each price range, or one relative move of every price.

    covered: the part of the loss that counts; dampener: USD by which what counts is lower.
    """

    multiple: Annotated[ExactDecimal, AfterValidator(between("-100", "100"))] | None = None
    move: Annotated[ExactDecimal, AfterValidator(between("-1", "100", low_in=False))] | None = None
    covered: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))] = Decimal(1)
    dampener: Positive | None = None
    volatility: _Direction = VolatilityMove.UNCHANGED

    @model_validator(mode="after")
    def _check(self) -> "Tail":
        if (self.multiple is None) == (self.move is None):
            raise refuse("needs either multiple (of the price range) or move (of every price)", "write one of the two")
        return self

    def price_move(self, price_range: Decimal) -> Fraction:
        """Return the relative move of a price with that range."""
        if self.move is not None:
            return Fraction(self.move)
        return Fraction(self.multiple or 0) * Fraction(price_range)

    @property
    def label(self) -> str:
        """The price move: "tail -2 ranges", "tail -66 %"."""
        if self.move is not None:
            return f"tail {_percent(Fraction(self.move))}"
        return f"tail {'+' if (self.multiple or 0) > 0 else ''}{format_decimal(self.multiple or Decimal(0))} ranges"


class VolatilityTerm(Frozen):
    """Volatility moves by time to expiry: powers of 30 days / days left, and where upward moves end at least."""

    short: Annotated[ExactDecimal, AfterValidator(between("0", "1"))] = Decimal(0)
    long: Annotated[ExactDecimal, AfterValidator(between("0", "1"))] = Decimal(0)
    minimum: Annotated[ExactDecimal, AfterValidator(between("0", "10"))] = Decimal(0)

    def moved(self, volatility: float, move: float, years: float) -> float:
        """Return a volatility after a relative move, of an option with years > 0 left; never below zero."""
        ratio = 30 / (365 * years)
        scaled = float(move * ratio ** float(self.short if ratio > 1 else self.long))
        moved = volatility * max(0.0, 1 + scaled)
        return max(moved, float(self.minimum)) if move > 0 else moved


@dataclass(frozen=True)
class Scenario:
    """One scenario; moves are relative (1/10 = +10 %), exact, and zero for what is not listed.

    number: from 1; covered: the part of profit and loss that counts, in 0 < covered <= 1; dampener: USD by which the
    loss that counts is lower; basis_moves: a year, of marks and forwards that are dated; volatility_term: of all
    volatility moves.
    """

    number: int
    label: str
    price_moves: Mapping[str, Fraction]
    volatility_moves: Mapping[str, Fraction]
    covered: Fraction = Fraction(1)
    dampener: Fraction = Fraction(0)
    basis_moves: Mapping[str, Fraction] = field(default_factory=dict)
    volatility_term: VolatilityTerm | None = None

    @property
    def description(self) -> str:
        """The figures per underlying: "BTC price +10 %, vol -25 %; ETH price +12.67 %, vol -25 %"."""
        names = dict.fromkeys((*self.price_moves, *self.volatility_moves))
        parts = [
            f"{name} price {_percent(self.price_moves.get(name, Fraction(0)))}, "
            f"vol {_percent(self.volatility_moves.get(name, Fraction(0)))}"
            for name in names
        ]
        parts += [f"{name} basis {_percent(move)} a year" for name, move in self.basis_moves.items()]
        text = "; ".join(parts) if parts else "nothing moves"
        if self.covered != 1:
            text += f"; {_percent(self.covered)[1:]} of the loss counts"
        return text if not self.dampener else f"{text}; {float(self.dampener):,.12g} USD of it do not"

    def only(self, underlying: str) -> "Scenario":
        """Return this scenario with one underlying moving and everything else at rest."""
        return Scenario(
            number=self.number,
            label=f"{underlying} {self.label}",
            price_moves={name: move for name, move in self.price_moves.items() if name == underlying},
            volatility_moves={name: move for name, move in self.volatility_moves.items() if name == underlying},
            covered=self.covered,
            dampener=self.dampener,
            basis_moves={name: move for name, move in self.basis_moves.items() if name == underlying},
            volatility_term=self.volatility_term,
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


def price_volatility_grid(scan: Mapping[str, ScanRange], grid: Grid) -> tuple[Scenario, ...]:
    """Return every price step with every volatility move, numbered from 1, volatility changing fastest."""
    scenarios: list[Scenario] = []
    for step in grid.price_steps:
        price = "0" if step == 0 else f"{'+' if step > 0 else ''}{format_decimal(step)} of the range"
        for direction in grid.volatility:
            number = len(scenarios) + 1
            label = f"scenario {number}: price {price}, vol {direction}"
            moves = {name: Fraction(step) * Fraction(each.price_range) for name, each in scan.items()}
            scenarios.append(Scenario(number, label, moves, _volatility_moves(scan, direction)))
    return tuple(scenarios)


def tail_scenarios(scan: Mapping[str, ScanRange], tails: Sequence[Tail], first: int) -> tuple[Scenario, ...]:
    """Return one scenario a tail, numbered from `first`."""
    return tuple(
        Scenario(
            number=number,
            label=f"scenario {number}: price {tail.label}, vol {tail.volatility}",
            price_moves={name: tail.price_move(each.price_range) for name, each in scan.items()},
            volatility_moves=_volatility_moves(scan, tail.volatility),
            covered=Fraction(tail.covered),
            dampener=Fraction(tail.dampener or 0),
        )
        for number, tail in enumerate(tails, start=first)
    )


def _volatility_moves(scan: Mapping[str, ScanRange], direction: VolatilityMove) -> dict[str, Fraction]:
    if direction is VolatilityMove.UP:
        return {name: Fraction(each.volatility_up) for name, each in scan.items()}
    if direction is VolatilityMove.DOWN:
        return {name: -Fraction(each.volatility_down) for name, each in scan.items()}
    return {}


def _percent(move: Fraction) -> str:
    """Return "+10 %", "-12.67 %", "0 %": two decimals at most, for people."""
    text = f"{float(move * 100):+.2f}".rstrip("0").rstrip(".")
    return f"{'0' if text in ('+0', '-0') else text} %"
