"""The builder of a policy: its risk arrays and definitions, collected while a model writes its expression.

`charge` and `scenarios` carry the statement's factor (such as maintenance margin as a fraction of initial margin),
which is applied before the one rounding; `value` does not. Values are in the value currency (USD) per column unit.

A fixed amount for each account is an expression of its own, rounded to whole quanta against the account: up where it is
charged (`amount`), which also makes less of a relief, and down where equity counts it (`counted_amount`).
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossmargin.engine.risk_arrays import risk_array
from crossmargin.errors import InputError
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import Valuation
from crossmargin_circuits.encoding import MAX_JSON_INTEGER
from crossmargin_circuits.expression import Amount, Expression, Linear, Max, PositivePart, Reference, Scale, Sum
from crossmargin_circuits.layout import RecordLayout
from crossmargin_circuits.policy import MAX_PART_NAME, Definition, RiskArray, Role

__all__ = ["Money", "PolicyBuilder", "added", "worst_loss"]

Floats = NDArray[np.float64]

Money = int | float | Decimal | Fraction
"""An amount of the value currency; a float counts as the shortest decimal that names it."""


class PolicyBuilder:
    """Collects the parts of a policy: `arrays` and `definitions` in order, over the columns of the catalogue."""

    def __init__(self, environment: MarketEnvironment, quantum: Decimal, factor: Decimal, statement: str) -> None:
        """Start empty. quantum: value of the integer 1; factor: of the statement, on every charge."""
        self.environment = environment
        self.quantum = quantum
        self.factor = factor
        self.statement = statement
        self.arrays: list[RiskArray] = []
        self.definitions: list[Definition] = []

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue of the environment."""
        return self.environment.catalogue

    @property
    def market(self) -> Market:
        """The market of the environment."""
        return self.environment.market

    @property
    def valuation(self) -> Valuation:
        """The values of column units in the environment, now and under scenarios."""
        return self.environment.valuation

    @property
    def layout(self) -> RecordLayout:
        """The columns of a record."""
        return self.environment.catalogue.layout()

    def value(self, name: str, meaning: str, values: ArrayLike) -> Linear:
        """Add an array without the factor: values (V,) in USD per column unit.

        Raises:
            InputError: a value that the quantum cannot hold.
        """
        self._check_name(name)
        self.arrays.append(risk_array(name, meaning, np.array(values, dtype=np.float64), self.quantum, self.layout))
        return Linear(name)

    def charge(self, name: str, meaning: str, values: ArrayLike) -> Linear:
        """Add an array times the statement's factor; otherwise as `value`."""
        return self.value(name, meaning, float(self.factor) * np.asarray(values, dtype=np.float64))

    def amount(self, money: Money) -> Amount:
        """Return a charge of so much money on each account, or a relief where negative, times the statement's factor.

        It is rounded up to whole quanta, so a charge is never less and a relief never more than stated.

        Raises:
            InputError: zero, or an amount that the quantum cannot hold.
        """
        return self._amount(self._charged(money), money)

    def counted_amount(self, money: Money) -> Amount:
        """Return so much money as equity counts for each account: without the factor, rounded down to whole quanta.

        Raises:
            InputError: zero, or an amount that the quantum cannot hold.
        """
        return self._amount(self._counted(money), money)

    def plus(self, expression: Expression, money: Money) -> Expression:
        """Return an expression with an `amount` added; one that rounds to nothing is left out."""
        quanta = self._charged(money)
        return Sum((expression, self._amount(quanta, money))) if quanta else expression

    def plus_gain(self, pnl: Expression, money: Money) -> Expression:
        """Return a profit or loss with an amount added to it; a requirement charges its negative.

        The amount carries the factor and is rounded down; one that rounds to nothing is left out.
        """
        quanta = -self._charged(-money)
        return Sum((pnl, self._amount(quanta, money))) if quanta else pnl

    def plus_counted(self, expression: Expression, money: Money) -> Expression:
        """Return an expression with a `counted_amount` added; one that rounds to nothing is left out."""
        quanta = self._counted(money)
        return Sum((expression, self._amount(quanta, money))) if quanta else expression

    def scenarios(self, prefix: str, scenarios: Iterable[Scenario]) -> list[Linear]:
        """Add the profit and loss of each scenario as "prefix number", times the statement's factor."""
        return [
            self.charge(f"{prefix} {each.number}", each.label, self.valuation.scenario_pnl(each)) for each in scenarios
        ]

    def abbreviate(self, name: str, meaning: str, expression: Expression) -> Reference:
        """Give an expression a name; it is written out wherever it is referred to."""
        return self.define(name, meaning, Role.ABBREVIATION, expression)

    def auxiliary(self, name: str, meaning: str, expression: Expression) -> Reference:
        """Define a hidden auxiliary: name >= max(0, expression)."""
        return self.define(name, meaning, Role.HIDDEN, expression)

    def define(self, name: str, meaning: str, role: Role, expression: Expression) -> Reference:
        """Add a definition of any role that names no asset.

        Raises:
            InputError: a name that is too long.
        """
        self._check_name(name)
        self.definitions.append(Definition(name, meaning, role, expression))
        return Reference(name)

    def _check_name(self, name: str) -> None:
        if len(name) > MAX_PART_NAME:
            raise InputError(
                f"{name}: a name of {len(name)} characters in the policy",
                hint=f"shorten the names of assets and instruments in it, to {MAX_PART_NAME} characters together",
            )

    def _charged(self, money: Money) -> int:
        return -((-_exact(money) * Fraction(self.factor) / Fraction(self.quantum)).__floor__())

    def _counted(self, money: Money) -> int:
        return (_exact(money) / Fraction(self.quantum)).__floor__()

    def _amount(self, quanta: int, money: Money) -> Amount:
        if not 0 < abs(quanta) <= MAX_JSON_INTEGER:
            raise InputError(
                f"an amount of {float(money):.15g} USD for each account is not between 1 and 2^53 quanta",
                field="value_unit.quantum",
                hint="leave out an amount of nothing, or choose another quantum",
            )
        return Amount(quanta)


def worst_loss(pnls: Sequence[Expression]) -> Expression:
    """Return max(0, -pnl_1, .., -pnl_S): the largest loss, zero where every scenario gains."""
    return PositivePart(Max(tuple(Scale(-1, pnl) for pnl in pnls)))


def _exact(money: Money) -> Fraction:
    if isinstance(money, float | Decimal) and not isfinite(money):
        raise InputError(
            "an amount for each account is not finite", field="value_unit.quantum", hint="check its inputs"
        )
    return Fraction(repr(float(money))) if isinstance(money, float) else Fraction(money)


def added(terms: Sequence[Expression]) -> Expression:
    """Return the sum of one or more expressions; a single one is itself."""
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))
