"""The builder of a policy: its risk arrays and definitions, collected while a model writes its expression.

`charge` and `scenarios` carry the statement's factor (such as maintenance margin as a fraction of initial margin),
which is applied before the one rounding; `value` does not. Amounts are in the value currency (USD) per column unit.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossmargin.engine.risk_arrays import risk_array
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import Valuation
from crossmargin_circuits.expression import Expression, Linear, Max, PositivePart, Reference, Scale, Sum
from crossmargin_circuits.layout import RecordLayout
from crossmargin_circuits.policy import Definition, RiskArray, Role

__all__ = ["PolicyBuilder", "added", "worst_loss"]

Floats = NDArray[np.float64]


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

    def value(self, name: str, meaning: str, values: ArrayLike, per_account: float = 0.0) -> Linear:
        """Add an array without the factor: values (V,) in USD per column unit, and an amount for the account itself.

        Raises:
            InputError: a value that the quantum cannot hold.
        """
        amounts = np.array(values, dtype=np.float64)
        amounts[0] += per_account
        self.arrays.append(risk_array(name, meaning, amounts, self.quantum, self.layout))
        return Linear(name)

    def charge(self, name: str, meaning: str, values: ArrayLike, per_account: float = 0.0) -> Linear:
        """Add an array times the statement's factor; otherwise as `value`."""
        factor = float(self.factor)
        return self.value(name, meaning, factor * np.asarray(values, dtype=np.float64), factor * per_account)

    def scenarios(self, prefix: str, scenarios: Iterable[Scenario]) -> list[Linear]:
        """Add the profit and loss of each scenario as "prefix number", times the statement's factor."""
        return [
            self.charge(f"{prefix} {each.number}", each.label, self.valuation.scenario_pnl(each)) for each in scenarios
        ]

    def abbreviate(self, name: str, meaning: str, expression: Expression) -> Reference:
        """Give an expression a name; it is written out wherever it is referred to."""
        return self._define(name, meaning, Role.ABBREVIATION, expression)

    def auxiliary(self, name: str, meaning: str, expression: Expression) -> Reference:
        """Define a hidden auxiliary: name >= max(0, expression)."""
        return self._define(name, meaning, Role.HIDDEN, expression)

    def _define(self, name: str, meaning: str, role: Role, expression: Expression) -> Reference:
        self.definitions.append(Definition(name, meaning, role, expression))
        return Reference(name)


def worst_loss(pnls: Sequence[Expression]) -> Expression:
    """Return max(0, -pnl_1, .., -pnl_S): the largest loss, zero where every scenario gains."""
    return PositivePart(Max(tuple(Scale(-1, pnl) for pnl in pnls)))


def added(terms: Sequence[Expression]) -> Expression:
    """Return the sum of one or more expressions; a single one is itself."""
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))
