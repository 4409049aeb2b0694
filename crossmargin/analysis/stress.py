"""Stress: the same positions at shocked prices, under the same model.

A shock states relative moves of prices and of implied volatilities; everything else is at rest. The market is moved by
it, the model is computed again at the new prices, and accounts are judged with their old positions: equity after the
shock against the requirement after the shock. A negative equity is a loss that the venue, not the holder, bears.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, ValidationError, model_validator

from crossmargin.book.book import Book
from crossmargin.book.exact_sum import total_of
from crossmargin.engine.evaluate import Margin, evaluate
from crossmargin.errors import InputError, InputErrors
from crossmargin.fields import (
    MAX_TEXT_LENGTH,
    ExactDecimal,
    Frozen,
    Listed,
    Name,
    Text,
    between,
    problems_of,
    refuse,
)
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.scenarios import Scenario
from crossmargin.models import MarginModel, build_policy
from crossmargin.models.oracle import resolved
from crossmargin_circuits.compile import compile_policy

__all__ = ["Shock", "Shocks", "Stressed", "stress"]

_Move = Annotated[ExactDecimal, AfterValidator(between("-1", "100", low_in=False))]


class Shock(Frozen):
    """One shock: relative moves of prices and of implied volatilities, -0.3 for a fall by 30 %."""

    name: Text
    prices: dict[Name, _Move] = Field(default_factory=dict)
    volatilities: dict[Name, _Move] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "Shock":
        if not self.prices and not self.volatilities:
            raise refuse("nothing moves", "add prices or volatilities", "prices")
        return self

    @classmethod
    def of(cls, prices: Mapping[str, Decimal | str], volatilities: Mapping[str, Decimal | str]) -> "Shock":
        """Return the shock of these moves, named by them: "BTC -0.3, ETH vol 0.5".

        Raises:
            InputErrors: no move at all, or one out of range.
        """
        words = [f"{name} {move}" for name, move in prices.items()]
        words += [f"{name} vol {move}" for name, move in volatilities.items()]
        name = ", ".join(words)
        name = name if len(name) <= MAX_TEXT_LENGTH else f"{name[: MAX_TEXT_LENGTH - 3]}..."
        try:
            return cls.model_validate({"name": name or "nothing", "prices": prices, "volatilities": volatilities})
        except ValidationError as error:
            raise InputErrors(problems_of(error)) from None

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return the names that nothing in the environment follows; the field is stated."""
        catalogue = environment.catalogue
        priced = set(catalogue.priced)
        sections = (("prices", self.prices, priced), ("volatilities", self.volatilities, set(catalogue.underlyings)))
        return [
            InputError(
                f"nothing follows {name}", hint=f"use one of {', '.join(sorted(known))}", field=f"{field}.{name}"
            )
            for field, moves, known in sections
            for name in moves
            if name not in known
        ]

    def scenario(self, number: int) -> Scenario:
        """Return the shock as a scenario."""
        return Scenario(
            number,
            self.name,
            {name: Fraction(move) for name, move in self.prices.items()},
            {name: Fraction(move) for name, move in self.volatilities.items()},
        )


class Shocks(Frozen):
    """The contents of a file of shocks."""

    shocks: Annotated[tuple[Shock, ...], Listed, Field(min_length=1)]


@dataclass(frozen=True, repr=False)
class Stressed:
    """A book after one shock; `shock` is None before all of them. Totals are in quanta."""

    shock: Shock | None
    margin: Margin

    @property
    def under_water(self) -> int:
        """Number of accounts whose equity does not cover their requirement."""
        return int(np.count_nonzero(self.margin.excess < 0))

    @property
    def bankrupt(self) -> int:
        """Number of accounts with negative equity."""
        return int(np.count_nonzero(self.margin.equity < 0))

    @property
    def deficit(self) -> int:
        """Sum of negative equities, as a positive amount that no holder covers."""
        return -total_of(np.minimum(self.margin.equity, 0))


def stress(
    venue: str, environment: MarketEnvironment, model: MarginModel, statement: str, book: Book, shocks: Sequence[Shock]
) -> list[Stressed]:
    """Return the book before, and after each shock alone.

    Raises:
        InputError: a shock of a name that nothing follows, or a model that cannot be computed at the moved prices.
    """
    for shock in shocks:
        for problem in shock.check(environment):
            raise problem

    def margin(where: MarketEnvironment) -> Margin:
        return evaluate(compile_policy(build_policy(venue, where, model, statement)), book.records)

    environment = resolved(environment, model.oracle)
    before = Stressed(None, margin(environment))
    return [
        before,
        *(
            Stressed(each, margin(environment.moved(each.scenario(number))))
            for number, each in enumerate(shocks, start=1)
        ),
    ]
